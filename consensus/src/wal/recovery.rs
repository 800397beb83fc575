//! **Purpose**: reads the segments after a start and decides where the log ends.
//!
//! **Invariants**
//! - A segment that has a successor ends where the successor's base says; up to there every record
//!   must be valid.
//! - In the last segment the first invalid record at offset X is a torn tail if no valid record
//!   behind it proves (by its `synced`) that X was durable; then the log is cut there. If one does,
//!   the disc lost durable bytes and the node stops with file and offset.
//! - Damage of the very last synced batch with nothing valid behind it cannot be told from a torn
//!   tail, unless the log was closed in order: the `Close` record is such a proof.
//! - A torn segment is never written to again: stale bytes behind the cut could otherwise become
//!   valid records once new ones end where they begin.
//!
//! **Source**: "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018).

use std::collections::VecDeque;
use std::sync::Arc;

use hesper_protos::raft as pb;
use prost::Message;

use super::record::{self, Found, Kind};
use super::{FORMAT_VERSION, Location, Segment, Slot, WalError};
use crate::codec::{log_id_from_pb, vote_from_pb};
use crate::device::{Device, DeviceFile};
use crate::types::{LogId, Vote};

/// Everything a start finds in the segments.
#[derive(Default)]
pub struct Recovered {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub first: u64,
    pub slots: VecDeque<Slot>,
    pub bytes_total: u64,
    pub segments: VecDeque<Segment>,
    /// Offset behind the last record of the last segment.
    pub end: u64,
    /// The last segment may be written to.
    pub clean: bool,
}

pub fn segment_name(sequence: u64) -> String {
    format!("wal-{sequence:016}.log")
}

pub fn next_name(sequence: u64) -> String {
    format!("wal-{sequence:016}.next")
}

fn sequence_of(name: &str) -> Option<u64> {
    name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok()
}

struct Loaded {
    sequence: u64,
    name: String,
    file: Arc<dyn DeviceFile>,
    bytes: Vec<u8>,
}

fn load(device: &dyn Device, sequence: u64) -> Result<Loaded, WalError> {
    let name = segment_name(sequence);
    let file = device.open(&name).map_err(|e| WalError::io("open", device, &name, e))?;
    let length = file.length().map_err(|e| WalError::io("measure", device, &name, e))?;
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(0, &mut bytes).map_err(|e| WalError::io("read", device, &name, e))?;
    bytes.truncate(read);
    Ok(Loaded { sequence, name, file, bytes })
}

/// Reads all segments of `device` and removes files that a crash left half made.
pub fn recover(device: &dyn Device) -> Result<Recovered, WalError> {
    let names = device.list().map_err(|e| WalError::io("list", device, "", e))?;
    for name in names.iter().filter(|n| n.starts_with("wal-") && n.ends_with(".next")) {
        device.remove(name).map_err(|e| WalError::io("remove", device, name, e))?;
    }
    let mut sequences: Vec<u64> = names.iter().filter_map(|n| sequence_of(n)).collect();
    sequences.sort_unstable();
    for pair in sequences.windows(2) {
        if pair[1] != pair[0] + 1 {
            let name = device.describe(&segment_name(pair[0] + 1));
            return Err(WalError::damaged(name, 0, "the segment is missing"));
        }
    }
    drop_unborn(device, &mut sequences)?;
    let mut recovered = Recovered::default();
    let mut pending = sequences.into_iter().peekable();
    let mut current = match pending.next() {
        Some(sequence) => Some(load(device, sequence)?),
        None => None,
    };
    while let Some(segment) = current {
        let next = match pending.next() {
            Some(sequence) => Some(load(device, sequence)?),
            None => None,
        };
        let limit = match &next {
            Some(next) => Some(base_of(device, next)?.previous_end),
            None => None,
        };
        recovered.replay(device, segment, limit)?;
        current = next;
    }
    recovered.check(device)?;
    Ok(recovered)
}

/// The last segment may have a name but no durable base yet: nothing in it was acknowledged.
fn drop_unborn(device: &dyn Device, sequences: &mut Vec<u64>) -> Result<(), WalError> {
    let Some(&last) = sequences.last() else {
        return Ok(());
    };
    let segment = load(device, last)?;
    if matches!(record::find(&segment.bytes, last, 0), Found::Record(_)) {
        return Ok(());
    }
    if record::proven_synced(&segment.bytes, last, 0).is_some_and(|synced| synced > 0) {
        return Err(WalError::damaged(
            device.describe(&segment.name),
            0,
            "the segment's base is not valid",
        ));
    }
    device.remove(&segment.name).map_err(|e| WalError::io("remove", device, &segment.name, e))?;
    device
        .sync_dir()
        .map_err(|e| WalError::io("sync the directory of", device, &segment.name, e))?;
    sequences.pop();
    Ok(())
}

fn base_of(device: &dyn Device, segment: &Loaded) -> Result<pb::SegmentBase, WalError> {
    let name = || device.describe(&segment.name);
    let Found::Record(found) = record::find(&segment.bytes, segment.sequence, 0) else {
        return Err(WalError::damaged(name(), 0, "the segment's base is not valid"));
    };
    let base = pb::SegmentBase::decode(found.payload)
        .map_err(|_| WalError::damaged(name(), 0, "the segment's base cannot be read"))?;
    if base.format_version > FORMAT_VERSION {
        return Err(WalError::NewerFormat {
            file: name(),
            found: base.format_version,
            known: FORMAT_VERSION,
        });
    }
    if found.kind != Kind::Base || base.sequence != segment.sequence {
        return Err(WalError::damaged(name(), 0, "the segment does not start with its own base"));
    }
    Ok(base)
}

impl Recovered {
    fn replay(
        &mut self,
        device: &dyn Device,
        segment: Loaded,
        limit: Option<u64>,
    ) -> Result<(), WalError> {
        let damaged = |at: usize, reason: &'static str| {
            WalError::damaged(device.describe(&segment.name), at as u64, reason)
        };
        base_of(device, &segment)?;
        let mut entry_last = None;
        let mut at = 0;
        self.clean = true;
        loop {
            if limit == Some(at as u64) {
                break;
            }
            match record::find(&segment.bytes, segment.sequence, at) {
                Found::Record(found) => {
                    let length = found.end - at;
                    if let Err(reason) =
                        self.take(&found, segment.sequence, at, length, &mut entry_last)
                    {
                        return Err(damaged(at, reason));
                    }
                    at = found.end;
                }
                Found::Nothing | Found::Invalid(_) if limit.is_some() => {
                    return Err(damaged(at, "a record that was durable is not valid"));
                }
                Found::Nothing | Found::Invalid(_) => {
                    if record::proven_synced(&segment.bytes, segment.sequence, at)
                        .is_some_and(|synced| synced > at as u64)
                    {
                        return Err(damaged(at, "a record that was durable is not valid"));
                    }
                    let rest = segment.bytes.get(at..).unwrap_or(&[]);
                    self.clean = rest.iter().all(|byte| *byte == 0);
                    break;
                }
            }
        }
        // What was read may be in the page cache alone: written by a process that died before its
        // sync, or left clean there by a sync that failed. It counts as durable from here on.
        if limit.is_none() {
            segment
                .file
                .write_at(0, segment.bytes.get(..at).unwrap_or(&[]))
                .and_then(|()| segment.file.sync_data())
                .and_then(|()| device.sync_dir())
                .map_err(|e| WalError::io("sync", device, &segment.name, e))?;
        }
        self.end = at as u64;
        self.segments.push_back(Segment {
            sequence: segment.sequence,
            file: segment.file,
            entry_last,
        });
        Ok(())
    }

    fn take(
        &mut self,
        found: &record::Record<'_>,
        sequence: u64,
        at: usize,
        length: usize,
        entry_last: &mut Option<u64>,
    ) -> Result<(), &'static str> {
        const UNREADABLE: &str = "a valid record cannot be read";
        match found.kind {
            Kind::Base => {
                let base = pb::SegmentBase::decode(found.payload).map_err(|_| UNREADABLE)?;
                self.vote = base.vote.as_ref().map(vote_from_pb);
                self.committed = base.committed.as_ref().map(log_id_from_pb);
                self.purged = base.purged.as_ref().map(log_id_from_pb);
            }
            Kind::Vote => {
                let vote = pb::Vote::decode(found.payload).map_err(|_| UNREADABLE)?;
                self.vote = Some(vote_from_pb(&vote));
            }
            Kind::Committed => {
                let id = pb::OptionalLogId::decode(found.payload).map_err(|_| UNREADABLE)?;
                self.committed = id.log_id.as_ref().map(log_id_from_pb);
            }
            Kind::Entry => {
                let entry = pb::Entry::decode(found.payload).map_err(|_| UNREADABLE)?;
                if self.slots.is_empty() {
                    self.first = entry.index;
                }
                if entry.index != self.first + self.slots.len() as u64 {
                    return Err("an entry does not follow the one before");
                }
                self.bytes_total += length as u64;
                self.slots.push_back(Slot {
                    term: entry.term,
                    serial: 0,
                    bytes_total: self.bytes_total,
                    location: Some(Location {
                        sequence,
                        offset: at as u32,
                        length: (record::HEADER_BYTES + found.payload.len()) as u32,
                    }),
                    entry: None,
                });
                *entry_last = (*entry_last).max(Some(entry.index));
            }
            Kind::Truncate => {
                let id = pb::OptionalLogId::decode(found.payload).map_err(|_| UNREADABLE)?;
                let keep_to = id.log_id.map_or(0, |id| id.index + 1);
                self.slots.truncate(keep_to.saturating_sub(self.first) as usize);
            }
            Kind::Purge => {
                let id = pb::LogId::decode(found.payload).map_err(|_| UNREADABLE)?;
                self.purged = Some(log_id_from_pb(&id));
                self.drop_purged();
            }
            Kind::Close => {}
        }
        Ok(())
    }

    fn drop_purged(&mut self) {
        let Some(purged) = self.purged else { return };
        while self.first <= purged.index && self.slots.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// After all records: the entries must follow directly on what was purged.
    fn check(&mut self, device: &dyn Device) -> Result<(), WalError> {
        self.drop_purged();
        let expected = self.purged.map_or(0, |id| id.index + 1);
        if self.slots.is_empty() {
            self.first = expected;
        }
        if self.first != expected {
            let name = self.segments.front().map_or_else(String::new, |s| segment_name(s.sequence));
            return Err(WalError::damaged(
                device.describe(&name),
                0,
                "entries between the purged ones and the first present one are missing",
            ));
        }
        // A commit index may have become durable before the entries that it speaks of.
        let last = self.slots.back().map(|slot| {
            let index = expected + self.slots.len() as u64 - 1;
            log_id_from_pb(&pb::LogId { term: slot.term, index })
        });
        let last = last.or(self.purged);
        if self.committed > last {
            self.committed = last;
        }
        Ok(())
    }
}
