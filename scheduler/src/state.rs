//! The state: tables, derived indexes, loading, and who may do what.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::index::Index;
use crate::model::{
    AttemptRow, AttemptToken, ExecutorId, ExecutorRow, JobId, JobRow, LeaseId, LeaseRow, Manifest,
    MetaRow, MinerRow, OwnerLimits, SectorId, SectorRow, SpecRow, TaskId, TaskRow, UnixMillis,
};
use crate::table::{LoadError, Row, Store, Table, TableId};

/// Who asks. Comes from the credential, never from the request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Principal {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub owner: String,
    #[n(2)]
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// A pool node: the leader's own proposals.
    #[n(0)]
    Node,
    #[n(1)]
    Executor,
    #[n(2)]
    Client,
    #[n(3)]
    Admin,
}

impl Principal {
    /// A pool node.
    pub fn node(name: &str) -> Self {
        Self { name: name.to_owned(), owner: String::new(), role: Role::Node }
    }

    /// Whether this principal may see and change what `owner` owns.
    pub fn may_touch(&self, owner: &str) -> bool {
        match self.role {
            Role::Node | Role::Admin => true,
            Role::Client | Role::Executor => self.owner == owner,
        }
    }
}

/// What the log says about a command.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub index: u64,
    /// Position within the entry.
    pub position: u32,
    /// Leader's stamp, never decreasing.
    pub now: UnixMillis,
    pub principal: &'a Principal,
}

/// Rows of a store, in key order within a table.
pub trait RowSource {
    fn for_each(&mut self, table: TableId, row: &mut dyn FnMut(&[u8], &[u8]));
}

/// The scheduler's replicated state.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) meta: MetaRow,
    /// The meta row as last written.
    meta_written: Option<MetaRow>,
    pub(crate) jobs: Table<JobId, JobRow>,
    pub(crate) specs: Table<JobId, Arc<SpecRow>>,
    pub(crate) tasks: Table<TaskId, TaskRow>,
    pub(crate) attempts: Table<AttemptToken, AttemptRow>,
    pub(crate) leases: Table<LeaseId, LeaseRow>,
    pub(crate) executors: Table<ExecutorId, ExecutorRow>,
    pub(crate) sectors: Table<SectorId, SectorRow>,
    pub(crate) miners: Table<u64, MinerRow>,
    /// Manifests of proof tasks, while their job is in memory.
    pub(crate) outputs: Table<TaskId, Manifest>,
    /// Owners that have limits.
    pub(crate) owners: Table<String, OwnerLimits>,
    pub(crate) index: Index,
    buffer: Vec<u8>,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

/// Equality of everything that decides behaviour: rows and derived indexes.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.meta == other.meta
            && self.jobs == other.jobs
            && self.specs == other.specs
            && self.tasks == other.tasks
            && self.attempts == other.attempts
            && self.leases == other.leases
            && self.executors == other.executors
            && self.sectors == other.sectors
            && self.miners == other.miners
            && self.outputs == other.outputs
            && self.owners == other.owners
            && self.index == other.index
    }
}

impl State {
    /// An empty state, as before the first entry of a log.
    pub fn new() -> Self {
        Self {
            meta: MetaRow::default(),
            meta_written: None,
            jobs: Table::new(TableId::JOBS),
            specs: Table::new(TableId::SPECS),
            tasks: Table::new(TableId::TASKS),
            attempts: Table::new(TableId::ATTEMPTS),
            leases: Table::new(TableId::LEASES),
            executors: Table::new(TableId::EXECUTORS),
            sectors: Table::new(TableId::SECTORS),
            miners: Table::new(TableId::MINERS),
            outputs: Table::new(TableId::OUTPUTS),
            owners: Table::new(TableId::OWNERS),
            index: Index::default(),
            buffer: Vec::new(),
        }
    }

    /// Loads the state from stored rows.
    ///
    /// # Errors
    /// A row cannot be decoded or the rows contradict each other: the node must not start.
    pub fn load(rows: &mut dyn RowSource) -> Result<Self, LoadError> {
        let mut state = Self::new();
        let mut first_error = None;
        for table in TableId::LIVE {
            rows.for_each(table, &mut |key, row| {
                if first_error.is_none() {
                    first_error = state.load_row(table, key, row).err();
                }
            });
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        state.index = Index::derive(&state);
        state.validate()?;
        Ok(state)
    }

    fn load_row(&mut self, table: TableId, key: &[u8], row: &[u8]) -> Result<(), LoadError> {
        match table {
            TableId::META => {
                let meta = MetaRow::from_row(row)
                    .map_err(|source| LoadError::Row { table: table.0, source })?;
                self.meta_written = Some(meta.clone());
                self.meta = meta;
                Ok(())
            }
            TableId::JOBS => self.jobs.load(key, row),
            TableId::SPECS => self.specs.load(key, row),
            TableId::TASKS => self.tasks.load(key, row),
            TableId::ATTEMPTS => self.attempts.load(key, row),
            TableId::LEASES => self.leases.load(key, row),
            TableId::EXECUTORS => self.executors.load(key, row),
            TableId::SECTORS => self.sectors.load(key, row),
            TableId::MINERS => self.miners.load(key, row),
            TableId::OUTPUTS => self.outputs.load(key, row),
            TableId::OWNERS => self.owners.load(key, row),
            unknown => Err(LoadError::Key { table: unknown.0, key: key.to_vec() }),
        }
    }

    /// Writes all changed rows.
    pub(crate) fn flush(&mut self, store: &mut dyn Store) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if self.meta_written.as_ref() != Some(&self.meta) {
            buffer.clear();
            self.meta.to_row(&mut buffer);
            store.put(TableId::META, &[], &buffer);
            self.meta_written = Some(self.meta.clone());
        }
        self.jobs.flush(store, &mut buffer);
        self.specs.flush(store, &mut buffer);
        self.tasks.flush(store, &mut buffer);
        self.attempts.flush(store, &mut buffer);
        self.leases.flush(store, &mut buffer);
        self.executors.flush(store, &mut buffer);
        self.sectors.flush(store, &mut buffer);
        self.miners.flush(store, &mut buffer);
        self.outputs.flush(store, &mut buffer);
        self.owners.flush(store, &mut buffer);
        self.buffer = buffer;
    }
}
