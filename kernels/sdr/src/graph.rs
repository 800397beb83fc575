//! The stacked depth-robust graph of one sector size and proof of replication.
//!
//! **Purpose:** the scalar definition of every node's parents, from which the fast paths are tested.
//!
//! **Invariants:**
//! - a base parent is smaller than its node (except in node 0), an expander parent is any node;
//! - element indices reach 8 x 2^31 at 64 GiB, so that all index arithmetic is 64 bits wide.
//!
//! **Source:** Filecoin specification, "Stacked DRG Proof of Replication"; parent order of API
//! version 1.1 (the previous node comes first).

use sha2::{Digest, Sha256};

use crate::feistel::Feistel;
use crate::parents::chacha;

/// Parents of a node within its own layer.
pub const BASE_PARENTS: usize = 6;
/// Parents of a node in the layer before.
pub const EXPANDER_PARENTS: usize = 8;
/// All parents of a node.
pub const PARENTS: usize = BASE_PARENTS + EXPANDER_PARENTS;
/// Bytes of a label.
pub const NODE_BYTES: usize = 32;

/// The largest graph: 64 GiB.
const NODES_MAX: u32 = 1 << 31;
/// Numbers of the registered proofs with the legacy parent order.
const LEGACY_IDS: u64 = 4;

/// Why a graph cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    #[error(
        "could not make a graph of {nodes} nodes; sector sizes from 64 bytes to 64 GiB (2 to 2^31 \
         nodes of 32 bytes) are supported, choose one of them"
    )]
    Nodes { nodes: u64 },
    #[error(
        "could not make the graph of legacy proof number {number}; proofs 0 to 4 have another order \
         of parents and are not supported, use a proof of version 1.1 or later"
    )]
    Legacy { number: u64 },
}

/// The graph of a sector size and a `porep_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    nodes: u32,
    porep_id: [u8; 32],
    /// First 28 bytes of the seeds of the base parents; the node follows.
    pub(crate) seed: [u8; 28],
    /// The file name of the table depends on all four, the permutation on three.
    pub(crate) keys: [u64; 4],
}

impl Graph {
    /// The graph of `nodes` labels of 32 bytes.
    ///
    /// # Errors
    /// When the number of nodes is out of range or `porep_id` belongs to a legacy proof.
    pub fn new(nodes: u32, porep_id: [u8; 32]) -> Result<Self, GraphError> {
        if !(2..=NODES_MAX).contains(&nodes) {
            return Err(GraphError::Nodes { nodes: u64::from(nodes) });
        }
        let number = u64::from_le_bytes(first_8(&porep_id));
        if number <= LEGACY_IDS {
            return Err(GraphError::Legacy { number });
        }
        let drg = domain_seed(b"Filecoin_DRSample", &porep_id);
        let mut seed = [0; 28];
        seed.copy_from_slice(&drg[..28]);
        let raw = domain_seed(b"Filecoin_Feistel", &porep_id);
        let mut keys = [0; 4];
        for (key, bytes) in keys.iter_mut().zip(raw.chunks_exact(8)) {
            *key = u64::from_le_bytes(first_8(bytes));
        }
        Ok(Self { nodes, porep_id, seed, keys })
    }

    /// The graph of a sector of `sector_bytes`.
    ///
    /// # Errors
    /// As [`Graph::new`].
    pub fn of_sector_bytes(sector_bytes: u64, porep_id: [u8; 32]) -> Result<Self, GraphError> {
        let nodes = sector_bytes / NODE_BYTES as u64;
        let whole = sector_bytes.is_multiple_of(NODE_BYTES as u64);
        match u32::try_from(nodes) {
            Ok(count) if whole => Self::new(count, porep_id),
            _ => Err(GraphError::Nodes { nodes }),
        }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> u32 {
        self.nodes
    }

    /// Bytes of a layer, which are those of a sector.
    pub fn sector_bytes(&self) -> u64 {
        u64::from(self.nodes) * NODE_BYTES as u64
    }

    /// The identity of the proof of replication.
    pub fn porep_id(&self) -> &[u8; 32] {
        &self.porep_id
    }

    /// The parents of a node: 6 in its own layer, 8 in the layer before.
    ///
    /// # Panics
    /// When the node is not in the graph.
    pub fn parents(&self, node: u32) -> [u32; PARENTS] {
        assert!(node < self.nodes, "node {node} of a graph of {} nodes", self.nodes);
        let mut row = [0; PARENTS];
        self.base_parents(node, &mut row[..BASE_PARENTS]);
        let feistel = Feistel::new(self);
        for (slot, index) in row[BASE_PARENTS..].iter_mut().zip(u64::from(node) * 8..) {
            *slot = feistel.parent(index);
        }
        row
    }

    fn base_parents(&self, node: u32, row: &mut [u32]) {
        if node < 2 {
            row.fill(0);
            return;
        }
        row[0] = node - 1;
        let words = chacha::words_of(&self.seed, node);
        let draw = |i: usize| u64::from(words[2 * i]) | u64::from(words[2 * i + 1]) << 32;
        // Each node stands for five nodes of a graph in which a node has two parents.
        let meta = u64::from(node) * 5;
        let buckets = u64::from(bucket_count(meta));
        for (i, slot) in row[1..].iter_mut().enumerate() {
            let bucket = draw(2 * i) % buckets + 1;
            let largest = meta.min(1 << bucket);
            let smallest = (largest >> 1).max(2);
            let distance = smallest + draw(2 * i + 1) % (largest - smallest + 1);
            *slot = meta_to_node(meta - distance, node);
        }
    }
}

/// Buckets of distances of a node of the fine graph: the logarithm, rounded up.
pub(crate) fn bucket_count(meta: u64) -> u32 {
    u64::BITS - (meta - 1).leading_zeros()
}

/// The node that a node of the fine graph belongs to; never the node itself.
#[inline(always)]
pub(crate) fn meta_to_node(meta: u64, node: u32) -> u32 {
    // At most 5 x 2^31 / 5.
    let mapped = (meta / 5) as u32;
    if mapped == node { node - 1 } else { mapped }
}

/// SHA-256 of prover, sector number, ticket, data commitment and `porep_id`, with the two highest
/// bits cleared: the replica id, which every label of the sector starts from.
pub fn replica_id(
    prover_id: &[u8; 32],
    sector_id: u64,
    ticket: &[u8; 32],
    comm_d: &[u8; 32],
    porep_id: &[u8; 32],
) -> [u8; 32] {
    let mut id: [u8; 32] = Sha256::new()
        .chain_update(prover_id)
        .chain_update(sector_id.to_be_bytes())
        .chain_update(ticket)
        .chain_update(comm_d)
        .chain_update(porep_id)
        .finalize()
        .into();
    id[31] &= 0x3f;
    id
}

fn domain_seed(tag: &[u8], porep_id: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(tag).chain_update(porep_id).finalize().into()
}

fn first_8(bytes: &[u8]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&bytes[..8]);
    first
}
