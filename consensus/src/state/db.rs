//! **Purpose**: the rows in RocksDB.
//!
//! **Invariants**
//! - One column family, so that a flush is atomic over all tables; the first byte of a key is its
//!   table. RocksDB's own write-ahead log is off: the raft log is it.
//! - Rows and `AppliedState` change in one `WriteBatch`; whatever prefix of them a crash leaves, the
//!   state is that of some index.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use hesper_protos::raft as pb;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use prost::Message;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, Direction, FlushOptions, IteratorMode,
    Options, WriteBatch, WriteOptions,
};

use super::hash::StateHash;
use crate::codec::{
    log_id_from_pb, log_id_to_pb, stored_membership_from_pb, stored_membership_to_pb,
};
use crate::machine::{LoadError, Row, RowReader, RowSource};
use crate::types::{LogId, StoredMembership};

const TABLE_META: u8 = 255;
/// Version of the rows of this crate.
const FORMAT_VERSION: u32 = 1;
const BLOCK_CACHE_BYTES: usize = 16 << 20;
const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// Why the state store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not {action} the state store `{path}`: {reason}; check the disc")]
    Rocks { action: &'static str, path: String, reason: String },
    #[error(
        "the state store `{path}` has format version {found}, this program knows up to {known}; run the newer program again"
    )]
    NewerFormat { path: String, found: u32, known: u32 },
    #[error("the state store `{path}` is closed; the node shuts down")]
    Closed { path: String },
    #[error(
        "the state store `{path}` is damaged: {reason}; remove this node from the cluster and join it again"
    )]
    Damaged { path: String, reason: String },
}

/// How far the state goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub last: Option<LogId>,
    pub membership: StoredMembership,
    pub now_ms: u64,
    pub hash: StateHash,
}

/// An open database directory.
pub struct StateDb {
    /// `None` once it is closed: others may still hold this value when the node shuts down.
    db: RwLock<Option<DB>>,
    path: PathBuf,
    remove_on_drop: AtomicBool,
}

impl Drop for StateDb {
    fn drop(&mut self) {
        // The database must be closed before its files go.
        self.close();
        if self.remove_on_drop.load(Ordering::Acquire)
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "could not remove a replaced state store");
        }
    }
}

/// Size of one partition of an index or filter.
const METADATA_BLOCK_BYTES: usize = 4096;

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    table.set_bloom_filter(10.0, false);
    // A whole filter of a large file does not fit into a shard of so small a cache, and every look-up
    // would read and check it again; its partitions fit.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK_BYTES);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_top_level_index_and_filter(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(5);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_atomic_flush(true);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_max_background_jobs(2);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_block_based_table_factory(&table);
    options
}

impl StateDb {
    /// Opens the database at `path`, making it when there is none.
    ///
    /// # Errors
    /// RocksDB could not open it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = DB::open(&options(), path).map_err(|e| rocks("open", path, &e))?;
        Ok(Self {
            db: RwLock::new(Some(db)),
            path: path.to_path_buf(),
            remove_on_drop: AtomicBool::new(false),
        })
    }

    /// Opens without changing a file, for a look into a checkpoint.
    ///
    /// # Errors
    /// RocksDB could not open it.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let mut options = options();
        options.create_if_missing(false);
        let db =
            DB::open_for_read_only(&options, path, false).map_err(|e| rocks("open", path, &e))?;
        Ok(Self {
            db: RwLock::new(Some(db)),
            path: path.to_path_buf(),
            remove_on_drop: AtomicBool::new(false),
        })
    }

    fn db(&self) -> Result<MappedRwLockReadGuard<'_, DB>, StoreError> {
        let closed = |_| StoreError::Closed { path: self.path.display().to_string() };
        RwLockReadGuard::try_map(self.db.read(), Option::as_ref).map_err(closed)
    }

    /// Ends all use of the files; later calls fail.
    pub fn close(&self) {
        self.db.write().take();
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another database has taken its place; its files go with the last user.
    pub fn retire(&self) {
        self.remove_on_drop.store(true, Ordering::Release);
    }

    /// # Errors
    /// The row could not be read, is newer than this program, or is damaged.
    pub fn applied(&self) -> Result<Applied, StoreError> {
        let row = self.db()?.get([TABLE_META]).map_err(|e| rocks("read", &self.path, &e))?;
        let Some(row) = row else {
            return Ok(Applied::default());
        };
        let damaged =
            |reason: String| StoreError::Damaged { path: self.path.display().to_string(), reason };
        let row = pb::AppliedState::decode(row.as_slice()).map_err(|e| damaged(e.to_string()))?;
        if row.format_version > FORMAT_VERSION {
            return Err(StoreError::NewerFormat {
                path: self.path.display().to_string(),
                found: row.format_version,
                known: FORMAT_VERSION,
            });
        }
        let membership = row.membership.unwrap_or_else(|| pb::StoredMembership {
            log_id: None,
            membership: Some(pb::Membership::default()),
        });
        Ok(Applied {
            last: row.last_applied.as_ref().map(log_id_from_pb),
            membership: stored_membership_from_pb(&membership)
                .map_err(|e| damaged(e.to_string()))?,
            now_ms: row.now_ms,
            hash: StateHash::from_bytes(&row.hash).ok_or_else(|| damaged("state hash".into()))?,
        })
    }

    /// Writes a batch of rows together with how far they go.
    ///
    /// # Errors
    /// The disc failed; nothing of the batch may be published.
    pub fn write(&self, mut batch: WriteBatch, applied: &Applied) -> Result<(), StoreError> {
        let row = pb::AppliedState {
            format_version: FORMAT_VERSION,
            last_applied: applied.last.as_ref().map(log_id_to_pb),
            membership: Some(stored_membership_to_pb(&applied.membership)),
            now_ms: applied.now_ms,
            hash: applied.hash.to_bytes().to_vec().into(),
        };
        batch.put([TABLE_META], row.encode_to_vec());
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db()?.write_opt(batch, &options).map_err(|e| rocks("write", &self.path, &e))
    }

    /// Everything written so far is on disc when this returns.
    ///
    /// # Errors
    /// The disc failed.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db()?.flush_opt(&options).map_err(|e| rocks("flush", &self.path, &e))
    }

    /// Makes a copy in the new directory `target`, with hard links where it can.
    ///
    /// # Errors
    /// The disc failed.
    pub fn checkpoint(&self, target: &Path) -> Result<(), StoreError> {
        let db = self.db()?;
        let checkpoint = rocksdb::checkpoint::Checkpoint::new(&*db);
        let made = checkpoint.and_then(|checkpoint| checkpoint.create_checkpoint(target));
        made.map_err(|e| rocks("copy", &self.path, &e))
    }

    /// Adds or takes a row's old value from the hash.
    ///
    /// # Errors
    /// The disc failed.
    pub fn unhash_old(&self, key: &[u8], hash: &mut StateHash) -> Result<bool, StoreError> {
        let db = self.db()?;
        let old = db.get_pinned(key).map_err(|e| rocks("read", &self.path, &e))?;
        if let Some(old) = &old {
            hash.remove(key, old);
        }
        Ok(old.is_some())
    }

    /// Rows of `table` from key `from` on whose key starts with `prefix`.
    ///
    /// # Errors
    /// The disc failed.
    pub fn scan(
        &self,
        table: u8,
        from: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let start = crate::machine::store_key(table, from.max(prefix));
        let mut found = Vec::new();
        let db = self.db()?;
        for item in db.iterator(IteratorMode::From(&start, Direction::Forward)) {
            let (key, row) = item.map_err(|e| rocks("read", &self.path, &e))?;
            if key.first() != Some(&table) || !key[1..].starts_with(prefix) || found.len() >= limit
            {
                break;
            }
            found.push((key[1..].to_vec(), row.into_vec()));
        }
        Ok(found)
    }

    /// The hash of all rows, read one by one.
    ///
    /// # Errors
    /// The disc failed.
    pub fn hash_rows(&self) -> Result<StateHash, StoreError> {
        let mut hash = StateHash::default();
        let db = self.db()?;
        for item in db.iterator(IteratorMode::Start) {
            let (key, row) = item.map_err(|e| rocks("read", &self.path, &e))?;
            if key.first() != Some(&TABLE_META) {
                hash.add(&key, &row);
            }
        }
        Ok(hash)
    }
}

fn rocks(action: &'static str, path: &Path, error: &rocksdb::Error) -> StoreError {
    StoreError::Rocks { action, path: path.display().to_string(), reason: error.to_string() }
}

impl RowReader for StateDb {
    fn read_row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let db = self.db().map_err(|e| e.to_string())?;
        db.get(key).map_err(|e| rocks("read", &self.path, &e).to_string())
    }
}

/// The rows of a database for a machine that is being made.
pub struct DbRows<'a>(pub &'a StateDb);

impl RowSource for DbRows<'_> {
    fn for_each(&mut self, table: u8, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), LoadError> {
        let db = self.0.db().map_err(|e| LoadError::Store(e.to_string()))?;
        for item in db.iterator(IteratorMode::From(&[table], Direction::Forward)) {
            let (key, row) =
                item.map_err(|e| LoadError::Store(rocks("read", &self.0.path, &e).to_string()))?;
            if key.first() != Some(&table) {
                break;
            }
            each(&key[1..], &row);
        }
        Ok(())
    }
}
