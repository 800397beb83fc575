//! **Purpose**: what the machine itself allows: one flush to the disc, one process started.
//!
//! Printed before the rows, never subtracted: a reader judges a slow disc or a busy machine by it.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::stats;

const FLUSHES: usize = 300;
const PROCESSES: usize = 300;
const BLOCK_BYTES: usize = 4096;

/// One line about flushes in `dir` and processes, both one after the other.
pub fn describe(dir: &Path) -> Result<String> {
    let append = flushes_ms(dir, Place::AtTheEnd)?;
    let in_place = flushes_ms(dir, Place::Prepared)?;
    let spawn = spawns_ms()?;
    let at = |samples: &[f64], percent| stats::percentile(samples, percent).unwrap_or(0.0);
    Ok(format!(
        "floor: 4 KiB write and fdatasync in place p50 {:.3} ms, p99 {:.2} ms; at the end of a file \
         p50 {:.3} ms, p99 {:.2} ms; /bin/true p50 {:.2} ms, p99 {:.2} ms",
        at(&in_place, 50),
        at(&in_place, 99),
        at(&append, 50),
        at(&append, 99),
        at(&spawn, 50),
        at(&spawn, 99),
    ))
}

/// A file that grows also has its length flushed, which costs a commit of the journal.
#[derive(PartialEq)]
enum Place {
    AtTheEnd,
    Prepared,
}

fn flushes_ms(dir: &Path, place: Place) -> Result<Vec<f64>> {
    let path = dir.join("floor");
    let mut file =
        File::create(&path).with_context(|| format!("could not make `{}`", path.display()))?;
    if place == Place::Prepared {
        file.write_all(&vec![0; FLUSHES * BLOCK_BYTES])
            .and_then(|()| file.sync_all())
            .and_then(|()| file.rewind())
            .with_context(|| format!("could not prepare `{}`", path.display()))?;
    }
    let samples = (0..FLUSHES)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[1; BLOCK_BYTES])?;
            file.sync_data()?;
            Ok(begun.elapsed().as_secs_f64() * 1000.0)
        })
        .collect::<std::io::Result<Vec<f64>>>()
        .with_context(|| format!("could not write to `{}`", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("could not remove `{}`", path.display()))?;
    Ok(samples)
}

fn spawns_ms() -> Result<Vec<f64>> {
    (0..PROCESSES)
        .map(|_| {
            let begun = Instant::now();
            let status = Command::new("/bin/true")
                .stdin(Stdio::null())
                .status()
                .context("could not run /bin/true")?;
            ensure!(status.success(), "/bin/true failed: {status}");
            Ok(begun.elapsed().as_secs_f64() * 1000.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_floors_are_described_and_nothing_is_left() {
        let dir = tempfile::tempdir().expect("dir");
        let text = describe(dir.path()).expect("floor");
        assert!(text.contains("fdatasync") && text.contains("/bin/true"));
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 0);
    }
}
