//! **Purpose**: SnapDeals: encoding new data into a sealed sector, and back.
//!
//! **Invariants**: files that the library wants to find are created with their length before the
//! clock starts.
//!
//! **Source**: `filecoin_proofs::{encode_into, decode_from, remove_encoded_data}`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use filecoin_proofs::{
    EmptySectorUpdateEncoded, MerkleTreeTrait, PieceInfo, SectorUpdateConfig, TreeRHasher,
    UnpaddedBytesAmount,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::data::build_tree_d;
use crate::files::{digest, digests};
use crate::measure::Stopwatch;
use crate::request::{Bytes32, Kind, with_shape};

/// The files that encoding and removing leave in the new cache directory.
const CACHE_FILES: [&str; 4] = ["sc-02-data-tree-d", "sc-02-data-tree-r-last", "p_aux", "t_aux"];

fn create(path: &Path, len: u64) -> Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(len))
        .with_context(|| format!("could not create {path:?} with {len} bytes"))
}

fn update_config(kind: Kind) -> Result<SectorUpdateConfig> {
    // The update does not depend on the graph: any PoRep id serves.
    let id = kind.porep_id.or(Some(Bytes32([0; 32])));
    Ok(SectorUpdateConfig::from_porep_config(&Kind { porep_id: id, ..kind }.config()?))
}

/// New data for a sealed sector.
#[derive(Deserialize)]
pub struct Encode {
    #[serde(flatten)]
    kind: Kind,
    replica: PathBuf,
    cache: PathBuf,
    key: PathBuf,
    key_cache: PathBuf,
    staged: PathBuf,
    comm_d: Option<Bytes32>,
}

/// `snap-encode`: the new replica and its trees.
pub fn encode(request: Encode) -> Result<Value> {
    let comm_d = match request.comm_d {
        Some(comm_d) => comm_d.0,
        None => {
            let staged = fs::read(&request.staged)
                .with_context(|| format!("could not read {:?}", request.staged))?;
            build_tree_d(request.kind, &staged, None)?
        }
    };
    create(&request.replica, request.kind.size)?;

    let watch = Stopwatch::start();
    let out = with_shape!(request.kind.size, encode_into(&request, comm_d))?;
    let library = watch.cost();
    let mut files = digests(&request.cache, &CACHE_FILES)?;
    files.push(digest(&request.replica)?);
    let mut line = watch.finish(request.kind.nodes())?;
    line.insert("library".into(), json!(library));
    line.insert("comm_d".into(), hex::encode(out.comm_d_new).into());
    line.insert("comm_r".into(), hex::encode(out.comm_r_new).into());
    line.insert("comm_r_last".into(), hex::encode(out.comm_r_last_new).into());
    line.insert("files".into(), json!(files));
    Ok(line.into())
}

fn encode_into<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    request: &Encode,
    comm_d: [u8; 32],
) -> Result<EmptySectorUpdateEncoded> {
    let pieces = [PieceInfo::new(comm_d, UnpaddedBytesAmount(request.kind.size / 128 * 127))?];
    filecoin_proofs::encode_into::<Tree>(
        &update_config(request.kind)?,
        &request.replica,
        &request.cache,
        &request.key,
        &request.key_cache,
        &request.staged,
        &pieces,
    )
}

/// An updated sector whose data is wanted.
#[derive(Deserialize)]
pub struct Decode {
    #[serde(flatten)]
    kind: Kind,
    output: PathBuf,
    replica: PathBuf,
    key: PathBuf,
    key_cache: PathBuf,
    comm_d: Bytes32,
}

/// `snap-decode`: the data, in Fr32 form.
pub fn decode(request: Decode) -> Result<Value> {
    create(&request.output, request.kind.size)?;
    let watch = Stopwatch::start();
    with_shape!(request.kind.size, decode_from(&request))?;
    let library = watch.cost();
    let file = digest(&request.output)?;
    let mut line = watch.finish(request.kind.nodes())?;
    line.insert("library".into(), json!(library));
    line.insert("blake3".into(), file.blake3.into());
    Ok(line.into())
}

fn decode_from<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    request: &Decode,
) -> Result<()> {
    filecoin_proofs::decode_from::<Tree>(
        update_config(request.kind)?,
        &request.output,
        &request.replica,
        &request.key,
        &request.key_cache,
        request.comm_d.0,
    )
}

/// An updated sector whose old replica is wanted.
#[derive(Deserialize)]
pub struct Remove {
    #[serde(flatten)]
    kind: Kind,
    key: PathBuf,
    key_cache: PathBuf,
    replica: PathBuf,
    /// With `p_aux` and `t_aux` of the sector as first sealed: the library takes the old CommR from
    /// there, and silently writes a wrong replica when it is given those of the update.
    cache: PathBuf,
    data: PathBuf,
    comm_d: Bytes32,
}

/// `snap-remove`: the replica before the update and its tree R last.
pub fn remove(request: Remove) -> Result<Value> {
    create(&request.key, request.kind.size)?;
    let watch = Stopwatch::start();
    with_shape!(request.kind.size, remove_data(&request))?;
    let library = watch.cost();
    let mut files = digests(&request.key_cache, &CACHE_FILES)?;
    files.push(digest(&request.key)?);
    let mut line = watch.finish(request.kind.nodes())?;
    line.insert("library".into(), json!(library));
    line.insert("files".into(), json!(files));
    Ok(line.into())
}

fn remove_data<Tree: 'static + MerkleTreeTrait<Hasher = TreeRHasher>>(
    request: &Remove,
) -> Result<()> {
    filecoin_proofs::remove_encoded_data::<Tree>(
        update_config(request.kind)?,
        &request.key,
        &request.key_cache,
        &request.replica,
        &request.cache,
        &request.data,
        request.comm_d.0,
    )
}
