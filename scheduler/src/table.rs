//! Ordered tables that live in memory and write their changed rows to a store.
//!
//! Invariants: after `flush` the store holds exactly the rows of the table; rows are written in
//! key order, once per command, however often they changed in it.

use std::collections::BTreeMap;
use std::collections::btree_map::Range as MapRange;
use std::ops::RangeBounds;
use std::sync::Arc;

use minicbor::decode::Error as DecodeError;

use crate::model::{
    AttemptRow, AttemptToken, EndedTaskRow, ExecutorId, ExecutorRow, JobId, JobRow, LeaseId,
    LeaseRow, Manifest, MetaRow, MinerRow, OldJobRow, OwnerLimits, SectorId, SectorRow, SpecRow,
    TaskId, TaskRow,
};

/// Number of a table in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableId(pub u8);

impl TableId {
    pub const META: Self = Self(1);
    pub const JOBS: Self = Self(2);
    pub const SPECS: Self = Self(3);
    pub const TASKS: Self = Self(4);
    pub const ATTEMPTS: Self = Self(5);
    pub const LEASES: Self = Self(6);
    pub const EXECUTORS: Self = Self(7);
    pub const SECTORS: Self = Self(8);
    pub const MINERS: Self = Self(9);
    pub const OUTPUTS: Self = Self(10);
    /// Archive: ended tasks, `EndedTaskRow` by `TaskId`.
    pub const ENDED_TASKS: Self = Self(11);
    /// Archive: jobs that left memory, `OldJobRow` by `JobId`.
    pub const OLD_JOBS: Self = Self(12);
    /// `OwnerLimits` by the owner's name; owners without a row have no limits.
    pub const OWNERS: Self = Self(13);

    /// Tables that are loaded into memory, in loading order.
    pub const LIVE: [Self; 11] = [
        Self::META,
        Self::JOBS,
        Self::SPECS,
        Self::TASKS,
        Self::ATTEMPTS,
        Self::LEASES,
        Self::EXECUTORS,
        Self::SECTORS,
        Self::MINERS,
        Self::OUTPUTS,
        Self::OWNERS,
    ];
    /// Tables that exist only in the store.
    pub const ARCHIVE: [Self; 2] = [Self::ENDED_TASKS, Self::OLD_JOBS];
}

/// Where rows go. `get` is asked only for archive tables.
pub trait Store {
    fn put(&mut self, table: TableId, key: &[u8], row: &[u8]);
    fn delete(&mut self, table: TableId, key: &[u8]);
    fn get(&mut self, table: TableId, key: &[u8]) -> Option<Vec<u8>>;
}

/// A key of a table: its bytes sort as the key does.
pub trait Key: Ord + Clone {
    fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

/// A row of a table.
pub trait Row: Sized {
    fn to_row(&self, bytes: &mut Vec<u8>);
    /// # Errors
    /// The bytes are no row of this table that this version knows.
    fn from_row(bytes: &[u8]) -> Result<Self, DecodeError>;
}

macro_rules! keys {
    ($($name:ident),*) => {$(
        impl Key for $name {
            fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
                use_bytes(&self.key())
            }
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
            }
        }
    )*};
}
keys!(JobId, ExecutorId, AttemptToken, LeaseId);

/// A miner's number as a key.
impl Key for u64 {
    fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(&self.to_be_bytes())
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// An owner's name as a key.
impl Key for String {
    fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(self.as_bytes())
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl Key for TaskId {
    fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(&self.key())
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (job, index) = bytes.split_at_checked(8)?;
        Some(Self {
            job: JobId(u64::from_be_bytes(job.try_into().ok()?)),
            index: u32::from_be_bytes(index.try_into().ok()?),
        })
    }
}

impl Key for SectorId {
    fn with_bytes<R>(&self, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(&self.key())
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (miner, number) = bytes.split_at_checked(8)?;
        Some(Self {
            miner: u64::from_be_bytes(miner.try_into().ok()?),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }
}

macro_rules! rows {
    ($($name:ident),* $(,)?) => {$(
        impl Row for $name {
            fn to_row(&self, bytes: &mut Vec<u8>) {
                minicbor::encode(self, bytes).expect("encoding into a vector does not fail");
            }
            fn from_row(bytes: &[u8]) -> Result<Self, DecodeError> {
                minicbor::decode(bytes)
            }
        }
    )*};
}
rows!(
    MetaRow,
    JobRow,
    SpecRow,
    TaskRow,
    AttemptRow,
    LeaseRow,
    ExecutorRow,
    SectorRow,
    MinerRow,
    Manifest,
    EndedTaskRow,
    OldJobRow,
    OwnerLimits,
);

impl Row for Arc<SpecRow> {
    fn to_row(&self, bytes: &mut Vec<u8>) {
        SpecRow::to_row(self, bytes);
    }
    fn from_row(bytes: &[u8]) -> Result<Self, DecodeError> {
        SpecRow::from_row(bytes).map(Arc::new)
    }
}

/// One table in memory.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, R> {
    id: TableId,
    rows: BTreeMap<K, R>,
    dirty: Vec<K>,
}

impl<K: Key, R: Row> Table<K, R> {
    pub fn new(id: TableId) -> Self {
        Self { id, rows: BTreeMap::new(), dirty: Vec::new() }
    }

    pub fn get(&self, key: K) -> Option<&R> {
        self.rows.get(&key)
    }

    /// As [`Self::get`], by a borrowed form of the key.
    pub fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&R>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.rows.get(key)
    }

    pub fn contains(&self, key: K) -> bool {
        self.rows.contains_key(&key)
    }

    /// The row for changing; it will be written.
    pub fn get_mut(&mut self, key: K) -> Option<&mut R> {
        let row = self.rows.get_mut(&key)?;
        if self.dirty.last() != Some(&key) {
            self.dirty.push(key.clone());
        }
        Some(row)
    }

    pub fn insert(&mut self, key: K, row: R) {
        self.dirty.push(key.clone());
        self.rows.insert(key, row);
    }

    pub fn remove(&mut self, key: K) -> Option<R> {
        let row = self.rows.remove(&key)?;
        self.dirty.push(key);
        Some(row)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn iter(&self) -> std::collections::btree_map::Iter<'_, K, R> {
        self.rows.iter()
    }

    pub fn range(&self, range: impl RangeBounds<K>) -> MapRange<'_, K, R> {
        self.rows.range(range)
    }

    /// Writes the changes since the last flush.
    pub fn flush(&mut self, store: &mut dyn Store, buffer: &mut Vec<u8>) {
        if self.dirty.is_empty() {
            return;
        }
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for key in self.dirty.drain(..) {
            match self.rows.get(&key) {
                Some(row) => {
                    buffer.clear();
                    row.to_row(buffer);
                    key.with_bytes(|key| store.put(self.id, key, buffer));
                }
                None => key.with_bytes(|key| store.delete(self.id, key)),
            }
        }
    }

    /// Adds a row that comes from the store.
    pub fn load(&mut self, key: &[u8], row: &[u8]) -> Result<(), LoadError> {
        let key = K::from_bytes(key)
            .ok_or_else(|| LoadError::Key { table: self.id.0, key: key.to_vec() })?;
        let row = R::from_row(row).map_err(|source| LoadError::Row { table: self.id.0, source })?;
        self.rows.insert(key, row);
        Ok(())
    }
}

impl<K: PartialEq, R: PartialEq> PartialEq for Table<K, R> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.rows == other.rows
    }
}

/// The stored rows are not a state that this version can go on from. The node must not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "table {table} has a key of an unknown form: {key:02x?}; the store is damaged or newer"
    )]
    Key { table: u8, key: Vec<u8> },
    #[error("could not decode a row of table {table}; the store is damaged or newer")]
    Row {
        table: u8,
        #[source]
        source: DecodeError,
    },
    #[error("the stored scheduler state is inconsistent; restore it from another node")]
    Broken(#[from] crate::validate::BrokenInvariant),
}
