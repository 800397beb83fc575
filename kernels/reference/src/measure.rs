//! **Purpose**: CPU time, wall time and peak memory of a part of a command, and of the stages that
//! the library announces in its log.
//!
//! **Invariants**: CPU time is that of all threads of the process, also of those that have ended.
//!
//! **Source**: `clock_gettime(2)`, `proc_pid_status(5)`, `proc_pid_clear_refs(5)`.

use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use log::{LevelFilter, Log, Metadata, Record};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde_json::{Map, Value};

/// CPU time of the whole process so far.
pub fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither part of a process clock is negative.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// A part of a run, from `start` to `end`.
pub struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

/// What a part cost.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Cost {
    pub cpu_ns: u64,
    pub wall_ns: u64,
}

impl Cost {
    /// What remains of this cost after an earlier part of it.
    pub fn since(&self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            wall_ns: self.wall_ns.saturating_sub(earlier.wall_ns),
        }
    }
}

impl Stopwatch {
    /// Starts; also forgets the peak memory of before, where the kernel allows it.
    pub fn start() -> Self {
        // Refused in some sandboxes: then the peak covers the whole process, which is never less.
        let _whole_process_on_error = fs::write("/proc/self/clear_refs", "5");
        Self { cpu: process_cpu(), wall: Instant::now() }
    }

    pub fn cost(&self) -> Cost {
        Cost { cpu_ns: nanos(process_cpu() - self.cpu), wall_ns: nanos(self.wall.elapsed()) }
    }

    /// Ends the part and starts the line that the command prints.
    pub fn finish(&self, units: u64) -> Result<Map<String, Value>> {
        let cost = self.cost();
        let mut line = Map::new();
        line.insert("cpu_ns".into(), cost.cpu_ns.into());
        line.insert("wall_ns".into(), cost.wall_ns.into());
        line.insert("units".into(), units.into());
        line.insert("max_rss_bytes".into(), peak_memory()?.into());
        Ok(line)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("could not read own status")?;
    let kib = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok()
        })
        .unwrap_or(0_u64);
    Ok(kib * 1024)
}

/// A line of the library's log with the clocks at that moment.
#[derive(Clone)]
pub struct Mark {
    pub message: String,
    pub cpu: Duration,
    pub wall: Instant,
}

struct Marks(Mutex<Vec<Mark>>);

static MARKS: Marks = Marks(Mutex::new(Vec::new()));

impl Log for Marks {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("storage_proofs_porep")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mark = Mark {
                message: record.args().to_string(),
                cpu: process_cpu(),
                wall: Instant::now(),
            };
            if let Ok(mut marks) = self.0.lock() {
                marks.push(mark);
            }
        }
    }

    fn flush(&self) {}
}

/// Notes the clocks at each message of the library from now on.
pub fn watch_log() -> Result<()> {
    log::set_logger(&MARKS).map_err(|_| anyhow::anyhow!("a logger is set already"))?;
    log::set_max_level(LevelFilter::Info);
    Ok(())
}

/// The messages so far.
pub fn marks() -> Vec<Mark> {
    MARKS.0.lock().map(|marks| marks.clone()).unwrap_or_default()
}

/// The cost from one mark to another.
pub fn between(start: &Mark, end: &Mark) -> Cost {
    Cost {
        cpu_ns: nanos(end.cpu.saturating_sub(start.cpu)),
        wall_ns: nanos(end.wall.saturating_duration_since(start.wall)),
    }
}
