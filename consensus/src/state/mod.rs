//! **Purpose**: the applied state: the machine and the sessions in memory, their rows in the store, and
//! the one function that applies entries to both.
//!
//! **Invariants**
//! - Apply order: memory, one `WriteBatch`, then readers, events and replies. If the write fails, the
//!   node stops before anything is published.
//! - State time never goes back.
//! - Only one task applies or installs; readers hold the lock shared.

mod apply;
mod db;
mod hash;
mod session;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, watch};

pub use db::{Applied, DbRows, StateDb, StoreError};
pub use hash::StateHash;
pub use session::Sessions;
pub use snapshot::{SnapshotDir, SnapshotStore};

use crate::machine::{Event, LoadError, Machine, MachineFactory};
use crate::stop::{StopReason, StopSignal};
use crate::types::{LogIndex, NodeId};

/// Published batches that a slow subscriber may lag behind before it is told that it missed some.
const PUBLISHED_KEPT: usize = 4096;
/// Own state hashes that are kept for comparison with the leader's.
const HASHES_KEPT: usize = 16;
/// So many items fit an entry: the position is part of a session's id.
pub const ITEMS_MAX: usize = 1 << 16;

/// What one entry told the shells of the node.
#[derive(Clone)]
pub struct Published {
    pub index: LogIndex,
    pub events: Vec<Event>,
    /// The whole state was replaced by a snapshot; events between are lost, look at the state anew.
    pub reloaded: bool,
}

impl std::fmt::Debug for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Published {{ index: {}, events: {}, reloaded: {} }}",
            self.index,
            self.events.len(),
            self.reloaded
        )
    }
}

/// A `LeaderStarted` entry that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderMark {
    pub node_id: NodeId,
    pub boot_id: u64,
    pub term: u64,
    pub index: LogIndex,
}

/// Why entries could not be applied. The node stops.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "entry {index} cannot be read: {reason}; it was written by a newer program, upgrade this node"
    )]
    Entry { index: LogIndex, reason: String },
    #[error("a row could not be read while applying: {0}")]
    Read(String),
    #[error("{0}")]
    Stopped(StopReason),
    #[error("could not {action} `{path}`: {source}")]
    Files {
        action: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the snapshot is not what it says: {0}")]
    Snapshot(String),
}

impl From<ApplyError> for std::io::Error {
    fn from(error: ApplyError) -> Self {
        std::io::Error::other(error.to_string())
    }
}

/// Machine, sessions and store at one index.
pub struct Live {
    pub machine: Box<dyn Machine>,
    pub sessions: Sessions,
    pub db: Arc<StateDb>,
    pub applied: Applied,
}

impl Live {
    /// Makes machine and sessions from the rows of `db`.
    pub fn load(db: Arc<StateDb>, factory: &dyn MachineFactory) -> Result<Self, ApplyError> {
        let applied = db.applied()?;
        let machine = factory.load(&mut DbRows(&db))?;
        let sessions = Sessions::load(&mut DbRows(&db))?;
        Ok(Self { machine, sessions, db, applied })
    }
}

/// The applied state of a node.
pub struct State {
    live: RwLock<Live>,
    factory: Arc<dyn MachineFactory>,
    stop: StopSignal,
    checkpoint_entries: u64,
    hashes: Mutex<VecDeque<(LogIndex, StateHash)>>,
    /// One more than the last index that is flushed; zero: nothing.
    flushed: AtomicU64,
    pub commands: AtomicU64,
    pub applied_index: watch::Sender<Option<LogIndex>>,
    pub leader_mark: watch::Sender<Option<LeaderMark>>,
    pub published: broadcast::Sender<Arc<Published>>,
}

impl State {
    pub fn open(
        db: StateDb,
        factory: Arc<dyn MachineFactory>,
        stop: StopSignal,
        checkpoint_entries: u64,
    ) -> Result<Self, ApplyError> {
        let live = Live::load(Arc::new(db), factory.as_ref())?;
        let last = live.applied.last.map(|id| id.index);
        Ok(Self {
            live: RwLock::new(live),
            factory,
            stop,
            checkpoint_entries: checkpoint_entries.max(1),
            hashes: Mutex::default(),
            flushed: AtomicU64::new(last.map_or(0, |index| index + 1)),
            commands: AtomicU64::new(0),
            applied_index: watch::Sender::new(last),
            leader_mark: watch::Sender::new(None),
            published: broadcast::Sender::new(PUBLISHED_KEPT),
        })
    }

    pub fn read<R>(&self, f: impl FnOnce(&Live) -> R) -> R {
        f(&self.live.read())
    }

    pub fn db(&self) -> Arc<StateDb> {
        self.live.read().db.clone()
    }

    pub fn flushed(&self) -> Option<LogIndex> {
        self.flushed.load(Ordering::Acquire).checked_sub(1)
    }

    /// The newest own hash that can be compared, if it is newer than `after`.
    pub fn hash_after(&self, after: Option<LogIndex>) -> Option<(LogIndex, StateHash)> {
        self.hashes.lock().back().copied().filter(|(index, _)| Some(*index) > after)
    }

    /// Flushes the store if it is not flushed up to `index`; returns up to where it is.
    pub fn flush_to(&self, index: LogIndex) -> Result<Option<LogIndex>, StoreError> {
        if self.flushed() < Some(index) {
            self.flush()?;
        }
        Ok(self.flushed())
    }

    pub fn flush(&self) -> Result<(), StoreError> {
        let (db, last) = self.read(|live| (live.db.clone(), live.applied.last));
        db.flush()?;
        self.note_flushed(last.map(|id| id.index));
        Ok(())
    }

    fn note_flushed(&self, index: Option<LogIndex>) {
        self.flushed.fetch_max(index.map_or(0, |index| index + 1), Ordering::AcqRel);
    }

    /// Replaces the state by that of the database at `db`, whose rows are checked against its hash.
    /// `commit` makes the replacement durable; the old state is removed only after it.
    pub fn replace(
        &self,
        db: StateDb,
        commit: impl FnOnce() -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let recorded = db.applied()?.hash;
        let found = db.hash_rows()?;
        if found != recorded {
            return Err(ApplyError::Snapshot(format!(
                "its rows hash to {found}, it records {recorded}"
            )));
        }
        let fresh = Live::load(Arc::new(db), self.factory.as_ref())?;
        let last = fresh.applied.last.map(|id| id.index);
        commit()?;
        let old = std::mem::replace(&mut *self.live.write(), fresh);
        old.db.retire();
        drop(old);
        self.hashes.lock().clear();
        self.note_flushed(last);
        let reloaded = Published { index: last.unwrap_or(0), events: Vec::new(), reloaded: true };
        self.publish(last, vec![reloaded], None);
        Ok(())
    }

    /// The hash of what the factory makes of the rows now equals the running one? For tests: makes
    /// machine and sessions anew from the rows.
    pub fn reload(&self) -> Result<(Box<dyn Machine>, StateHash), ApplyError> {
        let live = self.live.read();
        let machine = self.factory.load(&mut DbRows(&live.db))?;
        Ok((machine, live.db.hash_rows()?))
    }
}
