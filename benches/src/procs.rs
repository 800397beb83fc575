//! **Purpose**: starts processes, knows what they use, and surely ends them.
//!
//! **Invariants**
//! - Every process gets a process session of its own (a scheduler's autogroup would otherwise weigh a
//!   peer's many processes against our few) and a hard limit on its life, enforced by `timeout`.
//! - The harness adopts orphans (child subreaper), so that whatever its children leave behind is a
//!   descendant; processes are ended by id, and only descendants are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions};

/// No process outlives this, even if the harness itself is killed.
const LIFE_MAX_SECONDS: u32 = 30 * 60;

/// A started process with all that it starts. Dropped: ended.
pub struct Proc {
    name: String,
    child: Child,
    pub log: PathBuf,
    ended: bool,
}

impl Proc {
    /// Starts `program` with its output in `<log_dir>/<name>.log`.
    pub fn start<I, S>(name: &str, program: &Path, args: I, log_dir: &Path) -> Result<Proc>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        fs::create_dir_all(log_dir)
            .with_context(|| format!("could not make `{}`", log_dir.display()))?;
        let log = log_dir.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("could not open the log `{}`", log.display()))?;
        // `setsid` forks only when it leads a process group, which a fresh child never does.
        let child = Command::new("setsid")
            .arg("timeout")
            .args(["--foreground", "-s", "KILL"])
            .arg(LIFE_MAX_SECONDS.to_string())
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("could not share the log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("could not start `{}` for {name}", program.display()))?;
        Ok(Proc { name: name.to_owned(), child, log, ended: false })
    }

    /// The id of the program itself (the wrapper is its parent).
    pub fn pid(&self) -> Result<u32> {
        let limit = Instant::now() + Duration::from_secs(5);
        loop {
            let inner = children(self.child.id()).into_iter().find(|pid| {
                // Between fork and exec the child still is `timeout`.
                comm(*pid).is_some_and(|comm| comm != "timeout")
            });
            if let Some(pid) = inner {
                return Ok(pid);
            }
            if Instant::now() > limit {
                bail!("{} is not running; its log says:\n{}", self.name, self.log_tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Fails with the end of the log when the process has ended.
    pub fn require_running(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("could not wait for {}", self.name))? {
            None => Ok(()),
            Some(status) => {
                bail!("{} has ended ({status}); its log says:\n{}", self.name, self.log_tail())
            }
        }
    }

    /// Every process of this one's tree: the wrapper, the program, what it started.
    pub fn tree(&self) -> Vec<u32> {
        descendants(self.child.id())
    }

    /// Asks the program to end, waits, then ends by force what is left of its tree.
    pub fn stop(&mut self, grace: Duration) {
        if self.ended {
            return;
        }
        self.ended = true;
        let tree: Vec<(u32, u64)> =
            self.tree().into_iter().filter_map(|pid| Some((pid, stat(pid)?.started))).collect();
        // A process that is already gone is what we want.
        if matches!(self.child.try_wait(), Ok(None))
            && let Some(pid) = self.pid().ok().and_then(to_pid)
        {
            let _gone = rustix::process::kill_process(pid, Signal::TERM);
        }
        let limit = Instant::now() + grace;
        while Instant::now() < limit && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        for (pid, started) in tree {
            // The id may have been given to another process meanwhile.
            if stat(pid).is_some_and(|stat| stat.started == started) {
                kill(pid);
            }
        }
        // The child was killed or has ended; its status is of no interest.
        let _status = self.child.wait();
    }

    fn log_tail(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default(), 15)
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// Adopts orphans and, when dropped, ends every descendant of this process.
pub struct Sweep(());

impl Sweep {
    pub fn new() -> Result<Sweep> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .context("could not become the parent of orphaned processes")?;
        Ok(Sweep(()))
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        end_descendants();
    }
}

/// Ends all descendants by force and reaps them. No `Proc` may be waited for afterwards.
pub fn end_descendants() {
    let limit = Instant::now() + Duration::from_secs(10);
    while Instant::now() < limit {
        let left: Vec<u32> = descendants(std::process::id())
            .into_iter()
            .filter(|pid| *pid != std::process::id())
            .collect();
        if left.is_empty() {
            return;
        }
        left.into_iter().for_each(kill);
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        thread::sleep(Duration::from_millis(10));
    }
}

fn kill(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        // A process that has ended meanwhile is what we want.
        let _gone = rustix::process::kill_process(pid, Signal::KILL);
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// CPU milliseconds that these processes and their reaped children have used so far.
pub fn cpu_ms(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| stat(*pid)).map(|stat| stat.ticks).sum();
    ticks as f64 * 1000.0 / rustix::param::clock_ticks_per_second() as f64
}

/// Peak resident memory of a process in KiB.
pub fn peak_rss_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("could not read `{path}`"))?;
    peak_of_status(&text).with_context(|| format!("`{path}` has no VmHWM"))
}

fn peak_of_status(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn comm(pid: u32) -> Option<String> {
    stat(pid).map(|stat| stat.comm)
}

struct Stat {
    comm: String,
    parent: u32,
    /// User and system time, own and of reaped children.
    ticks: u64,
    /// Since boot; with the id it names one process for ever.
    started: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

// The name stands in parentheses and may hold both spaces and parentheses (proc(5)).
fn parse_stat(text: &str) -> Option<Stat> {
    let open = text.find('(')?;
    let close = text.rfind(')')?;
    let fields: Vec<&str> = text.get(close + 1..)?.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        comm: text.get(open + 1..close)?.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        started: number(19)?,
    })
}

/// `root` and all its living descendants.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut by_parent: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in all_pids() {
        if let Some(stat) = stat(pid) {
            by_parent.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(by_parent.get(&parent).into_iter().flatten());
        next += 1;
    }
    found
}

pub fn children(parent: u32) -> Vec<u32> {
    all_pids().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent)).collect()
}

fn all_pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_line_with_a_hostile_name() {
        let stat = parse_stat(
            "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7\n",
        )
        .expect("parsed");
        assert_eq!((stat.comm.as_str(), stat.parent, stat.ticks), ("a) b (c", 7, 110));
        assert!(parse_stat("42 (a").is_none());
        assert!(parse_stat("42 (a) S").is_none());
    }

    #[test]
    fn peak_memory_of_a_status_file() {
        assert_eq!(peak_of_status("Name:\tx\nVmPeak:\t9 kB\nVmHWM:\t   1234 kB\n"), Some(1234));
        assert_eq!(peak_of_status("Name:\tx\n"), None);
        assert!(peak_rss_kib(std::process::id()).expect("own") > 0);
    }

    #[test]
    fn a_dropped_process_is_gone_with_its_children() {
        let dir = tempfile::tempdir().expect("dir");
        let proc =
            Proc::start("sleeper", Path::new("/bin/sh"), ["-c", "sleep 600 & wait"], dir.path())
                .expect("start");
        proc.pid().expect("pid");
        let tree = proc.tree();
        assert!(tree.len() >= 2);
        drop(proc);
        assert!(stat(tree[0]).is_none());
    }

    #[test]
    fn an_ended_process_is_reported_with_its_log() {
        let dir = tempfile::tempdir().expect("dir");
        let mut proc =
            Proc::start("brief", Path::new("/bin/sh"), ["-c", "echo broken; exit 3"], dir.path())
                .expect("start");
        let error = loop {
            if let Err(error) = proc.require_running() {
                break error.to_string();
            }
            thread::yield_now();
        };
        assert!(error.contains("broken") && error.contains('3'), "{error}");
    }

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("", 2), "");
    }
}
