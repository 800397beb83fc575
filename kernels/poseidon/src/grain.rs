//! **Purpose**: Poseidon's round keys, drawn from the Grain LFSR in self-shrinking mode.
//!
//! **Invariants**: the stream is a function of field, S-box, width and round counts alone; values
//! not below the field's order are drawn again.
//!
//! **Source**: Poseidon (eprint 2019/458), appendix E; the bit order is that of the authors'
//! reference script.

use crate::field::{self, Fr};

const PRIME_FIELD: u64 = 1;
const QUINTIC: u64 = 1;
const FIELD_BITS: u64 = 255;

/// The 80-bit register; bit 0 is the oldest.
struct Grain(u128);

impl Grain {
    fn new(width: u64, full_rounds: u64, partial_rounds: u64) -> Self {
        let mut register = 0;
        let mut length = 0;
        let fields = [
            (PRIME_FIELD, 2),
            (QUINTIC, 4),
            (FIELD_BITS, 12),
            (width, 12),
            (full_rounds, 10),
            (partial_rounds, 10),
            ((1 << 30) - 1, 30),
        ];
        for (value, bits) in fields {
            for bit in (0..bits).rev() {
                register |= u128::from(value >> bit & 1) << length;
                length += 1;
            }
        }
        let mut grain = Self(register);
        for _ in 0..160 {
            grain.step();
        }
        grain
    }

    fn step(&mut self) -> u64 {
        let bit = |index: u32| (self.0 >> index) as u64 & 1;
        let new = bit(62) ^ bit(51) ^ bit(38) ^ bit(23) ^ bit(13) ^ bit(0);
        self.0 = self.0 >> 1 | u128::from(new) << 79;
        new
    }

    /// Of each pair of bits the first says whether the second counts.
    fn next(&mut self) -> u64 {
        while self.step() == 0 {
            self.step();
        }
        self.step()
    }

    fn element(&mut self) -> Fr {
        loop {
            let mut value = field::ZERO;
            for index in (0..FIELD_BITS).rev() {
                value[(index / 64) as usize] |= self.next() << (index % 64);
            }
            if field::reduce_once(value) == value {
                return value;
            }
        }
    }
}

/// The keys of all rounds in order, one vector of `width` elements each.
pub(crate) fn round_keys(width: usize, full_rounds: usize, partial_rounds: usize) -> Vec<Vec<Fr>> {
    let mut grain = Grain::new(width as u64, full_rounds as u64, partial_rounds as u64);
    (0..full_rounds + partial_rounds)
        .map(|_| (0..width).map(|_| grain.element()).collect())
        .collect()
}
