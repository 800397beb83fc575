//! Verification of proofs with the verifying keys of a given parameter directory.
//!
//! The library reads its parameter directory once per process from the environment; here the
//! directory is an argument, so that any process can verify against any cluster's keys.
//!
//! Invariants: a malformed proof is *invalid* (`Ok(false)`), not an error; an error means that the
//! question could not be answered.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use bellperson::groth16::{PreparedVerifyingKey, VerifyingKey, prepare_verifying_key};
use blstrs::Bls12;
use filecoin_proofs::parameters::{
    setup_params, window_post_setup_params, winning_post_setup_params,
};
use filecoin_proofs::{DefaultPieceDomain, DefaultPieceHasher, PoStConfig, as_safe_commitment};
use serde::{Deserialize, Serialize};
use storage_proofs_core::compound_proof::{self, CompoundProof};
use storage_proofs_core::merkle::MerkleTreeTrait;
use storage_proofs_core::multi_proof::MultiProof;
use storage_proofs_porep::stacked::{self, StackedCompound, StackedDrg, Tau, generate_replica_id};
use storage_proofs_post::fallback::{self, FallbackPoSt, FallbackPoStCompound, PublicSector};

use crate::library::{self, Domain, Shape};
use crate::params::{self, ParamSet};
use crate::proof_type::{SealProof, SectorIdentity, prover_id};

/// Bytes of one Groth16 proof.
pub const PROOF_BYTES: usize = 192;

/// A sector as a PoSt sees it from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostSector {
    pub number: u64,
    /// CommR, 64 hex digits.
    pub comm_r: String,
}

/// Everything that a PoRep proof is about. Commitments, ticket and seed as raw bytes.
#[derive(Clone, Debug)]
pub struct SealClaim {
    pub proof: SealProof,
    pub sector: SectorIdentity,
    pub comm_d: [u8; 32],
    pub comm_r: [u8; 32],
    pub ticket: [u8; 32],
    pub seed: [u8; 32],
}

/// Why a proof could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(
        "proofs of {0} sectors are not verified here: this build has only the tree shape of \
             2KiB, 8MiB and 512MiB"
    )]
    Unsupported(SealProof),
    #[error(
        "could not read the verifying key `{path}`: {source}; make it with \
             `hesper params generate` or copy it from a node of this cluster"
    )]
    Key {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("CommR `{0}` is not 32 bytes in hex")]
    CommR(String),
    #[error("could not set up the verification: {0:#}")]
    Library(anyhow::Error),
}

impl From<anyhow::Error> for VerifyError {
    fn from(error: anyhow::Error) -> Self {
        Self::Library(error)
    }
}

/// Makes 32 random bytes a field element by clearing the two top bits, as the chain does for PoSt.
pub fn post_randomness(mut randomness: [u8; 32]) -> [u8; 32] {
    randomness[31] &= 0x3f;
    randomness
}

/// Verifies a PoRep proof.
///
/// # Errors
/// When the verifying key is missing or damaged, or the size does not run here.
pub fn verify_seal(params: &Path, claim: &SealClaim, bytes: &[u8]) -> Result<bool, VerifyError> {
    let proof = claim.proof;
    check_supported(proof)?;
    let key = verifying_key(params, proof, ParamSet::Porep)?;
    let (Ok(comm_r), Ok(comm_d)) = (
        as_safe_commitment::<Domain, _>(&claim.comm_r, "comm_r"),
        as_safe_commitment::<DefaultPieceDomain, _>(&claim.comm_d, "comm_d"),
    ) else {
        return Ok(false);
    };
    let replica_id = generate_replica_id::<<Shape as MerkleTreeTrait>::Hasher, _>(
        &claim.sector.prover_id(),
        claim.sector.number,
        &claim.ticket,
        comm_d,
        &proof.porep_id(),
    );
    let config = library::porep_config(proof);
    let partitions = usize::from(config.partitions);
    let setup = compound_proof::SetupParams {
        vanilla_params: setup_params(&config)?,
        partitions: Some(partitions),
        priority: false,
    };
    let public: compound_proof::PublicParams<'_, StackedDrg<'_, Shape, DefaultPieceHasher>> =
        StackedCompound::<Shape, DefaultPieceHasher>::setup(&setup)?;
    let inputs = stacked::PublicInputs::<Domain, DefaultPieceDomain> {
        replica_id,
        tau: Some(Tau { comm_r, comm_d }),
        seed: Some(claim.seed),
        k: None,
    };
    let Some(multi) = parse(bytes, partitions, &key) else {
        return Ok(false);
    };
    let requirements =
        stacked::ChallengeRequirements { minimum_challenges: config.minimum_challenges() };
    Ok(StackedCompound::verify(&public, &inputs, &multi, &requirements)?)
}

/// Verifies a winning PoSt over one sector.
///
/// # Errors
/// As [`verify_seal`].
pub fn verify_winning_post(
    params: &Path,
    proof: SealProof,
    miner: u64,
    randomness: [u8; 32],
    sector: &PostSector,
    bytes: &[u8],
) -> Result<bool, VerifyError> {
    check_supported(proof)?;
    let key = verifying_key(params, proof, ParamSet::WinningPost)?;
    let config = library::winning_config(proof);
    let vanilla_params = winning_post_setup_params(&config)?;
    let sectors = vec![public_sector(sector)?; vanilla_params.sector_count];
    verify_post(&key, &config, vanilla_params, None, miner, randomness, sectors, bytes)
}

/// Verifies a window PoSt over `sectors` in the order in which they were proved: the partitions are
/// consecutive runs of [`SealProof::window_partition_sectors`], the proofs follow each other.
///
/// # Errors
/// As [`verify_seal`].
pub fn verify_window_post(
    params: &Path,
    proof: SealProof,
    miner: u64,
    randomness: [u8; 32],
    sectors: &[PostSector],
    bytes: &[u8],
) -> Result<bool, VerifyError> {
    check_supported(proof)?;
    if sectors.is_empty() {
        return Ok(false);
    }
    let key = verifying_key(params, proof, ParamSet::WindowPost)?;
    let config = library::window_config(proof);
    let partitions = sectors.len().div_ceil(proof.window_partition_sectors());
    let public = sectors.iter().map(public_sector).collect::<Result<_, _>>()?;
    let setup = window_post_setup_params(&config);
    verify_post(&key, &config, setup, Some(partitions), miner, randomness, public, bytes)
}

/// Joins the proofs of the partitions of a window PoSt, in order.
pub fn merge_window_proofs<'a>(partitions: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    partitions.into_iter().flatten().copied().collect()
}

#[expect(clippy::too_many_arguments, reason = "one private seam shared by the two PoSt kinds")]
fn verify_post(
    key: &PreparedVerifyingKey<Bls12>,
    config: &PoStConfig,
    vanilla_params: fallback::SetupParams,
    partitions: Option<usize>,
    miner: u64,
    randomness: [u8; 32],
    sectors: Vec<PublicSector<Domain>>,
    bytes: &[u8],
) -> Result<bool, VerifyError> {
    let setup = compound_proof::SetupParams { vanilla_params, partitions, priority: false };
    let public: compound_proof::PublicParams<'_, FallbackPoSt<'_, Shape>> =
        FallbackPoStCompound::<Shape>::setup(&setup)?;
    let inputs = fallback::PublicInputs {
        randomness: as_safe_commitment(&post_randomness(randomness), "randomness")?,
        prover_id: as_safe_commitment(&prover_id(miner), "prover_id")?,
        sectors,
        k: None,
    };
    let Some(multi) = parse(bytes, partitions.unwrap_or(1), key) else {
        return Ok(false);
    };
    let requirements = fallback::ChallengeRequirements {
        minimum_challenge_count: config.challenge_count * config.sector_count,
    };
    Ok(FallbackPoStCompound::verify(&public, &inputs, &multi, &requirements)?)
}

fn check_supported(proof: SealProof) -> Result<(), VerifyError> {
    if proof.runs_here() { Ok(()) } else { Err(VerifyError::Unsupported(proof)) }
}

/// `None` for bytes that are no proofs: wrong length or points off the curve.
fn parse<'k>(
    bytes: &[u8],
    partitions: usize,
    key: &'k PreparedVerifyingKey<Bls12>,
) -> Option<MultiProof<'k>> {
    if bytes.len() != partitions * PROOF_BYTES {
        return None;
    }
    MultiProof::new_from_bytes(Some(partitions), bytes, key).ok()
}

fn public_sector(sector: &PostSector) -> Result<PublicSector<Domain>, VerifyError> {
    let bad = || VerifyError::CommR(sector.comm_r.clone());
    let mut comm_r = [0; 32];
    hex::decode_to_slice(&sector.comm_r, &mut comm_r).map_err(|_| bad())?;
    let comm_r = as_safe_commitment(&comm_r, "comm_r").map_err(|_| bad())?;
    Ok(PublicSector { id: sector.number.into(), comm_r })
}

fn verifying_key(
    dir: &Path,
    proof: SealProof,
    set: ParamSet,
) -> Result<PreparedVerifyingKey<Bls12>, VerifyError> {
    let path = dir.join(params::names(proof, set)?.vk);
    let key = File::open(&path)
        .and_then(|file| VerifyingKey::<Bls12>::read(BufReader::new(file)))
        .map_err(|source| VerifyError::Key { path, source })?;
    Ok(prepare_verifying_key(&key))
}
