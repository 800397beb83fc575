//! **Purpose**: whether the machine has the memory and the disc that a row needs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const GIB: u64 = 1 << 30;

/// Why a row with these needs cannot run now; `None` when it can.
///
/// # Errors
/// When the machine does not say what it has.
pub fn missing(memory_bytes: u64, disc_bytes: u64, dir: &Path) -> Result<Option<String>> {
    let meminfo = fs::read_to_string("/proc/meminfo").context("could not read /proc/meminfo")?;
    let memory = available(&meminfo).context("/proc/meminfo has no MemAvailable")?;
    let disc = rustix::fs::statvfs(dir)
        .with_context(|| format!("could not ask for the space of `{}`", dir.display()))?;
    Ok(compare(memory, memory_bytes, "memory")
        .or_else(|| compare(disc.f_bavail * disc.f_frsize, disc_bytes, "disc")))
}

fn compare(there: u64, needed: u64, what: &str) -> Option<String> {
    (there < needed)
        .then(|| format!("needs {} of {what}, {} are available", gib(needed), gib(there)))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Memory that a group of `sectors` needs: two layers, the table of parents as it is read, and room
/// for the rest of the machine.
pub fn group_memory(sectors: u64, sector_bytes: u64) -> u64 {
    2 * sectors * sector_bytes + sector_bytes * 3 * sectors.min(16) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_large_sectors_need_nineteen_gib() {
        assert_eq!(group_memory(16, 512 << 20), 19 * GIB);
        assert!(group_memory(1, 512 << 20) < 2 * GIB);
    }

    #[test]
    fn what_is_missing_is_named_with_both_numbers() {
        assert_eq!(compare(10 * GIB, 10 * GIB, "memory"), None);
        let text = compare(9 * GIB, 10 * GIB, "memory").expect("missing");
        assert_eq!(text, "needs 10.0 GiB of memory, 9.0 GiB are available");
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(missing(1, 1, dir.path()).expect("asked"), None);
        let text = missing(1, u64::MAX, dir.path()).expect("asked").expect("missing");
        assert!(text.contains("disc"));
    }

    #[test]
    fn the_available_memory_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   1024 kB\n"), Some(1 << 20));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
    }
}
