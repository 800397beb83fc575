//! The factors that data are multiplied with.
//!
//! **Purpose**: `phi` from the commitments, and `rho` for every value of the high bits of a node's
//! index.
//!
//! **Invariants**: the table has 2^h entries, each for the same number of consecutive nodes.
//!
//! **Source**: FIP-0019; storage-proofs-update 19.1 `constants` (`h`, domain tag) and `Rhos`.

use hesper_poseidon::{Backend, hash_pairs_tagged, invert_fr, sub_fr};

use crate::rows::hash_two;
use crate::shape::{NODE_BYTES, Shape};

/// The domain tag of custom hash type 1: its number times 2^40.
const TAG: u64 = 1 << 40;
/// High bits of the index: up to 32 KiB, and above.
const H_SMALL: u32 = 1;
const H: u32 = 10;
/// Nodes of the largest small sector.
const NODES_SMALL: u64 = 1 << 10;

/// The table of `rho`.
pub(super) struct Randomness {
    rhos: Vec<u8>,
    nodes_each: u64,
}

/// A table of factors, by the high bits of a node's index.
pub(super) struct Factors {
    table: Vec<u8>,
    nodes_each: u64,
}

impl Randomness {
    pub(super) fn draw(
        shape: Shape,
        comm_c: &[u8; 32],
        comm_r_last: &[u8; 32],
        comm_d_new: &[u8; 32],
    ) -> Randomness {
        let comm_r = hash_two(Backend::detect(), comm_c, comm_r_last);
        let mut phi = [0; NODE_BYTES];
        hash_pairs_tagged(TAG, &[*comm_d_new, comm_r].concat(), &mut phi);
        let h = if shape.nodes() <= NODES_SMALL { H_SMALL } else { H };
        let mut pairs = Vec::with_capacity((2 * NODE_BYTES) << h);
        for high in 0..1u64 << h {
            let mut node = [0; NODE_BYTES];
            node[..8].copy_from_slice(&high.to_le_bytes());
            pairs.extend_from_slice(&phi);
            pairs.extend_from_slice(&node);
        }
        let mut rhos = vec![0; NODE_BYTES << h];
        hash_pairs_tagged(TAG, &pairs, &mut rhos);
        Randomness { rhos, nodes_each: shape.nodes() >> h }
    }

    pub(super) fn rhos(self) -> Factors {
        Factors { table: self.rhos, nodes_each: self.nodes_each }
    }

    pub(super) fn inverted(mut self) -> Factors {
        invert_fr(&mut self.rhos);
        self.rhos()
    }

    pub(super) fn negated(self) -> Factors {
        let (zeros, mut table) = (vec![0; self.rhos.len()], vec![0; self.rhos.len()]);
        sub_fr(Backend::detect(), &zeros, &self.rhos, &mut table);
        Factors { table, nodes_each: self.nodes_each }
    }
}

impl Factors {
    /// The factors of the nodes from `first` on, one for each node of `out`.
    pub(super) fn fill(&self, first: u64, out: &mut [u8]) {
        let (table, _) = self.table.as_chunks::<NODE_BYTES>();
        for (node, factor) in (first..).zip(out.as_chunks_mut::<NODE_BYTES>().0) {
            *factor = table[(node / self.nodes_each) as usize];
        }
    }
}
