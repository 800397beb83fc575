//! SHA-256 compression in plain Rust: the reference for the other path and the fallback.

use crate::{ROUND_CONSTANTS, node};

/// Compresses the blocks formed by each pair of nodes.
pub(crate) fn compress(state: &mut [u32; 8], nodes: &[&[u8]]) {
    for pair in nodes.chunks_exact(2) {
        compress_block(state, node(pair[0]), node(pair[1]));
    }
}

fn compress_block(state: &mut [u32; 8], left: &[u8; 32], right: &[u8; 32]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(left.chunks_exact(4).chain(right.chunks_exact(4))) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }

    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (w, k) in w.iter().zip(&ROUND_CONSTANTS) {
        let sum1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(sum1).wrapping_add(choice).wrapping_add(*k).wrapping_add(*w);
        let sum0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(sum0).wrapping_add(majority));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}
