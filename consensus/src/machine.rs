//! **Purpose**: what a replicated machine is to this crate: a pure function over its own memory, with
//! its rows kept in the state store.
//!
//! **Invariants**
//! - A machine is total: a bad command is answered, never a panic; equal commands give equal rows,
//!   replies and events on every node.
//! - `load` over the rows gives the same machine as the commands did.
//!
//! **Source**: Ongaro, "Consensus: Bridging Theory and Practice" (2014), chapter 6.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::types::{LogIndex, NodeId};

/// Tables from here on belong to this crate; a machine uses lower numbers.
pub const TABLES_MAX: u8 = 240;

/// What happened in an entry, for the shells of the node; the machine decides the type.
pub type Event = Arc<dyn Any + Send + Sync>;

/// A key and its row.
pub type Row = (Vec<u8>, Vec<u8>);

/// A pure replicated machine.
pub trait Machine: Send + Sync + 'static {
    /// Executes one command. Total: a command that is not valid is answered in `out.reply`.
    fn apply(&mut self, context: &ApplyContext<'_>, command: &[u8], out: &mut Output<'_>);

    /// State time has advanced, about once a second.
    fn tick(&mut self, context: &ApplyContext<'_>, out: &mut Output<'_>) {
        let _ = (context, out);
    }

    /// `node` has become the leader.
    fn leader_started(&mut self, context: &ApplyContext<'_>, node: NodeId, out: &mut Output<'_>) {
        let _ = (context, node, out);
    }

    /// For readers that know the concrete machine.
    fn as_any(&self) -> &dyn Any;
}

/// Where and when a command is executed; equal on every node.
#[derive(Clone, Copy, Debug)]
pub struct ApplyContext<'a> {
    pub index: LogIndex,
    /// Position within the entry.
    pub position: u32,
    pub term: u64,
    /// State time: the leader's stamp, never going back.
    pub now_ms: u64,
    /// Who sent the command; empty for `tick` and `leader_started`.
    pub principal: &'a str,
}

/// Reads one applied row of the store.
pub(crate) trait RowReader {
    fn read_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String>;
}

/// All changes of an apply batch that are not written yet.
#[derive(Default)]
pub(crate) struct Changes {
    /// Store key (table, then key) to new row.
    pub rows: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// The first read that failed; the node stops on it.
    pub read_error: RefCell<Option<String>>,
}

pub(crate) fn store_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(table);
    full.extend_from_slice(key);
    full
}

/// Where a machine puts its answer, its rows and its events.
pub struct Output<'a> {
    /// Answered to the client, and again to a retry.
    pub reply: Vec<u8>,
    pub(crate) changes: &'a mut Changes,
    pub(crate) events: &'a mut Vec<Event>,
    pub(crate) store: &'a dyn RowReader,
}

impl Output<'_> {
    /// Writes a row of at most 64 KiB.
    pub fn put(&mut self, table: u8, key: Vec<u8>, row: Vec<u8>) {
        debug_assert!(table < TABLES_MAX, "table {table} belongs to the store");
        self.changes.rows.insert(store_key(table, &key), Some(row));
    }

    /// Removes a row; one that does not exist may be removed too.
    pub fn delete(&mut self, table: u8, key: Vec<u8>) {
        debug_assert!(table < TABLES_MAX, "table {table} belongs to the store");
        self.changes.rows.insert(store_key(table, &key), None);
    }

    /// Reads a row as it is after everything before this command. A failing disc stops the node; what
    /// is answered then does not matter, because nothing of this batch is published.
    pub fn get(&self, table: u8, key: &[u8]) -> Option<Vec<u8>> {
        let key = store_key(table, key);
        if let Some(pending) = self.changes.rows.get(&key) {
            return pending.clone();
        }
        match self.store.read_row(&key) {
            Ok(row) => row,
            Err(error) => {
                self.changes.read_error.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    /// Tells the shells of every node that something happened.
    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }
}

/// Rows of the store, in key order.
pub trait RowSource {
    /// Calls `each` with every row of `table`.
    ///
    /// # Errors
    /// The store could not be read.
    fn for_each(&mut self, table: u8, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), LoadError>;
}

/// Makes the machine from its rows, at the start and after a snapshot was installed.
pub trait MachineFactory: Send + Sync + 'static {
    /// # Errors
    /// The rows could not be read or are not those of this machine.
    fn load(&self, rows: &mut dyn RowSource) -> Result<Box<dyn Machine>, LoadError>;
}

/// Why a machine could not be made from its rows.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("could not read the state store: {0}; check the disc")]
    Store(String),
    #[error(
        "row of table {table} cannot be read: {reason}; the data directory is damaged or newer than this program"
    )]
    Row { table: u8, reason: String },
    #[error("the stored state contradicts itself: {0}; remove this node and join it again")]
    Contradiction(String),
}

/// A harness for tests of a machine alone: applies commands over rows in memory.
#[derive(Default)]
pub struct MemoryRows {
    /// Store key (table, then key) to row.
    rows: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
}

impl RowReader for MemoryRows {
    fn read_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Ok(self.rows.get(key).cloned())
    }
}

impl MemoryRows {
    /// Runs `f` with an output over these rows, keeps its changes, and returns reply and events.
    pub fn with_output(&mut self, f: impl FnOnce(&mut Output<'_>)) -> (Vec<u8>, Vec<Event>) {
        let mut changes = Changes::default();
        let mut events = Vec::new();
        let mut out =
            Output { reply: Vec::new(), changes: &mut changes, events: &mut events, store: &*self };
        f(&mut out);
        let reply = std::mem::take(&mut out.reply);
        for (key, row) in changes.rows {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        (reply, events)
    }
}

impl RowSource for MemoryRows {
    fn for_each(&mut self, table: u8, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), LoadError> {
        for (key, row) in self.rows.range(vec![table]..vec![table + 1]) {
            each(&key[1..], row);
        }
        Ok(())
    }
}
