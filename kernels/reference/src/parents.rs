//! **Purpose**: the graph: the library's cache file of parents, and the parents of single nodes.
//!
//! **Invariants**: the parents of single nodes are computed without a cache file, so that the
//! graphs of 32 and 64 GiB need no 60 GB.
//!
//! **Source**: `storage-proofs-porep`, stacked graph.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use filecoin_hashers::poseidon::PoseidonHasher;
use filecoin_proofs::{DRG_DEGREE, EXP_DEGREE, PoRepConfig};
use serde::Deserialize;
use serde_json::{Value, json};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::drgraph::Graph as _;
use storage_proofs_core::settings::SETTINGS;
use storage_proofs_porep::stacked::StackedBucketGraph;

use crate::measure::Stopwatch;
use crate::request::{Kind, splitmix};

/// The graph of a sector size.
pub fn graph(config: &PoRepConfig) -> Result<StackedBucketGraph<PoseidonHasher>> {
    let nodes = usize::try_from(u64::from(config.sector_size) / 32)?;
    StackedBucketGraph::new_stacked(
        nodes,
        DRG_DEGREE,
        EXP_DEGREE,
        config.porep_id,
        ApiVersion::V1_1_0,
    )
}

/// `parents`: opens the cache file in `FIL_PROOFS_PARENT_CACHE`, made first where it is absent.
pub fn table(kind: Kind) -> Result<Value> {
    let config = kind.config()?;
    let dir = PathBuf::from(&SETTINGS.parent_cache);
    fs::create_dir_all(&dir).with_context(|| format!("could not create {dir:?}"))?;

    let watch = Stopwatch::start();
    let cache = graph(&config)?.parent_cache()?;
    let mut line = watch.finish(kind.nodes())?;
    line.insert("path".into(), json!(cache.path));
    line.insert("digest".into(), json!(cache.digest));
    Ok(line.into())
}

/// Nodes by number, or drawn from a seed.
#[derive(Deserialize)]
pub struct OfNodes {
    #[serde(flatten)]
    kind: Kind,
    #[serde(default)]
    nodes: Vec<u32>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    count: usize,
}

/// `parents-of`: rows `[node, parent 0, .., parent 13]`, computed one by one.
pub fn of_nodes(request: OfNodes) -> Result<Value> {
    let config = request.kind.config()?;
    let size = request.kind.nodes();
    let mut state = request.seed;
    let mut nodes = request.nodes;
    for _ in 0..request.count {
        nodes.push(u32::try_from(splitmix(&mut state) % size)?);
    }

    let graph = graph(&config)?;
    let watch = Stopwatch::start();
    let mut rows = Vec::with_capacity(nodes.len());
    for node in nodes {
        ensure!(u64::from(node) < size, "node {node} is outside of the graph of {size} nodes");
        let mut row = vec![0; 1 + DRG_DEGREE + EXP_DEGREE];
        row[0] = node;
        graph.parents(usize::try_from(node)?, &mut row[1..])?;
        rows.push(row);
    }
    let mut line = watch.finish(rows.len() as u64)?;
    line.insert("rows".into(), json!(rows));
    Ok(line.into())
}
