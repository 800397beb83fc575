//! **Purpose**: the rows about kernels: ours and the proof library from inputs on disc to finished
//! files with their hashes, in work per CPU second.
//!
//! **Invariants**: a row that the machine has no memory or disc for is named as not run, never
//! narrowed; everything a run makes lies in its own directory, but for the sectors of the proofs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::oneshot;

use crate::case::{self, Case, Plan};
use crate::kernels::contest::{self, Contest, Course};
use crate::kernels::peers::Peers;
use crate::kernels::side::Invocation;
use crate::machine::Setting;
use crate::row::Row;
use crate::tools;

mod growth;
mod hashes;
mod need;
mod post;
mod sdr;
mod trees;

pub const ROWS: &[&str] = &[
    "sdr_1_8MiB",
    "sdr_2_8MiB",
    "sdr_4_8MiB",
    "sdr_8_8MiB",
    "sdr_16_8MiB",
    "sdr_16_16MiB",
    "sdr_1_512MiB",
    "sdr_2_512MiB",
    "sdr_4_512MiB",
    "sdr_8_512MiB",
    "sdr_16_512MiB",
    "parents",
    "tree_d",
    "poseidon_2",
    "poseidon_8",
    "poseidon_11",
    "tree_c_r_8MiB",
    "tree_c_r_16MiB",
    "tree_c_r_512MiB",
    "unseal_512MiB",
    "post_vanilla",
    "post_vanilla_dropped",
];

const MIB: u64 = 1 << 20;
const LAYERS: u32 = 2;

/// No sample begins that would end after this.
pub const RUN_MAX: Duration = Duration::from_secs(42 * 60);
const FULL_MAX: Duration = Duration::from_secs(12 * 3600);

/// What all rows of this group share.
struct Bench {
    own: PathBuf,
    peers: Peers,
    /// Of this run alone.
    work: PathBuf,
    /// Sealed sectors, kept between runs.
    sectors: PathBuf,
    wanted: Vec<String>,
    plan: Plan,
    threads: usize,
    setting: Setting,
}

/// What a run has to tell.
#[derive(Default)]
struct Told {
    rows: Vec<Row>,
    not_run: Vec<(String, String)>,
    failed: Vec<(String, anyhow::Error)>,
}

impl Bench {
    fn wants(&self, row: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == row)
    }

    fn samples(&self, usual: usize) -> usize {
        usual.min(self.plan.samples)
    }

    /// A command of the own side with the settings that all runs share.
    fn ours(&self, command: &str) -> Invocation {
        self.call(command, self.threads, &self.peers.parents)
    }

    fn call(&self, command: &str, threads: usize, parents: &Path) -> Invocation {
        Invocation::new(&format!("hesper {command}"), &self.own)
            .arg(command)
            .option("threads", threads)
            .path("parents", parents)
    }

    /// The large sector size; a trial of the harness takes a small one.
    fn large(&self) -> u64 {
        if self.plan.shrink > 1 { 8 * MIB } else { 512 * MIB }
    }

    fn logs(&self) -> PathBuf {
        self.work.join("logs")
    }

    /// Makes the inputs, plays all contests.
    fn measure(&self, stop: &AtomicBool) -> Result<Told> {
        let end = Instant::now() + if self.plan.full { FULL_MAX } else { RUN_MAX };
        let course =
            Course { logs: &self.logs(), end, stop, note: &|text: &str| println!("  {text}") };
        let mut told = Told::default();
        let mut contests = Vec::new();
        let makers: [(&str, Maker); 4] = [
            ("labels", sdr::contests),
            ("hashes", hashes::contests),
            ("trees", trees::contests),
            ("proofs", post::contests),
        ];
        for (name, maker) in makers {
            // What cannot be prepared costs its own rows only.
            match maker(self, &course, &mut told.not_run) {
                Ok(more) => contests.extend(more),
                Err(error) => told.failed.push((format!("rows about {name}"), error)),
            }
        }
        contest::run(&mut contests, &course);
        let contest::Verdict { rows, failed } = contest::rows(contests, &self.setting)?;
        growth::notes(&rows).iter().for_each(|line| println!("  {line}"));
        told.rows = rows;
        told.failed.extend(failed);
        Ok(told)
    }
}

type Maker = fn(&Bench, &Course<'_>, &mut Vec<(String, String)>) -> Result<Vec<Contest>>;

/// Tells the measuring thread to begin nothing more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub async fn measure(case: &mut Case) -> Result<()> {
    let work = case.new_dir("k")?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let sectors = match case.plan.shrink {
        1 => tools::cache_dir()?.join("hesper/bench-sectors"),
        _ => work.join("sectors"),
    };
    let bench = Bench {
        own: case::sibling("hesper-bench-kernels")?,
        peers: Peers::find(case.target_dir.as_deref(), threads, &work.join("parents"))?,
        work,
        sectors,
        wanted: ROWS.iter().filter(|row| case.wants(row)).map(|row| (*row).to_owned()).collect(),
        plan: case.plan,
        threads,
        setting: case.setting().clone(),
    };
    // A thread of its own, so that a signal ends the run while a process is measured.
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let (sender, receiver) = oneshot::channel();
    let stopped = Arc::clone(&stop.0);
    std::thread::Builder::new()
        .name("kernels".to_owned())
        .spawn(move || {
            // Nobody listens any more after a signal.
            let _unheard = sender.send(bench.measure(&stopped));
        })
        .context("could not start the measuring thread")?;
    let told = receiver.await.context("the measuring thread has panicked")??;
    told.rows.into_iter().for_each(|row| case.push(row));
    told.not_run.iter().for_each(|(row, why)| case.not_run(row, why));
    if told.failed.is_empty() {
        return Ok(());
    }
    let all: Vec<String> =
        told.failed.iter().map(|(name, error)| format!("{name}: {error:#}")).collect();
    bail!("{}", all.join("\n  "))
}
