//! **Purpose**: how large the chunks are and how many threads run, within a bound of memory.
//!
//! **Invariants**
//! - What a plan says is what the run allocates: buffers of each thread, and the trees that can be
//!   under construction at once. Directories of names and the kernels' constants (well below a
//!   megabyte) are not counted.

use super::Error;
use crate::rows::tree_file::{CHUNK_ROWS_MIN, Layout};
use crate::shape::{NODE_BYTES, Shape};

/// Largest chunk: 8^5 nodes, 1 MiB of each file. Larger reads gain nothing.
const CHUNK_ROWS_MAX: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) shape: Shape,
    pub(super) layers: usize,
    /// A chunk has 8 to this power nodes.
    pub(super) chunk_rows: u32,
    pub(super) threads: usize,
}

impl Plan {
    /// The largest chunks with which all threads fit; if none do, fewer threads.
    pub(super) fn new(
        shape: Shape,
        layers: usize,
        threads: usize,
        memory_bytes_max: u64,
    ) -> Result<Self, Error> {
        if !matches!(layers, 2 | 11) {
            return Err(Error::Layers { found: layers });
        }
        let of = |chunk_rows, threads| Self { shape, layers, chunk_rows, threads };
        let sizes = CHUNK_ROWS_MIN..=CHUNK_ROWS_MAX.min(shape.base_rows());
        let fits = |plan: &Self| plan.buffer_bytes() <= memory_bytes_max;
        let at = |threads| sizes.clone().rev().map(move |rows| of(rows, threads));
        (1..=threads.max(1)).rev().find_map(|threads| at(threads).find(fits)).ok_or_else(|| {
            let needed = at(1).map(|plan| plan.buffer_bytes()).min().unwrap_or(u64::MAX);
            Error::Memory { given: memory_bytes_max, needed }
        })
    }

    pub(super) const fn chunk_bytes(self) -> u64 {
        (NODE_BYTES as u64) << (3 * self.chunk_rows)
    }

    pub(super) const fn chunks_per_tree(self) -> u64 {
        1 << (3 * (self.shape.base_rows() - self.chunk_rows))
    }

    pub(super) const fn chunks(self) -> u64 {
        self.chunks_per_tree() * self.shape.base_trees() as u64
    }

    pub(super) const fn tree_c(self) -> Layout {
        Layout { top: self.shape.base_rows(), lowest: 0, chunk_rows: self.chunk_rows }
    }

    pub(super) const fn tree_r_last(self) -> Layout {
        let lowest = self.shape.rows_to_discard() + 1;
        Layout { top: self.shape.base_rows(), lowest, chunk_rows: self.chunk_rows }
    }

    /// Bytes of all buffers at once.
    pub(super) fn buffer_bytes(self) -> u64 {
        let threads = self.threads as u64;
        let inputs = (self.layers as u64 + 1) * self.chunk_bytes();
        let trees = self.tree_c().chunk_bytes() + self.tree_r_last().chunk_bytes();
        // Chunks are handed out in order: the threads are at work on as many neighbouring chunks. (A
        // thread that stands still while the others finish a whole tree holds its own tree longer;
        // one more may then be open for each such thread.)
        let open =
            (threads.div_ceil(self.chunks_per_tree()) + 1).min(self.shape.base_trees() as u64);
        let held = self.tree_c().resident_bytes() + self.tree_r_last().resident_bytes();
        let sealed_values = 2 * 32 * self.chunks();
        threads * (inputs + trees) + open * held + sealed_values
    }
}

/// Bytes of buffers that a run takes with these bounds: what a scheduler may reserve.
///
/// # Errors
/// As [`super::run`], for the layers and the bound of memory.
pub fn buffer_bytes(
    shape: Shape,
    layers: usize,
    threads: usize,
    memory_bytes_max: u64,
) -> Result<u64, Error> {
    Plan::new(shape, layers, threads, memory_bytes_max).map(Plan::buffer_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bytes: u64) -> Shape {
        Shape::of_sector_bytes(bytes).expect("a known size")
    }

    #[test]
    fn every_plan_keeps_its_bound() {
        for shape in Shape::all() {
            for (layers, threads) in [(2, 1), (2, 16), (11, 2), (11, 64)] {
                for bytes in [32 << 20, 256 << 20, 1 << 30] {
                    match Plan::new(shape, layers, threads, bytes) {
                        Ok(plan) => assert!(plan.buffer_bytes() <= bytes, "{plan:?}"),
                        Err(Error::Memory { given, needed }) => {
                            assert!(given == bytes && needed > bytes);
                            let plan = Plan::new(shape, layers, threads, needed);
                            assert_eq!(plan.expect("enough now").threads, 1);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }
    }

    #[test]
    fn the_default_bound_gives_the_largest_chunks_to_16_threads_at_512_mib() {
        let plan = Plan::new(shape(512 << 20), 2, 16, crate::pc2::DEFAULT_MEMORY_BYTES_MAX);
        let plan = plan.expect("enough memory");
        assert_eq!((plan.chunk_rows, plan.threads), (CHUNK_ROWS_MAX, 16));
    }

    #[test]
    fn threads_go_before_the_run_is_refused() {
        let one = Plan::new(shape(2048), 2, 1, 1 << 20).expect("enough memory").buffer_bytes();
        let plan = Plan::new(shape(2048), 2, 64, one).expect("enough memory for one");
        assert_eq!(plan.threads, 1);
        assert!(matches!(Plan::new(shape(2048), 2, 64, one - 1), Err(Error::Memory { .. })));
        assert!(matches!(Plan::new(shape(2048), 3, 1, one), Err(Error::Layers { found: 3 })));
    }
}
