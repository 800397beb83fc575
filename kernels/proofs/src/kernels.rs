//! The calls into Hesper's own kernels, in the terms of [`crate::library`]: same names, same bytes.
//!
//! Invariant: files are on disc under their final names, with their digests, when a call returns.
//!
//! Source: `kernels/KERNELS.md`.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use hesper_sdr::Graph;
use hesper_sdr::parents::{self, Table};
use hesper_trees::{pc2, piece, post, tree_d, unseal};
use storage_proofs_core::settings::SETTINGS;

use crate::library::{Piece, Replica, Sealing, Vanilla};
use crate::proof_type::{SEALED, SealProof, SectorIdentity, T_AUX, TREE_D};
use crate::stage::FileEntry;

/// Reads in flight per device while challenges are opened: what a disc's own queue sorts well.
const READERS_PER_DEVICE: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

/// Which code runs the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// Hesper's own, see `kernels/KERNELS.md`.
    Own,
    /// `filecoin-proofs`.
    Library,
}

impl Kernels {
    /// The key in the values of an order.
    pub const VALUE: &'static str = "kernels";

    /// `own` or `library`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "own" => Some(Self::Own),
            "library" => Some(Self::Library),
            _ => None,
        }
    }
}

pub(crate) fn threads(wanted: Option<u32>) -> NonZeroUsize {
    wanted
        .and_then(|threads| NonZeroUsize::new(usize::try_from(threads).ok()?))
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// The graph's table of parents, from the directory that the library uses too.
pub(crate) fn parents_table(proof: SealProof, threads: NonZeroUsize) -> Result<Table> {
    let graph = Graph::of_sector_bytes(proof.sector_bytes(), proof.porep_id())?;
    Ok(parents::prepare(&parents_dir(), &graph, threads.get())?)
}

fn parents_dir() -> PathBuf {
    PathBuf::from(&SETTINGS.parent_cache)
}

/// What the labels of a sector are bound to.
pub(crate) fn replica_id(
    proof: SealProof,
    sector: SectorIdentity,
    ticket: &[u8; 32],
    comm_d: &[u8; 32],
) -> [u8; 32] {
    hesper_sdr::replica_id(&sector.prover_id(), sector.number, ticket, comm_d, &proof.porep_id())
}

/// Writes `len` bytes of `source`, zero-padded to a piece and then to the sector, with bit padding.
/// Returns the pieces that fill the sector: the real one first, then pieces of zeros.
pub(crate) fn add_piece(
    proof: SealProof,
    source: File,
    len: u64,
    target: &File,
) -> Result<Vec<Piece>> {
    let size = piece::padded_size_for(len).context("a piece this large has no padded size")?;
    let made = piece::write(source.take(len), target, size)?;
    target.set_len(proof.sector_bytes()).context("could not extend the piece to the sector")?;
    let mut filled = made.padded_bytes;
    let mut pieces = vec![stage_piece(made.comm_p, filled)];
    while filled < proof.sector_bytes() {
        pieces.push(stage_piece(piece::zero(filled)?, filled));
        filled *= 2;
    }
    Ok(pieces)
}

fn stage_piece(comm_p: [u8; 32], padded_bytes: u64) -> Piece {
    Piece { comm_p: hex::encode(comm_p), bytes: padded_bytes / 128 * 127 }
}

/// CommD of a sector of these pieces.
pub(crate) fn comm_d_of_pieces(proof: SealProof, pieces: &[Piece]) -> Result<[u8; 32]> {
    let pieces: Vec<piece::Piece> = pieces
        .iter()
        .map(|piece| {
            let mut comm_p = [0; 32];
            hex::decode_to_slice(&piece.comm_p, &mut comm_p)
                .with_context(|| format!("CommP `{}` is not 32 bytes in hex", piece.comm_p))?;
            ensure!(
                piece.bytes.is_multiple_of(127),
                "a piece of {} bytes is not 127 times a power of two",
                piece.bytes
            );
            Ok(piece::Piece { comm_p, padded_bytes: piece.bytes / 127 * 128 })
        })
        .collect::<Result<_>>()?;
    Ok(piece::comm_d(proof.sector_bytes(), &pieces)?)
}

/// Builds tree D over the unsealed sector in `dir`; returns CommD and the file.
pub(crate) fn tree_d(
    proof: SealProof,
    unsealed: &Path,
    dir: &Path,
    threads: NonZeroUsize,
) -> Result<([u8; 32], FileEntry)> {
    let tree = tree_d::build(unsealed, &dir.join(TREE_D), proof.sector_bytes(), threads)?;
    let entry = FileEntry {
        name: TREE_D.to_owned(),
        len: tree.file.bytes,
        blake3: Some(hex::encode(tree.file.blake3)),
    };
    Ok((tree.comm_d, entry))
}

/// What PC2 made.
pub(crate) struct PreCommit2 {
    pub comm_c: [u8; 32],
    pub comm_r_last: [u8; 32],
    pub comm_r: [u8; 32],
    pub files: Vec<FileEntry>,
}

/// PC2: encodes the unsealed sector into a new file and builds trees C and R, all in `dir`.
pub(crate) fn pre_commit_2(
    proof: SealProof,
    layers: Vec<PathBuf>,
    unsealed: &Path,
    dir: &Path,
    threads: NonZeroUsize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<PreCommit2> {
    let request = pc2::Request {
        shape: hesper_trees::Shape::of_sector_bytes(proof.sector_bytes())?,
        layers,
        data: unsealed.to_owned(),
        sealed: dir.join(SEALED),
        cache_dir: dir.to_owned(),
        threads: threads.get(),
        memory_bytes_max: 0,
        backend: hesper_poseidon::Backend::detect(),
    };
    let outcome = pc2::run(&request, &|step| {
        progress(step.nodes_done, step.nodes_total);
        true
    })?;
    let files = outcome
        .files
        .into_iter()
        .map(|file| FileEntry {
            // The bytes of `t_aux` depend on the directory.
            blake3: (file.name != T_AUX).then(|| hex::encode(file.blake3)),
            name: file.name,
            len: file.len,
        })
        .collect();
    let pc2::Commitments { comm_c, comm_r_last, comm_r } = outcome.commitments;
    Ok(PreCommit2 { comm_c, comm_r_last, comm_r, files })
}

/// Restores the first `len` bytes of the piece.
pub(crate) fn unseal(
    sealing: &Sealing<'_>,
    sealed: &Path,
    output: &mut File,
    len: u64,
    threads: NonZeroUsize,
) -> Result<()> {
    let Sealing { proof, sector, ticket, comm_d, .. } = sealing;
    let dir = parents_dir();
    let request = unseal::Request {
        sealed,
        sector_bytes: proof.sector_bytes(),
        key: unseal::Key::Compute {
            porep_id: proof.porep_id(),
            replica_id: replica_id(*proof, *sector, ticket, comm_d),
            layers: proof.layers(),
            parents_dir: &dir,
        },
        range: 0..len,
        threads,
    };
    let written = unseal::unseal(&request, io::BufWriter::new(output))?;
    ensure!(written == len, "unsealing gave {written} bytes of {len}");
    Ok(())
}

/// The Merkle proofs of sectors for a PoSt with this many challenges per sector, in their order. A
/// sector whose files are damaged has an error of its own.
pub(crate) fn vanilla(
    proof: SealProof,
    randomness: &[u8; 32],
    challenges: u64,
    replicas: Vec<Replica>,
    threads: NonZeroUsize,
) -> Result<Vec<std::result::Result<Vanilla, String>>> {
    let sectors: Vec<post::Sector> = replicas
        .into_iter()
        .map(|replica| {
            let leaves = post::challenges(randomness, replica.number, proof.nodes(), 0..challenges);
            Ok(post::Sector {
                id: replica.number,
                comm_r: replica.comm_r,
                sealed: replica.sealed,
                cache: replica.cache,
                challenges: leaves?,
            })
        })
        .collect::<Result<_>>()?;
    let request = post::Request {
        sector_bytes: proof.sector_bytes(),
        sectors: &sectors,
        threads,
        readers_per_device: READERS_PER_DEVICE,
        backend: hesper_poseidon::Backend::detect(),
    };
    post::vanilla(&request)?
        .into_iter()
        .map(|made| match made {
            Ok(made) => Ok(Ok(serde_json::from_slice(&made.to_json())
                .context("the vanilla proof has another form than the library's")?)),
            // With its causes: the message goes into the log of the stage.
            Err(fault) => Ok(Err(format!("{:#}", anyhow::Error::new(fault)))),
        })
        .collect()
}
