//! **Purpose**: one lease inside the supervisor: a queue of processes that run one after the other,
//! each of one attempt or of several that label in lockstep.
//!
//! **Invariants**
//! - At most one process of a slot runs; each attempt ends on its own and is reported on its own.
//! - An attempt's process leads its own process group. When it ends, the group is killed while the
//!   ended process still holds its pid, so that no other group can be hit.
//! - Output of packed attempts is the byte range `[start, end)` of `out` and `err`, written to
//!   `index` when the attempt ends; as attempts follow each other, ranges never overlap.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::executor::exit::Kind;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use wait4::Wait4;

use super::group::Group;
use crate::output::{ERR, INDEX, IndexEntry, OUT};
use crate::protocol::{AttemptSpec, Ended, LeaseSpec, Live};

/// Between the polite signal and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Why an attempt is being ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    TimedOut,
    Cancelled,
}

pub(crate) struct Slot {
    lease: u64,
    dir: Utf8PathBuf,
    env: Vec<(String, String)>,
    queue: VecDeque<Group>,
    packed: Option<Packed>,
    /// An own directory that its attempt left empty: the next attempt gets it by rename.
    spare_directory: Option<Utf8PathBuf>,
    running: Option<Running>,
}

struct Packed {
    out: File,
    err: File,
    index: File,
    out_end: u64,
    err_end: u64,
}

struct Running {
    group: Group,
    child: Child,
    pidfd: OwnedFd,
    pid: Pid,
    own_directory: Option<Utf8PathBuf>,
    started_at_ms: u64,
    /// When the time limit, or the grace after it, is over.
    deadline: Option<Instant>,
    ending: Option<Ending>,
}

/// What became of an attempt to start the next one.
pub(crate) enum Next {
    Started { tokens: Vec<u64>, pid: u32, at_ms: u64 },
    Failed(Vec<Ended>),
    Idle,
}

impl Slot {
    pub(crate) fn new(mut spec: LeaseSpec) -> Slot {
        Slot {
            lease: spec.lease,
            queue: Group::all_of(&mut spec).collect(),
            dir: spec.dir.into(),
            env: spec.env,
            packed: None,
            spare_directory: None,
            running: None,
        }
    }

    pub(crate) fn append(&mut self, mut spec: LeaseSpec) {
        self.queue.extend(Group::all_of(&mut spec));
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn pidfd(&self) -> Option<&OwnedFd> {
        self.running.as_ref().map(|running| &running.pidfd)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.as_ref().and_then(|running| running.deadline)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = Live> + '_ {
        self.running.iter().flat_map(|running| {
            running.group.live().map(|spec| Live {
                token: spec.token,
                lease: self.lease,
                tag: spec.tag.clone(),
                pid: running.child.id(),
                started_at_ms: running.started_at_ms,
            })
        })
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = Live> + '_ {
        self.queue.iter().flat_map(Group::live).map(|spec| Live {
            token: spec.token,
            lease: self.lease,
            tag: spec.tag.clone(),
            ..Live::default()
        })
    }

    /// An attempt of a running process has ended on its own; the process goes on for others.
    pub(crate) fn confirm(&mut self, token: u64) {
        if let Some(running) = &mut self.running {
            running.group.leave(token);
        }
    }

    /// Starts what is at the head of the queue; call again after `Failed`.
    pub(crate) fn start_next(&mut self) -> Next {
        let Some(group) = self.queue.pop_front() else {
            self.rest();
            return Next::Idle;
        };
        let Some(spec) = group.first() else {
            return Next::Failed(Vec::new());
        };
        match self.start(spec, &group) {
            Ok(running) => {
                let next = Next::Started {
                    tokens: group.live().map(|spec| spec.token).collect(),
                    pid: running.child.id(),
                    at_ms: running.started_at_ms,
                };
                self.running = Some(Running { group, ..running });
                next
            }
            Err((kind, message)) => {
                let now = now_ms();
                let failed = group.live().map(|spec| Ended {
                    token: spec.token,
                    lease: self.lease,
                    started_at_ms: now,
                    ended_at_ms: now,
                    kind: kind as i32,
                    message: message.clone(),
                    tag: spec.tag.clone(),
                    ..Ended::default()
                });
                Next::Failed(failed.collect())
            }
        }
    }

    /// The last attempt has ended: nothing but output is kept.
    fn rest(&mut self) {
        self.packed = None;
        if let Some(spare) = self.spare_directory.take() {
            // Left behind, an empty directory costs nothing: it goes when the lease is collected.
            let _ = fs::remove_dir(spare);
        }
    }

    fn start(&mut self, spec: &AttemptSpec, group: &Group) -> Result<Running, (Kind, String)> {
        let own_directory = match &spec.directory {
            Some(_) => None,
            None => Some(self.own_directory(spec.token).map_err(|e| storage(&self.dir, &e))?),
        };
        let (out, err) = match &spec.output {
            Some(dir) => {
                own_output(dir.as_str().into()).map_err(|e| storage(dir.as_str().into(), &e))?
            }
            None => self.packed_output().map_err(|e| storage(&self.dir, &e))?,
        };
        let directory: &Utf8Path = match (&spec.directory, &own_directory) {
            (Some(given), _) => given.as_str().into(),
            (None, Some(own)) => own,
            (None, None) => &self.dir,
        };
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .args(group.other_args())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let started_at_ms = now_ms();
        let mut child = command
            .spawn()
            .map_err(|error| (Kind::NotStarted, not_started(&spec.program, directory, &error)))?;
        group.share_output();
        let pid = Pid::from_child(&child);
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // Without it the end would go unnoticed: an attempt that cannot be watched must not run.
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = child.wait();
                return Err((
                    Kind::NotStarted,
                    format!(
                        "could not watch process {}: {error}; raise the limit of open files",
                        child.id()
                    ),
                ));
            }
        };
        let deadline = (spec.time_limit_ms > 0)
            .then(|| Instant::now() + Duration::from_millis(spec.time_limit_ms));
        Ok(Running {
            group: Group::default(),
            child,
            pidfd,
            pid,
            own_directory,
            started_at_ms,
            deadline,
            ending: None,
        })
    }

    fn own_directory(&mut self, token: u64) -> io::Result<Utf8PathBuf> {
        let path = self.dir.join(token.to_string());
        match self.spare_directory.take() {
            Some(spare) => fs::rename(spare, &path)?,
            None => fs::create_dir_all(&path)?,
        }
        Ok(path)
    }

    fn packed_output(&mut self) -> io::Result<(Stdio, Stdio)> {
        if self.packed.is_none() {
            fs::create_dir_all(&self.dir)?;
            let open =
                |name| OpenOptions::new().append(true).create(true).open(self.dir.join(name));
            let (out, err, index) = (open(OUT)?, open(ERR)?, open(INDEX)?);
            if index.metadata()?.len() == 0 {
                // Takes the index's first block now: where the disc is full later, the attempt was
                // not started rather than its output lost.
                (&index).write_all(&IndexEntry::NONE.to_bytes())?;
            }
            let (out_end, err_end) = (out.metadata()?.len(), err.metadata()?.len());
            self.packed = Some(Packed { out, err, index, out_end, err_end });
        }
        let packed = self.packed.as_ref().expect("opened above");
        Ok((packed.out.try_clone()?.into(), packed.err.try_clone()?.into()))
    }

    /// The pidfd said that the attempt's process is dead: kills what it left in its group, takes
    /// status and usage, closes its output.
    pub(crate) fn reap(&mut self) -> Vec<Ended> {
        let Some(mut running) = self.running.take() else { return Vec::new() };
        // An empty group is no error: most attempts leave nothing behind.
        let _ = kill_process_group(running.pid, Signal::KILL);
        let mut ended = Ended {
            token: running.group.first().map_or(0, |spec| spec.token),
            lease: self.lease,
            started_at_ms: running.started_at_ms,
            ended_at_ms: now_ms(),
            ..Ended::default()
        };
        match running.child.wait4() {
            Ok(used) => {
                ended.user_us = micros(used.rusage.utime);
                ended.system_us = micros(used.rusage.stime);
                ended.rss_max_bytes = used.rusage.maxrss;
                ended.code = used.status.code().unwrap_or_default();
                ended.signal = used.status.signal().unwrap_or_default();
                ended.kind =
                    if used.status.signal().is_some() { Kind::Signaled } else { Kind::Exited }
                        as i32;
            }
            Err(error) => {
                ended.kind = Kind::Lost as i32;
                ended.message = format!("could not read the exit status: {error}");
            }
        }
        match running.ending {
            Some(Ending::TimedOut) => {
                ended.kind = Kind::TimedOut as i32;
                ended.message = format!(
                    "ran past its time limit of {} ms and was ended",
                    running.group.first().map_or(0, |spec| spec.time_limit_ms)
                );
            }
            Some(Ending::Cancelled) => ended.kind = Kind::Cancelled as i32,
            None => {}
        }
        self.close_output(&running, &mut ended);
        if let Some(own) = running.own_directory
            && fs::read_dir(&own).is_ok_and(|mut entries| entries.next().is_none())
        {
            self.spare_directory = Some(own);
        }
        running.group.ends(&ended)
    }

    fn close_output(&mut self, running: &Running, ended: &mut Ended) {
        if let Some(dir) = running.group.first().and_then(|spec| spec.output.as_ref()) {
            let bytes = |name: &str| {
                fs::metadata(Utf8Path::new(dir).join(name)).map_or(0, |found| found.len())
            };
            ended.stdout_bytes = bytes("stdout");
            ended.stderr_bytes = bytes("stderr");
            return;
        }
        let Some(packed) = &mut self.packed else {
            return;
        };
        let end = |file: &File, before: u64| {
            file.metadata().map_or(before, |found| found.len().max(before))
        };
        let (out_end, err_end) =
            (end(&packed.out, packed.out_end), end(&packed.err, packed.err_end));
        ended.stdout_bytes = out_end - packed.out_end;
        ended.stderr_bytes = err_end - packed.err_end;
        let entry = IndexEntry {
            token: ended.token,
            out_start: packed.out_end,
            out_end,
            err_start: packed.err_end,
            err_end,
        };
        (packed.out_end, packed.err_end) = (out_end, err_end);
        if let Err(error) = packed.index.write_all(&entry.to_bytes()) {
            ended.message.push_str(&format!(
                "{}output of this attempt cannot be found again: could not write `{}/{INDEX}`: {error}",
                if ended.message.is_empty() { "" } else { "; " },
                self.dir
            ));
        }
    }

    /// Ends the attempt with this token; a queued one is answered at once, a running one when dead.
    /// One of several in a process is asked to leave by a file; the last takes the process along.
    pub(crate) fn cancel(&mut self, token: u64, kill_now: bool) -> Option<Ended> {
        if let Some(running) = &mut self.running
            && running.group.live().any(|spec| spec.token == token)
        {
            if running.group.cancel(token) {
                running.end(Ending::Cancelled, kill_now);
            }
            return None;
        }
        let at =
            self.queue.iter().position(|group| group.live().any(|spec| spec.token == token))?;
        let group = self.queue.get_mut(at)?;
        let spec = group.live().find(|spec| spec.token == token)?.clone();
        // The process of the others is still to be told: it gets this one's order too.
        let is_empty = group.cancel(token);
        group.leave(token);
        if is_empty {
            self.queue.remove(at);
        }
        let now = now_ms();
        Some(Ended {
            token,
            lease: self.lease,
            started_at_ms: 0,
            ended_at_ms: now,
            kind: Kind::Cancelled as i32,
            message: "cancelled before it started".to_owned(),
            tag: spec.tag,
            ..Ended::default()
        })
    }

    /// Ends the running process at once.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = &mut self.running {
            running.end(Ending::Cancelled, true);
        }
    }

    /// Acts on a time limit or grace that is over at `now`.
    pub(crate) fn expire(&mut self, now: Instant) {
        if let Some(running) = &mut self.running
            && running.deadline.is_some_and(|deadline| deadline <= now)
        {
            let kill_now = running.ending.is_some();
            running.end(Ending::TimedOut, kill_now);
        }
    }
}

impl Running {
    /// Signals the whole group; the first reason stands.
    fn end(&mut self, reason: Ending, kill_now: bool) {
        self.ending.get_or_insert(reason);
        let signal = if kill_now { Signal::KILL } else { Signal::TERM };
        // The process may have ended a moment ago: its pidfd will say so.
        let _ = kill_process_group(self.pid, signal);
        if !kill_now {
            // A stopped process acts on nothing but SIGKILL until it is continued.
            let _ = kill_process_group(self.pid, Signal::CONT);
        }
        self.deadline = Some(Instant::now() + GRACE);
    }
}

fn own_output(dir: &Utf8Path) -> io::Result<(Stdio, Stdio)> {
    let open = |name: &str| {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join(name))
            .map(Stdio::from)
    };
    Ok((open("stdout")?, open("stderr")?))
}

fn storage(path: &Utf8Path, error: &io::Error) -> (Kind, String) {
    if error.kind() == io::ErrorKind::StorageFull {
        let message = format!(
            "no space left at `{path}` for the attempt's directory and output (4096 bytes needed)"
        );
        return (Kind::NoSpace, message);
    }
    (
        Kind::NotStarted,
        format!("could not make the attempt's directory or output in `{path}`: {error}"),
    )
}

fn not_started(program: &str, directory: &Utf8Path, error: &io::Error) -> String {
    if !directory.is_dir() {
        return format!(
            "could not start `{program}`: its directory `{directory}` does not exist on this executor"
        );
    }
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "; install it on this executor or give its full path",
        io::ErrorKind::PermissionDenied => "; make it executable for the executor's user",
        _ => "",
    };
    format!("could not start `{program}`: {error}{advice}")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Wall clock, for people and reports alone.
pub(crate) fn now_ms() -> u64 {
    let past = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(past.as_millis()).unwrap_or(u64::MAX)
}
