//! An independent PC1: the labels from their definition, without any proof library.
//!
//! Source: the Filecoin specification, "Stacked DRG PoRep", in the version 1.1 parent order.

use blake2b_simd::blake2b;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

const BASE: usize = 6;
const EXPANDER: usize = 8;

/// The parents of every node: six in the same layer, eight in the layer before.
pub struct Graph {
    parents: Vec<([usize; BASE], [usize; EXPANDER])>,
}

impl Graph {
    pub fn new(nodes: usize, porep_id: [u8; 32]) -> Self {
        let domain_seed = |tag: &str| -> [u8; 32] {
            Sha256::new().chain_update(tag).chain_update(porep_id).finalize().into()
        };
        let base_seed = domain_seed("Filecoin_DRSample");
        let feistel_seed = domain_seed("Filecoin_Feistel");
        let mut keys = [0_u64; 3];
        for (key, bytes) in keys.iter_mut().zip(feistel_seed.chunks_exact(8)) {
            *key = u64::from_le_bytes(bytes.try_into().unwrap());
        }
        let parents = (0..nodes)
            .map(|node| (base_parents(node, &base_seed), expander_parents(node, nodes, &keys)))
            .collect();
        Self { parents }
    }

    /// The layers of a replica.
    pub fn layers(&self, replica_id: &[u8; 32], layers: u32) -> Vec<Vec<[u8; 32]>> {
        let mut all: Vec<Vec<[u8; 32]>> = Vec::new();
        for layer in 1..=layers {
            let mut labels: Vec<[u8; 32]> = Vec::with_capacity(self.parents.len());
            for (node, (base, expander)) in self.parents.iter().enumerate() {
                let mut hash = Sha256::new();
                hash.update(replica_id);
                hash.update(layer.to_be_bytes());
                hash.update((node as u64).to_be_bytes());
                hash.update([0; 20]);
                if node > 0 {
                    let mut parents: Vec<[u8; 32]> = base.iter().map(|p| labels[*p]).collect();
                    if let Some(before) = all.last() {
                        parents.extend(expander.iter().map(|p| before[*p]));
                    }
                    for parent in parents.iter().cycle().take(37) {
                        hash.update(parent);
                    }
                }
                let mut label: [u8; 32] = hash.finalize().into();
                label[31] &= 0x3f;
                labels.push(label);
            }
            all.push(labels);
        }
        all
    }
}

fn base_parents(node: usize, seed: &[u8; 32]) -> [usize; BASE] {
    let mut parents = [0; BASE];
    if node < 2 {
        return parents;
    }
    let mut full_seed = *seed;
    full_seed[28..].copy_from_slice(&(node as u32).to_le_bytes());
    let mut random = ChaCha8Rng::from_seed(full_seed);
    // Each node stands for five in the graph that is sampled.
    let meta = node as u64 * 5;
    let buckets = u64::from((meta as f64).log2().ceil() as u32);
    parents[0] = node - 1;
    for parent in &mut parents[1..] {
        let bucket = random.next_u64() % buckets + 1;
        let high = meta.min(1 << bucket);
        let low = (high / 2).max(2);
        let distance = low + random.next_u64() % (high - low + 1);
        let found = ((meta - distance) / 5) as usize;
        *parent = if found == node { node - 1 } else { found };
    }
    parents
}

fn expander_parents(node: usize, nodes: usize, keys: &[u64; 3]) -> [usize; EXPANDER] {
    let elements = (nodes * EXPANDER) as u64;
    let mut half_bits = 1;
    while 1_u64 << (2 * half_bits) < elements {
        half_bits += 1;
    }
    let mask = (1_u64 << half_bits) - 1;
    let mut parents = [0; EXPANDER];
    for (i, parent) in parents.iter_mut().enumerate() {
        let mut index = (node * EXPANDER + i) as u64;
        loop {
            let (mut left, mut right) = (index >> half_bits, index & mask);
            for key in keys {
                let mut input = [0; 16];
                input[..8].copy_from_slice(&right.to_be_bytes());
                input[8..].copy_from_slice(&key.to_be_bytes());
                let digest = blake2b(&input);
                let round = u64::from_be_bytes(digest.as_bytes()[..8].try_into().unwrap()) & mask;
                (left, right) = (right, left ^ round);
            }
            index = (left << half_bits) | right;
            if index < elements {
                break;
            }
        }
        *parent = (index / EXPANDER as u64) as usize;
    }
    parents
}
