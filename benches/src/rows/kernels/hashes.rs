//! **Purpose**: rows that are hashes alone: parents, tree D, Poseidon.

use anyhow::Result;
use serde_json::json;

use super::sdr::porep_id;
use super::{Bench, MIB};
use crate::kernels::bounds;
use crate::kernels::contest::{Contest, Course, Entry, Rival};
use crate::kernels::inputs;
use crate::kernels::peers::{self, Flavour};
use crate::kernels::side::Invocation;

/// Hashes in one round, and rounds that make a sample some seconds long.
const HASHES: usize = 1 << 16;

pub fn contests(
    bench: &Bench,
    _course: &Course<'_>,
    _not_run: &mut Vec<(String, String)>,
) -> Result<Vec<Contest>> {
    let mut contests = Vec::new();
    if bench.wants("parents") {
        contests.push(parents(bench));
    }
    if bench.wants("tree_d") {
        contests.push(tree_d(bench)?);
    }
    for arity in [2, 8, 11] {
        let row = format!("poseidon_{arity}");
        if bench.wants(&row) {
            contests.push(poseidon(bench, arity, &row));
        }
    }
    Ok(contests)
}

/// The peer in two builds, the better of which counts, and its default one.
pub fn rival(bench: &Bench, samples: usize, call: impl Fn(Flavour) -> Invocation) -> Rival {
    Rival {
        name: peers::NAME.to_owned(),
        version: peers::VERSION.to_owned(),
        variants: vec![call(Flavour::Sha), call(Flavour::Native)],
        default_build: Some(call(Flavour::Default)),
        samples: bench.samples(samples),
    }
}

fn parents(bench: &Bench) -> Contest {
    let bytes = if bench.plan.full { bench.large() } else { 8 * MIB };
    let ours = bench.work.join("parents-ours");
    let theirs = bench.work.join("parents-theirs");
    let request = json!({ "size": bytes, "porep_id": porep_id(bytes) });
    let rival = rival(bench, 3, |flavour| {
        bench
            .peers
            .call(flavour, "parents", &request)
            .env("FIL_PROOFS_PARENT_CACHE", theirs.display())
            .scratch(theirs.clone())
    });
    let ours = bench.call("parents", bench.threads, &ours).option("bytes", bytes).scratch(ours);
    let entry = Entry::new("parents", ours, bench.samples(5), Some(bounds::parents_node()));
    Contest::new("nodes/cpu-s", Some(rival), vec![entry])
}

fn tree_d(bench: &Bench) -> Result<Contest> {
    let bytes = bench.large();
    let input = bench.work.join(format!("data-{bytes}.dat"));
    inputs::file(&input, bytes, 10)?;
    let (ours, theirs) = (bench.work.join("ours"), bench.work.join("theirs"));
    let request =
        json!({ "size": bytes, "porep_id": porep_id(bytes), "data": input, "out": theirs });
    let rival = rival(bench, 3, |flavour| {
        bench.peers.call(flavour, "tree-d", &request).scratch(theirs.clone())
    });
    let call = bench
        .ours("tree-d")
        .option("bytes", bytes)
        .path("input", &input)
        .path("out", &ours)
        .scratch(ours);
    let entry = Entry::new("tree_d", call, bench.samples(3), Some(bounds::tree_d_leaf()));
    Ok(Contest::new("leaves/cpu-s", Some(rival), vec![entry]))
}

fn poseidon(bench: &Bench, arity: usize, row: &str) -> Contest {
    let count = bench.plan.count(HASHES);
    let seed = 100 + arity;
    let request =
        |rounds: usize| json!({ "arity": arity, "count": count, "rounds": rounds, "seed": seed });
    // One thread each: the row is about a core.
    let rival = rival(bench, 3, |flavour| {
        bench.peers.call(flavour, "poseidon", &request(1)).env("RAYON_NUM_THREADS", 1)
    });
    let call = bench
        .call("poseidon", 1, &bench.peers.parents)
        .option("arity", arity)
        .option("count", count)
        .option("rounds", 5)
        .option("seed", seed)
        .labelled(row);
    let entry = Entry::new(row, call, bench.samples(5), Some(bounds::poseidon(arity)));
    Contest::new("hashes/cpu-s", Some(rival), vec![entry])
}
