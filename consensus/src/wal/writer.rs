//! **Purpose**: the one thread that writes the log: takes everything queued, writes it with one
//! write and one fdatasync, then acknowledges.
//!
//! **Invariants**
//! - Operations reach the disc in the order in which they were queued, votes and entries alike.
//! - Nothing is acknowledged before the sync that covers it, and after the first error nothing is
//!   acknowledged any more: a failed fsync is never retried.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use hesper_protos::raft as pb;

use super::record::{self, Kind};
use super::recovery::{Recovered, next_name, segment_name};
use super::{
    Acknowledge, FORMAT_VERSION, Location, Operation, Segment, Shared, WalError, WalOptions,
};
use crate::codec::{entry_to_pb, log_id_to_pb, vote_to_pb};
use crate::device::{Device, DeviceFile};
use crate::types::{LogId, Vote};

/// Bytes of entries that one write takes at most, before the rest waits for the next.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// A larger buffer is given back after use.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

pub(super) struct Writer {
    device: Arc<dyn Device>,
    options: WalOptions,
    file: Arc<dyn DeviceFile>,
    sequence: u64,
    capacity: u64,
    /// Everything before is durable; the next record goes here.
    offset: u64,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    next: Option<JoinHandle<io::Result<Arc<dyn DeviceFile>>>>,
    buffer: Vec<u8>,
}

fn make_file(device: &dyn Device, name: &str, bytes: u64) -> io::Result<Arc<dyn DeviceFile>> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let file = device.create(name)?;
    // Written zeros, not only reserved blocks: a later fdatasync then has no metadata to write.
    let mut offset = 0;
    while offset < bytes {
        let count = (bytes - offset).min(ZEROS.len() as u64);
        file.write_at(offset, &ZEROS[..count as usize])?;
        offset += count;
    }
    file.sync_data()?;
    Ok(file)
}

/// What becomes true, and who is told, once a write is durable.
#[derive(Default)]
struct Outcome {
    written: Vec<(u64, u64, Location)>,
    entry_last: Option<u64>,
    acknowledge: Vec<Acknowledge>,
    purged: Option<LogId>,
    entries: u64,
}

impl Writer {
    pub(super) fn start(
        device: Arc<dyn Device>,
        options: WalOptions,
        recovered: &mut Recovered,
    ) -> Result<Self, WalError> {
        let file = match (recovered.segments.back(), recovered.clean) {
            (Some(segment), true) => Some(segment.file.clone()),
            _ => None,
        };
        let sequence = recovered.segments.back().map_or(0, |s| s.sequence);
        let placeholder = match &file {
            Some(file) => file.clone(),
            None => {
                let name = next_name(sequence + 1);
                device
                    .create(&name)
                    .map_err(|e| WalError::io("create", device.as_ref(), &name, e))?
            }
        };
        let capacity = match &file {
            Some(file) => file.length().map_err(|e| {
                WalError::io("measure", device.as_ref(), &segment_name(sequence), e)
            })?,
            None => 0,
        };
        let mut writer = Self {
            device,
            options,
            file: placeholder,
            sequence,
            capacity,
            offset: recovered.end,
            vote: recovered.vote,
            committed: recovered.committed,
            purged: recovered.purged,
            next: None,
            buffer: Vec::new(),
        };
        if file.is_none() {
            let segment = writer
                .roll(0)
                .map_err(|e| WalError::io("start a segment of", writer.device.as_ref(), "", e))?;
            recovered.segments.push_back(segment);
        }
        Ok(writer)
    }

    /// Continues in a new segment; everything in the old one is durable already.
    fn roll(&mut self, needed: u64) -> io::Result<Segment> {
        let sequence = self.sequence + 1;
        let base = pb::SegmentBase {
            format_version: FORMAT_VERSION,
            sequence,
            previous_end: self.offset,
            vote: self.vote.as_ref().map(vote_to_pb),
            committed: self.committed.as_ref().map(log_id_to_pb),
            purged: self.purged.as_ref().map(log_id_to_pb),
        };
        let mut first = Vec::new();
        record::encode(&mut first, sequence, 0, 0, Kind::Base, &base);
        let capacity = self.options.segment_bytes.max(needed + first.len() as u64);
        let name = next_name(sequence);
        let prepared = match self.next.take().map(JoinHandle::join) {
            Some(Ok(Ok(file))) if capacity <= self.options.segment_bytes => Some(file),
            Some(Ok(Err(e))) => return Err(e),
            _ => None,
        };
        let file = match prepared {
            Some(file) => file,
            None => make_file(self.device.as_ref(), &name, capacity)?,
        };
        self.device.rename(&name, &segment_name(sequence))?;
        self.device.sync_dir()?;
        file.write_at(0, &first)?;
        file.sync_data()?;
        self.file = file.clone();
        self.sequence = sequence;
        self.capacity = capacity;
        self.offset = first.len() as u64;
        if self.options.prepare_ahead {
            let device = self.device.clone();
            let bytes = self.options.segment_bytes;
            let thread = std::thread::Builder::new().name("wal-prepare".into());
            self.next = Some(
                thread
                    .spawn(move || make_file(device.as_ref(), &next_name(sequence + 1), bytes))?,
            );
        }
        Ok(Segment { sequence, file, entry_last: None })
    }

    /// Runs until the log is closed.
    pub(super) fn run(mut self, shared: &Shared) {
        loop {
            let (operations, committed, closing) = shared.take_queued(BATCH_BYTES_MAX);
            let close = closing && operations.is_empty();
            let mut outcome = Outcome::default();
            let result = self.write(shared, operations, committed, close, &mut outcome);
            let failed = result.is_err();
            match result {
                Ok(()) => {
                    shared.written(&outcome.written, outcome.entry_last);
                    shared.counters.entries.fetch_add(outcome.entries, Ordering::Relaxed);
                    for acknowledge in outcome.acknowledge {
                        acknowledge(Ok(()));
                    }
                    if let Some(purged) = outcome.purged {
                        self.remove_segments(shared, purged);
                    }
                }
                Err(error) => {
                    let file = self.device.describe(&segment_name(self.sequence));
                    shared.fail(&file, &error);
                    for acknowledge in outcome.acknowledge {
                        acknowledge(Err(io::Error::new(error.kind(), error.to_string())));
                    }
                }
            }
            if close || failed {
                shared.closed(failed);
                shared.refuse_rest();
                self.end_preparing();
                return;
            }
        }
    }

    /// A segment that is still being made must not be written to after the log was opened again.
    fn end_preparing(&mut self) {
        if let Some(Err(_)) = self.next.take().map(JoinHandle::join) {
            tracing::warn!("the thread that makes log segments panicked");
        }
    }

    fn write(
        &mut self,
        shared: &Shared,
        operations: Vec<Operation>,
        committed: Option<LogId>,
        close: bool,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // Encoded for the active segment first; if that has no room, encoded again for the next.
        let mut todo = (operations, committed);
        self.encode(&mut buffer, &todo.0, todo.1, close, outcome);
        if self.offset + buffer.len() as u64 > self.capacity {
            let needed = buffer.len() as u64;
            let segment = self.roll_or_return(needed, &mut todo.0, outcome)?;
            shared.add_segment(segment);
            buffer.clear();
            outcome.written.clear();
            self.encode(&mut buffer, &todo.0, todo.1, close, outcome);
        }
        for operation in todo.0 {
            self.adopt(operation, outcome);
        }
        if todo.1.is_some() {
            self.committed = todo.1;
        }
        if self.options.acknowledge_before_sync {
            for acknowledge in outcome.acknowledge.drain(..) {
                acknowledge(Ok(()));
            }
        }
        self.file.write_at(self.offset, &buffer)?;
        self.file.sync_data()?;
        shared.counters.fsyncs.fetch_add(1, Ordering::Relaxed);
        shared.counters.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.offset += buffer.len() as u64;
        if buffer.capacity() <= BUFFER_BYTES_KEPT {
            self.buffer = buffer;
        }
        Ok(())
    }

    /// Rolls; on failure the callers of `operations` must still hear of it.
    fn roll_or_return(
        &mut self,
        needed: u64,
        operations: &mut Vec<Operation>,
        outcome: &mut Outcome,
    ) -> io::Result<Segment> {
        self.roll(needed).inspect_err(|_| {
            for operation in operations.drain(..) {
                self.adopt(operation, outcome);
            }
        })
    }

    fn encode(
        &self,
        buffer: &mut Vec<u8>,
        operations: &[Operation],
        committed: Option<LogId>,
        close: bool,
        outcome: &mut Outcome,
    ) {
        let (sequence, offset) = (self.sequence, self.offset);
        for operation in operations {
            match operation {
                Operation::Vote { vote, .. } => {
                    record::encode(buffer, sequence, offset, offset, Kind::Vote, &vote_to_pb(vote));
                }
                Operation::Append { entries, serial, .. } => {
                    for (entry, serial) in entries.iter().zip(*serial..) {
                        let (at, length) = record::encode(
                            buffer,
                            sequence,
                            offset,
                            offset,
                            Kind::Entry,
                            &entry_to_pb(entry),
                        );
                        let location = Location { sequence, offset: at as u32, length };
                        outcome.written.push((entry.log_id.index, serial, location));
                    }
                }
                Operation::Truncate { after } => {
                    let id = pb::OptionalLogId { log_id: after.as_ref().map(log_id_to_pb) };
                    record::encode(buffer, sequence, offset, offset, Kind::Truncate, &id);
                }
                Operation::Purge { upto, .. } => {
                    record::encode(
                        buffer,
                        sequence,
                        offset,
                        offset,
                        Kind::Purge,
                        &log_id_to_pb(upto),
                    );
                }
            }
        }
        if let Some(committed) = &committed {
            let id = pb::OptionalLogId { log_id: Some(log_id_to_pb(committed)) };
            record::encode(buffer, sequence, offset, offset, Kind::Committed, &id);
        }
        if close {
            // Its `synced` covers itself's start: everything before is durable already.
            record::encode(buffer, sequence, offset, offset, Kind::Close, &pb::Empty {});
        }
    }

    fn adopt(&mut self, operation: Operation, outcome: &mut Outcome) {
        match operation {
            Operation::Vote { vote, acknowledge } => {
                self.vote = Some(vote);
                outcome.acknowledge.push(acknowledge);
            }
            Operation::Append { entries, acknowledge, .. } => {
                outcome.entries += entries.len() as u64;
                outcome.entry_last = outcome.entry_last.max(entries.last().map(|e| e.log_id.index));
                outcome.acknowledge.push(acknowledge);
            }
            Operation::Truncate { .. } => {}
            Operation::Purge { upto, acknowledge } => {
                self.purged = Some(upto);
                outcome.purged = Some(upto);
                outcome.acknowledge.push(acknowledge);
            }
        }
    }

    /// A file that cannot be removed costs space, not safety: it is tried again at the next purge.
    fn remove_segments(&self, shared: &Shared, purged: LogId) {
        for sequence in shared.superfluous(purged.index, self.sequence) {
            let name = segment_name(sequence);
            match self.device.remove(&name) {
                Ok(()) => shared.forget_segment(sequence),
                Err(error) => {
                    tracing::warn!(%error, file = self.device.describe(&name), "could not remove a purged log segment");
                    break;
                }
            }
        }
    }
}
