//! **Purpose**: hashes of 64-byte pairs with the vectors and SHA instructions of x86-64.
//!
//! **Invariants**: each function hashes as many whole groups as its input has, and says how many
//! pairs that were; the rest is the caller's.

use std::arch::x86_64::*;

use super::{DIGEST_BYTES, PAIR_BYTES};
use crate::lanes::{Lanes, compress, rounds_constant};
use crate::shani::{self, Registers};
use crate::vectors::{Avx2, Zmm};
use crate::{FIELD_MASK, INITIAL, PAIR_PADDING};

/// Sixteen pairs at a time.
///
/// # Safety
/// The processor has the features; `output` has 32 bytes for each 64 of `input`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
pub(super) unsafe fn avx512(input: &[u8], output: &mut [u8]) -> usize {
    let swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let groups =
        input.chunks_exact(16 * PAIR_BYTES).zip(output.chunks_exact_mut(16 * DIGEST_BYTES));
    let mut hashed = 0;
    for (pairs, digests) in groups {
        // SAFETY: the chunk has sixteen pairs, each one unaligned vector.
        let rows: [__m512i; 16] = std::array::from_fn(|i| unsafe {
            _mm512_shuffle_epi8(_mm512_loadu_si512(pairs.as_ptr().add(i * PAIR_BYTES).cast()), swap)
        });
        let words = transpose_16(rows).map(Zmm);
        // SAFETY: this function enables the instructions of the vector.
        let state = unsafe { hash(words) };
        let [a, b, c, d, e, f, g, h] = state.map(|word| word.0);
        // Two transposes of 4 × 4 in each quarter: lanes 4q to 4q + 3 give the halves of digests.
        let low = transpose_quarters([a, b, c, d]);
        let high = transpose_quarters([e, f, g, h]);
        for i in 0..4 {
            let (low, high) =
                (_mm512_shuffle_epi8(low[i], swap), _mm512_shuffle_epi8(high[i], swap));
            // Quarters q of `low` and `high` are the digest of pair 4q + i.
            let first =
                _mm512_permutex2var_epi64(low, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), high);
            let second =
                _mm512_permutex2var_epi64(low, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), high);
            let of_pairs = [
                (i, _mm512_castsi512_si256(first)),
                (4 + i, _mm512_extracti64x4_epi64::<1>(first)),
                (8 + i, _mm512_castsi512_si256(second)),
                (12 + i, _mm512_extracti64x4_epi64::<1>(second)),
            ];
            for (pair, digest) in of_pairs {
                // SAFETY: the chunk has 32 bytes for each of sixteen pairs.
                unsafe {
                    let to = digests.as_mut_ptr().add(pair * DIGEST_BYTES);
                    _mm256_storeu_si256(to.cast(), digest);
                }
            }
        }
        hashed += 16;
    }
    hashed
}

/// Eight pairs at a time.
///
/// # Safety
/// The processor has the features; `output` has 32 bytes for each 64 of `input`.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(input: &[u8], output: &mut [u8]) -> usize {
    let swap =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203));
    let groups = input.chunks_exact(8 * PAIR_BYTES).zip(output.chunks_exact_mut(8 * DIGEST_BYTES));
    let mut hashed = 0;
    for (pairs, digests) in groups {
        let half = |offset: usize| {
            // SAFETY: the chunk has eight pairs, each two unaligned vectors.
            transpose_8(std::array::from_fn(|i| unsafe {
                let from = pairs.as_ptr().add(i * PAIR_BYTES + offset);
                _mm256_shuffle_epi8(_mm256_loadu_si256(from.cast()), swap)
            }))
        };
        let (left, right) = (half(0), half(32));
        let words = std::array::from_fn(|i| Avx2(if i < 8 { left[i] } else { right[i - 8] }));
        // SAFETY: this function enables the instructions of the vector.
        let state = unsafe { hash(words) };
        let rows = transpose_8(state.map(|word| word.0));
        for (digest, row) in digests.chunks_exact_mut(DIGEST_BYTES).zip(rows) {
            // SAFETY: a digest is 32 bytes, one unaligned vector.
            unsafe {
                _mm256_storeu_si256(digest.as_mut_ptr().cast(), _mm256_shuffle_epi8(row, swap));
            }
        }
        hashed += 8;
    }
    hashed
}

/// `N` pairs at a time.
///
/// # Safety
/// The processor has the features; `output` has 32 bytes for each 64 of `input`.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) unsafe fn shani<const N: usize>(input: &[u8], output: &mut [u8]) -> usize {
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let padding = [shani::constant_sums(&PAIR_PADDING); N];
    let mask = _mm_set_epi32(FIELD_MASK.cast_signed(), -1, -1, -1);
    let initial = Registers::new(&INITIAL);
    let groups = input.chunks_exact(N * PAIR_BYTES).zip(output.chunks_exact_mut(N * DIGEST_BYTES));
    let mut hashed = 0;
    for (pairs, digests) in groups {
        let mut words = std::array::from_fn(|i| {
            // SAFETY: the chunk has `N` pairs, each four unaligned vectors.
            std::array::from_fn(|part| unsafe {
                let from = pairs.as_ptr().add(i * PAIR_BYTES + part * 16);
                _mm_shuffle_epi8(_mm_loadu_si128(from.cast()), swap)
            })
        });
        let mut streams = [initial; N];
        shani::compress::<N, false>(&mut streams, &mut words, &mut [[swap; 16]; N]);
        shani::rounds(&mut streams, &padding);
        for (digest, stream) in digests.chunks_exact_mut(DIGEST_BYTES).zip(streams) {
            let [low, high] = stream.words();
            let high = _mm_and_si128(high, mask);
            let words = [_mm_shuffle_epi8(low, swap), _mm_shuffle_epi8(high, swap)];
            // SAFETY: a digest is 32 bytes.
            unsafe { shani::store(words, digest.as_mut_ptr().cast()) };
        }
        hashed += N;
    }
    hashed
}

/// The hashes of one pair in each lane, words native, the field mask applied.
///
/// # Safety
/// The caller enables the instructions of `V`.
#[inline(always)]
unsafe fn hash<V: Lanes>(words: [V; 16]) -> [V; 8] {
    // SAFETY: the caller guarantees the instructions; nothing is kept.
    unsafe {
        let mut state = INITIAL.map(|word| V::splat(word));
        compress::<V, false>(&mut state, words, std::ptr::null_mut());
        rounds_constant(&mut state, &PAIR_PADDING);
        state[7] = state[7].and(V::splat(FIELD_MASK));
        state
    }
}

/// In each quarter of 128 bits, the transpose of four rows of four words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_quarters(rows: [__m512i; 4]) -> [__m512i; 4] {
    let low = [_mm512_unpacklo_epi32(rows[0], rows[1]), _mm512_unpacklo_epi32(rows[2], rows[3])];
    let high = [_mm512_unpackhi_epi32(rows[0], rows[1]), _mm512_unpackhi_epi32(rows[2], rows[3])];
    [
        _mm512_unpacklo_epi64(low[0], low[1]),
        _mm512_unpackhi_epi64(low[0], low[1]),
        _mm512_unpacklo_epi64(high[0], high[1]),
        _mm512_unpackhi_epi64(high[0], high[1]),
    ]
}

/// The transpose of sixteen rows of sixteen words.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_16(rows: [__m512i; 16]) -> [__m512i; 16] {
    // Group g holds rows 4g to 4g + 3; its vector i has word 4q + i of them in quarter q.
    let group = |g: usize| {
        transpose_quarters([rows[4 * g], rows[4 * g + 1], rows[4 * g + 2], rows[4 * g + 3]])
    };
    let groups = [group(0), group(1), group(2), group(3)];
    let mut columns = [rows[0]; 16];
    for i in 0..4 {
        let [g0, g1, g2, g3] = [groups[0][i], groups[1][i], groups[2][i], groups[3][i]];
        // Quarters 0 and 2, then 1 and 3, of two groups each.
        let even = [_mm512_shuffle_i32x4::<0x88>(g0, g1), _mm512_shuffle_i32x4::<0x88>(g2, g3)];
        let odd = [_mm512_shuffle_i32x4::<0xdd>(g0, g1), _mm512_shuffle_i32x4::<0xdd>(g2, g3)];
        columns[i] = _mm512_shuffle_i32x4::<0x88>(even[0], even[1]);
        columns[4 + i] = _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]);
        columns[8 + i] = _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]);
        columns[12 + i] = _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]);
    }
    columns
}

/// The transpose of eight rows of eight words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_8(rows: [__m256i; 8]) -> [__m256i; 8] {
    let quarters = |r: [__m256i; 4]| {
        let low = [_mm256_unpacklo_epi32(r[0], r[1]), _mm256_unpacklo_epi32(r[2], r[3])];
        let high = [_mm256_unpackhi_epi32(r[0], r[1]), _mm256_unpackhi_epi32(r[2], r[3])];
        [
            _mm256_unpacklo_epi64(low[0], low[1]),
            _mm256_unpackhi_epi64(low[0], low[1]),
            _mm256_unpacklo_epi64(high[0], high[1]),
            _mm256_unpackhi_epi64(high[0], high[1]),
        ]
    };
    let first = quarters([rows[0], rows[1], rows[2], rows[3]]);
    let second = quarters([rows[4], rows[5], rows[6], rows[7]]);
    std::array::from_fn(|i| {
        if i < 4 {
            _mm256_permute2x128_si256::<0x20>(first[i], second[i])
        } else {
            _mm256_permute2x128_si256::<0x31>(first[i - 4], second[i - 4])
        }
    })
}
