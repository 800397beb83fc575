//! **Purpose**: the labels of a sector, with the cost of each layer.
//!
//! **Invariants**: the cache file of parents exists before the clock starts; layers that exist are
//! skipped, as the library does.
//!
//! **Source**: `filecoin_proofs::sdr`; single and multicore labelling announce each layer in the
//! log, which is where the clocks are read.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use filecoin_hashers::{Domain as _, Hasher};
use filecoin_proofs::{DefaultTreeHasher, SectorShapeBase};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use storage_proofs_core::settings::SETTINGS;

use crate::files::digest;
use crate::measure::{Cost, Mark, Stopwatch, between, marks, watch_log};
use crate::parents;
use crate::request::{Bytes32, Kind};

type Domain = <DefaultTreeHasher as Hasher>::Domain;

/// Which sector to label.
#[derive(Deserialize)]
pub struct Request {
    #[serde(flatten)]
    kind: Kind,
    replica_id: Bytes32,
    /// Directory that takes the layer files.
    out: PathBuf,
}

/// What one layer cost: labels, writing its file.
#[derive(Serialize)]
struct Layer {
    layer: usize,
    label: Cost,
    write: Cost,
}

/// `sdr`: writes `sc-02-data-layer-N.dat` into `out`. The labels do not depend on the shape of the
/// trees, so one shape serves all sizes.
pub fn labels(request: Request) -> Result<Value> {
    let config = request.kind.config()?;
    fs::create_dir_all(&request.out)
        .with_context(|| format!("could not create {:?}", request.out))?;
    fs::create_dir_all(&SETTINGS.parent_cache)
        .with_context(|| format!("could not create {:?}", SETTINGS.parent_cache))?;
    drop(parents::graph(&config)?.parent_cache()?);
    let replica_id = Domain::try_from_bytes(&request.replica_id.0)?;
    watch_log()?;

    let watch = Stopwatch::start();
    filecoin_proofs::sdr::<_, SectorShapeBase>(&config, &request.out, &replica_id)?;
    let labelled = watch.cost();
    let layer_count = request.kind.layers_in_force()?;
    let digests = (1..=layer_count)
        .map(|layer| Ok(digest(&request.out.join(format!("sc-02-data-layer-{layer}.dat")))?.blake3))
        .collect::<Result<Vec<_>>>()?;
    let total = watch.cost();
    let mut line = watch.finish(request.kind.nodes() * digests.len() as u64)?;

    line.insert("library".into(), json!(labelled));
    line.insert("hashing".into(), json!(total.since(labelled)));
    line.insert("layers".into(), json!(layers(&marks())));
    line.insert("blake3".into(), json!(digests));
    line.insert(
        "multicore".into(),
        json!(SETTINGS.use_multicore_sdr && cfg!(feature = "multicore-sdr")),
    );
    Ok(line.into())
}

/// Finds the start of each layer, the start of its writing and its end in the log.
fn layers(marks: &[Mark]) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut start: Option<(usize, &Mark)> = None;
    let mut write: Option<&Mark> = None;
    for mark in marks {
        let message = mark.message.trim();
        let number = message
            .strip_prefix("generating layer: ")
            .or_else(|| message.strip_prefix("Layer "))
            .and_then(|rest| rest.parse().ok());
        if let Some(number) = number {
            start = Some((number, mark));
        } else if message == "storing labels on disk" {
            write = Some(mark);
        } else if message.starts_with("generated layer ")
            && let (Some((layer, start)), Some(write)) = (start.take(), write.take())
        {
            layers.push(Layer { layer, label: between(start, write), write: between(write, mark) });
        }
    }
    layers
}
