//! The one C2 that the suite completes. It takes minutes and 3 GiB, so it runs alone.

use std::time::Duration;

use hesper_e2e::Cluster;

const STAGE_PATIENCE: Duration = Duration::from_secs(300);
const C2_PATIENCE: Duration = Duration::from_secs(30 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn c2_is_run_again_when_its_executor_dies_and_the_sector_verifies() -> anyhow::Result<()> {
    let generated = std::process::Command::new(hesper_e2e::binary()?)
        .args(["params", "generate", "--proof", "2KiB"])
        .status()?;
    assert!(generated.success(), "the parameters could not be made");
    let mut cluster = Cluster::start_with(3, &["--supersede-c2", "2s"]).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    cluster.add_executor("e2", &["--cores", "2"]).await?;
    let file = cluster.dir.join("piece");
    std::fs::write(&file, b"a piece that survives")?;
    let text = cluster.run(&[
        "--output",
        "json",
        "sector",
        "seal",
        "--miner",
        "t01000",
        "--proof",
        "2KiB",
        "--file",
        file.as_str(),
    ])?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    let job = shown["job"].as_u64().expect("a job");
    let sector = shown["sector"].as_u64().expect("a sector").to_string();

    let first = cluster.wait_task(job, "c2", &["running"], STAGE_PATIENCE).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let dying = cluster
        .executors
        .iter()
        .position(|executor| executor.name == first.executor)
        .expect("the executor is one of ours");
    cluster.kill_executor(dying);
    // The machine comes back: only it holds what C2 reads.
    cluster.start_executor(dying)?;
    let second = cluster.wait_task(job, "c2", &["succeeded"], C2_PATIENCE).await?;
    assert_eq!(second.attempt, 2);
    assert_ne!(second.token, first.token);
    cluster.wait_task(job, "finalize", &["succeeded"], STAGE_PATIENCE).await?;
    cluster.run(&["sector", "verify", "--miner", "t01000", "--sector", &sector])?;
    for task in cluster.tasks(job).await? {
        let attempts = if task.stage == "c2" { 2 } else { 1 };
        assert_eq!(task.attempt, attempts, "{}", task.stage);
    }
    let copy = cluster.dir.join("unsealed");
    cluster.run(&[
        "sector",
        "unseal",
        "--miner",
        "t01000",
        "--sector",
        &sector,
        "--to",
        copy.as_str(),
    ])?;
    assert_eq!(std::fs::read(&copy)?, std::fs::read(&file)?);
    Ok(())
}
