//! **Purpose**: the wallet's own memory of the blocks that it signed, so that no node can make it
//! sign two.
//!
//! **Invariants**
//! - At most one header per (miner, epoch) and per (miner, parents); the same header passes again.
//! - A reservation is durable before `reserve` returns, and outlives whatever happens afterwards.
//! - What was forgotten is refused: epochs below the floor of a miner never pass, and parents are
//!   remembered for ever, since a block on old parents can be slashed at any later epoch.
//! - The floor follows the number of blocks, not their epochs: one absurd epoch moves nothing.
//! - Damage stops the wallet; only an append that was never acknowledged is cut.
//!
//! **Source**: Filecoin specification, consensus faults: double-fork mining (same epoch) and
//! time-offset mining (same parents). The third, parent grinding, needs the pool's view of the chain.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt,
};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_chain::{Address, Cid, Network, address, cid};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    keystore::{
        DirError,
        durable::{self, DirLock},
    },
    signlog::{
        frame::{self, GENESIS, Hash, Step},
        segment::{Mark, MarkWriter, Position},
    },
};

const FILE: &str = "blocks.table";
const MAGIC: &[u8; 8] = b"HESPBLK1";

/// Blocks of a miner that are remembered one by one: a week of winning every epoch, which is ten
/// times the chain's finality and more.
const ROWS_KEPT: usize = 20_160;

/// Parents of forgotten blocks in one record.
const SPENT_PER_RECORD: usize = 1024;

/// The beginning of a hash of parents, which is all that is kept of forgotten blocks. Whoever makes
/// two tipsets alike in these bits gains a refusal.
type Spent = [u8; 16];

/// Records in the file above which it is written anew, if at most half of them still count.
const COMPACT_RECORDS: usize = 10_000;

/// The table of signed blocks.
pub struct BlockTable {
    path: Utf8PathBuf,
    dir: Utf8PathBuf,
    inner: Mutex<Inner>,
    _lock: DirLock,
}

struct Inner {
    file: fs::File,
    offset: u64,
    head: Hash,
    records: usize,
    miners: BTreeMap<Address, Miner>,
    mark: MarkWriter,
    broken: Option<String>,
}

/// What is known of one miner.
#[derive(Default)]
struct Miner {
    /// Nothing below this epoch is signed any more.
    floor: i64,
    by_epoch: BTreeMap<i64, Row>,
    /// Hash of parents to epoch.
    by_parents: BTreeMap<Hash, i64>,
    /// Parents of the blocks below the floor.
    spent: BTreeSet<Spent>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    parents: Hash,
    header: Cid,
}

/// One record of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Block {
        miner: String,
        epoch: i64,
        /// BLAKE3 of the bytes of the parents' key, hex.
        parents: String,
        header: String,
    },
    Floor {
        miner: String,
        epoch: i64,
    },
    /// Parents of forgotten blocks, one after the other, hex.
    Spent {
        miner: String,
        parents: String,
    },
}

/// The block may not be signed.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    /// Another header for this epoch was reserved.
    #[error(
        "this wallet already signed block {first} of {miner} at epoch {epoch}; a second one would \
         be slashed and is refused"
    )]
    Epoch {
        /// The miner.
        miner: String,
        /// The epoch.
        epoch: i64,
        /// The header that has it.
        first: String,
    },
    /// Another header on these parents was reserved.
    #[error(
        "this wallet already signed block {first} of {miner} on the same parents at epoch {epoch}; \
         a second one would be slashed and is refused"
    )]
    Parents {
        /// The miner.
        miner: String,
        /// The epoch of the first.
        epoch: i64,
        /// The header that has them.
        first: String,
    },
    /// A block on these parents was reserved so long ago that only this is remembered of it.
    #[error(
        "this wallet signed a block of {miner} on the same parents long ago; a second one would be \
         slashed and is refused"
    )]
    SpentParents {
        /// The miner.
        miner: String,
    },
    /// So old that the table no longer knows.
    #[error("epoch {epoch} of {miner} is below {floor}, the oldest that this wallet still signs")]
    TooOld {
        /// The miner.
        miner: String,
        /// The epoch.
        epoch: i64,
        /// The oldest that is signed.
        floor: i64,
    },
    /// The reservation could not be made durable.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The directory belongs to another process or cannot be made.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// Reading or writing failed; nothing was reserved.
    #[error(
        "could not {act} the table of signed blocks `{path}`; no block is signed; check the disc"
    )]
    Io {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An earlier failure left it in an unknown state.
    #[error(
        "the table of signed blocks `{path}` failed before ({reason}); no block is signed; check \
         the disc and restart the wallet"
    )]
    Broken {
        /// The file.
        path: Utf8PathBuf,
        /// What failed.
        reason: String,
    },
    /// It was changed.
    #[error(
        "the table of signed blocks `{path}` is damaged at offset {offset}: {reason}; no block is \
         signed; restore it from a backup that is newer than the last signed block, or wait \
         until the chain has moved on and start with an empty directory"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}

impl BlockTable {
    /// Opens the table in `dir`, and makes it where there is none.
    ///
    /// # Errors
    /// `Damaged` names file and offset.
    pub fn open(dir: &Utf8Path) -> Result<Self, TableError> {
        let lock = DirLock::take(dir)?;
        let path = dir.join(FILE);
        let failed = |act| {
            let path = path.clone();
            move |source| TableError::Io { act, path, source }
        };
        durable::remove_temporaries(dir).map_err(failed("tidy"))?;
        if !path.try_exists().map_err(failed("find"))? {
            durable::replace(dir, FILE, MAGIC).map_err(failed("make"))?;
        }
        let bytes = fs::read(&path).map_err(failed("read"))?;
        // A compaction that was cut short leaves a mark that claims nothing.
        let acknowledged =
            Mark::read_in(dir).map_err(failed("read the mark of"))?.filter(|mark| mark.offset > 0);
        let mut miners = BTreeMap::new();
        let (offset, head, records) = replay(&path, &bytes, acknowledged, &mut miners)?;
        let file = OpenOptions::new().write(true).open(&path).map_err(failed("open"))?;
        if offset < bytes.len() {
            file.set_len(offset as u64).map_err(failed("cut the torn end of"))?;
        }
        file.sync_all().map_err(failed("sync"))?;
        let mark = MarkWriter::open(dir).map_err(failed("mark"))?;
        let offset = offset as u64;
        let inner = Inner { file, offset, head, records, miners, mark, broken: None };
        inner.write_mark().map_err(failed("mark"))?;
        durable::sync_dir(dir).map_err(failed("sync"))?;
        Ok(Self { path, dir: dir.to_owned(), inner: Mutex::new(inner), _lock: lock })
    }

    /// Reserves the right to sign `header` (the hash of the header without its signature) for
    /// `miner` at `epoch` on `parents` (the bytes of their key). Durable when it returns.
    ///
    /// # Errors
    /// When another header has the epoch or the parents, or the table cannot be written.
    pub fn reserve(
        &self,
        miner: &Address,
        epoch: i64,
        parents: &[u8],
        header: &Cid,
    ) -> Result<(), Conflict> {
        let mut inner = self.inner.lock();
        if let Some(reason) = &inner.broken {
            let (path, reason) = (self.path.clone(), reason.clone());
            return Err(TableError::Broken { path, reason }.into());
        }
        let row = Row { parents: *blake3::hash(parents).as_bytes(), header: *header };
        if let Some(known) = inner.miners.get(miner)
            && known.admit(miner, epoch, &row)? == Admission::Repeated
        {
            return Ok(());
        }
        self.write(&mut inner, &line_of(miner, epoch, &row))?;
        inner.miners.entry(*miner).or_default().insert(epoch, row);
        if inner.records > COMPACT_RECORDS {
            self.compact(&mut inner)?;
        }
        Ok(())
    }

    fn write(&self, inner: &mut Inner, line: &Line) -> Result<(), TableError> {
        let mut bytes = Vec::new();
        let head = frame::push(&mut bytes, &inner.head, &body_of(line));
        let written = inner.file.write_all_at(&bytes, inner.offset);
        let written = match written {
            Ok(()) => inner.file.sync_data().map_err(|error| (error, false)),
            // Undone, so that half a record never stands before a later one.
            Err(error) => {
                let is_undone = inner.file.set_len(inner.offset).is_ok();
                Err((error, is_undone))
            }
        };
        if let Err((source, is_undone)) = written {
            if !is_undone {
                inner.broken = Some(source.to_string());
            }
            return Err(TableError::Io { act: "write", path: self.path.clone(), source });
        }
        inner.offset += bytes.len() as u64;
        inner.head = head;
        inner.records += 1;
        if let Err(source) = inner.write_mark() {
            inner.broken = Some(source.to_string());
            return Err(TableError::Io { act: "mark", path: self.path.clone(), source });
        }
        Ok(())
    }

    /// Forgets epochs that are long final and writes the rest anew. The block that led here is
    /// durable already: a failure only stops later ones.
    fn compact(&self, inner: &mut Inner) -> Result<(), TableError> {
        for known in inner.miners.values_mut() {
            known.forget();
        }
        let kept: usize = inner.miners.values().map(Miner::lines).sum();
        if kept * 2 > inner.records {
            return Ok(());
        }
        let mut bytes = MAGIC.to_vec();
        let (mut head, mut records) = (GENESIS, 0);
        for (miner, known) in &inner.miners {
            let floor = Line::Floor { miner: text_of(miner), epoch: known.floor };
            let rows = known.by_epoch.iter().map(|(epoch, row)| line_of(miner, *epoch, row));
            let spent = known.spent_lines(miner);
            for line in std::iter::once(floor).chain(spent).chain(rows) {
                head = frame::push(&mut bytes, &head, &body_of(&line));
                records += 1;
            }
        }
        // Between the two files the mark claims nothing.
        let nothing = Mark { segment: 1, offset: 0, position: Position::START };
        let replaced = inner
            .mark
            .write(&nothing)
            .and_then(|()| inner.mark.sync())
            .and_then(|()| durable::replace(&self.dir, FILE, &bytes))
            .and_then(|()| OpenOptions::new().write(true).open(&self.path))
            .and_then(|file| {
                inner.file = file;
                inner.offset = bytes.len() as u64;
                inner.head = head;
                inner.records = records;
                inner.write_mark()
            });
        match replaced {
            Ok(()) => Ok(()),
            Err(source) => {
                // It is unknown which of the two files now has the name.
                inner.broken = Some(source.to_string());
                Err(TableError::Io { act: "compact", path: self.path.clone(), source })
            }
        }
    }
}

impl std::fmt::Debug for BlockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockTable").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Inner {
    /// Says durably how much of the file was acknowledged. Blocks are few, so that a second sync
    /// costs nothing that matters.
    fn write_mark(&self) -> io::Result<()> {
        let position = Position { sequence: self.records as u64, hash: self.head };
        self.mark.write(&Mark { segment: 1, offset: self.offset, position })?;
        self.mark.sync()
    }
}

#[derive(PartialEq, Eq)]
enum Admission {
    New,
    Repeated,
}

impl Miner {
    fn admit(&self, miner: &Address, epoch: i64, row: &Row) -> Result<Admission, Conflict> {
        let miner = || text_of(miner);
        if let Some(first) = self.by_epoch.get(&epoch) {
            return if first == row {
                Ok(Admission::Repeated)
            } else {
                Err(Conflict::Epoch { miner: miner(), epoch, first: cid::format(&first.header) })
            };
        }
        if epoch < self.floor {
            return Err(Conflict::TooOld { miner: miner(), epoch, floor: self.floor });
        }
        if let Some(epoch) = self.by_parents.get(&row.parents)
            && let Some(first) = self.by_epoch.get(epoch)
        {
            return Err(Conflict::Parents {
                miner: miner(),
                epoch: *epoch,
                first: cid::format(&first.header),
            });
        }
        if self.spent.contains(&spent_of(&row.parents)) {
            return Err(Conflict::SpentParents { miner: miner() });
        }
        Ok(Admission::New)
    }

    fn insert(&mut self, epoch: i64, row: Row) {
        self.by_parents.insert(row.parents, epoch);
        self.by_epoch.insert(epoch, row);
    }

    fn forget(&mut self) {
        let Some(oldest) = self.by_epoch.len().checked_sub(ROWS_KEPT) else { return };
        let Some(floor) = self.by_epoch.keys().nth(oldest).copied() else { return };
        self.floor = self.floor.max(floor);
        let kept = self.by_epoch.split_off(&floor);
        for row in std::mem::replace(&mut self.by_epoch, kept).values() {
            self.by_parents.remove(&row.parents);
            self.spent.insert(spent_of(&row.parents));
        }
    }

    /// How many records hold it.
    fn lines(&self) -> usize {
        1 + self.by_epoch.len() + self.spent.len().div_ceil(SPENT_PER_RECORD)
    }

    fn spent_lines(&self, miner: &Address) -> Vec<Line> {
        let spent: Vec<String> = self.spent.iter().map(hex::encode).collect();
        let line = |some: &[String]| Line::Spent { miner: text_of(miner), parents: some.concat() };
        spent.chunks(SPENT_PER_RECORD).map(line).collect()
    }
}

fn text_of(miner: &Address) -> String {
    address::format(miner, Network::Mainnet)
}

fn spent_of(parents: &Hash) -> Spent {
    *parents.first_chunk().expect("a hash is longer than its beginning")
}

fn line_of(miner: &Address, epoch: i64, row: &Row) -> Line {
    Line::Block {
        miner: text_of(miner),
        epoch,
        parents: hex::encode(row.parents),
        header: cid::format(&row.header),
    }
}

fn body_of(line: &Line) -> Vec<u8> {
    serde_json::to_vec(line).expect("strings and numbers always have a JSON form")
}

/// Reads all records; gives where the good ones end, their last link, and how many there are.
fn replay(
    path: &Utf8Path,
    bytes: &[u8],
    acknowledged: Option<Mark>,
    miners: &mut BTreeMap<Address, Miner>,
) -> Result<(usize, Hash, usize), TableError> {
    let damaged = |offset: usize, reason: &str| TableError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        reason: reason.to_owned(),
    };
    if bytes.get(..MAGIC.len()) != Some(MAGIC) {
        return Err(damaged(0, "it does not begin as this wallet writes it"));
    }
    let (mut offset, mut head, mut records) = (MAGIC.len(), GENESIS, 0);
    let mut is_mark_met = acknowledged.is_none_or(|mark| mark.offset <= offset as u64);
    loop {
        match frame::next(bytes, offset, &head) {
            Step::End => break,
            Step::Bad(bad)
                if is_mark_met && (acknowledged.is_some() || bad.is_interrupted_append()) =>
            {
                break;
            }
            Step::Bad(bad) => return Err(damaged(offset, bad.reason())),
            Step::Record { body, hash, end } => {
                let line = serde_json::from_slice(body)
                    .map_err(|error| damaged(offset, &error.to_string()))?;
                take(line, miners).ok_or_else(|| damaged(offset, "a field cannot be read"))?;
                (offset, head, records) = (end, hash, records + 1);
                is_mark_met |= acknowledged
                    .is_some_and(|mark| mark.offset == end as u64 && mark.position.hash == hash);
            }
        }
    }
    if !is_mark_met {
        return Err(damaged(offset, "it does not hold all that was acknowledged"));
    }
    Ok((offset, head, records))
}

fn take(line: Line, miners: &mut BTreeMap<Address, Miner>) -> Option<()> {
    match line {
        Line::Block { miner, epoch, parents, header } => {
            let mut hash = GENESIS;
            hex::decode_to_slice(parents, &mut hash).ok()?;
            let row = Row { parents: hash, header: cid::parse(&header).ok()? };
            miners.entry(address::parse(&miner).ok()?).or_default().insert(epoch, row);
        }
        Line::Floor { miner, epoch } => {
            miners.entry(address::parse(&miner).ok()?).or_default().floor = epoch;
        }
        Line::Spent { miner, parents } => {
            let bytes = hex::decode(parents).ok()?;
            let (spent, rest) = bytes.as_chunks();
            let known = miners.entry(address::parse(&miner).ok()?).or_default();
            known.spent.extend(spent);
            rest.is_empty().then_some(())?;
        }
    }
    Some(())
}
