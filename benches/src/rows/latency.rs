//! **Purpose**: the time from a submit on a follower to the child's first action, alone and beside a
//! long queue; and the memory of all processes over that run.
//!
//! Memory is the peak of the largest node over all of it: the latency runs, 10,000 queued tasks,
//! 100,000 finished ones, a snapshot, a restart of each node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::case::{self, Case};
use crate::jobs::{self, Jobs};
use crate::pool::{Pool, Runner};
use crate::random::Random;
use crate::stats::{self, Better};

const JOBS: usize = 1000;
const QUEUED: usize = 10_000;
const FINISHED: usize = 100_000;
const GAP_MAX: Duration = Duration::from_millis(50);
/// The log of this run is too short for a snapshot at the size that ships. Only the part of the run
/// that looks at memory has this setting.
const SNAPSHOT_SOON: [&str; 2] = ["--snapshot-every", "1MiB"];
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(30);
const SEED: u64 = 0x4e55;

pub async fn measure(case: &mut Case) -> Result<()> {
    let stamp = case::sibling("hesper-bench-stamp")?;
    let dir = case.new_dir("latency")?;
    let mut pool = Pool::start(&case.hesper, &dir, 3).await?;
    let executor = pool.executor("worker", 2, Runner::Process).await?;
    let mut client = Jobs::open(pool.channel(pool.follower().await?)?).await?;
    let stamps = case.new_dir("stamps")?;

    let alone = one_at_a_time(case, &mut client, &stamp, &stamps).await?;
    let p50 = stats::percentile(&alone, 50).context("no samples")?;
    let p99 = stats::percentile(&alone, 99).context("no samples")?;
    case.note(&format!(
        "submit to start at a follower: p50 {p50:.2} ms, p99 {p99:.1} ms over {} jobs",
        alone.len()
    ));
    case.value("submit_to_start_p50_ms", "ms", Better::Lower, p50, &alone)?;
    case.value("submit_to_start_p99_ms", "ms", Better::Lower, p99, &alone)?;
    case.median("executor_rss_mib", "MiB", Better::Lower, &[executor.peak_mib()?], None)?;
    if !case.wants("submit_to_start_busy_p50_ms") && !case.wants("node_rss_mib") {
        executor.stop();
        return Ok(());
    }

    let queue =
        jobs::stays_pending(jobs::array("queued", "/bin/true", &[], case.plan.count(QUEUED))?);
    let queued = client.submit(queue).await?;
    let busy = one_at_a_time(case, &mut client, &stamp, &stamps).await?;
    let p50 = stats::percentile(&busy, 50).context("no samples")?;
    case.note(&format!("the same with {} tasks queued: p50 {p50:.2} ms", case.plan.count(QUEUED)));
    case.value("submit_to_start_busy_p50_ms", "ms", Better::Lower, p50, &busy)?;
    executor.stop();

    if case.wants("node_rss_mib") {
        let peaks = memory(case, &mut pool, queued).await?;
        let largest = stats::max(&peaks).context("no nodes")?;
        case.value("node_rss_mib", "MiB", Better::Lower, largest, &peaks)?;
    }
    Ok(())
}

/// Milliseconds from before the call to the child's time stamp, for each job in turn.
async fn one_at_a_time(
    case: &Case,
    client: &mut Jobs,
    stamp: &Path,
    dir: &Path,
) -> Result<Vec<f64>> {
    let program = stamp.to_str().context("the path of the stamp program is not UTF-8")?;
    let mut random = Random::new(SEED);
    let mut samples = Vec::new();
    for at in 0..case.plan.count(JOBS) {
        tokio::time::sleep(random.gap(GAP_MAX)).await;
        let file: PathBuf = dir.join(at.to_string());
        let spec =
            jobs::single("stamp", program, &[file.to_str().context("the directory is not UTF-8")?]);
        let sent =
            SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        let job = client.submit(spec).await?;
        client.succeeded(job, 1).await?;
        let text = fs::read_to_string(&file)
            .with_context(|| format!("job {job} left no `{}`", file.display()))?;
        samples.push(elapsed_ms(sent.as_nanos(), &text)?);
        fs::remove_file(&file).with_context(|| format!("could not remove `{}`", file.display()))?;
    }
    Ok(samples)
}

fn elapsed_ms(sent_ns: u128, stamp: &str) -> Result<f64> {
    let started: u128 =
        stamp.trim().parse().with_context(|| format!("`{stamp}` is no time stamp"))?;
    let elapsed = started
        .checked_sub(sent_ns)
        .context("the child started before its submit: the clock was set")?;
    Ok(elapsed as f64 / 1e6)
}

/// The peak of each node over the whole run, in MiB.
async fn memory(case: &Case, pool: &mut Pool, queued: u64) -> Result<Vec<f64>> {
    let first = pool.peaks_mib()?;
    for at in 0..pool.size() {
        pool.restart(at, &SNAPSHOT_SOON).await?;
    }
    let noop = pool.executor("noop", 4096, Runner::NoOp).await?;
    let mut client = Jobs::open(pool.channel(pool.leader().await?)?).await?;
    let tasks = case.plan.count(FINISHED);
    let job = client.submit(jobs::array("noop", "/bin/true", &[], tasks)?).await?;
    client.succeeded(job, tasks).await?;
    let still = client.show(queued).await?.tasks.unwrap_or_default();
    ensure!(
        still.pending == still.total,
        "{} queued tasks did not stay so",
        still.total - still.pending
    );
    wait_for_snapshots(pool).await?;
    let filled = pool.peaks_mib()?;
    for at in 0..pool.size() {
        pool.restart(at, &SNAPSHOT_SOON).await?;
    }
    let again = pool.peaks_mib()?;
    case.note(&format!(
        "peak memory of the nodes: latency runs {first:.0?} MiB, {tasks} tasks and a snapshot \
         {filled:.0?} MiB, restart with all of it {again:.0?} MiB"
    ));
    noop.stop();
    let all = first.iter().zip(&filled).zip(&again);
    Ok(all.map(|((first, filled), again)| first.max(*filled).max(*again)).collect())
}

async fn wait_for_snapshots(pool: &Pool) -> Result<()> {
    let limit = Instant::now() + SNAPSHOT_LIMIT;
    for at in 0..pool.size() {
        while pool.status(at).await?.snapshot_index == 0 {
            ensure!(
                Instant::now() < limit,
                "node {at} made no snapshot; the row has to include one"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_is_from_the_call_to_the_stamp() {
        assert_eq!(elapsed_ms(1_000_000, "3500000\n").expect("ms"), 2.5);
        assert!(elapsed_ms(10, "9").is_err());
        assert!(elapsed_ms(10, "soon").is_err());
    }
}
