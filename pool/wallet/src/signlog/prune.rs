//! **Purpose**: drop old segments and keep the chain verifiable.
//!
//! **Invariants**
//! - The order is: a record that names the checkpoint, the checkpoint, then the removal. A crash
//!   between them leaves a log that opens, with more than was asked to keep.
//! - Counters and fences outlive the records they came from.
//! - The segment that is written to, and the last two UTC days, always stay.

use std::{fs, io};

use camino::Utf8Path;

use super::{
    Decision, LogError, Record, SignLog,
    counters::Counters,
    read::{self, PRUNE},
    segment::{self, Checkpoint, Position},
};
use crate::keystore::durable;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What a prune dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Records.
    pub records: u64,
    /// Files.
    pub segments: u64,
}

/// Segments that may go.
struct Prunable {
    /// Where the log begins now.
    before: Position,
    segments: Vec<u64>,
    /// Where they end.
    end: Position,
    /// Counters there.
    counters: Counters,
}

impl SignLog {
    /// Drops whole segments whose records are all older than `keep_from_ms`.
    ///
    /// # Errors
    /// As `append` and `verify`; a failure drops nothing that the log still needs.
    pub fn prune(&self, keep_from_ms: u64, caller: &str, now_ms: u64) -> Result<Pruned, LogError> {
        let _alone = self.pruning.lock();
        let yesterday = (now_ms / DAY_MS).saturating_sub(1) * DAY_MS;
        let keep_from_ms = keep_from_ms.min(yesterday);
        let Some(Prunable { before, segments, end, counters }) = self.prunable(keep_from_ms)?
        else {
            return Ok(Pruned::default());
        };
        let pruned =
            Pruned { records: end.sequence - before.sequence, segments: segments.len() as u64 };
        let checkpoint =
            Checkpoint { through: end.sequence, hash: hex::encode(end.hash), counters };
        let encoded = checkpoint.encode()?;
        self.append(&Record {
            time_ms: now_ms,
            caller: caller.to_owned(),
            object: PRUNE.to_owned(),
            shown: serde_json::json!({
                "through": checkpoint.through,
                "hash": checkpoint.hash,
                "checkpoint": Checkpoint::digest(&encoded),
                "records": pruned.records,
            }),
            decision: Decision::Done,
            ..Record::default()
        })?;
        let failed = |source: io::Error| super::Failure::of_write(&source).into_error(&self.dir);
        Checkpoint::write(&self.dir, &encoded).map_err(failed)?;
        remove_segments(&self.dir, &segments).map_err(failed)?;
        Ok(pruned)
    }

    /// What may go; `None` when nothing may.
    fn prunable(&self, keep_from_ms: u64) -> Result<Option<Prunable>, LogError> {
        let walked = read::walk(&self.dir, &mut |_| Ok(()))?;
        let before =
            walked.checkpoint.as_ref().and_then(Checkpoint::position).unwrap_or(Position::START);
        let mut counters =
            walked.checkpoint.map_or_else(Counters::default, |checkpoint| checkpoint.counters);
        let mut segments = Vec::new();
        let mut end = before;
        // The last one is being written to.
        let complete = walked.segments.split_last().map_or(&[][..], |(_, complete)| complete);
        for first in complete {
            let entries = read::segment_entries(&self.dir, *first)?;
            if entries.iter().any(|entry| entry.record.time_ms >= keep_from_ms) {
                break;
            }
            entries.iter().for_each(|entry| counters.count(&entry.record));
            if let Some(entry) = entries.last() {
                end = Position { sequence: entry.sequence, hash: entry.hash };
            }
            segments.push(*first);
        }
        let is_some = !segments.is_empty();
        Ok(is_some.then_some(Prunable { before, segments, end, counters }))
    }
}

/// Removes the files of `segments`; those that are gone already are no error.
pub(super) fn remove_segments(dir: &Utf8Path, segments: &[u64]) -> io::Result<()> {
    for first in segments {
        match fs::remove_file(segment::path_of(dir, *first)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    durable::sync_dir(dir)
}
