//! **Purpose**: vanilla proofs of window PoSt over many distinct sealed sectors.

use anyhow::{Context, Result};
use serde_json::json;

use super::hashes::rival;
use super::sdr::make_parents;
use super::{Bench, MIB};
use crate::kernels::bounds;
use crate::kernels::contest::{Contest, Course, Entry};
use crate::kernels::sectors::{FILE_NAME, List};
use crate::kernels::side::Invocation;

const BYTES: u64 = 8 * MIB;
const SECTORS: usize = 200;

pub fn contests(
    bench: &Bench,
    course: &Course<'_>,
    not_run: &mut Vec<(String, String)>,
) -> Result<Vec<Contest>> {
    let rows = [("post_vanilla", false), ("post_vanilla_dropped", true)];
    let wanted: Vec<(&str, bool)> = rows.into_iter().filter(|row| bench.wants(row.0)).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let count = bench.plan.count(SECTORS);
    let disc = (count as u64 + 48) * (BYTES + MIB);
    if List::usable(&bench.sectors, BYTES, count).is_none()
        && let Some(why) = super::need::missing(MIB << 9, disc, &bench.work)?
    {
        not_run.extend(wanted.iter().map(|row| (row.0.to_owned(), why.clone())));
        return Ok(Vec::new());
    }
    let list = sectors(bench, count, course)?;
    wanted.into_iter().map(|(row, dropped)| contest(bench, row, dropped, &list)).collect()
}

/// The sectors of earlier runs, else new ones.
fn sectors(bench: &Bench, count: usize, course: &Course<'_>) -> Result<List> {
    if let Some(mut list) = List::usable(&bench.sectors, BYTES, count) {
        list.sectors.truncate(count);
        return Ok(list);
    }
    make_parents(bench, BYTES, course)?;
    let call = bench
        .ours("sectors")
        .option("bytes", BYTES)
        .option("count", count)
        .path("out", &bench.sectors)
        .labelled("sealed for this row and kept");
    course.prepare(&call)?;
    List::usable(&bench.sectors, BYTES, count).with_context(|| {
        format!("the sectors in `{}` are not whole; remove the directory", bench.sectors.display())
    })
}

fn contest(bench: &Bench, row: &str, dropped: bool, list: &List) -> Result<Contest> {
    let (ours, theirs) = (bench.work.join("ours"), bench.work.join("theirs"));
    let randomness = "07".repeat(32);
    let request = json!({
        "size": BYTES,
        "kind": "window",
        "randomness": randomness,
        "prover_id": list.prover_id,
        "sectors": list.sectors,
        "out": theirs.join("proofs.json"),
    });
    let cold = |call: Invocation| if dropped { call.dropping(&bench.sectors) } else { call };
    let request_file = bench.work.join(format!("{row}.json"));
    std::fs::write(&request_file, request.to_string())
        .with_context(|| format!("could not write the request `{}`", request_file.display()))?;
    let rival = rival(bench, 3, |flavour| {
        let call = bench.peers.call_file(flavour, "vanilla", &request_file);
        cold(call.scratch(theirs.clone()).labelled(row))
    });
    let call = bench
        .ours("vanilla")
        .option("bytes", BYTES)
        .path("list", &bench.sectors.join(FILE_NAME))
        .option("count", list.sectors.len())
        .option("randomness", &randomness)
        .path("out", &ours.join("proofs.json"))
        .scratch(ours)
        .labelled(row);
    let entry = Entry::new(row, cold(call), bench.samples(5), Some(bounds::vanilla_sector()));
    Ok(Contest::new("sectors/cpu-s", Some(rival), vec![entry]))
}
