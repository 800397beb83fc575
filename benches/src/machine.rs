//! **Purpose**: what a number was measured on: machine, load, commit.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Where and with what a row was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub machine: String,
    pub load: f64,
    pub commit: String,
}

impl Setting {
    /// `fs` is the name of the file system under the data directories.
    pub fn now(fs: &str) -> Setting {
        Setting { machine: machine(fs), load: load(), commit: commit(Path::new(".")) }
    }

    pub fn with_load_now(&self) -> Setting {
        Setting { load: load(), ..self.clone() }
    }
}

fn machine(fs: &str) -> String {
    let cpu = read("/proc/cpuinfo");
    let memory = read("/proc/meminfo");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{}, {} cores, {} GiB, Linux {}, {fs}",
        cpu_model(&cpu).unwrap_or("unknown cpu"),
        std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib(&memory).unwrap_or(0),
        kernel.trim(),
    )
}

// A file of /proc that cannot be read leaves a gap in a description, no more.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map(|(_, model)| model.trim())
}

fn memory_gib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some((kib + (1 << 19)) >> 20)
}

/// One-minute load average; zero where /proc is not readable.
pub fn load() -> f64 {
    first_number(&read("/proc/loadavg")).unwrap_or(0.0)
}

fn first_number(loadavg: &str) -> Option<f64> {
    loadavg.split_whitespace().next()?.parse().ok()
}

/// The commit of the tree that holds `dir`; `-dirty` when tracked files differ from it.
fn commit(dir: &Path) -> String {
    let git = |args: &[&str]| {
        let out = Command::new("git").arg("-C").arg(dir).args(args).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // The results file itself changes with every run and says nothing about the code.
    let status =
        git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/benches/results"]);
    match status {
        Some(status) if status.is_empty() => hash,
        _ => format!("{hash}-dirty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_files_of_proc() {
        assert_eq!(cpu_model("processor: 0\nmodel name\t: AMD EPYC 9R14\n"), Some("AMD EPYC 9R14"));
        assert_eq!(cpu_model("processor: 0\n"), None);
        assert_eq!(memory_gib("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(23));
        assert_eq!(memory_gib("MemTotal: what\n"), None);
        assert_eq!(first_number("0.75 0.50 0.25 1/100 4242\n"), Some(0.75));
        assert_eq!(first_number(""), None);
    }

    #[test]
    fn a_directory_outside_any_repository_has_no_commit() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(commit(dir.path()), "unknown");
    }
}
