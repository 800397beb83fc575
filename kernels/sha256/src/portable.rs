//! The compression function in plain Rust.
//!
//! **Purpose**: the form that every machine runs and that all others are compared with.
//!
//! **Source**: FIPS 180-4, sections 4.1.2 and 6.2.2.

use crate::{ROUND_CONSTANTS, Schedule, State};

/// Expands the sixteen words of a block and adds the round constants.
pub const fn schedule(block: &[u32; 16]) -> Schedule {
    let mut words = [0; 64];
    let mut t = 0;
    while t < 64 {
        words[t] = if t < 16 {
            block[t]
        } else {
            let (old, new): (u32, u32) = (words[t - 15], words[t - 2]);
            let sigma0 = old.rotate_right(7) ^ old.rotate_right(18) ^ (old >> 3);
            let sigma1 = new.rotate_right(17) ^ new.rotate_right(19) ^ (new >> 10);
            sigma1.wrapping_add(words[t - 7]).wrapping_add(sigma0).wrapping_add(words[t - 16])
        };
        t += 1;
    }
    let mut t = 0;
    while t < 64 {
        words[t] = words[t].wrapping_add(ROUND_CONSTANTS[t]);
        t += 1;
    }
    words
}

/// The 64 rounds of one block whose schedule is given, and the addition of the state before them.
pub fn rounds(state: &mut State, schedule: &Schedule) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for &sum in schedule {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = g ^ (e & (f ^ g));
        let first = h.wrapping_add(sum).wrapping_add(choice).wrapping_add(big1);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) | (c & (a | b));
        h = g;
        g = f;
        f = e;
        e = d.wrapping_add(first);
        d = c;
        c = b;
        b = a;
        a = first.wrapping_add(big0).wrapping_add(majority);
    }
    for (word, after) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(after);
    }
}

/// Compresses one block.
pub fn compress(state: &mut State, block: &[u32; 16]) {
    rounds(state, &schedule(block));
}
