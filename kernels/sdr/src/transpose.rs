//! From words side by side to the bytes of each lane.
//!
//! **Purpose:** the labels that were just made, while they are in the cache, as the bytes of the
//! layer files.
//!
//! **Invariants:** every backend writes the same bytes: `u32` words, big-endian.

use crate::label::LABEL_WORDS;

/// Lanes that the vector code turns at a time.
#[cfg(target_arch = "x86_64")]
const TILE: usize = 8;

/// How the words are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Portable,
    /// Eight lanes at a time; narrower groups as [`Backend::Portable`].
    Avx2,
}

impl Backend {
    pub(crate) fn detect() -> Self {
        if Self::Avx2.is_available() { Self::Avx2 } else { Self::Portable }
    }

    pub(crate) fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => false,
        }
    }
}

/// Writes the labels of all nodes of `words`; those of lane `l` start at `l * stride`.
///
/// # Panics
/// When the backend is not available, `words` has not whole nodes or `out` is too short.
pub(crate) fn to_lanes(
    backend: Backend,
    words: &[u32],
    width: usize,
    out: &mut [u8],
    stride: usize,
) {
    assert!(backend.is_available(), "this machine cannot run {backend:?}");
    let nodes = words.len() / (LABEL_WORDS * width);
    assert_eq!(words.len(), nodes * LABEL_WORDS * width, "whole nodes");
    let bytes = nodes * LABEL_WORDS * 4;
    assert!(bytes <= stride && out.len() >= (width - 1) * stride + bytes, "room for all lanes");
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 if width.is_multiple_of(TILE) => {
            // SAFETY: the backend is available; lengths and strides were checked above.
            unsafe { x86::to_lanes(words, nodes, width, out, stride) }
        }
        _ => portable(words, width, out, stride, bytes),
    }
}

fn portable(words: &[u32], width: usize, out: &mut [u8], stride: usize, bytes: usize) {
    // A few nodes at a time, so that the rows stay in the first cache for all lanes.
    const BLOCK: usize = 32 * LABEL_WORDS;
    for (i, block) in words.chunks(BLOCK * width).enumerate() {
        for (lane, lane_out) in out.chunks_mut(stride).take(width).enumerate() {
            let start = i * BLOCK * 4;
            let end = bytes.min(start + BLOCK * 4);
            let slots = lane_out[start..end].as_chunks_mut::<4>().0;
            for (slot, row) in slots.iter_mut().zip(block.chunks_exact(width)) {
                *slot = row[lane].to_be_bytes();
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LABEL_WORDS, TILE};

    /// # Safety
    /// The machine has AVX2; `words` holds `nodes` nodes of `width` lanes, a multiple of eight, and
    /// `out` 32 bytes for each node of lane `l` at `l * stride`.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn to_lanes(
        words: &[u32],
        nodes: usize,
        width: usize,
        out: &mut [u8],
        stride: usize,
    ) {
        for node in 0..nodes {
            for first in (0..width).step_by(TILE) {
                let at = node * LABEL_WORDS * width + first;
                // SAFETY: the last row read is the last word of the node, and `first + 8` lanes of
                // it are there.
                let rows = std::array::from_fn(|word| unsafe {
                    _mm256_loadu_si256(words.as_ptr().add(at + word * width).cast())
                });
                for (lane, label) in (first..).zip(turn(rows)) {
                    // SAFETY: the caller guarantees 32 bytes for this node of this lane.
                    unsafe {
                        let to = out.as_mut_ptr().add(lane * stride + node * 32);
                        _mm256_storeu_si256(to.cast(), label);
                    }
                }
            }
        }
    }

    /// From eight words of eight lanes to eight labels, words big-endian.
    #[target_feature(enable = "avx2")]
    fn turn(rows: [__m256i; 8]) -> [__m256i; TILE] {
        let order = _mm256_setr_epi8(
            3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10,
            9, 8, 15, 14, 13, 12,
        );
        let [a, b, c, d, e, f, g, h] = rows.map(|row| _mm256_shuffle_epi8(row, order));
        // Pairs of words, then four words of a lane in each half, then both halves.
        let pair = |x, y| [_mm256_unpacklo_epi32(x, y), _mm256_unpackhi_epi32(x, y)];
        let [ab, cd, ef, gh] = [pair(a, b), pair(c, d), pair(e, f), pair(g, h)];
        let four = |x: [__m256i; 2], y: [__m256i; 2]| {
            [
                _mm256_unpacklo_epi64(x[0], y[0]),
                _mm256_unpackhi_epi64(x[0], y[0]),
                _mm256_unpacklo_epi64(x[1], y[1]),
                _mm256_unpackhi_epi64(x[1], y[1]),
            ]
        };
        let [first, second] = [four(ab, cd), four(ef, gh)];
        let mut labels = [_mm256_setzero_si256(); TILE];
        for i in 0..4 {
            labels[i] = _mm256_permute2x128_si256::<0x20>(first[i], second[i]);
            labels[i + 4] = _mm256_permute2x128_si256::<0x31>(first[i], second[i]);
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_writes_the_lanes_small() {
        for width in [1, 2, 4, 8, 16] {
            for nodes in [0, 1, 2, 31, 32, 33, 100] {
                let count = nodes * LABEL_WORDS * width;
                let words: Vec<u32> =
                    (0..count as u32).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
                let stride = nodes * 32 + 5;
                for backend in [Backend::Portable, Backend::Avx2] {
                    if !backend.is_available() {
                        continue;
                    }
                    let mut out = vec![0xaa; stride * width];
                    to_lanes(backend, &words, width, &mut out, stride);
                    for (lane, out) in out.chunks_exact(stride).enumerate() {
                        let labels: Vec<u8> = words
                            .iter()
                            .skip(lane)
                            .step_by(width)
                            .flat_map(|word| word.to_be_bytes())
                            .collect();
                        assert_eq!(
                            out[..nodes * 32],
                            labels,
                            "{backend:?}, {width} lanes, {nodes} nodes"
                        );
                        assert_eq!(out[nodes * 32..], [0xaa; 5], "nothing else is written");
                    }
                }
            }
        }
    }
}
