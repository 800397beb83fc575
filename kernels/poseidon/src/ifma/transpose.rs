//! **Purpose**: 32-byte nodes to lanes and back.
//!
//! **Invariants**: lane `k` is the `k`-th of eight nodes that lie a fixed distance apart.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_add_epi64, _mm512_and_si512,
    _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_cmplt_epi64_mask,
    _mm512_extracti64x4_epi64, _mm512_inserti64x4, _mm512_mask_mov_epi64, _mm512_or_si512,
    _mm512_permutex2var_epi64, _mm512_set_epi64, _mm512_slli_epi64, _mm512_srai_epi64,
    _mm512_srli_epi64, _mm512_sub_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64,
};

use super::lanes::{LIMBS, Lanes, MASK, ORDER, broadcast};
use crate::NODE_BYTES;

pub(super) const LANES: usize = 8;

/// Four vectors of nodes `k` and `k + 4` to four vectors of words, and back: a 4 x 4 transposition
/// in each half.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(nodes: [__m512i; 4]) -> [__m512i; 4] {
    let low = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
    let high = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    let even = _mm512_unpacklo_epi64(nodes[0], nodes[1]);
    let odd = _mm512_unpackhi_epi64(nodes[0], nodes[1]);
    let even_next = _mm512_unpacklo_epi64(nodes[2], nodes[3]);
    let odd_next = _mm512_unpackhi_epi64(nodes[2], nodes[3]);
    [
        _mm512_permutex2var_epi64(even, low, even_next),
        _mm512_permutex2var_epi64(odd, low, odd_next),
        _mm512_permutex2var_epi64(even, high, even_next),
        _mm512_permutex2var_epi64(odd, high, odd_next),
    ]
}

/// Eight nodes, the first at the start of `bytes`, the next `stride` bytes on; limbs are masked.
///
/// # Panics
/// When `bytes` ends before the eighth node does.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(bytes: &[u8], stride: usize) -> Lanes {
    let node = |k: usize| {
        let node: &[u8] = &bytes[k * stride..][..NODE_BYTES];
        // SAFETY: the slice has 32 bytes, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(node.as_ptr().cast::<__m256i>()) }
    };
    let pair = |k: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(node(k)), node(k + 4));
    let w = transpose([pair(0), pair(1), pair(2), pair(3)]);
    let mask = broadcast(MASK);
    [
        _mm512_and_si512(w[0], mask),
        _mm512_and_si512(
            _mm512_or_si512(_mm512_srli_epi64::<52>(w[0]), _mm512_slli_epi64::<12>(w[1])),
            mask,
        ),
        _mm512_and_si512(
            _mm512_or_si512(_mm512_srli_epi64::<40>(w[1]), _mm512_slli_epi64::<24>(w[2])),
            mask,
        ),
        _mm512_and_si512(
            _mm512_or_si512(_mm512_srli_epi64::<28>(w[2]), _mm512_slli_epi64::<36>(w[3])),
            mask,
        ),
        _mm512_srli_epi64::<16>(w[3]),
    ]
}

/// Stores eight values below twice the order as canonical nodes, one after the other.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(x: &Lanes, nodes: &mut [u8; LANES * NODE_BYTES]) {
    let mask = broadcast(MASK);
    let mut less = *x;
    let mut borrow = broadcast(0);
    for i in 0..LIMBS {
        let limb = if i + 1 < LIMBS { _mm512_and_si512(x[i], mask) } else { x[i] };
        less[i] = _mm512_add_epi64(_mm512_sub_epi64(limb, broadcast(ORDER[i])), borrow);
        borrow = _mm512_srai_epi64::<52>(less[i]);
    }
    let is_below = _mm512_cmplt_epi64_mask(borrow, broadcast(0));
    let mut limbs = *x;
    for i in 0..LIMBS {
        limbs[i] = _mm512_and_si512(_mm512_mask_mov_epi64(less[i], is_below, x[i]), mask);
    }
    let words = [
        _mm512_or_si512(limbs[0], _mm512_slli_epi64::<52>(limbs[1])),
        _mm512_or_si512(_mm512_srli_epi64::<12>(limbs[1]), _mm512_slli_epi64::<40>(limbs[2])),
        _mm512_or_si512(_mm512_srli_epi64::<24>(limbs[2]), _mm512_slli_epi64::<28>(limbs[3])),
        _mm512_or_si512(_mm512_srli_epi64::<36>(limbs[3]), _mm512_slli_epi64::<16>(limbs[4])),
    ];
    let pairs = transpose(words);
    let nodes = nodes.as_chunks_mut::<NODE_BYTES>().0;
    for (k, pair) in pairs.into_iter().enumerate() {
        // SAFETY: each node has 32 bytes, and the store needs no alignment.
        unsafe {
            let low = nodes[k].as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(low, _mm512_castsi512_si256(pair));
            let high = nodes[k + 4].as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(high, _mm512_extracti64x4_epi64::<1>(pair));
        }
    }
}
