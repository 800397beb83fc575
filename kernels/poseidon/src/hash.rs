//! **Purpose**: hashes of rows (nodes of a tree) and of columns (one node of each layer).
//!
//! **Invariants**: lengths are checked before any kernel runs; a kernel gets whole hashes only.

use crate::field::{self, Fr};
#[cfg(target_arch = "x86_64")]
use crate::ifma;
use crate::{Arity, Backend, NODE_BYTES, scalar};

/// Hashes `n` rows: `input` is `n * arity * 32` bytes, `output` `n * 32` bytes.
///
/// # Panics
/// When the lengths do not fit each other, or the backend is not available on this CPU.
pub fn hash_rows(backend: Backend, arity: Arity, input: &[u8], output: &mut [u8]) {
    backend.check();
    let row_bytes = arity.len() * NODE_BYTES;
    assert!(
        output.len().is_multiple_of(NODE_BYTES)
            && input.len() == output.len() / NODE_BYTES * row_bytes,
        "hash_rows of arity {}: input of {} bytes, output of {}",
        arity.len(),
        input.len(),
        output.len()
    );
    run(backend, arity, Source::Rows { input, row_bytes }, output);
}

/// Hashes `n` columns: each layer and `output` are `n * 32` bytes, and node `i` of the output is
/// the hash of nodes `i` of all layers in their order.
///
/// # Panics
/// When there is no [`Arity`] for so many layers, the lengths differ, or the backend is not
/// available on this CPU.
pub fn hash_columns(backend: Backend, layers: &[&[u8]], output: &mut [u8]) {
    backend.check();
    let Some(arity) = Arity::of(layers.len()) else {
        panic!("hash_columns of {} layers: there is no such arity", layers.len());
    };
    assert!(
        output.len().is_multiple_of(NODE_BYTES)
            && layers.iter().all(|layer| layer.len() == output.len()),
        "hash_columns: an output of {} bytes needs layers of the same length",
        output.len()
    );
    run(backend, arity, Source::Columns { layers }, output);
}

/// Hashes `n` pairs under the domain tag `tag` instead of that of a Merkle tree: `input` is
/// `n * 64` bytes, `output` `n * 32` bytes. SnapDeals draws its randomness so, with the tag 2^40.
/// The constants are made anew by each call, so give it all pairs at once.
///
/// # Panics
/// When the lengths do not fit each other.
pub fn hash_pairs_tagged(tag: u64, input: &[u8], output: &mut [u8]) {
    assert!(
        output.len().is_multiple_of(NODE_BYTES) && input.len() == 2 * output.len(),
        "hash_pairs_tagged: input of {} bytes, output of {}",
        input.len(),
        output.len()
    );
    let constants = scalar::pair_constants(tag);
    let (pairs, _) = input.as_chunks::<{ 2 * NODE_BYTES }>();
    for (pair, digest) in pairs.iter().zip(output.as_chunks_mut::<NODE_BYTES>().0) {
        let mut state = [field::ZERO; 3];
        for (x, bytes) in state[1..].iter_mut().zip(pair.as_chunks::<NODE_BYTES>().0) {
            *x = field::load(bytes);
        }
        field::store(scalar::hash(&constants, &mut state), digest);
    }
}

/// Where the elements of a hash lie.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Rows { input: &'a [u8], row_bytes: usize },
    Columns { layers: &'a [&'a [u8]] },
}

impl<'a> Source<'a> {
    /// The bytes that hold element `j` of hash `from` at their start, and how far it is from there
    /// to the same element of the next hash.
    #[inline(always)]
    pub(crate) fn element(self, j: usize, from: usize) -> (&'a [u8], usize) {
        match self {
            Self::Rows { input, row_bytes } => {
                (&input[from * row_bytes + j * NODE_BYTES..], row_bytes)
            }
            Self::Columns { layers } => (&layers[j][from * NODE_BYTES..], NODE_BYTES),
        }
    }
}

fn run(backend: Backend, arity: Arity, source: Source<'_>, output: &mut [u8]) {
    match arity {
        Arity::Two => run_width::<3>(backend, arity, source, output),
        Arity::Four => run_width::<5>(backend, arity, source, output),
        Arity::Eight => run_width::<9>(backend, arity, source, output),
        Arity::Eleven => run_width::<12>(backend, arity, source, output),
    }
}

fn run_width<const WIDTH: usize>(
    backend: Backend,
    arity: Arity,
    source: Source<'_>,
    output: &mut [u8],
) {
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Adx => {
            // SAFETY: `Backend::check` has found the features `bmi2` and `adx`.
            unsafe { run_mulx::<WIDTH>(arity, source, 0, output) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512Ifma => {
            // SAFETY: `Backend::check` has found the features `avx512f` and `avx512ifma`.
            unsafe { ifma::run::<WIDTH>(arity, source, output) }
        }
        _ => run_scalar::<WIDTH>(arity, source, 0, output),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,adx")]
fn run_mulx<const WIDTH: usize>(arity: Arity, source: Source<'_>, from: usize, output: &mut [u8]) {
    run_scalar::<WIDTH>(arity, source, from, output);
}

/// Hashes number `from` and on of the source, as many as the output takes.
#[inline(always)]
fn run_scalar<const WIDTH: usize>(
    arity: Arity,
    source: Source<'_>,
    from: usize,
    output: &mut [u8],
) {
    let constants = scalar::constants(arity);
    for (index, digest) in output.as_chunks_mut::<NODE_BYTES>().0.iter_mut().enumerate() {
        let mut state: [Fr; WIDTH] = [field::ZERO; WIDTH];
        for (j, x) in state[1..].iter_mut().enumerate() {
            if let Some(bytes) = source.element(j, from + index).0.first_chunk() {
                *x = field::load(bytes);
            }
        }
        field::store(scalar::hash(constants, &mut state), digest);
    }
}
