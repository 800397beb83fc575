//! **Purpose**: one process that is ended when it is dropped.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use camino::Utf8Path;

/// A running `hesper` process; dropping it ends it with SIGKILL.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `binary`, its output appended to `log`.
    ///
    /// # Errors
    /// It could not be started, or the log could not be opened.
    pub fn start(binary: &Path, arguments: &[&str], log: &Utf8Path) -> anyhow::Result<Self> {
        Self::start_with(binary, arguments, log, Stdio::null())
    }

    /// The same, with something on its standard input.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_with(
        binary: &Path,
        arguments: &[&str],
        log: &Utf8Path,
        input: Stdio,
    ) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("could not open {log}"))?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(input)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        Ok(Self { child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop with SIGTERM and waits.
    ///
    /// # Errors
    /// It did not stop in time, or ended with an error.
    pub fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("process {} ended with {status} when asked to stop", self.child.id());
                }
                return Ok(());
            }
            if started.elapsed() > patience {
                bail!("process {} did not stop in {} s", self.child.id(), patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
