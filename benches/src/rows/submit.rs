//! **Purpose**: the time until an array of 10,000 tasks is durably acknowledged by three nodes.

use std::time::Instant;

use anyhow::Result;

use crate::case::Case;
use crate::jobs::{self, Jobs};
use crate::pool::Pool;
use crate::stats::Better;

const TASKS: usize = 10_000;
const SUBMITS: usize = 24;

pub async fn measure(case: &mut Case) -> Result<()> {
    let pool = Pool::start(&case.hesper, &case.new_dir("submit")?, 3).await?;
    let mut client = Jobs::open(pool.channel(pool.leader().await?)?).await?;
    let mut samples = Vec::new();
    for _ in 0..case.plan.count(SUBMITS) {
        let spec = jobs::stays_pending(jobs::array("array", "/bin/true", &[], TASKS)?);
        let sent = Instant::now();
        let job = client.submit(spec).await?;
        samples.push(sent.elapsed().as_secs_f64() * 1000.0);
        let counts = client.show(job).await?.tasks.unwrap_or_default();
        anyhow::ensure!(
            counts.total as usize == TASKS,
            "job {job} has {} tasks, not {TASKS}",
            counts.total
        );
        // The queue is bounded: one array at a time, and the next starts from an empty one.
        client.cancel(job).await?;
        client.ended(job).await?;
    }
    case.median("submit_array_10k_ms", "ms", Better::Lower, &samples, None)
}
