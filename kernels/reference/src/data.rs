//! **Purpose**: unsealed data: CommP with bit padding, CommD of pieces, tree D.
//!
//! **Invariants**: a piece shorter than its size is followed by zeros, as clients do.
//!
//! **Source**: `filecoin_proofs::{add_piece, generate_piece_commitment, compute_comm_d}` and
//! `storage_proofs_core::merkle`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use filecoin_proofs::{DefaultPieceHasher, PieceInfo, StoreConfig, UnpaddedBytesAmount};
use serde::Deserialize;
use serde_json::{Value, json};
use storage_proofs_core::cache_key::CacheKey;
use storage_proofs_core::merkle::{BinaryMerkleTree, create_base_merkle_tree};

use crate::files::digest;
use crate::measure::Stopwatch;
use crate::request::{Bytes32, Kind};

/// An unsealed sector in Fr32 form.
#[derive(Deserialize)]
pub struct TreeD {
    #[serde(flatten)]
    kind: Kind,
    data: PathBuf,
    out: PathBuf,
}

/// `tree-d`: writes `sc-02-data-tree-d.dat` into `out`.
pub fn tree_d(request: TreeD) -> Result<Value> {
    let data =
        fs::read(&request.data).with_context(|| format!("could not read {:?}", request.data))?;

    let watch = Stopwatch::start();
    let comm_d = build_tree_d(request.kind, &data, Some(&request.out))?;
    let library = watch.cost();
    let file = digest(&request.out.join("sc-02-data-tree-d.dat"))?;
    let mut line = watch.finish(request.kind.nodes())?;
    line.insert("library".into(), json!(library));
    line.insert("comm_d".into(), hex::encode(comm_d).into());
    line.insert("blake3".into(), file.blake3.into());
    Ok(line.into())
}

/// Root of the binary tree over `data`, on disc in `out` where that is given.
pub fn build_tree_d(kind: Kind, data: &[u8], out: Option<&Path>) -> Result<[u8; 32]> {
    let config = out.map(|dir| StoreConfig::new(dir, CacheKey::CommDTree.to_string(), 0));
    let tree = create_base_merkle_tree::<BinaryMerkleTree<DefaultPieceHasher>>(
        config,
        usize::try_from(kind.nodes())?,
        data,
    )?;
    Ok(tree.root().into())
}

/// A piece before bit padding.
#[derive(Deserialize)]
pub struct CommP {
    data: PathBuf,
    /// 127 times a power of two.
    piece_bytes: u64,
    /// Takes the Fr32 form with the alignment that the pieces in `written` make necessary.
    output: Option<PathBuf>,
    #[serde(default)]
    written: Vec<u64>,
}

/// `comm-p`: the commitment of a piece.
pub fn comm_p(request: CommP) -> Result<Value> {
    let source = File::open(&request.data)
        .with_context(|| format!("could not open {:?}", request.data))?
        .chain(io::repeat(0))
        .take(request.piece_bytes);
    let bytes = UnpaddedBytesAmount(request.piece_bytes);

    let watch = Stopwatch::start();
    let info = match &request.output {
        Some(path) => {
            let target =
                File::create(path).with_context(|| format!("could not create {path:?}"))?;
            let written: Vec<_> =
                request.written.iter().map(|bytes| UnpaddedBytesAmount(*bytes)).collect();
            filecoin_proofs::add_piece(source, target, bytes, &written)?.0
        }
        None => filecoin_proofs::generate_piece_commitment(source, bytes)?,
    };
    let mut line = watch.finish(request.piece_bytes)?;
    line.insert("comm_p".into(), hex::encode(info.commitment).into());
    Ok(line.into())
}

/// Pieces in the order of the sector.
#[derive(Deserialize)]
pub struct CommD {
    #[serde(flatten)]
    kind: Kind,
    pieces: Vec<Piece>,
}

#[derive(Deserialize)]
struct Piece {
    comm_p: Bytes32,
    bytes: u64,
}

/// `comm-d`: the commitment of a sector of these pieces.
pub fn comm_d(request: CommD) -> Result<Value> {
    let pieces = request
        .pieces
        .iter()
        .map(|piece| PieceInfo::new(piece.comm_p.0, UnpaddedBytesAmount(piece.bytes)))
        .collect::<Result<Vec<_>>>()?;
    let watch = Stopwatch::start();
    let comm_d = filecoin_proofs::compute_comm_d(request.kind.size.into(), &pieces)?;
    let mut line = watch.finish(pieces.len() as u64)?;
    line.insert("comm_d".into(), hex::encode(comm_d).into());
    Ok(line.into())
}
