//! **Purpose**: eight hashes per vector by AVX-512 IFMA, two vectors at a time.
//!
//! **Invariants**: a state holds [`GROUPS`] groups of eight lanes; the groups are independent and
//! fill each other's latencies (a partial round is a chain of three products).
//!
//! **Source**: [`crate::constants`].

pub(crate) mod batch;
mod lanes;
mod transpose;

use std::arch::x86_64::_mm512_add_epi64;
use std::mem;
use std::sync::LazyLock;

use lanes::{LIMBS, Lanes};
use transpose::LANES;

use crate::constants::{Constants, HALF_FULL_ROUNDS, Radix};
use crate::field::Fr;
use crate::hash::Source;
use crate::{Arity, NODE_BYTES};

const GROUPS: usize = 2;
const RADIX: Radix = Radix { whole_bits: 260, step_bits: 52 };

static CONSTANTS: [LazyLock<Limbs>; 4] = [
    LazyLock::new(|| Limbs::new(Arity::Two)),
    LazyLock::new(|| Limbs::new(Arity::Four)),
    LazyLock::new(|| Limbs::new(Arity::Eight)),
    LazyLock::new(|| Limbs::new(Arity::Eleven)),
];

/// [`Constants`] in 52-bit limbs.
struct Limbs {
    matrix: Vec<u64>,
    first_keys: Vec<[u64; LIMBS]>,
    keys: Vec<Vec<[u64; LIMBS]>>,
    rescales: Vec<[u64; LIMBS]>,
    unscale: [u64; LIMBS],
}

impl Limbs {
    fn new(arity: Arity) -> Self {
        let constants = Constants::new(arity, RADIX);
        let split = |values: &[Fr]| values.iter().map(|value| lanes::split(*value)).collect();
        Self {
            matrix: constants.matrix,
            first_keys: split(&constants.first_keys),
            keys: constants.keys.iter().map(|keys| split(keys)).collect(),
            rescales: split(&constants.rescales),
            unscale: lanes::split(constants.unscale),
        }
    }
}

const ARITY_MAX: usize = 11;
const NO_KEY: [u64; LIMBS] = [0; LIMBS];

/// Groups of eight lanes each.
type State<const WIDTH: usize, const N: usize> = [[Lanes; WIDTH]; N];

/// Hashes all of the source, as many as the output takes.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn run<const WIDTH: usize>(arity: Arity, source: Source<'_>, output: &mut [u8]) {
    let limbs = &*CONSTANTS[arity as usize];
    let mut from = 0;
    let mut chunks = output.chunks_exact_mut(GROUPS * LANES * NODE_BYTES);
    for digests in &mut chunks {
        hash_groups::<WIDTH, GROUPS>(limbs, source, from, digests);
        from += GROUPS * LANES;
    }
    let rest = chunks.into_remainder();
    if rest.is_empty() {
        return;
    }
    let count = rest.len() / NODE_BYTES;
    let row_bytes = (WIDTH - 1) * NODE_BYTES;
    let mut padded = [0; GROUPS * LANES * ARITY_MAX * NODE_BYTES];
    let padded = &mut padded[..GROUPS * LANES * row_bytes];
    for (index, row) in padded.chunks_exact_mut(row_bytes).take(count).enumerate() {
        for (j, node) in row.chunks_exact_mut(NODE_BYTES).enumerate() {
            node.copy_from_slice(&source.element(j, from + index).0[..NODE_BYTES]);
        }
    }
    let source = Source::Rows { input: padded, row_bytes };
    let mut digests = [0; GROUPS * LANES * NODE_BYTES];
    if count > LANES {
        hash_groups::<WIDTH, GROUPS>(limbs, source, 0, &mut digests);
    } else {
        hash_groups::<WIDTH, 1>(limbs, source, 0, &mut digests);
    }
    rest.copy_from_slice(&digests[..rest.len()]);
}

/// Hashes `N * 8` rows or columns from number `from` on.
#[target_feature(enable = "avx512f,avx512ifma")]
fn hash_groups<const WIDTH: usize, const N: usize>(
    limbs: &Limbs,
    source: Source<'_>,
    from: usize,
    digests: &mut [u8],
) {
    let mut state: State<WIDTH, N> = [[[lanes::broadcast(0); LIMBS]; WIDTH]; N];
    for (j, key) in limbs.first_keys.iter().enumerate() {
        let key = lanes::broadcast_all(key);
        for (group, state) in state.iter_mut().enumerate() {
            let (bytes, stride) = source.element(j, from + group * LANES);
            let mut x = transpose::load(bytes, stride);
            for (limb, key) in x.iter_mut().zip(key) {
                *limb = _mm512_add_epi64(*limb, key);
            }
            state[j + 1] = lanes::carry(x);
        }
    }
    let mut spare = state;
    let nodes = digests.as_chunks_mut::<{ LANES * NODE_BYTES }>().0;
    for (state, nodes) in permute(limbs, &mut state, &mut spare).iter().zip(nodes) {
        let mut row = [state[0]];
        lanes::rows(&limbs.matrix[1..], state, [&NO_KEY], &mut row);
        let digest = lanes::mul(&row[0], &lanes::broadcast_all(&limbs.unscale));
        transpose::store(&digest, nodes);
    }
}

/// All rounds up to the S-boxes of the last one; the result is in one of the two buffers.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn permute<'a, const WIDTH: usize, const N: usize>(
    limbs: &Limbs,
    mut state: &'a mut State<WIDTH, N>,
    mut mixed: &'a mut State<WIDTH, N>,
) -> &'a mut State<WIDTH, N> {
    let (early, rest) = limbs.keys.split_at(HALF_FULL_ROUNDS);
    let (partial, late) = rest.split_at(limbs.rescales.len());
    for keys in early {
        full_sbox(state);
        mix(limbs, state, keys, mixed);
        mem::swap(&mut state, &mut mixed);
    }
    for (keys, rescale) in partial.iter().zip(&limbs.rescales) {
        partial_sbox(state, rescale);
        mix(limbs, state, keys, mixed);
        mem::swap(&mut state, &mut mixed);
    }
    for keys in late {
        full_sbox(state);
        mix(limbs, state, keys, mixed);
        mem::swap(&mut state, &mut mixed);
    }
    full_sbox(state);
    state
}

/// The fifth power of each element, power by power, so that products which follow each other are
/// independent.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn full_sbox<const WIDTH: usize, const N: usize>(state: &mut State<WIDTH, N>) {
    for state in state {
        let mut powers = *state;
        for (power, x) in powers.iter_mut().zip(state.iter()) {
            *power = lanes::square(x);
        }
        for power in &mut powers {
            *power = lanes::square(power);
        }
        for (x, fourth) in state.iter_mut().zip(&powers) {
            *x = lanes::mul(fourth, x);
        }
    }
}

/// The fifth power of element 0 of each group, brought to the scale of the other elements.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn partial_sbox<const WIDTH: usize, const N: usize>(
    state: &mut State<WIDTH, N>,
    rescale: &[u64; LIMBS],
) {
    let rescale = lanes::broadcast_all(rescale);
    let mut powers = [state[0][0]; N];
    for (power, state) in powers.iter_mut().zip(state.iter()) {
        *power = lanes::square(&state[0]);
    }
    for state in state.iter_mut() {
        state[0] = lanes::mul(&state[0], &rescale);
    }
    for power in &mut powers {
        *power = lanes::square(power);
    }
    for (power, state) in powers.iter().zip(state.iter_mut()) {
        state[0] = lanes::mul(power, &state[0]);
    }
}

/// The matrix times the state, plus the keys (elements without a key have none added).
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn mix<const WIDTH: usize, const N: usize>(
    limbs: &Limbs,
    state: &State<WIDTH, N>,
    keys: &[[u64; LIMBS]],
    mixed: &mut State<WIDTH, N>,
) {
    let key = |i: usize| keys.get(i).unwrap_or(&NO_KEY);
    for (state, mixed) in state.iter().zip(mixed) {
        let (threes, rest) = mixed.as_chunks_mut::<3>();
        let mut i = 0;
        for rows in threes {
            lanes::rows(&limbs.matrix[i..], state, [key(i), key(i + 1), key(i + 2)], rows);
            i += 3;
        }
        if let Some(rows) = rest.first_chunk_mut::<2>() {
            lanes::rows(&limbs.matrix[i..], state, [key(i), key(i + 1)], rows);
        }
    }
}
