//! **Purpose**: tasks per second through everything but the process: submit, lease and finish are
//! replicated rows, the executor's session is real, its runner ends tasks at once.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::case::Case;
use crate::jobs::{self, Jobs};
use crate::pool::{Executor, Pool, Runner};
use crate::stats::{self, Better};

const TASKS: usize = 100_000;
const MILLION: usize = 1_000_000;
const CORES: u32 = 4096;

pub async fn one_node(case: &mut Case) -> Result<()> {
    let (pool, executor) = start(case, "one", 1).await?;
    let mut client = Jobs::open(pool.channel(0)?).await?;
    let before = repeat(case, &mut client).await?;
    case.note(&format!("one node: {before:.0?} tasks/s"));
    case.median("tasks_noexec_1node", "tasks/s", Better::Higher, &before, None)?;
    if case.wants("tasks_noexec_after_1m") {
        let (tasks, goal) = (case.plan.count(TASKS), case.plan.count(MILLION));
        let mut finished = before.len() * tasks;
        let started = Instant::now();
        while finished < goal {
            array(&mut client, tasks).await?;
            finished += tasks;
        }
        case.note(&format!(
            "{finished} tasks finished, the last of them in {:.0?}",
            started.elapsed()
        ));
        let after = repeat(case, &mut client).await?;
        case.note(&format!("after them: {after:.0?} tasks/s"));
        let ratio =
            stats::median(&after).zip(stats::median(&before)).map(|(after, before)| after / before);
        case.ratio("tasks_noexec_after_1m", "tasks/s", &after, ratio.context("no samples")?)?;
    }
    executor.stop();
    Ok(())
}

pub async fn three_nodes(case: &mut Case) -> Result<()> {
    let (pool, executor) = start(case, "three", 3).await?;
    let mut client = Jobs::open(pool.channel(pool.leader().await?)?).await?;
    let samples = repeat(case, &mut client).await?;
    case.note(&format!("three nodes: {samples:.0?} tasks/s"));
    case.median("tasks_noexec_3node", "tasks/s", Better::Higher, &samples, None)?;
    executor.stop();
    Ok(())
}

async fn start(case: &Case, name: &str, nodes: usize) -> Result<(Pool, Executor)> {
    let pool = Pool::start(&case.hesper, &case.new_dir(name)?, nodes).await?;
    let executor = pool.executor("noop", CORES, Runner::NoOp).await?;
    Ok((pool, executor))
}

async fn repeat(case: &Case, client: &mut Jobs) -> Result<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..case.plan.samples {
        samples.push(array(client, case.plan.count(TASKS)).await?);
    }
    Ok(samples)
}

/// Tasks per second of one array, from the submit call to the news of its end.
async fn array(client: &mut Jobs, tasks: usize) -> Result<f64> {
    let started = Instant::now();
    let job = client.submit(jobs::array("noop", "/bin/true", &[], tasks)?).await?;
    client.succeeded(job, tasks).await?;
    Ok(tasks as f64 / started.elapsed().as_secs_f64())
}
