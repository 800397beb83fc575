//! Hashes of 64-byte pairs: the nodes of tree D.
//!
//! **Purpose**: SHA-256 of each 64 bytes of a buffer, as a field element.
//!
//! **Invariants**: the second block of such a message is constant, so its schedule is too.
//!
//! **Source**: FIPS 180-4; the binary SHA-256 tree of stacked DRG proofs of replication.

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::{Backend, FIELD_MASK, INITIAL, PAIR_PADDING, portable};

/// Bytes of one message: two nodes.
pub const PAIR_BYTES: usize = 64;

/// Bytes of one hash.
pub const DIGEST_BYTES: usize = 32;

/// Writes for each 64 bytes of `input` their SHA-256 with the top two bits of the last byte
/// cleared. `input` is `n × 64` bytes, `output` `n × 32` bytes, of any alignment.
///
/// # Panics
/// When the lengths do not fit together, or the machine cannot run `backend`.
pub fn hash_pairs(backend: Backend, input: &[u8], output: &mut [u8]) {
    assert_eq!(input.len() % PAIR_BYTES, 0, "the input is not a whole number of 64-byte pairs");
    assert_eq!(input.len(), output.len() * 2, "there must be 32 bytes of output for each pair");
    assert!(backend.is_available(), "this machine cannot run the {backend} kernels");
    let hashed = hash_groups(backend, input, output);
    let (input, output) = (&input[hashed * PAIR_BYTES..], &mut output[hashed * DIGEST_BYTES..]);
    // The rest of a vector: single streams, which the SHA instructions do best.
    let streams = if backend != Backend::Portable && Backend::ShaNi.is_available() {
        Backend::ShaNi
    } else {
        Backend::Portable
    };
    let hashed = hash_groups(streams, input, output);
    let (input, output) = (&input[hashed * PAIR_BYTES..], &mut output[hashed * DIGEST_BYTES..]);
    hash_singles(streams, input, output);
}

/// Hashes whole groups of as many pairs as the backend does at once; says how many pairs that were.
fn hash_groups(backend: Backend, input: &[u8], output: &mut [u8]) -> usize {
    match backend {
        // SAFETY: the caller checked that the machine can run the backend, and the lengths.
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => unsafe { x86::avx512(input, output) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => unsafe { x86::avx2(input, output) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Backend::ShaNi => unsafe { x86::shani::<4>(input, output) },
        _ => 0,
    }
}

/// Hashes one pair after the other.
fn hash_singles(backend: Backend, input: &[u8], output: &mut [u8]) {
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::ShaNi => {
            // SAFETY: the caller checked that the machine can run the backend, and the lengths.
            unsafe { x86::shani::<1>(input, output) };
        }
        _ => hash_portable(input, output),
    }
}

/// One pair after the other.
fn hash_portable(input: &[u8], output: &mut [u8]) {
    for (pair, digest) in input.chunks_exact(PAIR_BYTES).zip(output.chunks_exact_mut(DIGEST_BYTES))
    {
        let mut block = [0; 16];
        for (word, bytes) in block.iter_mut().zip(pair.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        let mut state = INITIAL;
        portable::compress(&mut state, &block);
        portable::rounds(&mut state, &PAIR_PADDING);
        state[7] &= FIELD_MASK;
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_be_bytes();
        }
    }
}
