//! The first 20 words of ChaCha8 of many keys side by side.
//!
//! **Purpose:** the ten draws of 64 bits per node that choose its base parents.
//!
//! **Invariants:** nonce and counter start at zero; a draw is two consecutive words, the low one
//! first. Nine draws need one block and a quarter of the second.
//!
//! **Source:** D. J. Bernstein, "ChaCha, a variant of Salsa20".

use super::Backend;

/// Most nodes that one call serves.
pub(crate) const LANES_MAX: usize = 16;
/// Words of ten draws.
const WORDS: usize = 20;
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
const DOUBLE_ROUNDS: usize = 4;

/// Word `w` of node `first + lane` at `[w][lane]`.
pub(crate) struct Words([[u32; LANES_MAX]; WORDS]);

impl Words {
    pub(crate) fn new() -> Self {
        Self([[0; LANES_MAX]; WORDS])
    }

    /// Draw number `i` of a lane.
    #[inline(always)]
    pub(crate) fn draw(&self, i: usize, lane: usize) -> u64 {
        u64::from(self.0[2 * i][lane]) | u64::from(self.0[2 * i + 1][lane]) << 32
    }
}

/// The words of one node.
pub(crate) fn words_of(seed: &[u8; 28], node: u32) -> [u32; WORDS] {
    let mut words = Words::new();
    block::<1>(seed, node, 0, &mut words);
    words.0.map(|lanes| lanes[0])
}

/// The words of the nodes from `first` on.
pub(crate) fn fill(backend: Backend, seed: &[u8; 28], first: u32, words: &mut Words) {
    match backend {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the only caller is `Filler`, which checks that the backend is available.
        Backend::Avx512 => unsafe { fill_avx512(seed, first, words) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Backend::Avx2 => unsafe { fill_avx2(seed, first, words) },
        _ => (0..LANES_MAX).for_each(|lane| block::<1>(seed, first, lane, words)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn fill_avx512(seed: &[u8; 28], first: u32, words: &mut Words) {
    block::<16>(seed, first, 0, words);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_avx2(seed: &[u8; 28], first: u32, words: &mut Words) {
    block::<8>(seed, first, 0, words);
    block::<8>(seed, first, 8, words);
}

/// The words of the `N` lanes from `lane` on. Arrays of lanes become vectors of the calling
/// function's instruction set.
#[inline(always)]
fn block<const N: usize>(seed: &[u8; 28], first: u32, lane: usize, words: &mut Words) {
    let mut key = [[0; N]; 8];
    for (word, bytes) in key.iter_mut().zip(seed.as_chunks::<4>().0) {
        *word = [u32::from_le_bytes(*bytes); N];
    }
    for (i, slot) in key[7].iter_mut().enumerate() {
        // Lanes past the end of the graph are computed and not read.
        *slot = first.wrapping_add((lane + i) as u32);
    }
    for counter in 0..2 {
        let mut start = [[0; N]; 16];
        for (word, constant) in start.iter_mut().zip(CONSTANTS) {
            *word = [constant; N];
        }
        start[4..12].copy_from_slice(&key);
        start[12] = [counter; N];
        let mut state = start;
        for _ in 0..DOUBLE_ROUNDS {
            for column in 0..4 {
                quarter(&mut state, [column, 4 + column, 8 + column, 12 + column]);
            }
            for i in 0..4 {
                quarter(&mut state, [i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4]);
            }
        }
        let offset = counter as usize * 16;
        for (i, out) in words.0[offset..].iter_mut().take(16).enumerate() {
            for (slot, (end, begin)) in out[lane..].iter_mut().zip(state[i].iter().zip(start[i])) {
                *slot = end.wrapping_add(begin);
            }
        }
    }
}

#[inline(always)]
fn quarter<const N: usize>(s: &mut [[u32; N]; 16], [a, b, c, d]: [usize; 4]) {
    for (x, y, z, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        let (addend, mut sum, mut mixed) = (s[y], s[x], s[z]);
        for ((sum, mixed), addend) in sum.iter_mut().zip(&mut mixed).zip(addend) {
            *sum = sum.wrapping_add(addend);
            *mixed = (*mixed ^ *sum).rotate_left(turn);
        }
        (s[x], s[z]) = (sum, mixed);
    }
}
