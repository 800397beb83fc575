//! **Purpose**: the raft log on disc: votes and entries in append-only segments, written by one
//! thread with group commit, with the newest entries cached in memory.
//!
//! **Invariants**
//! - An entry can be read as soon as `append` returns; it is durable when its callback runs.
//! - Memory is changed and the operation queued under one lock, so memory, queue and disc agree on
//!   the order.
//! - After a failure of the disc every later operation is refused and the failure is reported once.
//!
//! **Source**: openraft's `docs::protocol::io_ordering`; segment format in `record`, recovery rules in
//! `recovery`.

mod reader;
mod record;
mod recovery;
mod shared;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use crate::device::{Device, DeviceFile};
use crate::types::{Entry, LogId, Vote};

/// Version of the segment format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("could not {action} log file `{file}`: {source}; check the disc and its permissions")]
    Io {
        action: &'static str,
        file: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "log file `{file}` is damaged at offset {offset}: {reason}; the disc lost acknowledged data, \
         so this node must not vote again: remove it from the cluster and join it as a new node"
    )]
    Damaged { file: String, offset: u64, reason: &'static str },
    #[error(
        "log file `{file}` has format version {found}, this program knows up to {known}; \
         run the newer program again"
    )]
    NewerFormat { file: String, found: u32, known: u32 },
}

impl WalError {
    fn io(action: &'static str, device: &dyn Device, name: &str, source: io::Error) -> Self {
        Self::Io { action, file: device.describe(name), source }
    }

    fn damaged(file: String, offset: u64, reason: &'static str) -> Self {
        Self::Damaged { file, offset, reason }
    }
}

/// How the log is laid out.
#[derive(Clone, Debug)]
pub struct WalOptions {
    pub segment_bytes: u64,
    /// Bytes of newest entries that are kept in memory.
    pub cache_bytes: u64,
    /// Make the next segment on a thread of its own before it is needed.
    pub prepare_ahead: bool,
    /// A deliberate fault, so that tests can show that they would notice it.
    #[doc(hidden)]
    pub acknowledge_before_sync: bool,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            cache_bytes: 8 << 20,
            prepare_ahead: true,
            acknowledge_before_sync: false,
        }
    }
}

/// Called once when an operation is durable or has failed.
pub type Acknowledge = Box<dyn FnOnce(io::Result<()>) + Send>;
/// Called once, with a message, when the log cannot go on.
pub type OnFailure = Box<dyn Fn(String) + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Location {
    sequence: u64,
    offset: u32,
    length: u32,
}

struct Slot {
    term: u64,
    /// Tells this entry from an earlier one at the same index.
    serial: u64,
    /// Bytes of all entries up to this one, ever.
    bytes_total: u64,
    location: Option<Location>,
    entry: Option<Entry>,
}

struct Segment {
    sequence: u64,
    file: Arc<dyn DeviceFile>,
    entry_last: Option<u64>,
}

enum Operation {
    Vote { vote: Vote, acknowledge: Acknowledge },
    Append { entries: Vec<Entry>, serial: u64, acknowledge: Acknowledge },
    Truncate { after: Option<LogId> },
    Purge { upto: LogId, acknowledge: Acknowledge },
}

impl Operation {
    fn weight(&self) -> usize {
        match self {
            Operation::Append { entries, .. } => entries.iter().map(entry_bytes).sum(),
            Operation::Vote { .. } | Operation::Truncate { .. } | Operation::Purge { .. } => 0,
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    const OVERHEAD: usize = 64;
    match &entry.payload {
        crate::types::Payload::Normal(batch) => batch.0.len() + OVERHEAD,
        crate::types::Payload::Blank | crate::types::Payload::Membership(_) => OVERHEAD,
    }
}

struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    committed_written: Option<LogId>,
    purged: Option<LogId>,
    /// Index of `slots[0]`, or of the next entry when there is none.
    first: u64,
    slots: VecDeque<Slot>,
    bytes_total: u64,
    serial_next: u64,
    /// Index of the oldest entry that is still in memory.
    cached_from: u64,
    cached_bytes: u64,
    segments: VecDeque<Segment>,
    queue: VecDeque<Operation>,
    closing: bool,
    closed: bool,
    failure: Option<String>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct WalCounters {
    pub fsyncs: AtomicU64,
    pub bytes: AtomicU64,
    pub entries: AtomicU64,
}

struct Shared {
    device: Arc<dyn Device>,
    state: Mutex<State>,
    wake_writer: Condvar,
    cache_bytes: u64,
    counters: Arc<WalCounters>,
    on_failure: OnFailure,
}

/// The log. Clones share it.
#[derive(Clone)]
pub struct Wal {
    shared: Arc<Shared>,
    thread: Arc<WriterThread>,
}

/// Closes the log when the last handle goes.
struct WriterThread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.close();
    }
}

impl WriterThread {
    fn close(&self) {
        let Some(handle) = self.handle.lock().take() else {
            return;
        };
        self.shared.state.lock().closing = true;
        self.shared.wake_writer.notify_all();
        if handle.join().is_err() {
            tracing::error!("the log's thread panicked");
        }
    }
}

impl Wal {
    /// Opens the log on `device` and starts its thread.
    ///
    /// # Errors
    /// The device failed, the log is damaged before its durable end, or a newer program wrote it.
    pub fn open(
        device: Arc<dyn Device>,
        options: WalOptions,
        on_failure: OnFailure,
    ) -> Result<Self, WalError> {
        let mut found = recovery::recover(device.as_ref())?;
        let writer = writer::Writer::start(device.clone(), options.clone(), &mut found)?;
        let cached_from = found.first + found.slots.len() as u64;
        let state = State {
            vote: found.vote,
            committed: found.committed,
            committed_written: found.committed,
            purged: found.purged,
            first: found.first,
            slots: found.slots,
            bytes_total: found.bytes_total,
            serial_next: 1,
            cached_from,
            cached_bytes: 0,
            segments: found.segments,
            queue: VecDeque::new(),
            closing: false,
            closed: false,
            failure: None,
        };
        let shared = Arc::new(Shared {
            device,
            state: Mutex::new(state),
            wake_writer: Condvar::new(),
            cache_bytes: options.cache_bytes,
            counters: Arc::default(),
            on_failure,
        });
        let for_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || writer.run(&for_thread))
            .map_err(|source| WalError::Io {
                action: "start the thread of",
                file: "the log".into(),
                source,
            })?;
        let thread = WriterThread { shared: shared.clone(), handle: Mutex::new(Some(thread)) };
        Ok(Self { shared, thread: Arc::new(thread) })
    }

    pub fn counters(&self) -> Arc<WalCounters> {
        self.shared.counters.clone()
    }

    pub fn vote(&self) -> Option<Vote> {
        self.shared.state.lock().vote
    }

    pub fn committed(&self) -> Option<LogId> {
        self.shared.state.lock().committed
    }

    /// What was purged last, and the last entry (or the last purged one).
    pub fn bounds(&self) -> (Option<LogId>, Option<LogId>) {
        let state = self.shared.state.lock();
        (state.purged, state.last())
    }

    /// Queues the vote; `acknowledge` runs when it is durable.
    pub fn save_vote(&self, vote: Vote, acknowledge: Acknowledge) {
        self.enqueue(Operation::Vote { vote, acknowledge }, |state| state.vote = Some(vote));
    }

    /// Notes what is committed. It reaches the disc with the next write, which only shortens recovery.
    pub fn save_committed(&self, committed: Option<LogId>) {
        self.shared.state.lock().committed = committed;
    }

    /// Appends entries that follow the last one.
    ///
    /// # Errors
    /// The entries would leave a hole.
    pub fn append(&self, entries: Vec<Entry>, acknowledge: Acknowledge) -> io::Result<()> {
        let Some(first) = entries.first().map(|e| e.log_id.index) else {
            acknowledge(Ok(()));
            return Ok(());
        };
        let mut hole = None;
        let mut state = self.shared.state.lock();
        let expected = state.next_index();
        if state.slots.is_empty() && state.purged.is_none() && state.serial_next == 1 {
            // A log that never held anything takes what comes first.
            state.first = first;
            state.cached_from = first;
        } else if first != expected {
            hole = Some(io::Error::other(format!(
                "entry {first} does not follow the log's end {expected}"
            )));
        }
        if let Some(error) = hole {
            return Err(error);
        }
        let serial = state.serial_next;
        state.serial_next += entries.len() as u64;
        for (entry, serial) in entries.iter().zip(serial..) {
            let bytes = entry_bytes(entry) as u64;
            state.bytes_total += bytes;
            state.cached_bytes += bytes;
            let slot = Slot {
                term: entry.log_id.leader_id.term,
                serial,
                bytes_total: state.bytes_total,
                location: None,
                entry: Some(entry.clone()),
            };
            state.slots.push_back(slot);
        }
        self.push(state, Operation::Append { entries, serial, acknowledge });
        Ok(())
    }

    /// Removes all entries behind `after`.
    pub fn truncate_after(&self, after: Option<LogId>) {
        self.enqueue(Operation::Truncate { after }, |state| {
            let keep_to = after.map_or(0, |id| id.index + 1);
            let keep = keep_to.saturating_sub(state.first) as usize;
            while state.slots.len() > keep {
                if let Some(entry) = state.slots.pop_back().and_then(|slot| slot.entry) {
                    state.cached_bytes =
                        state.cached_bytes.saturating_sub(entry_bytes(&entry) as u64);
                }
            }
            state.cached_from = state.cached_from.min(state.next_index());
        });
    }

    /// Removes all entries up to `upto`, inclusive.
    pub fn purge(&self, upto: LogId, acknowledge: Acknowledge) {
        self.enqueue(Operation::Purge { upto, acknowledge }, |state| {
            if state.purged.is_some_and(|purged| purged.index >= upto.index) {
                return;
            }
            state.purged = Some(upto);
            while state.first <= upto.index {
                let Some(slot) = state.slots.pop_front() else {
                    break;
                };
                state.first += 1;
                if let Some(entry) = slot.entry {
                    state.cached_bytes =
                        state.cached_bytes.saturating_sub(entry_bytes(&entry) as u64);
                }
            }
            if state.slots.is_empty() {
                state.first = upto.index + 1;
            }
            state.cached_from = state.cached_from.max(state.first);
        });
    }

    /// The last index that may be purged so that at least `bytes` of entries stay.
    pub fn purge_point(&self, bytes: u64) -> Option<u64> {
        let state = self.shared.state.lock();
        let bound = state.bytes_total.checked_sub(bytes)?;
        let count = state.slots.partition_point(|slot| slot.bytes_total <= bound);
        count.checked_sub(1).map(|at| state.first + at as u64)
    }

    /// Bytes of the entries behind `index`.
    pub fn bytes_after(&self, index: Option<u64>) -> u64 {
        let state = self.shared.state.lock();
        let from = index.map_or(state.first, |i| i + 1);
        let before = match from.checked_sub(state.first + 1) {
            Some(at) => {
                state.slots.get(at as usize).map_or(state.bytes_total, |slot| slot.bytes_total)
            }
            None => state.slots.front().map_or(state.bytes_total, |slot| {
                slot.bytes_total
                    .saturating_sub(slot.entry.as_ref().map_or(0, |e| entry_bytes(e) as u64))
            }),
        };
        state.bytes_total.saturating_sub(before)
    }

    /// Writes what is queued, closes the log in order and ends its thread.
    pub fn close(&self) {
        self.thread.close();
    }

    fn enqueue(&self, operation: Operation, change: impl FnOnce(&mut State)) {
        let mut state = self.shared.state.lock();
        change(&mut state);
        self.push(state, operation);
    }

    fn push(&self, mut state: parking_lot::MutexGuard<'_, State>, operation: Operation) {
        if state.failure.is_some() || state.closed {
            let message = state.failure.clone().unwrap_or_else(|| "the log is closed".into());
            drop(state);
            operation.refuse(&message);
            return;
        }
        state.queue.push_back(operation);
        drop(state);
        self.shared.wake_writer.notify_one();
    }
}
