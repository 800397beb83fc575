//! **Purpose**: PC2 over layers that exist, and unsealing.
//!
//! **Invariants**: the CPU alone works (no GPU feature is built); tree D exists before PC2.
//!
//! **Source**: `filecoin_proofs::{seal_pre_commit_phase2, unseal_range}`.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use filecoin_proofs::{
    MerkleTreeTrait, SealPreCommitOutput, SealPreCommitPhase1Output, SectorShapeBase, StoreConfig,
    UnpaddedByteIndex, UnpaddedBytesAmount,
};
use serde::Deserialize;
use serde_json::{Value, json};
use storage_proofs_core::cache_key::CacheKey;
use storage_proofs_core::settings::SETTINGS;
use storage_proofs_porep::stacked::Labels;

use crate::files::{digest, digests};
use crate::measure::Stopwatch;
use crate::parents;
use crate::request::{Bytes32, Kind, with_shape};

/// A sector after PC1.
#[derive(Deserialize)]
pub struct Pc2 {
    #[serde(flatten)]
    kind: Kind,
    /// Layers and tree D; takes the trees and `p_aux`, `t_aux`.
    cache: PathBuf,
    /// The unsealed sector; copied to `replica` first.
    data: Option<PathBuf>,
    /// Encoded in place.
    replica: PathBuf,
    /// Root of tree D; read from its file where absent.
    comm_d: Option<Bytes32>,
}

/// `pc2`: tree C, the replica, tree R last, `p_aux`, `t_aux`.
pub fn pre_commit_2(request: Pc2) -> Result<Value> {
    let comm_d = match request.comm_d {
        Some(comm_d) => comm_d.0,
        None => last_node(&request.cache.join("sc-02-data-tree-d.dat"))?,
    };

    let watch = Stopwatch::start();
    if let Some(data) = &request.data {
        fs::copy(data, &request.replica)
            .with_context(|| format!("could not copy {data:?} to {:?}", request.replica))?;
    }
    let out = with_shape!(request.kind.size, phase_2(&request, comm_d))?;
    let library = watch.cost();
    let mut files = digests(
        &request.cache,
        &["sc-02-data-tree-c", "sc-02-data-tree-r-last", "p_aux", "t_aux"],
    )?;
    files.push(digest(&request.replica)?);
    let total = watch.cost();
    let mut line = watch.finish(request.kind.nodes())?;

    let p_aux = fs::read(request.cache.join("p_aux")).context("could not read p_aux")?;
    ensure!(p_aux.len() == 64, "p_aux has {} bytes instead of 64", p_aux.len());
    line.insert("library".into(), json!(library));
    line.insert("hashing".into(), json!(total.since(library)));
    line.insert("comm_d".into(), hex::encode(out.comm_d).into());
    line.insert("comm_r".into(), hex::encode(out.comm_r).into());
    line.insert("comm_c".into(), hex::encode(&p_aux[..32]).into());
    line.insert("comm_r_last".into(), hex::encode(&p_aux[32..]).into());
    line.insert("files".into(), json!(files));
    Ok(line.into())
}

fn phase_2<Tree: 'static + MerkleTreeTrait>(
    request: &Pc2,
    comm_d: [u8; 32],
) -> Result<SealPreCommitOutput> {
    let config = request.kind.config()?;
    let nodes = usize::try_from(request.kind.nodes())?;
    let store = |id: String, len: usize| {
        let mut store = StoreConfig::new(&request.cache, id, 0);
        store.size = Some(len);
        store
    };
    let layers = (1..=request.kind.layers_in_force()?)
        .map(|layer| store(CacheKey::label_layer(layer), nodes))
        .collect();
    let phase_1 = SealPreCommitPhase1Output::<Tree> {
        labels: Labels::new(layers),
        config: store(CacheKey::CommDTree.to_string(), 2 * nodes - 1),
        comm_d,
    };
    filecoin_proofs::seal_pre_commit_phase2(&config, phase_1, &request.cache, &request.replica)
}

fn last_node(path: &Path) -> Result<[u8; 32]> {
    let bytes = fs::read(path).with_context(|| format!("could not read {path:?}"))?;
    bytes.last_chunk().copied().with_context(|| format!("{path:?} is shorter than a node"))
}

/// A sealed sector and the part of it to restore.
#[derive(Deserialize)]
pub struct Unseal {
    #[serde(flatten)]
    kind: Kind,
    sealed: PathBuf,
    /// Scratch directory: takes one layer.
    cache: PathBuf,
    output: PathBuf,
    prover_id: Bytes32,
    sector: u64,
    comm_d: Bytes32,
    ticket: Bytes32,
    /// First byte, before bit padding.
    #[serde(default)]
    offset: u64,
    /// Bytes before bit padding; to the end of the sector where absent.
    bytes: Option<u64>,
}

/// `unseal`: labels the sector again and writes the asked range without bit padding.
pub fn unseal(request: Unseal) -> Result<Value> {
    let config = request.kind.config()?;
    fs::create_dir_all(&SETTINGS.parent_cache)
        .with_context(|| format!("could not create {:?}", SETTINGS.parent_cache))?;
    drop(parents::graph(&config)?.parent_cache()?);
    let bytes = request.bytes.unwrap_or(request.kind.size / 128 * 127 - request.offset);

    let watch = Stopwatch::start();
    let sealed = File::open(&request.sealed)
        .with_context(|| format!("could not open {:?}", request.sealed))?;
    let mut output = BufWriter::new(
        File::create(&request.output)
            .with_context(|| format!("could not create {:?}", request.output))?,
    );
    let written = filecoin_proofs::unseal_range::<_, _, _, SectorShapeBase>(
        &config,
        &request.cache,
        sealed,
        &mut output,
        request.prover_id.0,
        request.sector.into(),
        request.comm_d.0,
        request.ticket.0,
        UnpaddedByteIndex(request.offset),
        UnpaddedBytesAmount(bytes),
    )?;
    output.flush().context("could not write the output")?;
    let library = watch.cost();
    let file = digest(&request.output)?;
    let mut line = watch.finish(request.kind.nodes())?;
    ensure!(written.0 == bytes, "unsealing gave {} bytes of {bytes}", written.0);
    line.insert("library".into(), json!(library));
    line.insert("blake3".into(), file.blake3.into());
    Ok(line.into())
}
