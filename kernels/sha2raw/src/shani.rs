//! SHA-256 compression with the SHA instructions of x86-64.
//!
//! Bound: `sha256rnds2` has a latency of 4 cycles on the cores measured, and the 32 of a block form
//! one chain: 128 cycles, about 40 to 60 ns a block. The message schedule runs beside it.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_storeu_si128,
};

use crate::{ROUND_CONSTANTS, node};

/// Compresses the blocks formed by each pair of nodes.
///
/// # Safety
/// The processor must have sha, sse4.1 and ssse3.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(crate) unsafe fn compress(state: &mut [u32; 8], nodes: &[&[u8]]) {
    // Reverses the bytes of each 32-bit word.
    let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);

    // SAFETY: both loads read 16 bytes inside the 32 bytes of `state`; unaligned loads are used.
    let (low, high) = unsafe {
        let words = state.as_ptr().cast::<__m128i>();
        (_mm_loadu_si128(words), _mm_loadu_si128(words.add(1)))
    };
    // The instructions want the words (from the low lane) FEBA and HGDC.
    let badc = _mm_shuffle_epi32::<0xb1>(low);
    let hgfe = _mm_shuffle_epi32::<0x1b>(high);
    let mut abef = _mm_alignr_epi8::<8>(badc, hgfe);
    let mut cdgh = _mm_blend_epi16::<0xf0>(hgfe, badc);

    for pair in nodes.chunks_exact(2) {
        let (left, right) = (node(pair[0]), node(pair[1]));
        // SAFETY: `left` and `right` are 32 bytes each, two unaligned 16-byte loads of each.
        let words = unsafe {
            let (left, right) = (left.as_ptr().cast::<__m128i>(), right.as_ptr().cast::<__m128i>());
            [
                _mm_loadu_si128(left),
                _mm_loadu_si128(left.add(1)),
                _mm_loadu_si128(right),
                _mm_loadu_si128(right.add(1)),
            ]
        };
        let (abef_before, cdgh_before) = (abef, cdgh);
        let mut w0 = _mm_shuffle_epi8(words[0], swap);
        let mut w1 = _mm_shuffle_epi8(words[1], swap);
        let mut w2 = _mm_shuffle_epi8(words[2], swap);
        let mut w3 = _mm_shuffle_epi8(words[3], swap);

        (abef, cdgh) = four_rounds::<0>(abef, cdgh, w0);
        (abef, cdgh) = four_rounds::<1>(abef, cdgh, w1);
        (abef, cdgh) = four_rounds::<2>(abef, cdgh, w2);
        (abef, cdgh) = four_rounds::<3>(abef, cdgh, w3);
        macro_rules! sixteen_rounds {
            ($first:literal, $second:literal, $third:literal, $fourth:literal) => {
                w0 = schedule(w0, w1, w2, w3);
                (abef, cdgh) = four_rounds::<$first>(abef, cdgh, w0);
                w1 = schedule(w1, w2, w3, w0);
                (abef, cdgh) = four_rounds::<$second>(abef, cdgh, w1);
                w2 = schedule(w2, w3, w0, w1);
                (abef, cdgh) = four_rounds::<$third>(abef, cdgh, w2);
                w3 = schedule(w3, w0, w1, w2);
                (abef, cdgh) = four_rounds::<$fourth>(abef, cdgh, w3);
            };
        }
        sixteen_rounds!(4, 5, 6, 7);
        sixteen_rounds!(8, 9, 10, 11);
        sixteen_rounds!(12, 13, 14, 15);

        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    let feba = _mm_shuffle_epi32::<0x1b>(abef);
    let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
    let dcba = _mm_blend_epi16::<0xf0>(feba, dchg);
    let hgfe = _mm_alignr_epi8::<8>(dchg, feba);
    // SAFETY: both stores write 16 bytes inside the 32 bytes of `state`; unaligned stores are used.
    unsafe {
        let words = state.as_mut_ptr().cast::<__m128i>();
        _mm_storeu_si128(words, dcba);
        _mm_storeu_si128(words.add(1), hgfe);
    }
}

/// The four message words that follow sixteen given ones (oldest first).
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
    _mm_sha256msg2_epu32(sum, w3)
}

/// Rounds `4 * GROUP` to `4 * GROUP + 3`.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn four_rounds<const GROUP: usize>(
    abef: __m128i,
    cdgh: __m128i,
    words: __m128i,
) -> (__m128i, __m128i) {
    let constants = &ROUND_CONSTANTS[GROUP * 4..GROUP * 4 + 4];
    // SAFETY: the slice above holds four words, 16 bytes; an unaligned load is used.
    let constants = unsafe { _mm_loadu_si128(constants.as_ptr().cast::<__m128i>()) };
    let sum = _mm_add_epi32(words, constants);
    let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
    let abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0e>(sum));
    (abef, cdgh)
}
