//! The tree over a stream of padded bytes.
//!
//! **Purpose**: the root of a binary SHA-256 tree over bytes that come in order, with zeros behind.
//!
//! **Invariants**
//! - Whole blocks of 256 KiB are hashed row by row, so that all lanes of the kernel are used and the
//!   rows stay in the second-level cache; of earlier blocks at most one root per level is kept.
//! - The levels on the stack fall from bottom to top.
//!
//! **Source**: Filecoin specification, "Piece".

use std::sync::OnceLock;

use hesper_sha256::{Backend, hash_pairs};

use super::Error;

const NODE: usize = 32;
/// Nodes of a block.
const BLOCK_LEVEL: u32 = 13;
const BLOCK_BYTES: usize = NODE << BLOCK_LEVEL;
/// Levels that a 64-bit length can have.
const LEVELS: usize = 60;

/// The root over bytes that come piecewise.
#[derive(Debug)]
pub struct Hasher {
    backend: Backend,
    block: Vec<u8>,
    rows: Vec<u8>,
    /// Roots of complete subtrees with their levels.
    stack: Vec<(u32, [u8; NODE])>,
    bytes: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher {
    /// A hasher without bytes, with the fastest kernel of this machine.
    pub fn new() -> Hasher {
        Hasher::with_backend(Backend::detect())
    }

    /// A hasher with the given kernel.
    pub fn with_backend(backend: Backend) -> Hasher {
        let block = Vec::with_capacity(BLOCK_BYTES);
        Hasher { backend, block, rows: vec![0; BLOCK_BYTES], stack: Vec::new(), bytes: 0 }
    }

    /// Take the next padded bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.block.is_empty() && bytes.len() >= BLOCK_BYTES {
                let (block, rest) = bytes.split_at(BLOCK_BYTES);
                let root = subtree(self.backend, block, &mut self.rows);
                self.push(BLOCK_LEVEL, root);
                bytes = rest;
                continue;
            }
            let count = bytes.len().min(BLOCK_BYTES - self.block.len());
            let (some, rest) = bytes.split_at(count);
            self.block.extend_from_slice(some);
            bytes = rest;
            if self.block.len() == BLOCK_BYTES {
                self.end_block();
            }
        }
    }

    /// The root over what came and zeros up to `padded_bytes`.
    ///
    /// # Errors
    ///
    /// When `padded_bytes` is no power of two of at least 64, less came in whole nodes, or more.
    pub fn finish(mut self, padded_bytes: u64) -> Result<[u8; NODE], Error> {
        let level = level_of(padded_bytes)?;
        if self.bytes > padded_bytes || !self.bytes.is_multiple_of(NODE as u64) {
            return Err(Error::Hashed { padded_bytes, found: self.bytes });
        }
        if level <= BLOCK_LEVEL {
            // A power of two of nodes that is no more than a block.
            if self.stack.is_empty() {
                self.block.resize(NODE << level, 0);
                return Ok(subtree(self.backend, &self.block, &mut self.rows));
            }
        } else if !self.block.is_empty() {
            self.block.resize(BLOCK_BYTES, 0);
            self.end_block();
        }
        while let Some((top, root)) = self.stack.pop() {
            if top == level {
                return Ok(root);
            }
            let root = join(self.backend, &root, &zeros()[top as usize]);
            self.push(top + 1, root);
        }
        Ok(zeros()[level as usize])
    }

    fn end_block(&mut self) {
        let root = subtree(self.backend, &self.block, &mut self.rows);
        self.block.clear();
        self.push(BLOCK_LEVEL, root);
    }

    fn push(&mut self, mut level: u32, mut root: [u8; NODE]) {
        while let Some((_, left)) = self.stack.pop_if(|(top, _)| *top == level) {
            root = join(self.backend, &left, &root);
            level += 1;
        }
        self.stack.push((level, root));
    }
}

/// CommP of `padded_bytes` of zeros.
///
/// # Errors
///
/// When `padded_bytes` is no power of two of at least 64.
pub fn zero(padded_bytes: u64) -> Result<[u8; NODE], Error> {
    Ok(zeros()[level_of(padded_bytes)? as usize])
}

/// Two subtrees of one size under one node.
pub(super) fn join(backend: Backend, left: &[u8; NODE], right: &[u8; NODE]) -> [u8; NODE] {
    let mut pair = [0; 2 * NODE];
    pair[..NODE].copy_from_slice(left);
    pair[NODE..].copy_from_slice(right);
    let mut root = [0; NODE];
    hash_pairs(backend, &pair, &mut root);
    root
}

/// The root over `leaves`, a power of two of nodes; `rows` has room for as many bytes.
fn subtree(backend: Backend, leaves: &[u8], rows: &mut [u8]) -> [u8; NODE] {
    let mut root = [0; NODE];
    if leaves.len() == NODE {
        root.copy_from_slice(leaves);
        return root;
    }
    let (mut row, mut above) = rows.split_at_mut(leaves.len() / 2);
    hash_pairs(backend, leaves, row);
    while row.len() > NODE {
        let (next, rest) = above.split_at_mut(row.len() / 2);
        hash_pairs(backend, row, next);
        (row, above) = (next, rest);
    }
    root.copy_from_slice(row);
    root
}

fn level_of(padded_bytes: u64) -> Result<u32, Error> {
    if !padded_bytes.is_power_of_two() || padded_bytes < 2 * NODE as u64 {
        return Err(Error::Size { padded_bytes });
    }
    Ok(padded_bytes.trailing_zeros() - NODE.trailing_zeros())
}

/// Roots over zeros, by level.
fn zeros() -> &'static [[u8; NODE]; LEVELS] {
    static ZEROS: OnceLock<[[u8; NODE]; LEVELS]> = OnceLock::new();
    ZEROS.get_or_init(|| {
        let mut roots = [[0; NODE]; LEVELS];
        for level in 1..LEVELS {
            roots[level] = join(Backend::detect(), &roots[level - 1], &roots[level - 1]);
        }
        roots
    })
}
