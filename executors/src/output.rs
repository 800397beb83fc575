//! **Purpose**: find the kept output of an attempt.
//!
//! **Invariants**
//! - A lease's attempts follow each other in its files `out` and `err`; `index` has one fixed-size
//!   entry for each that has ended. The running one's output begins where the last entry ends.
//! - Names come from the wire: only plain file names are opened.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use camino::Utf8Path;

pub(crate) const OUT: &str = "out";
pub(crate) const ERR: &str = "err";
pub(crate) const INDEX: &str = "index";
const ENTRY_BYTES: usize = 40;

/// Where an ended attempt's output lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) token: u64,
    pub(crate) out_start: u64,
    pub(crate) out_end: u64,
    pub(crate) err_start: u64,
    pub(crate) err_end: u64,
}

impl IndexEntry {
    /// Belongs to no attempt; tokens begin above 0.
    pub(crate) const NONE: IndexEntry =
        IndexEntry { token: 0, out_start: 0, out_end: 0, err_start: 0, err_end: 0 };

    pub(crate) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let fields = [self.token, self.out_start, self.out_end, self.err_start, self.err_end];
        for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> IndexEntry {
        let mut fields = [0_u64; 5];
        for (field, from) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
            *field = u64::from_le_bytes(from.try_into().expect("chunks of eight"));
        }
        let [token, out_start, out_end, err_start, err_end] = fields;
        IndexEntry { token, out_start, out_end, err_start, err_end }
    }
}

/// All whole entries of a lease's index, without the one that only reserves room.
pub(crate) fn read_index(lease_dir: &Utf8Path) -> io::Result<Vec<IndexEntry>> {
    let bytes = match fs::read(lease_dir.join(INDEX)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(bytes
        .chunks_exact(ENTRY_BYTES)
        .map(IndexEntry::from_bytes)
        .filter(|entry| entry.token != 0)
        .collect())
}

/// A piece of an output: the bytes, whether the output ends there, and how long it is by now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_end: bool,
    pub(crate) total: u64,
}

/// Which of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Reads a piece of a packed stream; none when the lease's files know nothing of `token` and it
/// does not run.
pub(crate) fn read_packed(
    lease_dir: &Utf8Path,
    token: u64,
    is_running: bool,
    stream: Stream,
    offset: u64,
    length: u32,
) -> io::Result<Option<Piece>> {
    let name = match stream {
        Stream::Stdout => OUT,
        Stream::Stderr => ERR,
    };
    let range = |entry: &IndexEntry| match stream {
        Stream::Stdout => (entry.out_start, entry.out_end),
        Stream::Stderr => (entry.err_start, entry.err_end),
    };
    let index = read_index(lease_dir)?;
    let (start, end) = match index.iter().find(|entry| entry.token == token) {
        Some(entry) => range(entry),
        None if is_running => {
            let start = index.last().map_or(0, |entry| range(entry).1);
            let end = fs::metadata(lease_dir.join(name)).map_or(start, |found| found.len());
            (start, end.max(start))
        }
        None => return Ok(None),
    };
    let total = end - start;
    let file = File::open(lease_dir.join(name))?;
    let bytes = read_range(&file, start + offset.min(total), total - offset.min(total), length)?;
    let is_end = offset.saturating_add(bytes.len() as u64) >= total;
    Ok(Some(Piece { bytes, is_end, total }))
}

/// Reads a piece of a file.
pub(crate) fn read_file(path: &Utf8Path, offset: u64, length: u32) -> io::Result<Piece> {
    let file = File::open(path)?;
    let total = file.metadata()?.len();
    let bytes = read_range(&file, offset.min(total), total - offset.min(total), length)?;
    let is_end = offset.saturating_add(bytes.len() as u64) >= total;
    Ok(Piece { bytes, is_end, total })
}

fn read_range(file: &File, at: u64, left: u64, length: u32) -> io::Result<Vec<u8>> {
    let length = usize::try_from(left.min(u64::from(length.min(1 << 20)))).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Whether `name` is one plain component that can lead nowhere else.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.contains(['/', '\0', '\\'])
}
