//! Makes development parameters.
//!
//! The secrets come from a fixed public seed, so that every machine makes the same bytes, and so that
//! anyone can forge proofs under them: development only.
//!
//! The points are written as they are computed; in memory are the sums of the circuit (96 bytes per
//! variable), the Lagrange values while these are summed (32 per constraint), the tables and one
//! batch.
//!
//! Source: Groth 2016, section 3.2; file layout: `bellperson`, `groth16::Parameters::write`
//! (big-endian counts, uncompressed points).

use std::fs::{self, File};
use std::path::Path;

use bellpepper_core::SynthesisError;
use blstrs::Scalar;
use ff::Field;
use filecoin_proofs::DefaultPieceHasher;
use filecoin_proofs::parameters::{
    public_params, window_post_public_params, winning_post_public_params,
};
use rayon::prelude::*;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_core::proof::ProofScheme;
use storage_proofs_porep::stacked::{StackedCompound, StackedDrg};
use storage_proofs_post::fallback::{FallbackPoSt, FallbackPoStCompound};

use crate::files::{self, FileError};
use crate::library::{self, Shape};
use crate::params::circuit::{Evaluated, Sums, evaluate};
use crate::params::curve::{Comb, Curve, G1, G2};
use crate::params::manifest::{Manifest, ManifestEntry};
use crate::params::output::Output;
use crate::params::{ParamSet, ParamsError, names_or_error};
use crate::proof_type::SealProof;

/// Raised when the bytes that come out change.
pub const GENERATOR_VERSION: u32 = 1;

/// Seed of all secrets. Public on purpose.
const SEED: &str = "hesper development parameters, version 1";

/// Scalars that share their inversions: their sums and addends stay in the second-level cache.
const BATCH: usize = 2048;
/// Scalars computed before they are written: some batches for every core.
const SLICE: usize = 64 * BATCH;

const LOCK_FILE: &str = ".lock";
const TEMPORARY: &str = ".hesper-tmp";

/// How far the generator is with one circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerateProgress {
    pub set: ParamSet,
    /// Points written, of both groups.
    pub done: u64,
    pub total: u64,
}

/// What the generator did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Generated {
    Made,
    /// Both files were there with the right digests.
    Kept,
}

/// Makes the files of one circuit in `dir`, unless they are there and right.
///
/// # Errors
/// [`ParamsError::Foreign`] when a file of that name was not made here.
pub fn generate(
    dir: &Path,
    proof: SealProof,
    set: ParamSet,
    progress: &mut dyn FnMut(GenerateProgress),
) -> Result<Generated, ParamsError> {
    if !proof.runs_here() {
        return Err(ParamsError::Unsupported(proof));
    }
    fs::create_dir_all(dir).map_err(FileError::io("create the directory", dir))?;
    let _lock = lock(dir)?;
    let mut manifest = Manifest::read(dir)?.unwrap_or_default();
    let names = names_or_error(proof, set)?;
    let both = [names.params, names.vk];
    for name in &both {
        let path = dir.join(name);
        if path.exists() && !manifest.files.contains_key(name) {
            return Err(ParamsError::Foreign { path });
        }
    }
    if both.iter().all(|name| manifest.holds(dir, name)) {
        return Ok(Generated::Kept);
    }

    let temporary = |name: &str| dir.join(format!("{name}{TEMPORARY}"));
    let entries = write_files(proof, set, &temporary(&both[0]), &temporary(&both[1]), progress)?;
    // Listed first, named second: see the invariant of the manifest.
    manifest.files.extend(both.iter().cloned().zip(entries));
    manifest.write(dir)?;
    // The key is small and last: where it exists, the parameters do.
    for name in &both {
        let from = temporary(name);
        fs::rename(&from, dir.join(name)).map_err(FileError::io("rename", from))?;
    }
    files::sync(dir)?;
    Ok(Generated::Made)
}

/// One generator per directory; a second one waits and then finds the files made.
fn lock(dir: &Path) -> Result<File, ParamsError> {
    let path = dir.join(LOCK_FILE);
    let file = File::create(&path).map_err(FileError::io("create", &path))?;
    flock(&file, FlockOperation::LockExclusive)
        .map_err(|error| ParamsError::Lock { dir: dir.to_owned(), source: error.into() })?;
    Ok(file)
}

/// The secrets of one circuit.
struct Secrets {
    alpha: Scalar,
    beta: Scalar,
    gamma: Scalar,
    delta: Scalar,
    tau: Scalar,
}

impl Secrets {
    fn new(circuit: &str) -> Self {
        let secret = |label: &str| {
            let mut stream = blake3::Hasher::new_derive_key(SEED)
                .update(circuit.as_bytes())
                .update(b"/")
                .update(label.as_bytes())
                .finalize_xof();
            // The first 255-bit string that is a field element; most are.
            loop {
                let mut bytes = [0; 32];
                stream.fill(&mut bytes);
                bytes[31] &= 0x7f;
                let scalar = Option::<Scalar>::from(Scalar::from_bytes_le(&bytes));
                if let Some(scalar) = scalar.filter(|scalar| *scalar != Scalar::ZERO) {
                    return scalar;
                }
            }
        };
        Self {
            alpha: secret("alpha"),
            beta: secret("beta"),
            gamma: secret("gamma"),
            delta: secret("delta"),
            tau: secret("tau"),
        }
    }
}

fn write_files(
    proof: SealProof,
    set: ParamSet,
    params: &Path,
    vk: &Path,
    progress: &mut dyn FnMut(GenerateProgress),
) -> Result<[ManifestEntry; 2], ParamsError> {
    let secrets = Secrets::new(&format!("{proof}/{set}"));
    let evaluated = evaluate_circuit(proof, set, secrets.tau)
        .map_err(|source| ParamsError::Circuit { proof, set, source })?;

    // Points without a term in `A` or `B` are left out, as the prover expects.
    let nonzero = |part: fn(&Sums) -> Scalar| {
        evaluated.inputs.iter().chain(&evaluated.aux).filter(|s| part(s) != Scalar::ZERO).count()
    };
    let a_count = nonzero(|s| s.a);
    let b_count = nonzero(|s| s.b);
    let h_count = usize::try_from(evaluated.domain - 1).expect("the domain is in memory");
    let l_count = evaluated.aux.len();
    let total = (h_count + l_count + a_count + 2 * b_count) as u64;

    let (g1, g2) = (Comb::<G1>::new(), Comb::<G2>::new());
    let key = key_bytes(&secrets, &evaluated, &g1, &g2);
    let mut key_out = Output::create(vk)?;
    key_out.write(&key)?;
    let key_entry = key_out.finish()?;

    let mut out = Output::create(params)?;
    out.write(&key)?;
    let mut done = 0;
    let mut report = |more: usize| {
        done += more as u64;
        progress(GenerateProgress { set, done, total });
    };
    let delta_inverse = invert(secrets.delta);

    // h: tau^i (tau^m - 1) / delta
    let factor = evaluated.vanishing * delta_inverse;
    let powers = |start: usize, end: usize| -> Vec<Scalar> {
        let mut power = secrets.tau.pow_vartime([start as u64]) * factor;
        (start..end)
            .map(|_| {
                let this = power;
                power *= secrets.tau;
                this
            })
            .collect()
    };
    write_points(&mut out, &g1, h_count, &powers, &mut report)?;

    // l: (beta A + alpha B + C) / delta
    let aux = &evaluated.aux;
    let combined = |start: usize, end: usize| -> Vec<Scalar> {
        aux[start..end].iter().map(|sums| combine(sums, &secrets) * delta_inverse).collect()
    };
    write_points(&mut out, &g1, l_count, &combined, &mut report)?;

    let all = || evaluated.inputs.iter().chain(&evaluated.aux);
    let a: Vec<Scalar> = all().map(|s| s.a).filter(|a| *a != Scalar::ZERO).collect();
    write_points(&mut out, &g1, a_count, &|from, to| a[from..to].to_vec(), &mut report)?;
    drop(a);
    let b: Vec<Scalar> = all().map(|s| s.b).filter(|b| *b != Scalar::ZERO).collect();
    write_points(&mut out, &g1, b_count, &|from, to| b[from..to].to_vec(), &mut report)?;
    write_points(&mut out, &g2, b_count, &|from, to| b[from..to].to_vec(), &mut report)?;
    Ok([out.finish()?, key_entry])
}

fn evaluate_circuit(proof: SealProof, set: ParamSet, tau: Scalar) -> anyhow::Result<Evaluated> {
    type Porep = StackedCompound<Shape, DefaultPieceHasher>;
    type Post = FallbackPoStCompound<Shape>;

    let evaluated = match set {
        ParamSet::Porep => {
            let public = public_params::<Shape>(&library::porep_config(proof))?;
            evaluate(
                || {
                    <Porep as CompoundProof<StackedDrg<'_, Shape, DefaultPieceHasher>, _>>
                        ::blank_circuit(&public)
                },
                tau,
            )?
        }
        ParamSet::WinningPost | ParamSet::WindowPost => {
            let public: <FallbackPoSt<'_, Shape> as ProofScheme<'_>>::PublicParams =
                if set == ParamSet::WinningPost {
                    winning_post_public_params::<Shape>(&library::winning_config(proof))?
                } else {
                    window_post_public_params::<Shape>(&library::window_config(proof))?
                };
            evaluate(
                || <Post as CompoundProof<FallbackPoSt<'_, Shape>, _>>::blank_circuit(&public),
                tau,
            )?
        }
    };
    // A variable in no constraint would make proofs malleable.
    let unconstrained =
        |sums: &Sums| sums.a == Scalar::ZERO && sums.b == Scalar::ZERO && sums.c == Scalar::ZERO;
    if evaluated.aux.iter().any(unconstrained) {
        return Err(SynthesisError::UnconstrainedVariable.into());
    }
    Ok(evaluated)
}

fn combine(sums: &Sums, secrets: &Secrets) -> Scalar {
    secrets.beta * sums.a + secrets.alpha * sums.b + sums.c
}

fn invert(scalar: Scalar) -> Scalar {
    Option::<Scalar>::from(scalar.invert()).expect("secrets are not zero")
}

/// The verifying key, which is also the head of the parameter file.
fn key_bytes(secrets: &Secrets, evaluated: &Evaluated, g1: &Comb<G1>, g2: &Comb<G2>) -> Vec<u8> {
    let gamma_inverse = invert(secrets.gamma);
    let mut bytes = Vec::new();
    let first = |scalar: Scalar, bytes: &mut Vec<u8>| {
        g1.multiples(&[scalar]).iter().for_each(|point| G1::write(point, bytes));
    };
    let second = |scalar: Scalar, bytes: &mut Vec<u8>| {
        g2.multiples(&[scalar]).iter().for_each(|point| G2::write(point, bytes));
    };
    first(secrets.alpha, &mut bytes);
    first(secrets.beta, &mut bytes);
    second(secrets.beta, &mut bytes);
    second(secrets.gamma, &mut bytes);
    first(secrets.delta, &mut bytes);
    second(secrets.delta, &mut bytes);
    bytes.extend_from_slice(&count_bytes(evaluated.inputs.len()));
    let inputs: Vec<Scalar> =
        evaluated.inputs.iter().map(|sums| combine(sums, secrets) * gamma_inverse).collect();
    g1.multiples(&inputs).iter().for_each(|point| G1::write(point, &mut bytes));
    bytes
}

fn count_bytes(count: usize) -> [u8; 4] {
    u32::try_from(count).expect("the domain has at most 2^32 elements").to_be_bytes()
}

/// Writes the number of points and the points, a slice at a time, on all cores.
fn write_points<C: Curve>(
    out: &mut Output,
    comb: &Comb<C>,
    count: usize,
    scalars: &(dyn Fn(usize, usize) -> Vec<Scalar> + Sync),
    report: &mut impl FnMut(usize),
) -> Result<(), ParamsError> {
    out.write(&count_bytes(count))?;
    for start in (0..count).step_by(SLICE) {
        let end = count.min(start + SLICE);
        let batches: Vec<usize> = (start..end).step_by(BATCH).collect();
        let bytes: Vec<Vec<u8>> = batches
            .into_par_iter()
            .map(|from| {
                let points = comb.multiples(&scalars(from, end.min(from + BATCH)));
                let mut bytes = Vec::with_capacity(points.len() * C::BYTES);
                points.iter().for_each(|point| C::write(point, &mut bytes));
                bytes
            })
            .collect();
        for bytes in &bytes {
            out.write(bytes)?;
        }
        report(end - start);
    }
    Ok(())
}
