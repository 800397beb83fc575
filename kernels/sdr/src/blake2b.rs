//! BLAKE2b-512 of 16 bytes, as the round function of the expander's permutation uses it.
//!
//! **Purpose:** the first eight bytes of the hash of `right | key`, for one value or for many.
//!
//! **Invariants:** the message has two words that are not zero and only the first word of the hash
//! is wanted: additions of zero words are left out, and the compiler drops the two last mixings
//! whose results nobody reads.
//!
//! **Source:** RFC 7693.

use crate::parents::Backend;

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];
/// Digest of 64 bytes, no key, sequential mode.
const PARAMETERS: u64 = 0x0101_0040;
const MESSAGE_BYTES: u64 = 16;
/// Where words 0 and 1 of the message stand in the order of each round.
const PLACES: [[usize; 2]; 12] = [
    [0, 1],
    [10, 8],
    [3, 13],
    [13, 3],
    [1, 9],
    [4, 14],
    [8, 2],
    [9, 5],
    [6, 12],
    [15, 6],
    [0, 1],
    [10, 8],
];
const COLUMNS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

/// One hash or several side by side.
type Lanes<const N: usize> = [u64; N];

/// First word of the hash of the two words, for `N` messages.
#[inline(always)]
fn compress<const N: usize>(first: Lanes<N>, second: Lanes<N>) -> Lanes<N> {
    let mut v: [Lanes<N>; 16] = [[0; N]; 16];
    for (i, iv) in IV.iter().enumerate() {
        v[i] = [*iv; N];
        v[i + 8] = [*iv; N];
    }
    let h0 = IV[0] ^ PARAMETERS;
    v[0] = [h0; N];
    v[12] = [IV[4] ^ MESSAGE_BYTES; N];
    v[14] = [!IV[6]; N];
    for place in PLACES {
        for (i, [a, b, c, d]) in COLUMNS.into_iter().enumerate() {
            for half in 0..2 {
                if place[0] == 2 * i + half {
                    each(&mut v, a, |x, lane| x[a][lane].wrapping_add(first[lane]));
                }
                if place[1] == 2 * i + half {
                    each(&mut v, a, |x, lane| x[a][lane].wrapping_add(second[lane]));
                }
                let (turn_d, turn_b) = if half == 0 { (32, 24) } else { (16, 63) };
                each(&mut v, a, |x, lane| x[a][lane].wrapping_add(x[b][lane]));
                each(&mut v, d, |x, lane| (x[d][lane] ^ x[a][lane]).rotate_right(turn_d));
                each(&mut v, c, |x, lane| x[c][lane].wrapping_add(x[d][lane]));
                each(&mut v, b, |x, lane| (x[b][lane] ^ x[c][lane]).rotate_right(turn_b));
            }
        }
    }
    let mut hash = [0; N];
    for (lane, word) in hash.iter_mut().enumerate() {
        *word = h0 ^ v[0][lane] ^ v[8][lane];
    }
    hash
}

#[inline(always)]
fn each<const N: usize>(
    v: &mut [Lanes<N>; 16],
    target: usize,
    value: impl Fn(&[Lanes<N>; 16], usize) -> u64,
) {
    let mut lanes = [0; N];
    for (lane, slot) in lanes.iter_mut().enumerate() {
        *slot = value(v, lane);
    }
    v[target] = lanes;
}

/// The round function of the permutation before its mask: the first eight bytes, big-endian, of the
/// hash of both arguments, big-endian.
pub(crate) fn round_function(right: u64, key: u64) -> u64 {
    compress([right.swap_bytes()], [key.swap_bytes()])[0].swap_bytes()
}

/// Round function, masked, of 0, 1, 2, ... with one key.
pub(crate) fn fill_round(backend: Backend, key: u64, mask: u64, out: &mut [u32]) {
    match backend {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the only caller is `Filler`, which checks that the backend is available: that the
        // machine has AVX-512F.
        Backend::Avx512 => unsafe { fill_avx512(key, mask, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above, with AVX2.
        Backend::Avx2 => unsafe { fill_avx2(key, mask, out) },
        _ => fill::<1>(key, mask, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn fill_avx512(key: u64, mask: u64, out: &mut [u32]) {
    fill::<8>(key, mask, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn fill_avx2(key: u64, mask: u64, out: &mut [u32]) {
    fill::<4>(key, mask, out);
}

#[inline(always)]
fn fill<const N: usize>(key: u64, mask: u64, out: &mut [u32]) {
    for (chunk, first) in out.chunks_mut(N).zip((0_u64..).step_by(N)) {
        let mut right = [0; N];
        for (slot, value) in right.iter_mut().zip(first..) {
            *slot = value.swap_bytes();
        }
        let hash = compress(right, [key.swap_bytes(); N]);
        for (slot, word) in chunk.iter_mut().zip(hash) {
            // The mask has at most 17 bits.
            *slot = (word.swap_bytes() & mask) as u32;
        }
    }
}
