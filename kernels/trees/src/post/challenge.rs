//! The leaves that a proof of spacetime asks for.
//!
//! **Purpose**: draw challenged leaves from the chain's randomness.
//!
//! **Invariants**: a challenge depends on randomness, sector and index alone.
//!
//! **Source**: storage-proofs-post 19.1 `generate_leaf_challenge`.

use hesper_sha256::{INITIAL, portable};

use super::Error;
use crate::encode::first_out_of_field;

/// The challenged leaf of each index: the first 8 bytes of SHA-256(randomness | sector | index), all
/// little-endian, modulo `nodes`.
///
/// Window PoSt takes the indices 0..10 for each sector (up to API 1.1: 10 times the sector's place
/// in the partition list, and the nine behind); winning PoSt 0..66 for its one sector.
///
/// # Errors
///
/// When the randomness is no field element.
///
/// # Panics
///
/// When `nodes` is zero.
pub fn challenges(
    randomness: &[u8; 32],
    sector: u64,
    nodes: u64,
    indices: impl IntoIterator<Item = u64>,
) -> Result<Vec<u64>, Error> {
    if first_out_of_field(randomness).is_some() {
        return Err(Error::Randomness);
    }
    Ok(indices.into_iter().map(|index| draw(randomness, sector, index) % nodes).collect())
}

fn draw(randomness: &[u8; 32], sector: u64, index: u64) -> u64 {
    // 48 bytes and their padding are one block.
    let mut message = [0u8; 64];
    message[..32].copy_from_slice(randomness);
    message[32..40].copy_from_slice(&sector.to_le_bytes());
    message[40..48].copy_from_slice(&index.to_le_bytes());
    message[48] = 0x80;
    message[56..].copy_from_slice(&(48u64 * 8).to_be_bytes());
    let mut block = [0u32; 16];
    let (words, _) = message.as_chunks::<4>();
    for (word, bytes) in block.iter_mut().zip(words) {
        *word = u32::from_be_bytes(*bytes);
    }
    let mut state = INITIAL;
    portable::compress(&mut state, &block);
    u64::from(state[0].swap_bytes()) | u64::from(state[1].swap_bytes()) << 32
}
