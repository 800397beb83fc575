//! **Purpose**: rows of Poseidon trees: in memory, and in the files of a sector.
//!
//! **Invariants**
//! - A row is its nodes one after the other; rows of a tree follow each other from the leaves up.
//! - Nodes that this module makes are canonical field elements, little-endian.
//!
//! **Source**: merkletree 0.23 (order of rows), storage-proofs-core 19.1 (joining of base trees).

pub(crate) mod digest;
pub(crate) mod tree_file;

use hesper_poseidon::{Arity, Backend, hash_rows};

use crate::shape::{NODE_BYTES, Shape};

/// Appends to the leaves in `tree` every row above them, up to the root.
///
/// # Panics
/// When the number of leaves is not a power of `arity`.
pub fn build_up(backend: Backend, arity: Arity, tree: &mut Vec<u8>) {
    let width = arity.len();
    let (mut start, mut nodes) = (0, tree.len() / NODE_BYTES);
    assert!(nodes > 0 && tree.len().is_multiple_of(NODE_BYTES), "leaves are whole nodes");
    while nodes > 1 {
        assert!(nodes.is_multiple_of(width), "the leaves are a power of the arity");
        let end = tree.len();
        tree.resize(end + nodes / width * NODE_BYTES, 0);
        let (below, above) = tree.split_at_mut(end);
        hash_rows(backend, arity, &below[start..], above);
        (start, nodes) = (end, nodes / width);
    }
}

/// Fills the rows above the lowest of a whole 8-ary tree, whose 8^`top` lowest nodes stand at the
/// start of `rows`, up to the row of one node.
pub(crate) fn fill(backend: Backend, rows: &mut [u8], top: u32) {
    let mut below = rows;
    for row in 0..top {
        let (lower, rest) = below.split_at_mut(NODE_BYTES << (3 * (top - row)));
        let above = lower.len() / 8;
        hash_rows(backend, Arity::Eight, lower, &mut rest[..above]);
        below = rest;
    }
}

/// The root of a sector's tree from the roots of its base trees, in their order.
///
/// # Panics
/// When the number of roots is not that of the shape.
pub fn top_root(backend: Backend, shape: Shape, base_roots: &[u8]) -> [u8; 32] {
    assert_eq!(base_roots.len(), shape.base_trees() * NODE_BYTES, "one root for each base tree");
    let mut row = base_roots.to_vec();
    for arity in [shape.sub_arity(), shape.top_arity()] {
        let arity = match arity {
            0 => continue,
            2 => Arity::Two,
            _ => Arity::Eight,
        };
        let mut above = vec![0; row.len() / arity.len()];
        hash_rows(backend, arity, &row, &mut above);
        row = above;
    }
    let mut root = [0; NODE_BYTES];
    root.copy_from_slice(&row);
    root
}

/// Poseidon of two nodes: `comm_r` of `comm_c` and `comm_r_last`.
pub fn hash_two(backend: Backend, left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let (mut input, mut output) = ([0; 2 * NODE_BYTES], [0; NODE_BYTES]);
    input[..NODE_BYTES].copy_from_slice(left);
    input[NODE_BYTES..].copy_from_slice(right);
    hash_rows(backend, Arity::Two, &input, &mut output);
    output
}
