//! **Purpose**: the durable, hash-chained record of every request that reached the wallet.
//!
//! **Invariants**
//! - When `append` returns, the record survives a power failure; a signature is released only then.
//! - Records form one chain; nothing that was acknowledged can be changed or dropped unseen, except
//!   by `prune`, which leaves a checkpoint that the chain itself names.
//! - A failed write is undone and may be tried again; a failed fsync is final until the log is
//!   opened anew.
//! - Concurrent callers share one write and one fsync.
//!
//! **Source**: the counters and the group commit follow the invariants 7 and 8 of the design:
//! a signature is recorded on disc before it is released.

mod counters;
mod error;
pub(crate) mod frame;
mod newest;
mod prune;
mod read;
mod record;
pub(crate) mod segment;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use camino::{Utf8Path, Utf8PathBuf};
use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) use self::record::FORGET_ORDERS;
use self::{
    counters::Counters,
    segment::{Mark, MarkWriter, OpenTail, Position, Tail},
};
pub use self::{
    counters::{FenceMark, SIGNED_MAX, Usage, WINDOW_MS_MAX},
    error::LogError,
    newest::newest,
    prune::Pruned,
    read::{Entry, Query, Summary, export, list, tail, verify, verify_export},
    record::{Decision, Fence, Record},
};
use crate::keystore::durable::{self, DirLock};

/// How the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A new file is begun when one has grown to this, bytes.
    pub segment_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { segment_bytes: 8 << 20 }
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// From 1, without gaps.
    pub sequence: u64,
    /// Its link.
    pub hash: [u8; 32],
}

/// The log, open for appending by this process alone.
pub struct SignLog {
    dir: Utf8PathBuf,
    settings: Settings,
    state: Mutex<State>,
    /// Rung after every write, successful or not.
    written: Condvar,
    /// One prune at a time.
    pruning: Mutex<()>,
    open_tail: OpenTail,
    _lock: DirLock,
}

struct State {
    /// Taken out by whoever writes; `None` means that someone does.
    file: Option<Open>,
    /// End of what is durable.
    durable: Position,
    /// End of what waits, which continues `durable`.
    next: Position,
    pending: Pending,
    /// Why nothing can be written any more.
    broken: Option<String>,
    counters: Counters,
}

/// The segment that is appended to.
struct Open {
    first: u64,
    tail: Box<dyn Tail>,
    offset: u64,
    mark: MarkWriter,
}

/// Records that go to the disc together.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: Vec<Record>,
    outcome: Arc<OnceLock<Result<(), Failure>>>,
}

/// Why a batch was not written; shared by all its callers.
#[derive(Clone, Debug)]
enum Failure {
    Full,
    Write(String),
    Broken(String),
}

impl Failure {
    fn of_write(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Write(error.to_string()),
        }
    }

    fn into_error(self, path: &Utf8Path) -> LogError {
        let path = path.to_owned();
        match self {
            Self::Full => LogError::Full { path },
            Self::Write(reason) => LogError::Write { path, reason },
            Self::Broken(reason) => LogError::Broken { path, reason },
        }
    }
}

impl SignLog {
    /// Opens the log in `dir`, makes it where there is none, and rebuilds the counters.
    ///
    /// # Errors
    /// `Damaged` when what was acknowledged is not all there; `Dir` when another wallet has it.
    pub fn open(dir: &Utf8Path) -> Result<Self, LogError> {
        Self::open_with(dir, Settings::default())
    }

    /// As `open`, with own settings.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(dir: &Utf8Path, settings: Settings) -> Result<Self, LogError> {
        Self::open_on(dir, settings, segment::on_disc())
    }

    fn open_on(dir: &Utf8Path, settings: Settings, open_tail: OpenTail) -> Result<Self, LogError> {
        let lock = DirLock::take(dir)?;
        let failed = |source: io::Error| Failure::of_write(&source).into_error(dir);
        durable::remove_temporaries(dir).map_err(failed)?;
        let mut counters = match segment::Checkpoint::read(dir)? {
            Some((checkpoint, _)) => checkpoint.counters,
            None => Counters::default(),
        };
        let walked = read::walk(dir, &mut |raw| {
            counters.count(&raw.entry(dir)?.record);
            Ok(())
        })?;
        let first = match walked.segments.last() {
            Some(first) => *first,
            None => {
                segment::create(dir, walked.end).map_err(failed)?;
                walked.end.sequence + 1
            }
        };
        let mut tail = open_tail(&segment::path_of(dir, first)).map_err(failed)?;
        let offset = walked.offset as u64;
        if walked.torn {
            tail.truncate(offset).map_err(failed)?;
        }
        // What was read may still be in the page cache only: an earlier process wrote it.
        tail.sync().map_err(failed)?;
        prune::remove_segments(dir, &walked.leftovers).map_err(failed)?;
        let mark = MarkWriter::open(dir).map_err(failed)?;
        mark.write(&Mark { segment: first, offset, position: walked.end }).map_err(failed)?;
        mark.sync().map_err(failed)?;
        durable::sync_dir(dir).map_err(failed)?;
        Ok(Self {
            dir: dir.to_owned(),
            settings,
            state: Mutex::new(State {
                file: Some(Open { first, tail, offset, mark }),
                durable: walked.end,
                next: walked.end,
                pending: Pending::default(),
                broken: None,
                counters,
            }),
            written: Condvar::new(),
            pruning: Mutex::new(()),
            open_tail,
            _lock: lock,
        })
    }

    /// Records a request durably. Only after this returns may its signature leave the wallet.
    ///
    /// # Errors
    /// `Full`, `Write`: nothing was recorded, a later call may succeed. `Broken`: restart.
    pub fn append(&self, record: &Record) -> Result<Receipt, LogError> {
        let body = serde_json::to_vec(record).map_err(LogError::Encode)?;
        if body.len() > frame::BODY_BYTES_MAX {
            return Err(LogError::TooLarge { bytes: body.len() });
        }
        let mut state = self.state.lock();
        if let Some(reason) = &state.broken {
            return Err(Failure::Broken(reason.clone()).into_error(&self.dir));
        }
        let (receipt, outcome) = state.enqueue(&body, record.clone());
        loop {
            if let Some(outcome) = outcome.get() {
                return outcome
                    .clone()
                    .map(|()| receipt)
                    .map_err(|failure| failure.into_error(&self.dir));
            }
            match state.file.take() {
                None => self.written.wait(&mut state),
                Some(file) => self.write_pending(&mut state, file),
            }
        }
    }

    /// Writes all that waits, without holding the lock meanwhile.
    fn write_pending(&self, state: &mut MutexGuard<'_, State>, mut file: Open) {
        let pending = std::mem::take(&mut state.pending);
        let (start, end) = (state.durable, state.next);
        let written =
            MutexGuard::unlocked(state, || self.write(&mut file, start, end, &pending.bytes));
        state.file = Some(file);
        let outcome = match written {
            Ok(()) => {
                state.durable = end;
                pending.records.iter().for_each(|record| state.counters.count(record));
                Ok(())
            }
            Err(failure) => {
                if let Failure::Broken(reason) = &failure {
                    state.broken = Some(reason.clone());
                }
                // Whatever queued up meanwhile continues a chain that does not exist.
                let orphans = std::mem::take(&mut state.pending);
                state.next = state.durable;
                orphans.outcome.get_or_init(|| Err(failure.clone()));
                Err(failure)
            }
        };
        pending.outcome.get_or_init(|| outcome);
        self.written.notify_all();
    }

    fn write(
        &self,
        file: &mut Open,
        start: Position,
        end: Position,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        if file.offset >= self.settings.segment_bytes {
            self.roll(file, start).map_err(|error| Failure::of_write(&error))?;
        }
        if let Err(error) = file.tail.write_at(file.offset, bytes) {
            // What did arrive must not look like a record that was acknowledged.
            return Err(match file.tail.truncate(file.offset) {
                Ok(()) => Failure::of_write(&error),
                Err(undo) => Failure::Broken(format!("{error}, and undoing it failed: {undo}")),
            });
        }
        file.tail.sync().map_err(|error| Failure::Broken(error.to_string()))?;
        file.offset += bytes.len() as u64;
        let mark = Mark { segment: file.first, offset: file.offset, position: end };
        if let Err(error) = file.mark.write(&mark) {
            // The records are durable. An old mark only makes later damage harder to tell apart.
            tracing::warn!(dir = %self.dir, %error, "sign log: mark not written");
        }
        Ok(())
    }

    /// Begins a new segment; on failure the old one goes on.
    fn roll(&self, file: &mut Open, after: Position) -> io::Result<()> {
        file.mark.sync()?;
        let path = segment::create(&self.dir, after)?;
        file.tail = (self.open_tail)(&path)?;
        file.first = after.sequence + 1;
        file.offset = segment::HEADER_BYTES as u64;
        Ok(())
    }

    /// Signatures of `key` (of one rule, or all) within the last `window_ms`, and the value signed
    /// for on the UTC day of `now_ms`. Counts what is durable: hold the key from this look until
    /// `append` returns.
    pub fn usage(&self, key: &str, rule: Option<&str>, now_ms: u64, window_ms: u64) -> Usage {
        self.state.lock().counters.usage(key, rule, now_ms, window_ms)
    }

    /// The highest order that `key` has signed for.
    pub fn fence(&self, key: &str) -> Option<FenceMark> {
        self.state.lock().counters.fence(key).cloned()
    }

    /// Lines, oldest first; see `list`.
    ///
    /// # Errors
    /// As `verify`.
    pub fn list(&self, query: &Query) -> Result<Vec<Entry>, LogError> {
        list(&self.dir, query)
    }

    /// The newest lines; see `tail`.
    ///
    /// # Errors
    /// As `verify`.
    pub fn tail(&self, limit: usize) -> Result<Vec<Entry>, LogError> {
        tail(&self.dir, limit)
    }

    /// The newest lines without a walk of the whole log; see `newest`.
    ///
    /// # Errors
    /// As `newest`.
    pub fn newest(&self, limit: usize) -> Result<Vec<Entry>, LogError> {
        newest(&self.dir, limit)
    }

    /// Verifies the whole chain; see `verify`.
    ///
    /// # Errors
    /// `Damaged` names the file and the offset.
    pub fn verify(&self) -> Result<Summary, LogError> {
        verify(&self.dir)
    }

    /// Writes all lines as JSON; see `export`.
    ///
    /// # Errors
    /// As `verify`, and when `out` fails.
    pub fn export(&self, out: &mut dyn io::Write) -> Result<u64, LogError> {
        export(&self.dir, out)
    }
}

impl State {
    fn enqueue(
        &mut self,
        body: &[u8],
        record: Record,
    ) -> (Receipt, Arc<OnceLock<Result<(), Failure>>>) {
        let hash = frame::push(&mut self.pending.bytes, &self.next.hash, body);
        self.next = Position { sequence: self.next.sequence + 1, hash };
        self.pending.records.push(record);
        (Receipt { sequence: self.next.sequence, hash }, Arc::clone(&self.pending.outcome))
    }
}

impl std::fmt::Debug for SignLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignLog").field("dir", &self.dir).finish_non_exhaustive()
    }
}
