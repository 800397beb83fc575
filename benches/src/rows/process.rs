//! **Purpose**: 10,000 x `/bin/true` on two slots against HyperQueue, outputs kept on both sides.
//!
//! Ours is durable (one node, and three nodes in a second row); HyperQueue keeps nothing. The end is
//! the last task's own: ours by its report, HyperQueue's by its output file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use crate::case::Case;
use crate::hyperqueue::{self, Outcome};
use crate::jobs::{self, Jobs};
use crate::pool::{Pool, Runner};
use crate::procs;
use crate::row::Peer;
use crate::stats::Better;

const TASKS: usize = 10_000;
const SLOTS: u32 = 2;
const PEER_LIMIT: Duration = Duration::from_secs(150);

pub async fn measure(case: &mut Case) -> Result<()> {
    let tasks = case.plan.count(TASKS);
    let shapes: Vec<(&str, usize)> = [("tasks_process_10k", 1), ("tasks_process_10k_3node", 3)]
        .into_iter()
        .filter(|(row, _)| case.wants(row))
        .collect();
    let mut ours: Vec<Vec<f64>> = vec![Vec::new(); shapes.len()];
    let mut theirs = Vec::new();
    let mut version = String::new();
    for sample in 0..case.plan.samples {
        for ((_, nodes), rates) in shapes.iter().zip(&mut ours) {
            rates.push(our_run(case, *nodes, sample, tasks).await?);
        }
        let outcome = their_run(case, sample, tasks).await?;
        theirs.push(tasks as f64 / outcome.seconds);
        version = outcome.version;
    }
    let peer = Peer { name: "HyperQueue".to_owned(), version, samples: theirs };
    for ((row, _), rates) in shapes.iter().zip(&ours) {
        case.median(row, "tasks/s", Better::Higher, rates, Some(&peer))?;
    }
    Ok(())
}

async fn their_run(case: &Case, sample: usize, tasks: usize) -> Result<Outcome> {
    let dir = case.new_dir(&format!("hq{sample}"))?;
    let outcome = hyperqueue::run(&dir, tasks, SLOTS as usize, PEER_LIMIT).await?;
    case.note(&format!(
        "HyperQueue {}: {:.0} tasks/s, {:.2} CPU ms per task, array accepted in {:.0} ms",
        outcome.version,
        tasks as f64 / outcome.seconds,
        outcome.cpu_ms / tasks as f64,
        outcome.submit_seconds * 1000.0,
    ));
    Ok(outcome)
}

/// HyperQueue alone.
pub async fn try_peer(case: &Case) -> Result<()> {
    their_run(case, 0, case.plan.count(TASKS)).await.map(|_| ())
}

async fn our_run(case: &Case, nodes: usize, sample: usize, tasks: usize) -> Result<f64> {
    let pool =
        Pool::start(&case.hesper, &case.new_dir(&format!("p{nodes}-{sample}"))?, nodes).await?;
    let executor = pool.executor("worker", SLOTS, Runner::Process).await?;
    let mut client = Jobs::open(pool.channel(pool.leader().await?)?).await?;
    let tree = [pool.tree(), executor.tree()].concat();
    let cpu_before = procs::cpu_ms(&tree);
    let started_ms = now_ms()?;
    let job = client.submit(jobs::array("true", "/bin/true", &[], tasks)?).await?;
    client.succeeded(job, tasks).await?;
    let cpu_ms = procs::cpu_ms(&tree) - cpu_before;
    let rows = client.tasks(job).await?;
    ensure!(rows.len() == tasks, "job {job} lists {} of its {tasks} tasks", rows.len());
    for row in &rows {
        ensure!(
            row.state == "succeeded" && row.exit_code == 0 && row.signal == 0,
            "task {} ended as {} with exit code {}",
            row.task,
            row.state,
            row.exit_code
        );
    }
    let last_ms = rows.iter().map(|row| row.ended_at_ms).max().context("no tasks")?;
    ensure!(
        last_ms > started_ms,
        "the last task ended at {last_ms} ms, before its submit at {started_ms} ms"
    );
    let rate = tasks as f64 * 1000.0 / (last_ms - started_ms) as f64;
    case.note(&format!(
        "hesper, {nodes} node(s) and 1 executor: {rate:.0} tasks/s, {:.2} CPU ms per task in nodes, executor and tasks, \
         every exit code 0",
        cpu_ms / tasks as f64,
    ));
    executor.stop();
    Ok(rate)
}

fn now_ms() -> Result<u64> {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    Ok(u64::try_from(now.as_millis())?)
}
