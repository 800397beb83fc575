//! **Purpose**: end what a killed supervisor left running.
//!
//! **Invariants**
//! - A process is an orphan only if its environment carries the boot id of the dead supervisor; a
//!   reused pid cannot.
//! - Returns only when they are dead, so that a lost attempt is never reported while it still writes.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that marks every child of a supervisor.
pub(crate) const MARK: &str = "HESPER_SUPERVISOR";
const PATIENCE: Duration = Duration::from_secs(30);

/// Kills every process that carries `boot_id`; returns how many there were.
pub(crate) fn kill(boot_id: &str) -> io::Result<usize> {
    let mark = format!("{MARK}={boot_id}");
    let until = Instant::now() + PATIENCE;
    let mut killed = 0;
    loop {
        let found = marked(&mark)?;
        if found.is_empty() {
            return Ok(killed);
        }
        if Instant::now() > until {
            let message = format!("{} processes of an earlier supervisor do not die", found.len());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        killed += found.len();
        for pid in found {
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
                continue; // gone meanwhile
            };
            // Between the look and the open the pid may have been reused: look again.
            if has_mark(pid, &mark) && pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
                let wait = Timespec { tv_sec: 5, tv_nsec: 0 };
                poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&wait))?;
            }
        }
    }
}

fn marked(mark: &str) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let pid =
            entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && has_mark(pid, mark)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// A zombie has no environment any more and does not count.
fn has_mark(pid: Pid, mark: &str) -> bool {
    fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).is_ok_and(|environ| {
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
}
