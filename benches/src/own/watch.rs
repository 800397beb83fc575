//! **Purpose**: CPU time, wall time and peak memory of the measured part.
//!
//! **Source**: `clock_gettime(2)`: the clock of the process counts all its threads, also ended ones.

use std::time::Instant;

use anyhow::Result;
use hesper_benches::kernels::outcome::{Outcome, Spent};
use hesper_benches::procs;
use rustix::time::{ClockId, clock_gettime};

use crate::clock;

pub struct Watch {
    cpu_ns: u64,
    wall: Instant,
}

impl Watch {
    /// Begins; forgets the peak memory of before where the kernel allows it.
    pub fn start() -> Watch {
        // Refused in some sandboxes: then the peak covers the whole process, which is never less.
        let _refused = std::fs::write("/proc/self/clear_refs", "5");
        Watch { cpu_ns: cpu_ns(ClockId::ProcessCPUTime), wall: Instant::now() }
    }

    pub fn spent(&self, units: u64) -> Spent {
        Spent {
            cpu_ns: cpu_ns(ClockId::ProcessCPUTime) - self.cpu_ns,
            wall_ns: u64::try_from(self.wall.elapsed().as_nanos()).unwrap_or(u64::MAX),
            units,
        }
    }

    /// Ends the measured part.
    pub fn finish(&self, units: u64, backend: impl ToString) -> Result<Outcome> {
        let whole = self.spent(units);
        Ok(Outcome {
            whole,
            max_rss_bytes: procs::peak_rss_kib(std::process::id())? << 10,
            backend: backend.to_string(),
            clock_hz: Some(clock::hertz()),
            ..Outcome::default()
        })
    }
}

/// Time of this thread alone, for a kernel without the threads around it.
pub fn thread_ns() -> u64 {
    cpu_ns(ClockId::ThreadCPUTime)
}

fn cpu_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // Neither part of a CPU clock is negative.
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap_or(0)
}
