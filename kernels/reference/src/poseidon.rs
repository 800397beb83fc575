//! **Purpose**: `neptune` alone: hashes of given or drawn inputs, without trees or files.
//!
//! **Invariants**: constants are made before the clock starts; inputs are canonical.
//!
//! **Source**: `neptune` 11, optimised static mode, the constants that `filecoin-hashers` uses.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use blstrs::Scalar;
use ff::PrimeField as _;
use filecoin_hashers::PoseidonArity;
use generic_array::typenum::{U2, U4, U8, U11};
use neptune::poseidon::Poseidon;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::measure::Stopwatch;
use crate::request::splitmix;

/// What to hash.
#[derive(Deserialize)]
pub struct Request {
    arity: usize,
    /// Hashes; taken from the length of `input` where that is given.
    #[serde(default)]
    count: usize,
    /// Times that all inputs are hashed.
    #[serde(default = "one")]
    rounds: u64,
    #[serde(default)]
    seed: u64,
    /// `count × arity × 32` bytes, canonical little-endian.
    input: Option<PathBuf>,
    /// Takes `count × 32` bytes.
    output: Option<PathBuf>,
}

fn one() -> u64 {
    1
}

/// `poseidon`: hashes all inputs `rounds` times, in parallel.
pub fn hash(request: Request) -> Result<Value> {
    match request.arity {
        2 => hash_arity::<U2>(&request),
        4 => hash_arity::<U4>(&request),
        8 => hash_arity::<U8>(&request),
        11 => hash_arity::<U11>(&request),
        arity => bail!("no hash of arity {arity}; give 2, 4, 8 or 11"),
    }
}

fn hash_arity<A: PoseidonArity>(request: &Request) -> Result<Value> {
    let inputs = inputs(request)?;
    let constants = A::PARAMETERS();
    let mut digests = vec![Scalar::default(); inputs.len() / request.arity];

    let watch = Stopwatch::start();
    for _ in 0..request.rounds {
        digests
            .par_iter_mut()
            .with_min_len(64)
            .zip(inputs.par_chunks_exact(request.arity))
            .for_each_init(
                || Poseidon::<Scalar, A>::new(constants),
                |hasher, (digest, preimage)| {
                    hasher.set_preimage(preimage);
                    *digest = hasher.hash();
                },
            );
    }
    let mut line = watch.finish(request.rounds * digests.len() as u64)?;

    let bytes: Vec<u8> = digests.iter().flat_map(Scalar::to_repr).collect();
    line.insert("blake3".into(), json!(blake3::hash(&bytes).to_hex().as_str()));
    if let Some(path) = &request.output {
        std::fs::write(path, &bytes).with_context(|| format!("could not write {path:?}"))?;
    }
    Ok(line.into())
}

fn inputs(request: &Request) -> Result<Vec<Scalar>> {
    let bytes = match &request.input {
        Some(path) => std::fs::read(path).with_context(|| format!("could not read {path:?}"))?,
        None => drawn(request.seed, request.count * request.arity),
    };
    ensure!(
        bytes.len().is_multiple_of(32 * request.arity),
        "{} bytes are no whole number of inputs of arity {}",
        bytes.len(),
        request.arity
    );
    bytes
        .as_chunks::<32>()
        .0
        .iter()
        .map(|element| {
            Option::from(Scalar::from_repr(*element)).context("an input is not below the modulus")
        })
        .collect()
}

/// Elements with the top two bits cleared, hence below the modulus.
fn drawn(seed: u64, elements: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(elements * 32);
    for word in 0..elements * 4 {
        let drawn = splitmix(&mut state);
        let kept = if word % 4 == 3 { drawn >> 2 } else { drawn };
        bytes.extend_from_slice(&kept.to_le_bytes());
    }
    bytes
}
