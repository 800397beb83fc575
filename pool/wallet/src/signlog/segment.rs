//! **Purpose**: the files of the log: segments, the mark of what was acknowledged, the checkpoint
//! of what was pruned.
//!
//! **Invariants**
//! - A segment appears under its name with a complete, durable header.
//! - The mark is written only after what it covers is durable: damage before it is never a torn tail.
//! - The checkpoint's own digest is in the chain, so that its counters cannot be changed unseen.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{
    counters::Counters,
    error::LogError,
    frame::{GENESIS, Hash},
};
use crate::keystore::durable;

const MAGIC: &[u8; 8] = b"HESPLOG1";
const MARK_MAGIC: &[u8; 8] = b"HESPMRK1";
const SUFFIX: &str = ".log";
const MARK: &str = "acknowledged";
const CHECKPOINT: &str = "checkpoint.json";

/// Bytes before the first record: magic, first sequence, link before it, and a digest of these.
pub(crate) const HEADER_BYTES: usize = 8 + 8 + 32 + 32;

const MARK_BYTES: usize = 8 + 8 + 8 + 8 + 32 + 32;

/// A place in the chain: after `sequence` records the link is `hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) hash: Hash,
}

impl Position {
    pub(crate) const START: Self = Self { sequence: 0, hash: GENESIS };
}

/// The end of a segment that is being appended to: the seam where tests let writes fail.
pub(crate) trait Tail: Send {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Tail for File {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// How the tail is opened.
pub(crate) type OpenTail = Box<dyn Fn(&Utf8Path) -> io::Result<Box<dyn Tail>> + Send + Sync>;

pub(crate) fn on_disc() -> OpenTail {
    Box::new(|path| {
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Box::new(file) as Box<dyn Tail>)
    })
}

pub(crate) fn path_of(dir: &Utf8Path, first: u64) -> Utf8PathBuf {
    dir.join(format!("{first:020}{SUFFIX}"))
}

/// First sequences of the segments in `dir`, in order.
pub(crate) fn list(dir: &Utf8Path) -> Result<Vec<u64>, LogError> {
    let failed = |source| LogError::read(dir, source);
    let mut found = Vec::new();
    for entry in dir.read_dir_utf8().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(stem) = entry.file_name().strip_suffix(SUFFIX) else { continue };
        if stem.len() == 20
            && let Ok(first) = stem.parse()
        {
            found.push(first);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes an empty segment that continues `after`.
pub(crate) fn create(dir: &Utf8Path, after: Position) -> io::Result<Utf8PathBuf> {
    let first = after.sequence + 1;
    let path = path_of(dir, first);
    let name = path.file_name().unwrap_or_default();
    durable::replace(dir, name, &header(first, &after.hash))?;
    Ok(path)
}

fn header(first: u64, previous: &Hash) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(previous);
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// Reads a segment whole and gives its bytes with the position that its header continues.
pub(crate) fn read(dir: &Utf8Path, first: u64) -> Result<(Vec<u8>, Position), LogError> {
    let path = path_of(dir, first);
    let bytes = fs::read(&path).map_err(|source| LogError::read(&path, source))?;
    let previous: Option<Hash> = bytes.get(16..48).and_then(|hash| hash.try_into().ok());
    match previous {
        Some(hash) if first > 0 && bytes.get(..HEADER_BYTES) == Some(&header(first, &hash)[..]) => {
            Ok((bytes, Position { sequence: first - 1, hash }))
        }
        _ => Err(LogError::damaged(&path, 0, "its header is not what this wallet writes")),
    }
}

/// How far the log was acknowledged at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) position: Position,
}

impl Mark {
    fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(MARK_MAGIC);
        bytes[8..16].copy_from_slice(&self.segment.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.sequence.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.position.hash);
        let digest = blake3::hash(&bytes[..64]);
        bytes[64..].copy_from_slice(digest.as_bytes());
        bytes
    }

    fn decode(bytes: &[u8; MARK_BYTES]) -> Option<Self> {
        let number = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
        };
        let mark = Self {
            segment: number(8)?,
            offset: number(16)?,
            position: Position { sequence: number(24)?, hash: bytes.get(32..64)?.try_into().ok()? },
        };
        (mark.encode() == *bytes).then_some(mark)
    }

    /// The mark in `dir`. One that is missing or half-written is `None`: it says nothing.
    pub(crate) fn read_in(dir: &Utf8Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(MARK)) {
            Ok(bytes) => Ok(<&[u8; MARK_BYTES]>::try_from(&bytes[..]).ok().and_then(Self::decode)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes marks in place; the bytes reach the disc with the next flush of the system, at the latest
/// when a segment is complete.
#[derive(Debug)]
pub(crate) struct MarkWriter(File);

impl MarkWriter {
    pub(crate) fn open(dir: &Utf8Path) -> io::Result<Self> {
        let path = dir.join(MARK);
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(Self)
    }

    pub(crate) fn write(&self, mark: &Mark) -> io::Result<()> {
        self.0.write_all_at(&mark.encode(), 0)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// What stands in place of pruned segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    /// Sequence of the last record that was dropped.
    pub(crate) through: u64,
    /// Its link, hex.
    pub(crate) hash: String,
    /// Counters after it.
    pub(crate) counters: Counters,
}

impl Checkpoint {
    pub(crate) fn position(&self) -> Option<Position> {
        let mut hash = GENESIS;
        hex::decode_to_slice(&self.hash, &mut hash).ok()?;
        Some(Position { sequence: self.through, hash })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, LogError> {
        serde_json::to_vec(self).map_err(LogError::Encode)
    }

    /// The checkpoint in `dir` with the hex digest that the chain must name.
    pub(crate) fn read(dir: &Utf8Path) -> Result<Option<(Self, String)>, LogError> {
        let path = dir.join(CHECKPOINT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LogError::read(&path, source)),
        };
        let digest = Self::digest(&bytes);
        let checkpoint: Self = serde_json::from_slice(&bytes)
            .map_err(|error| LogError::damaged(&path, 0, error.to_string()))?;
        Ok(Some((checkpoint, digest)))
    }

    pub(crate) fn digest(encoded: &[u8]) -> String {
        blake3::hash(encoded).to_hex().to_string()
    }

    pub(crate) fn path(dir: &Utf8Path) -> Utf8PathBuf {
        dir.join(CHECKPOINT)
    }

    pub(crate) fn write(dir: &Utf8Path, encoded: &[u8]) -> io::Result<()> {
        durable::replace(dir, CHECKPOINT, encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_mark_says_nothing() {
        let mark =
            Mark { segment: 3, offset: 99, position: Position { sequence: 7, hash: [5; 32] } };
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        for index in 0..bytes.len() {
            let mut changed = bytes;
            changed[index] ^= 0x10;
            assert_eq!(Mark::decode(&changed), None, "byte {index}");
        }
    }

    #[test]
    fn a_changed_header_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let after = Position { sequence: 41, hash: [9; 32] };
        let path = create(dir, after).unwrap();
        assert_eq!(read(dir, 42).unwrap().1, after);
        assert_eq!(list(dir).unwrap(), [42]);
        let good = fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut changed = good.clone();
            changed[index] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(matches!(read(dir, 42), Err(LogError::Damaged { .. })), "byte {index}");
        }
    }
}
