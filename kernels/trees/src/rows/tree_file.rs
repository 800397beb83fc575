//! **Purpose**: the file of one 8-ary base tree, built from chunks of leaves that come in any order
//! and from any thread.
//!
//! **Invariants**
//! - A chunk is 8^`chunk_rows` leaves with all rows above them up to its one root.
//! - Rows that have at least [`PART_BYTES_MIN`] in each chunk are written and digested chunk by
//!   chunk. The few nodes above wait in memory (the crown) until the last chunk has come.
//! - Nothing that was written is read back.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hesper_poseidon::Backend;

use super::digest::{self, PART_BYTES_MIN};
use crate::output::{FileError, Output, Written};
use crate::shape::{NODE_BYTES, rows_len};

/// Rows of a chunk that wait in memory: one node, and eight nodes.
const CROWN_ROWS: u32 = 2;

/// Least rows above the leaves of a chunk: below the crown a row has 64 nodes or more.
pub(crate) const CHUNK_ROWS_MIN: u32 = CROWN_ROWS;

const _: () = assert!(NODE_BYTES << (3 * CROWN_ROWS) >= PART_BYTES_MIN);

/// Bytes of the rows `from..=top` of a tree with 8^`top` leaves.
pub(crate) const fn rows_bytes(top: u32, from: u32) -> u64 {
    rows_len(top, from) * NODE_BYTES as u64
}

/// How the rows of a base tree are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The row of the root; the leaves are row 0.
    pub(crate) top: u32,
    /// The lowest row that the file holds.
    pub(crate) lowest: u32,
    /// The row of which a chunk has one node.
    pub(crate) chunk_rows: u32,
}

impl Layout {
    /// Bytes of the file.
    pub(crate) const fn file_bytes(self) -> u64 {
        rows_bytes(self.top, self.lowest)
    }

    /// Bytes of a chunk with all its rows, those included that the file does not hold.
    pub(crate) const fn chunk_bytes(self) -> u64 {
        rows_bytes(self.chunk_rows, 0)
    }

    const fn chunks(self) -> u64 {
        1 << (3 * (self.top - self.chunk_rows))
    }

    const fn crown_from(self) -> u32 {
        self.chunk_rows + 1 - CROWN_ROWS
    }

    /// Rows of the file below the crown.
    fn rows_in_parts(self) -> std::ops::Range<u32> {
        self.lowest..self.crown_from().max(self.lowest)
    }

    /// Bytes that a file holds in memory until it is finished.
    pub(crate) fn resident_bytes(self) -> u64 {
        let values = self.chunks() * 2 * 32 * u64::from(self.rows_in_parts().end - self.lowest);
        rows_bytes(self.top, self.crown_from()) + values
    }
}

/// A base tree under construction.
#[derive(Debug)]
pub(crate) struct TreeFile {
    path: PathBuf,
    layout: Layout,
    output: Output,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// No chunk has come: nothing is held in memory.
    Untouched,
    Open(Open),
    Finished(Finished),
}

#[derive(Debug)]
struct Open {
    /// The rows from [`Layout::crown_from`] up.
    crown: Vec<u8>,
    /// For each row in parts, the chaining values of its parts' halves.
    values: Vec<Vec<[u8; 32]>>,
    missing: u64,
}

#[derive(Clone, Copy, Debug)]
struct Finished {
    root: [u8; 32],
    blake3: [u8; 32],
}

impl TreeFile {
    pub(crate) fn create(path: &Path, layout: Layout) -> Result<Self, FileError> {
        debug_assert!(layout.chunk_rows >= CHUNK_ROWS_MIN && layout.chunk_rows <= layout.top);
        let output = Output::with_len(path, layout.file_bytes())?;
        Ok(Self { path: path.to_owned(), layout, output, state: Mutex::new(State::Untouched) })
    }

    /// Takes the chunk number `index`, each exactly once: all its rows, leaves first. The thread
    /// that brings the last one finishes the file.
    pub(crate) fn put(&self, backend: Backend, index: u64, rows: &[u8]) -> Result<(), FileError> {
        let layout = self.layout;
        debug_assert_eq!(rows.len() as u64, layout.chunk_bytes());
        let mut parts = Vec::new();
        for row in layout.rows_in_parts() {
            let part = chunk_row(rows, layout.chunk_rows, row);
            let offset = self.offset(row) + index * part.len() as u64;
            self.output.write_at(part, offset)?;
            parts.push(digest::halves(part, offset));
        }
        let mut state = self.lock();
        if matches!(*state, State::Untouched) {
            *state = State::Open(Open::new(layout));
        }
        let State::Open(open) = &mut *state else {
            unreachable!("a chunk comes once, so no chunk comes after the last");
        };
        open.take(layout, index, rows, &parts);
        if open.missing == 0 {
            let finished = self.finish(backend, open)?;
            *state = State::Finished(finished);
        }
        Ok(())
    }

    /// The rows above the chunks: the one part of a tree that is not made in parallel.
    fn finish(&self, backend: Backend, open: &mut Open) -> Result<Finished, FileError> {
        let layout = self.layout;
        let (top, crown_from) = (layout.top, layout.crown_from());
        // The lowest crown row is given, and so is the one above it: made by the chunks.
        let given = (NODE_BYTES as u64) << (3 * (top - crown_from));
        let upper = &mut open.crown[index_of(given)..];
        super::fill(backend, upper, top - layout.chunk_rows);

        let tail_from = crown_from.max(layout.lowest);
        let skipped = rows_bytes(top, crown_from) - rows_bytes(top, tail_from);
        let tail = &open.crown[index_of(skipped)..];
        let offset = self.offset(tail_from);
        self.output.write_at(tail, offset)?;
        let blake3 = digest::of_regions(&open.values, tail, offset);
        let mut root = [0; NODE_BYTES];
        root.copy_from_slice(&open.crown[open.crown.len() - NODE_BYTES..]);
        Ok(Finished { root, blake3 })
    }

    /// The root. `None` before the last chunk has come.
    pub(crate) fn root(&self) -> Option<[u8; 32]> {
        match &*self.lock() {
            State::Finished(finished) => Some(finished.root),
            State::Untouched | State::Open(_) => None,
        }
    }

    /// Waits until the bytes are on disc.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.output.sync()
    }

    /// Gives the file its name.
    ///
    /// # Panics
    /// When chunks are missing.
    pub(crate) fn rename(self) -> Result<Written, FileError> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State::Finished(finished) = state else {
            panic!("a tree file is renamed only when all its chunks have come");
        };
        self.output.rename()?;
        let (bytes, blake3) = (self.layout.file_bytes(), finished.blake3);
        Ok(Written { path: self.path, bytes, blake3 })
    }

    fn offset(&self, row: u32) -> u64 {
        let Layout { top, lowest, .. } = self.layout;
        rows_bytes(top, lowest) - rows_bytes(top, row)
    }

    /// A poisoned state belongs to a run that fails anyway: its thread's panic is passed on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(layout: Layout) -> Self {
        let parts = layout.rows_in_parts();
        let halves = index_of(2 * layout.chunks());
        Self {
            crown: vec![0; index_of(rows_bytes(layout.top, layout.crown_from()))],
            values: vec![vec![[0; 32]; halves]; parts.len()],
            missing: layout.chunks(),
        }
    }

    fn take(&mut self, layout: Layout, index: u64, rows: &[u8], parts: &[[[u8; 32]; 2]]) {
        let at = index_of(2 * index);
        for (values, halves) in self.values.iter_mut().zip(parts) {
            values[at..at + 2].copy_from_slice(halves);
        }
        let mut start = 0;
        for row in layout.crown_from()..=layout.chunk_rows {
            let nodes = chunk_row(rows, layout.chunk_rows, row);
            let at = start + index_of(index) * nodes.len();
            self.crown[at..at + nodes.len()].copy_from_slice(nodes);
            start += NODE_BYTES << (3 * (layout.top - row));
        }
        self.missing -= 1;
    }
}

/// One row of a chunk.
fn chunk_row(rows: &[u8], chunk_rows: u32, row: u32) -> &[u8] {
    let start = rows_bytes(chunk_rows, 0) - rows_bytes(chunk_rows, row);
    &rows[index_of(start)..][..NODE_BYTES << (3 * (chunk_rows - row))]
}

/// A length of something in memory as an index.
pub(crate) fn index_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("buffers are smaller than the address space")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hesper_poseidon::Arity;

    use super::*;

    /// Every row of a tree with 8^`top` leaves, leaves first.
    fn whole(backend: Backend, top: u32) -> Vec<u8> {
        let mut tree: Vec<u8> = (0u64..1 << (3 * top))
            .flat_map(|leaf| [leaf, 7, leaf * leaf, 1])
            .flat_map(u64::to_le_bytes)
            .collect();
        super::super::build_up(backend, Arity::Eight, &mut tree);
        tree
    }

    fn chunk(backend: Backend, tree: &[u8], layout: Layout, index: u64) -> Vec<u8> {
        let leaves = NODE_BYTES << (3 * layout.chunk_rows);
        let mut rows = tree[index_of(index) * leaves..][..leaves].to_vec();
        rows.resize(index_of(layout.chunk_bytes()), 0);
        super::super::fill(backend, &mut rows, layout.chunk_rows);
        rows
    }

    /// Sizes of chunks and the lowest row vary independently, so that the crown begins below, at
    /// and above the lowest row of the file.
    #[test]
    fn chunks_in_any_order_give_the_file_of_the_whole_tree_small() {
        let dir = tempfile::tempdir().expect("a directory");
        let (backend, top) = (Backend::detect(), 4);
        let tree = whole(backend, top);
        for chunk_rows in CHUNK_ROWS_MIN..=top {
            for lowest in 0..=top {
                let layout = Layout { top, lowest, chunk_rows };
                let path = dir.path().join("tree");
                let file = TreeFile::create(&path, layout).expect("created");
                // 5 is prime to the number of chunks: each number comes once, none in order.
                for step in 0..layout.chunks() {
                    assert_eq!(file.root(), None);
                    let index = (step * 5 + 3) % layout.chunks();
                    let rows = chunk(backend, &tree, layout, index);
                    file.put(backend, index, &rows).expect("written");
                }
                let root = file.root().expect("all chunks have come");
                assert_eq!(root, tree[tree.len() - NODE_BYTES..]);
                file.sync().expect("synced");
                let written = file.rename().expect("renamed");
                let expected = &tree[tree.len() - index_of(layout.file_bytes())..];
                assert!(fs::read(&path).expect("read") == expected, "{layout:?}");
                assert_eq!(written.blake3, *blake3::hash(expected).as_bytes(), "{layout:?}");
                assert_eq!(written.bytes, expected.len() as u64);
            }
        }
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout { top: 3, lowest: 0, chunk_rows: 2 };
        let file = TreeFile::create(&dir.path().join("tree"), layout).expect("created");
        let rows = vec![0; index_of(layout.chunk_bytes())];
        file.put(Backend::detect(), 1, &rows).expect("written");
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
    }
}
