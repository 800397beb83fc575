//! **Purpose**: labels of 1 to 16 sectors at once against the library's one.
//!
//! **Invariants**: layers from 2 on carry the rows; both sides label with the same table of parents.
//! At the large size only the group of 16 runs whole by default: the others label a range of layer 2
//! with both layers full-size.

use anyhow::Result;
use serde_json::json;

use super::{Bench, LAYERS, MIB, need};
use crate::kernels::bounds;
use crate::kernels::contest::{Contest, Course, Entry, Rival};
use crate::kernels::peers::{self, Flavour};
use crate::kernels::side::Invocation;

const UNIT: &str = "labels/cpu-s";
const WIDTHS: [u64; 5] = [1, 2, 4, 8, 16];
const RANGE_NODES: u64 = 1 << 21;
/// Nodes in the library's window of the table of parents; the first is its own default.
const WINDOWS: [u64; 3] = [2048, 1 << 16, 1 << 20];

pub fn contests(
    bench: &Bench,
    course: &Course<'_>,
    not_run: &mut Vec<(String, String)>,
) -> Result<Vec<Contest>> {
    let mut contests = Vec::new();
    for (name, bytes) in [("8MiB", 8 * MIB), ("16MiB", 16 * MIB), ("512MiB", bench.large())] {
        let mut entries = Vec::new();
        for sectors in WIDTHS {
            let row = format!("sdr_{sectors}_{name}");
            if !bench.wants(&row) {
                continue;
            }
            let whole = bytes <= 16 * MIB || sectors == 16 || bench.plan.full;
            let disc = if whole { sectors * bytes * u64::from(LAYERS) } else { sectors * 64 * MIB };
            let memory = need::group_memory(sectors, bytes);
            if let Some(why) = need::missing(memory, disc + 512 * MIB, &bench.work)? {
                not_run.push((row, why));
                continue;
            }
            let samples = match (whole && bytes > 16 * MIB, bench.plan.full) {
                (true, false) => 1,
                _ => bench.samples(3),
            };
            let ours = ours(bench, bytes, sectors, whole);
            let bound = bounds::label(usize::try_from(sectors)?);
            entries.push(Entry::new(&row, ours.labelled(&row), samples, Some(bound)).with_memory());
        }
        if entries.is_empty() {
            continue;
        }
        make_parents(bench, bytes, course)?;
        let rival = (name != "16MiB").then(|| rival(bench, bytes));
        contests.push(Contest::new(UNIT, rival, entries));
    }
    Ok(contests)
}

/// The table of parents of a size, unless this run has made it.
pub fn make_parents(bench: &Bench, bytes: u64, course: &Course<'_>) -> Result<()> {
    let mark = bench.work.join(format!("parents-{bytes}"));
    if !mark.exists() {
        let call = bench.ours("parents").option("bytes", bytes).labelled("table of this run");
        course.prepare(&call)?;
        std::fs::write(&mark, "")?;
    }
    Ok(())
}

fn ours(bench: &Bench, bytes: u64, sectors: u64, whole: bool) -> Invocation {
    let scratch = bench.work.join("ours");
    let call = if whole {
        bench.ours("sdr").option("layers", LAYERS)
    } else {
        bench.ours("sdr-range").option("nodes", RANGE_NODES.min(bytes / 64))
    };
    call.option("bytes", bytes).option("sectors", sectors).path("out", &scratch).scratch(scratch)
}

fn rival(bench: &Bench, bytes: u64) -> Rival {
    let call = |flavour, multicore: bool, window: u64| {
        let scratch = bench.work.join("theirs");
        let request = json!({
            "size": bytes,
            "porep_id": porep_id(bytes),
            "layers": LAYERS,
            "replica_id": replica_id(),
            "out": scratch,
        });
        let cores = if multicore { "multicore" } else { "single" };
        bench
            .peers
            .call(flavour, "sdr", &request)
            .labelled(&format!("{cores}, window {window}"))
            .env("FIL_PROOFS_USE_MULTICORE_SDR", u8::from(multicore))
            .env("FIL_PROOFS_SDR_PARENTS_CACHE_SIZE", window.min(bytes / 32))
            .scratch(scratch)
    };
    let mut variants = Vec::new();
    for window in WINDOWS {
        for flavour in [Flavour::Sha, Flavour::Native] {
            for multicore in [false, true] {
                // At the large size one build alone shows what the window does.
                let probe = flavour == Flavour::Native && !multicore;
                if window == WINDOWS[0] || probe || bytes < 512 * MIB || bench.plan.full {
                    variants.push(call(flavour, multicore, window));
                }
            }
        }
    }
    Rival {
        name: peers::NAME.to_owned(),
        version: peers::VERSION.to_owned(),
        variants,
        default_build: Some(call(Flavour::Default, false, WINDOWS[0])),
        samples: bench.samples(3),
    }
}

/// The id of the graph, as the own side has it.
pub fn porep_id(bytes: u64) -> String {
    let number = if bytes == 512 * MIB { 7 } else { 6 };
    format!("{number:02x}{}", "00".repeat(31))
}

/// The id of sector 0 of the own side's groups.
fn replica_id() -> String {
    format!("00{}", "11".repeat(31))
}
