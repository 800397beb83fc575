//! Fr32 with 64-bit shifts.
//!
//! **Purpose**: the form for every machine.
//!
//! **Invariants**: element `e` of a unit holds the bits `254 e .. 254 e + 254` of its 127 bytes.
//!
//! **Source**: Filecoin specification, section "Piece Padding".

use super::{PADDED_UNIT, UNPADDED_UNIT};

/// The bits of the last word of an element that carry piece bytes.
const LAST_WORD: u64 = u64::MAX >> 2;
/// First word and shift of each element of a unit: bit `254 e`.
const STARTS: [(usize, u32); 4] = [(0, 0), (3, 62), (7, 60), (11, 58)];

pub(super) fn pad(input: &[u8], output: &mut [u8]) {
    for (input, output) in
        input.chunks_exact(UNPADDED_UNIT).zip(output.chunks_exact_mut(PADDED_UNIT))
    {
        // One word more than the unit has, so that every element can look one word ahead.
        let mut words = [0u64; 17];
        for (word, bytes) in words.iter_mut().zip(input.chunks(8)) {
            let mut whole = [0u8; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(whole);
        }
        for ((start, shift), element) in STARTS.into_iter().zip(output.chunks_exact_mut(32)) {
            for (index, bytes) in element.chunks_exact_mut(8).enumerate() {
                let mut word = funnel(words[start + index], words[start + index + 1], shift);
                if index == 3 {
                    word &= LAST_WORD;
                }
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

pub(super) fn unpad(input: &[u8], output: &mut [u8]) {
    for (input, output) in
        input.chunks_exact(PADDED_UNIT).zip(output.chunks_exact_mut(UNPADDED_UNIT))
    {
        let mut words = [0u64; 16];
        for ((start, shift), element) in STARTS.into_iter().zip(input.chunks_exact(32)) {
            for (index, bytes) in element.chunks_exact(8).enumerate() {
                let mut whole = [0u8; 8];
                whole.copy_from_slice(bytes);
                let mut word = u64::from_le_bytes(whole);
                if index == 3 {
                    word &= LAST_WORD;
                }
                words[start + index] |= word << shift;
                if shift > 0 && start + index + 1 < words.len() {
                    words[start + index + 1] |= word >> (64 - shift);
                }
            }
        }
        for (word, bytes) in words.iter().zip(output.chunks_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
        }
    }
}

/// The 64 bits that begin at bit `shift` of `low`, `high` following it.
fn funnel(low: u64, high: u64, shift: u32) -> u64 {
    if shift == 0 { low } else { low >> shift | high << (64 - shift) }
}
