//! The calls into `filecoin-proofs`, each instantiated once, for the tree shape of the sizes that
//! run here.
//!
//! Invariants: no type parameter and no library type leaves this module, except the configurations
//! that [`crate::params`] and [`crate::verify`] need.
//!
//! Source: `filecoin-proofs` 19.1, module `api`.

mod layout;
mod parents;

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use filecoin_hashers::Hasher;
use filecoin_proofs::{
    DefaultPieceDomain, DefaultPieceHasher, FallbackPoStSectorProof, PieceInfo, PoRepConfig,
    PoStConfig, PoStType, PrivateReplicaInfo, SealCommitPhase1Output, SealPreCommitOutput,
    SealPreCommitPhase1Output, SectorShapeBase, UnpaddedByteIndex, UnpaddedBytesAmount,
    WINDOW_POST_CHALLENGE_COUNT, WINNING_POST_CHALLENGE_COUNT, WINNING_POST_SECTOR_COUNT,
    as_safe_commitment,
};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::merkle::{BinaryMerkleTree, MerkleTreeTrait, create_base_merkle_tree};
use storage_proofs_porep::stacked::{Labels, generate_replica_id};

use crate::proof_type::{P_AUX, SealProof, SectorIdentity, T_AUX, prover_id};

pub(crate) use layout::t_aux;
use layout::{label_configs, tree_d_config};

pub(crate) type Shape = SectorShapeBase;
pub(crate) type Domain = <<Shape as MerkleTreeTrait>::Hasher as Hasher>::Domain;
pub(crate) type Vanilla = FallbackPoStSectorProof<Shape>;

/// One piece: its commitment and its size before bit padding, in the form that values carry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Piece {
    /// CommP, hex.
    pub comm_p: String,
    /// Bytes before bit padding: 127 times a power of two.
    pub bytes: u64,
}

pub(crate) fn porep_config(proof: SealProof) -> PoRepConfig {
    PoRepConfig::new_groth16(proof.sector_bytes(), proof.porep_id(), ApiVersion::V1_1_0)
}

pub(crate) fn winning_config(proof: SealProof) -> PoStConfig {
    PoStConfig {
        sector_size: proof.sector_bytes().into(),
        challenge_count: WINNING_POST_CHALLENGE_COUNT,
        sector_count: WINNING_POST_SECTOR_COUNT,
        typ: PoStType::Winning,
        priority: false,
        api_version: ApiVersion::V1_0_0,
    }
}

/// Version 1.2: the challenge of a sector does not depend on the place of the sector in its
/// partition, so that vanilla proofs can be made wherever the sector lies.
pub(crate) fn window_config(proof: SealProof) -> PoStConfig {
    PoStConfig {
        sector_size: proof.sector_bytes().into(),
        challenge_count: WINDOW_POST_CHALLENGE_COUNT,
        sector_count: proof.window_partition_sectors(),
        typ: PoStType::Window,
        priority: false,
        api_version: ApiVersion::V1_2_0,
    }
}

fn piece_infos(pieces: &[Piece]) -> Result<Vec<PieceInfo>> {
    pieces
        .iter()
        .map(|piece| {
            let mut commitment = [0; 32];
            hex::decode_to_slice(&piece.comm_p, &mut commitment)
                .with_context(|| format!("CommP `{}` is not 32 bytes in hex", piece.comm_p))?;
            PieceInfo::new(commitment, UnpaddedBytesAmount(piece.bytes))
        })
        .collect()
}

/// The smallest size of a piece (before bit padding) that holds `len` bytes.
pub(crate) fn piece_bytes_for(len: u64) -> u64 {
    len.div_ceil(127).max(1).next_power_of_two() * 127
}

/// Writes `len` bytes of `source`, zero-padded to a piece and then to the sector, with bit padding.
/// Returns the pieces that fill the sector: the real one first, then pieces of zeros.
pub(crate) fn add_piece(
    proof: SealProof,
    source: File,
    len: u64,
    target: &File,
) -> Result<Vec<Piece>> {
    let bytes = piece_bytes_for(len);
    let padded = BufReader::new(source).take(len).chain(io::repeat(0)).take(bytes);
    let (info, _) = filecoin_proofs::add_piece(padded, target, UnpaddedBytesAmount(bytes), &[])?;
    target.set_len(proof.sector_bytes()).context("could not extend the piece to the sector")?;

    let mut pieces = vec![Piece { comm_p: hex::encode(info.commitment), bytes }];
    let mut filled = bytes;
    while filled < proof.capacity_bytes() {
        let zeros = filecoin_proofs::pieces::zero_padding(UnpaddedBytesAmount(filled))?;
        pieces.push(Piece { comm_p: hex::encode(zeros.commitment), bytes: filled });
        filled *= 2;
    }
    Ok(pieces)
}

/// CommD of a sector of these pieces.
pub(crate) fn comm_d_of_pieces(proof: SealProof, pieces: &[Piece]) -> Result<[u8; 32]> {
    filecoin_proofs::compute_comm_d(proof.sector_bytes().into(), &piece_infos(pieces)?)
}

/// Builds tree D over `unsealed` in `dir`; returns CommD.
pub(crate) fn tree_d(proof: SealProof, unsealed: &[u8], dir: &Path) -> Result<[u8; 32]> {
    let tree = create_base_merkle_tree::<BinaryMerkleTree<DefaultPieceHasher>>(
        Some(tree_d_config(proof, dir)),
        usize::try_from(proof.nodes())?,
        unsealed,
    )?;
    Ok(tree.root().into())
}

fn replica_id(
    proof: SealProof,
    sector: SectorIdentity,
    ticket: &[u8; 32],
    comm_d: &[u8; 32],
) -> Result<Domain> {
    let comm_d: DefaultPieceDomain = as_safe_commitment(comm_d, "comm_d")?;
    Ok(generate_replica_id::<<Shape as MerkleTreeTrait>::Hasher, _>(
        &sector.prover_id(),
        sector.number,
        ticket,
        comm_d,
        &proof.porep_id(),
    ))
}

/// The replica id in hex: what binds labels to a sector, a ticket and data.
pub(crate) fn replica_id_hex(
    proof: SealProof,
    sector: SectorIdentity,
    ticket: &[u8; 32],
    comm_d: &[u8; 32],
) -> Result<String> {
    let id: [u8; 32] = replica_id(proof, sector, ticket, comm_d)?.into();
    Ok(hex::encode(id))
}

/// PC1: writes the labels of every layer that `dir` lacks.
pub(crate) fn labels(
    proof: SealProof,
    sector: SectorIdentity,
    ticket: &[u8; 32],
    comm_d: &[u8; 32],
    dir: &Path,
) -> Result<()> {
    let id = replica_id(proof, sector, ticket, comm_d)?;
    parents::prepare(proof)?;
    filecoin_proofs::sdr::<_, Shape>(&porep_config(proof), dir, &id)
}

/// PC2 over the layers and tree D in `cache`: encodes `replica` (a copy of the unsealed sector) in
/// place and writes the trees and `p_aux` into `cache`. Returns CommR.
pub(crate) fn pre_commit_2(
    proof: SealProof,
    comm_d: [u8; 32],
    cache: &Path,
    replica: &Path,
) -> Result<[u8; 32]> {
    let phase1 = SealPreCommitPhase1Output::<Shape> {
        labels: Labels::new(label_configs(proof, cache)),
        config: tree_d_config(proof, cache),
        comm_d,
    };
    let config = porep_config(proof);
    filecoin_proofs::validate_cache_for_precommit_phase2(cache, replica, &phase1)?;
    let out = filecoin_proofs::seal_pre_commit_phase2(&config, phase1, cache, replica)?;
    ensure!(out.comm_d == comm_d, "PC2 came to another CommD");
    // The file is written anew wherever a sector goes; that needs our layout to be the library's.
    let written = std::fs::read(cache.join(T_AUX)).context("the library wrote no t_aux")?;
    ensure!(written == t_aux(proof, cache)?, "the layout of t_aux in the library has changed");
    Ok(out.comm_r)
}

/// What C1 and the check of its proof need to know of a sector.
pub(crate) struct Sealing<'a> {
    pub proof: SealProof,
    pub sector: SectorIdentity,
    pub ticket: [u8; 32],
    pub comm_d: [u8; 32],
    pub comm_r: [u8; 32],
    pub pieces: &'a [Piece],
}

/// C1: the vanilla proofs as JSON.
pub(crate) fn commit_1(
    sealing: &Sealing<'_>,
    seed: [u8; 32],
    cache: &Path,
    replica: &Path,
) -> Result<Vec<u8>> {
    let out: SealCommitPhase1Output<Shape> = filecoin_proofs::seal_commit_phase1(
        &porep_config(sealing.proof),
        cache,
        replica,
        sealing.sector.prover_id(),
        sealing.sector.number.into(),
        sealing.ticket,
        seed,
        SealPreCommitOutput { comm_r: sealing.comm_r, comm_d: sealing.comm_d },
        &piece_infos(sealing.pieces)?,
    )?;
    Ok(serde_json::to_vec(&out)?)
}

/// C2: the Groth16 proof over the output of C1. The library verifies it before it returns.
pub(crate) fn commit_2(
    proof: SealProof,
    sector: SectorIdentity,
    c1: impl io::Read,
) -> Result<Vec<u8>> {
    let phase1: SealCommitPhase1Output<Shape> =
        serde_json::from_reader(c1).context("the output of C1 could not be parsed")?;
    let out = filecoin_proofs::seal_commit_phase2(
        &porep_config(proof),
        phase1,
        sector.prover_id(),
        sector.number.into(),
    )?;
    Ok(out.proof)
}

/// Restores the first `len` bytes of the piece. `scratch` takes one layer of labels.
pub(crate) fn unseal(
    sealing: &Sealing<'_>,
    sealed: &Path,
    scratch: &Path,
    output: &mut File,
    len: u64,
) -> Result<()> {
    let sealed = File::open(sealed)?;
    parents::prepare(sealing.proof)?;
    let written = filecoin_proofs::unseal_range::<_, _, _, Shape>(
        &porep_config(sealing.proof),
        scratch,
        sealed,
        &mut *output,
        sealing.sector.prover_id(),
        sealing.sector.number.into(),
        sealing.comm_d,
        sealing.ticket,
        UnpaddedByteIndex(0),
        UnpaddedBytesAmount(len),
    )?;
    ensure!(written.0 == len, "unsealing gave {} bytes of {len}", written.0);
    output.flush()?;
    Ok(())
}

/// The two commitments in `p_aux`: CommC and CommRLast, 32 bytes each.
pub(crate) fn p_aux(cache: &Path) -> Result<([u8; 32], [u8; 32])> {
    let path = cache.join(P_AUX);
    let bytes = std::fs::read(&path).with_context(|| format!("could not read {path:?}"))?;
    let halves = bytes
        .split_at_checked(32)
        .and_then(|(first, second)| Some((first.try_into().ok()?, second.try_into().ok()?)));
    halves.with_context(|| format!("{path:?} has {} bytes instead of 64", bytes.len()))
}

/// A replica with its cache directory, for PoSt.
pub(crate) struct Replica {
    pub number: u64,
    pub comm_r: [u8; 32],
    pub sealed: PathBuf,
    pub cache: PathBuf,
}

/// The Merkle proofs of one sector for a PoSt.
pub(crate) fn vanilla(
    config: &PoStConfig,
    miner: u64,
    randomness: &[u8; 32],
    replica: Replica,
) -> Result<Vanilla> {
    let id = replica.number.into();
    let challenges = filecoin_proofs::generate_fallback_sector_challenges::<Shape>(
        config,
        randomness,
        &[id],
        prover_id(miner),
    )?;
    let info = PrivateReplicaInfo::new(replica.sealed, replica.comm_r, replica.cache)?;
    filecoin_proofs::generate_single_vanilla_proof::<Shape>(
        config,
        id,
        &info,
        challenges.get(&id).context("no challenges for the sector")?,
    )
}

pub(crate) fn prove_winning(
    proof: SealProof,
    miner: u64,
    randomness: &[u8; 32],
    vanilla: Vanilla,
) -> Result<Vec<u8>> {
    filecoin_proofs::generate_winning_post_with_vanilla::<Shape>(
        &winning_config(proof),
        randomness,
        prover_id(miner),
        vec![vanilla],
    )
}

pub(crate) fn prove_window(
    proof: SealProof,
    miner: u64,
    randomness: &[u8; 32],
    vanilla: Vec<Vanilla>,
    partition: usize,
) -> Result<Vec<u8>> {
    let out = filecoin_proofs::generate_single_window_post_with_vanilla::<Shape>(
        &window_config(proof),
        randomness,
        prover_id(miner),
        vanilla,
        partition,
    )?;
    Ok(out.0)
}
