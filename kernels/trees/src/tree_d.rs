//! Tree D: the binary SHA-256 tree over the data of a sector.
//!
//! **Purpose**: one pass over the unsealed file gives the tree file, `comm_d` and the BLAKE3 of the
//! file; threads take pieces of a mebibyte and carry them up to rows of 32 nodes.
//!
//! **Invariants**
//! - The file holds all rows, the data first and the root last: `2 N - 1` nodes of 32 bytes.
//! - Memory is 2 MiB per thread and 45 bytes per 1,024 nodes of the sector, for a moment at the end
//!   100 (100 MiB at 32 GiB).
//! - No byte is read back for the BLAKE3: with `N` a power of two, the left subtree of what remains
//!   of the file is always exactly one row, so chaining values of the pieces join to that of the row
//!   and those of the rows to the hash of the file.
//!
//! **Source**: Filecoin specification, "CommD"; BLAKE3 paper, section 2.1 (tree structure).

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use hesper_sha256::{Backend, hash_pairs};

use crate::output::{FileError, Output, Written, refuse_inputs};
use crate::parts;

/// Bytes of a node.
const NODE: usize = 32;
/// Nodes of data that a thread takes at once: a mebibyte, and as much again for the rows above.
const PIECE_NODES: usize = 1 << 15;
/// Where a piece stops: 32 nodes are one chunk of BLAKE3. The rows above are made in memory.
const TOP_NODES: usize = blake3::CHUNK_LEN / NODE;
/// The smallest sector of the network, which is also the smallest tree that this module makes.
const SECTOR_BYTES_MIN: u64 = 2048;

/// A tree that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The root.
    pub comm_d: [u8; 32],
    /// The file.
    pub file: Written,
}

/// Why a tree could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such sector.
    #[error(
        "a sector of {bytes} bytes has no tree D; give a power of two of at least 2048, the size of \
         the proof type"
    )]
    SectorSize {
        /// The size given.
        bytes: u64,
    },
    /// The data are not a sector.
    #[error(
        "unsealed data `{}` have {found} bytes, the sector has {expected}; pad the last piece or \
         fetch the file again", path.display()
    )]
    DataLength {
        /// The unsealed file.
        path: PathBuf,
        /// What the sector holds.
        expected: u64,
        /// What the file has.
        found: u64,
    },
    /// A file could not be read or written.
    #[error("tree D was not built")]
    File(#[from] FileError),
}

/// Build the tree over the unsealed file `data`, which holds exactly `sector_bytes`, into `out`.
///
/// # Errors
///
/// A size that no sector has, data of another length, files that cannot be read or written, and an
/// `out` that would replace the data.
pub fn build(
    data: &Path,
    out: &Path,
    sector_bytes: u64,
    threads: NonZeroUsize,
) -> Result<Tree, Error> {
    let (tree, output) = make(data, out, sector_bytes, threads)?;
    output.finish()?;
    Ok(tree)
}

/// As [`build`], but the file has not its name yet.
pub(crate) fn make(
    data: &Path,
    out: &Path,
    sector_bytes: u64,
    threads: NonZeroUsize,
) -> Result<(Tree, Output), Error> {
    let builder = Builder::open(data, sector_bytes)?;
    refuse_inputs([out.to_owned()], &[data])?;
    let output = Output::create(out)?;
    let (comm_d, blake3) = builder.run(Some(&output), threads)?;
    let bytes = 2 * sector_bytes - NODE as u64;
    Ok((Tree { comm_d, file: Written { path: out.to_owned(), bytes, blake3 } }, output))
}

/// The root of the tree over `data` without a file of the tree.
///
/// # Errors
///
/// As [`build`].
pub fn commitment(
    data: &Path,
    sector_bytes: u64,
    threads: NonZeroUsize,
) -> Result<[u8; 32], Error> {
    Ok(Builder::open(data, sector_bytes)?.run(None, threads)?.0)
}

/// Hash `row` into `above`, half as long.
pub(crate) fn hash_row(backend: Backend, row: &[u8], above: &mut [u8]) {
    hash_pairs(backend, row, above);
}

struct Builder<'a> {
    data: File,
    path: &'a Path,
    nodes: usize,
    piece_nodes: usize,
    backend: Backend,
}

/// What a thread leaves of one piece.
#[derive(Clone)]
struct Done {
    /// The chaining value of the piece's part of each row from the data up to its 32 nodes.
    rows: Vec<ChainingValue>,
    /// The highest of those rows.
    top: [u8; TOP_NODES * NODE],
}

impl<'a> Builder<'a> {
    fn open(path: &'a Path, sector_bytes: u64) -> Result<Builder<'a>, Error> {
        let nodes = usize::try_from(sector_bytes / NODE as u64).ok();
        let nodes = nodes
            .filter(|_| sector_bytes.is_power_of_two() && sector_bytes >= SECTOR_BYTES_MIN)
            .ok_or(Error::SectorSize { bytes: sector_bytes })?;
        let data = File::open(path).map_err(FileError::io("open", path))?;
        let found = data.metadata().map_err(FileError::io("read the length of", path))?.len();
        if found != sector_bytes {
            return Err(Error::DataLength { path: path.to_owned(), expected: sector_bytes, found });
        }
        let piece_nodes = nodes.min(PIECE_NODES);
        Ok(Builder { data, path, nodes, piece_nodes, backend: Backend::detect() })
    }

    /// The file's offset of row `row`.
    fn row_offset(&self, row: usize) -> u64 {
        let all = 2 * self.nodes;
        ((all - (all >> row)) * NODE) as u64
    }

    fn run(
        &self,
        output: Option<&Output>,
        threads: NonZeroUsize,
    ) -> Result<([u8; 32], [u8; 32]), FileError> {
        let pieces = self.nodes / self.piece_nodes;
        let done: Mutex<Vec<Option<Done>>> = Mutex::new(vec![None; pieces]);
        parts::for_each(threads, pieces, 2 * self.piece_nodes * NODE, |piece, buffer| {
            let made = self.piece(piece, output, buffer)?;
            lock(&done)[piece] = Some(made);
            Ok(())
        })?;
        let done: Vec<Done> = lock(&done).drain(..).flatten().collect();
        self.finish(&done, output)
    }

    /// Read one piece, hash it up to 32 nodes and write its part of each row.
    fn piece(
        &self,
        piece: usize,
        output: Option<&Output>,
        buffer: &mut [u8],
    ) -> Result<Done, FileError> {
        let mut bytes = self.piece_nodes * NODE;
        let offset = (piece * bytes) as u64;
        self.data
            .read_exact_at(&mut buffer[..bytes], offset)
            .map_err(FileError::io("read", self.path))?;
        let mut rows = Vec::new();
        let mut rest = &mut *buffer;
        for row in 0.. {
            let (current, above) = rest.split_at_mut(bytes);
            let place = self.row_offset(row) + (piece * bytes) as u64;
            if let Some(output) = output {
                output.write_at(current, place)?;
                rows.push(chaining_value(current, place));
            }
            if bytes == TOP_NODES * NODE {
                let mut top = [0; TOP_NODES * NODE];
                top.copy_from_slice(current);
                return Ok(Done { rows, top });
            }
            hash_row(self.backend, current, &mut above[..bytes / 2]);
            bytes /= 2;
            rest = above;
        }
        unreachable!("a piece is a power of two of at least 32 nodes")
    }

    /// The rows above the pieces, the root and the hash of the file.
    fn finish(
        &self,
        done: &[Done],
        output: Option<&Output>,
    ) -> Result<([u8; 32], [u8; 32]), FileError> {
        let rows_of_pieces = done.first().map_or(0, |one| one.rows.len());
        let mut values: Vec<ChainingValue> = (0..rows_of_pieces)
            .map(|row| join(done.iter().map(|one| one.rows[row]).collect()))
            .collect();

        let mut current: Vec<u8> = done.iter().flat_map(|one| one.top).collect();
        let mut row = (self.piece_nodes / TOP_NODES).trailing_zeros() as usize;
        // The last rows, 31 nodes in all, are one chunk of BLAKE3.
        let mut last = Vec::new();
        let last_offset = self.row_offset((self.nodes / TOP_NODES).trailing_zeros() as usize + 1);
        while current.len() > NODE {
            let mut above = vec![0; current.len() / 2];
            hash_row(self.backend, &current, &mut above);
            row += 1;
            let place = self.row_offset(row);
            if above.len() < TOP_NODES * NODE {
                last.extend_from_slice(&above);
            } else if let Some(output) = output {
                output.write_at(&above, place)?;
                values.push(chaining_value(&above, place));
            }
            current = above;
        }
        let mut root = [0; NODE];
        root.copy_from_slice(&current);
        let Some(output) = output else { return Ok((root, [0; 32])) };
        output.write_at(&last, last_offset)?;
        let mut rest = chaining_value(&last, last_offset);
        let (first, others) = values.split_first().expect("a tree has at least two rows");
        for value in others.iter().rev() {
            rest = merge_subtrees_non_root(value, &rest, Mode::Hash);
        }
        Ok((root, *merge_subtrees_root(first, &rest, Mode::Hash).as_bytes()))
    }
}

/// The chaining value of `bytes` that lie at `offset` of a longer file, a subtree of its own.
fn chaining_value(bytes: &[u8], offset: u64) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset).update(bytes);
    hasher.finalize_non_root()
}

/// The chaining value of a row from those of its equal parts, a power of two of them.
fn join(mut values: Vec<ChainingValue>) -> ChainingValue {
    while values.len() > 1 {
        values = values
            .chunks_exact(2)
            .map(|pair| merge_subtrees_non_root(&pair[0], &pair[1], Mode::Hash))
            .collect();
    }
    values[0]
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A thread that panicked ends the whole build by itself; the list it left is whole.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
