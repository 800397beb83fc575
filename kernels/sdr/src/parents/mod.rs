//! Parents of many nodes at once, and the table of all of them.
//!
//! **Purpose:** rows of 14 parents: 6 base parents from ChaCha8, several nodes side by side, and 8
//! expander parents from the tables of the permutation.
//!
//! **Invariants:**
//! - every backend writes the same rows, those of [`Graph::parents`];
//! - the file of a table has the library's name and bytes.
//!
//! **Source:** as the module `graph`.

use std::fmt;
use std::ops::Range;

use crate::feistel::Tables;
use crate::graph::{BASE_PARENTS, Graph, PARENTS, bucket_count, meta_to_node};

pub(crate) mod chacha;
mod digest;
mod table;

pub use table::{ParentsError, Table, file_name, prepare};

/// Nodes whose parents are drawn at a time.
const BLOCK: usize = chacha::LANES_MAX;
/// Nodes whose expander parents are looked up at a time; their list of walking elements stays in
/// the first cache.
const EXPANDER_BLOCK: usize = 64;
/// Buckets of the largest graph: 5 x 2^31 nodes of the fine graph.
const BUCKETS_MAX: usize = 34;

/// How the parents of many nodes are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    Portable,
    Avx2,
    Avx512,
}

impl Backend {
    /// The fastest one of this machine.
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2]
            .into_iter()
            .find(|backend| backend.is_available())
            .unwrap_or(Self::Portable)
    }

    /// All that this machine can run.
    pub fn available() -> Vec<Self> {
        let all = [Self::Portable, Self::Avx2, Self::Avx512];
        all.into_iter().filter(|backend| backend.is_available()).collect()
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        })
    }
}

/// Writes the parents of `nodes`, 14 for each.
///
/// # Panics
/// When the backend is not available, a node is not in the graph, or `rows` has another length.
pub fn fill(backend: Backend, graph: &Graph, nodes: Range<u32>, rows: &mut [u32]) {
    Filler::new(backend, graph).fill(nodes, rows);
}

/// The tables of a graph, to fill many ranges from.
pub(crate) struct Filler<'a> {
    backend: Backend,
    graph: &'a Graph,
    expander: Tables,
    /// Reciprocals of the number of distances in each bucket that is not cut short.
    distances: [Reciprocal; BUCKETS_MAX + 1],
}

impl<'a> Filler<'a> {
    pub(crate) fn new(backend: Backend, graph: &'a Graph) -> Self {
        assert!(backend.is_available(), "this machine cannot run the {backend} parents");
        let mut distances = [Reciprocal::of(1); BUCKETS_MAX + 1];
        for (bucket, slot) in distances.iter_mut().enumerate().skip(2) {
            *slot = Reciprocal::of((1 << (bucket - 1)) + 1);
        }
        Self { backend, graph, expander: Tables::new(backend, graph), distances }
    }

    pub(crate) fn fill(&self, nodes: Range<u32>, rows: &mut [u32]) {
        assert!(nodes.end <= self.graph.nodes(), "nodes {nodes:?} are not all in the graph");
        let (rows, rest) = rows.as_chunks_mut::<PARENTS>();
        assert!(rest.is_empty() && rows.len() == nodes.len(), "a row has 14 parents");

        let mut words = chacha::Words::new();
        for (block, first) in rows.chunks_mut(BLOCK).zip(nodes.clone().step_by(BLOCK)) {
            chacha::fill(self.backend, &self.graph.seed, first, &mut words);
            for (lane, (row, node)) in block.iter_mut().zip(first..).enumerate() {
                self.base_parents(node, &words, lane, row);
            }
        }

        let mut elements = [0; EXPANDER_BLOCK * 8];
        let mut walking = Vec::with_capacity(elements.len() + 1);
        for (block, first) in rows.chunks_mut(EXPANDER_BLOCK).zip(nodes.step_by(EXPANDER_BLOCK)) {
            let elements = &mut elements[..block.len() * 8];
            self.expander.parents(u64::from(first) * 8, elements, &mut walking);
            for (row, parents) in block.iter_mut().zip(elements.as_chunks::<8>().0) {
                row[BASE_PARENTS..].copy_from_slice(parents);
            }
        }
    }

    #[inline(always)]
    fn base_parents(
        &self,
        node: u32,
        words: &chacha::Words,
        lane: usize,
        row: &mut [u32; PARENTS],
    ) {
        if node < 2 {
            row[..BASE_PARENTS].fill(0);
            return;
        }
        row[0] = node - 1;
        let meta = u64::from(node) * 5;
        let buckets = bucket_count(meta);
        // The number of buckets changes 34 times in the largest graph.
        let choice = Reciprocal::of(u64::from(buckets));
        for (i, slot) in row[1..BASE_PARENTS].iter_mut().enumerate() {
            let bucket = choice.remainder(words.draw(2 * i, lane)) as u32 + 1;
            let draw = words.draw(2 * i + 1, lane);
            let distance = if bucket < buckets {
                let smallest = (1_u64 << (bucket - 1)).max(2);
                smallest + self.distances[bucket as usize].remainder(draw)
            } else {
                // The last bucket ends with the fine graph.
                let smallest = (meta.min(1 << bucket) >> 1).max(2);
                smallest + draw % (meta - smallest + 1)
            };
            *slot = meta_to_node(meta - distance, node);
        }
    }
}

/// A divisor with its reciprocal: the remainder costs two multiplications.
#[derive(Clone, Copy)]
struct Reciprocal {
    divisor: u64,
    /// Rounded down, so that an estimated quotient is right or one too small.
    inverse: u64,
}

impl Reciprocal {
    #[inline(always)]
    fn of(divisor: u64) -> Self {
        Self { divisor, inverse: u64::MAX / divisor }
    }

    #[inline(always)]
    fn remainder(self, value: u64) -> u64 {
        let quotient = (u128::from(value) * u128::from(self.inverse)) >> 64;
        // Below 2^64, since both factors are.
        let rest = value - quotient as u64 * self.divisor;
        if rest >= self.divisor { rest - self.divisor } else { rest }
    }
}

#[cfg(test)]
mod tests;
