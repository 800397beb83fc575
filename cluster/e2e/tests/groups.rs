//! Sectors that wait for PC1 label together, as many as the executor's free memory allows.

use std::time::Duration;

use camino::Utf8PathBuf;
use hesper_e2e::{Cluster, PATIENCE, wait_until};

const STAGE_PATIENCE: Duration = Duration::from_secs(300);
const PC1: u32 = 2;

/// Seals up to PC1 and returns the job.
fn seal(cluster: &Cluster, file: &Utf8PathBuf, kernels: &str) -> anyhow::Result<u64> {
    let text = cluster.run(&[
        "--output",
        "json",
        "sector",
        "seal",
        "--miner",
        "t01000",
        "--proof",
        "8MiB",
        "--file",
        file.as_str(),
        "--stop-after",
        "pc1",
        "--kernels",
        kernels,
    ])?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    Ok(shown["job"].as_u64().unwrap_or(0))
}

fn explain(cluster: &Cluster, job: u64) -> anyhow::Result<String> {
    cluster.run(&["job", "explain", &format!("{job}.{PC1}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_width_is_what_free_memory_grants_and_is_explained() -> anyhow::Result<()> {
    // Long enough that nothing is granted because a wait is over.
    let flags = ["--pc1-group-wait", "1h", "--pc1-group-max", "8"];
    let mut cluster = Cluster::start_with(1, &flags).await?;
    cluster.add_executor("e1", &["--cores", "2", "--memory", "700MiB"]).await?;
    let file = cluster.dir.join("piece");
    std::fs::write(&file, vec![7_u8; 1 << 20])?;
    // The library's kernels label alone and wait for nobody.
    let alone = seal(&cluster, &file, "library")?;
    cluster.wait_task(alone, "pc1", &["succeeded"], STAGE_PATIENCE).await?;

    let jobs =
        (0..6).map(|_| seal(&cluster, &file, "own")).collect::<anyhow::Result<Vec<u64>>>()?;
    for &job in &jobs {
        cluster.wait_task(job, "tree_d", &["succeeded"], STAGE_PATIENCE).await?;
    }
    for &job in &jobs {
        let text = explain(&cluster, job)?;
        assert!(text.contains("for others to label in lockstep"), "{text}");
    }

    // Another job takes memory: 150 MiB are left. 78 MiB are needed once and 16 MiB for each of 1, 2, 4
    // or 8 lanes.
    let release = cluster.dir.join("release");
    let line = format!("while [ ! -e {release} ]; do sleep 0.05; done");
    let hog = ["job", "submit", "--cpus", "1", "--memory", "550MiB", "--", "sh", "-c", &line];
    cluster.run(&hog)?;
    let text = wait_until("a group was granted", PATIENCE, async || {
        let text = explain(&cluster, jobs[0])?;
        Ok(text.contains("width").then_some(text))
    })
    .await?;
    assert!(text.contains("with 3 others (width 4)"), "{text}");
    assert!(text.contains("executor e1 had 150.0 MiB free, 6 would need 206.0 MiB"), "{text}");
    let mut tokens = Vec::new();
    for &job in &jobs[..4] {
        let task = cluster.wait_task(job, "pc1", &["succeeded"], STAGE_PATIENCE).await?;
        assert_eq!(task.attempt, 1, "{task:?}");
        tokens.push(task.token);
    }
    assert!(tokens.windows(2).all(|pair| pair[1] == pair[0] + 1), "one lease: {tokens:?}");
    std::fs::write(&release, "")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sector_of_a_group_is_cancelled_and_the_others_are_labelled() -> anyhow::Result<()> {
    let flags = ["--pc1-group-wait", "1h", "--pc1-group-max", "3"];
    let mut cluster = Cluster::start_with(1, &flags).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let file = cluster.dir.join("piece");
    std::fs::write(&file, vec![7_u8; 1 << 20])?;
    let jobs =
        (0..3).map(|_| seal(&cluster, &file, "own")).collect::<anyhow::Result<Vec<u64>>>()?;
    // The third makes the width full.
    for &job in &jobs {
        cluster.wait_task(job, "pc1", &["running", "succeeded"], STAGE_PATIENCE).await?;
    }
    cluster.run(&["job", "cancel", &jobs[1].to_string()])?;
    for &job in [&jobs[0], &jobs[2]] {
        let task = cluster.wait_task(job, "pc1", &["succeeded"], STAGE_PATIENCE).await?;
        assert_eq!(task.attempt, 1, "{task:?}");
    }
    // It may have ended before it was told.
    let ended =
        cluster.wait_task(jobs[1], "pc1", &["cancelled", "succeeded"], STAGE_PATIENCE).await?;
    assert_eq!(ended.attempt, 1, "{ended:?}");
    Ok(())
}
