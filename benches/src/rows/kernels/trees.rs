//! **Purpose**: PC2 and unsealing.
//!
//! **Invariants**: layers and data are random field elements, which cost what labels cost; the links
//! of the inputs in a scratch directory are all that a run finds there.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::hashes::rival;
use super::sdr::{make_parents, porep_id};
use super::{Bench, LAYERS, MIB};
use crate::kernels::bounds;
use crate::kernels::contest::{Contest, Course, Entry};
use crate::kernels::inputs;
use crate::kernels::peers::Flavour;
use crate::kernels::side::Invocation;

pub fn contests(
    bench: &Bench,
    course: &Course<'_>,
    not_run: &mut Vec<(String, String)>,
) -> Result<Vec<Contest>> {
    let mut contests = Vec::new();
    for (name, bytes) in [("8MiB", 8 * MIB), ("16MiB", 16 * MIB), ("512MiB", bench.large())] {
        let row = format!("tree_c_r_{name}");
        if !bench.wants(&row) {
            continue;
        }
        // Inputs, tree D, two trees C and R and a sealed sector of each side.
        if let Some(why) = super::need::missing(4 * bytes, 12 * bytes, &bench.work)? {
            not_run.push((row, why));
            continue;
        }
        contests.push(tree_c_r(bench, &row, bytes, course)?);
    }
    if bench.wants("unseal_512MiB") {
        contests.push(unseal(bench, bench.large(), course)?);
    }
    Ok(contests)
}

/// Layers, data and tree D of a size; made once in a run.
fn pc2_inputs(bench: &Bench, bytes: u64, course: &Course<'_>) -> Result<Vec<(String, PathBuf)>> {
    let dir = bench.work.join(format!("pc2-{bytes}"));
    std::fs::create_dir_all(&dir)?;
    let mut files = Vec::new();
    for layer in 1..=LAYERS {
        let name = format!("sc-02-data-layer-{layer}.dat");
        inputs::file(&dir.join(&name), bytes, u64::from(layer))?;
        files.push((name.clone(), dir.join(name)));
    }
    let data = dir.join("data.dat");
    inputs::file(&data, bytes, 10)?;
    let tree_d = dir.join("sc-02-data-tree-d.dat");
    if !tree_d.exists() {
        let call = bench.ours("tree-d").option("bytes", bytes).path("input", &data);
        course.prepare(&call.path("out", &dir).labelled("tree D of this run"))?;
    }
    files.push(("sc-02-data-tree-d.dat".to_owned(), tree_d));
    files.push(("data.dat".to_owned(), data));
    Ok(files)
}

fn linked(call: Invocation, files: &[(String, PathBuf)]) -> Invocation {
    files.iter().fold(call, |call, (name, path)| call.link(name, path))
}

fn tree_c_r(bench: &Bench, row: &str, bytes: u64, course: &Course<'_>) -> Result<Contest> {
    let files = pc2_inputs(bench, bytes, course)?;
    let (ours, theirs) = (bench.work.join("ours"), bench.work.join("theirs"));
    let request = json!({
        "size": bytes,
        "porep_id": porep_id(bytes),
        "layers": LAYERS,
        "cache": theirs,
        "data": theirs.join("data.dat"),
        "replica": theirs.join("sealed.dat"),
    });
    let their_samples = if bytes > 16 * MIB && !bench.plan.full { 1 } else { 3 };
    let call = |flavour| {
        let call = bench.peers.call(flavour, "pc2", &request).scratch(theirs.clone());
        linked(call, &files)
    };
    let mut rival = rival(bench, their_samples, call);
    if bytes > 16 * MIB && !bench.plan.full {
        // Minutes for each: the builds differ little here, as the smaller size shows.
        rival.variants = vec![call(Flavour::Native)];
        rival.default_build = None;
    }
    let call = bench
        .ours("pc2")
        .option("bytes", bytes)
        .option("layers", LAYERS)
        .path("cache", &ours)
        .path("input", &ours.join("data.dat"))
        .path("replica", &ours.join("sealed.dat"))
        .scratch(ours)
        .labelled(row);
    let call = linked(call, &files);
    let bound = bounds::tree_c_r(usize::try_from(LAYERS)?);
    let entry = Entry::new(row, call, bench.samples(3), Some(bound)).with_memory();
    Ok(Contest::new("nodes/cpu-s", Some(rival), vec![entry]))
}

fn unseal(bench: &Bench, bytes: u64, course: &Course<'_>) -> Result<Contest> {
    make_parents(bench, bytes, course)?;
    let sealed = bench.work.join(format!("data-{bytes}.dat"));
    inputs::file(&sealed, bytes, 10)?;
    let (ours, theirs) = (bench.work.join("ours"), bench.work.join("theirs"));
    // The identity of the own side.
    let request = json!({
        "size": bytes,
        "porep_id": porep_id(bytes),
        "layers": LAYERS,
        "sealed": sealed,
        "cache": theirs,
        "output": theirs.join("unsealed.dat"),
        "prover_id": "09".repeat(32),
        "sector": 7,
        "comm_d": "03".repeat(32),
        "ticket": "05".repeat(32),
    });
    let mut rival = rival(bench, 2, |flavour| {
        bench.peers.call(flavour, "unseal", &request).scratch(theirs.clone())
    });
    if !bench.plan.full {
        rival.default_build = None;
    }
    let call = bench
        .ours("unseal")
        .option("bytes", bytes)
        .option("layers", LAYERS)
        .path("sealed", &sealed)
        .path("out", &ours)
        .scratch(ours);
    let entry = Entry::new("unseal_512MiB", call, bench.samples(2), Some(bounds::unseal(LAYERS)))
        .with_memory();
    Ok(Contest::new("nodes/cpu-s", Some(rival), vec![entry]))
}
