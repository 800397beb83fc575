//! Real sectors through real processes, to C1.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use hesper_e2e::{Cluster, PATIENCE, wait_until};
use hesper_protos::job::Task;

const STAGE_PATIENCE: Duration = Duration::from_secs(300);

fn piece(cluster: &Cluster, bytes: usize) -> anyhow::Result<Utf8PathBuf> {
    let path = cluster.dir.join("piece");
    let text: Vec<u8> = (0..bytes).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Starts sealing and returns job and sector.
fn seal(cluster: &Cluster, proof: &str, file: &Utf8PathBuf) -> anyhow::Result<(u64, u64)> {
    let text = cluster.run(&[
        "--output",
        "json",
        "sector",
        "seal",
        "--miner",
        "t01000",
        "--proof",
        proof,
        "--file",
        file.as_str(),
        "--stop-after",
        "c1",
    ])?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    let number = |name: &str| shown[name].as_u64().unwrap_or(0);
    Ok((number("job"), number("sector")))
}

fn stage<'a>(tasks: &'a [Task], name: &str) -> &'a Task {
    tasks.iter().find(|task| task.stage == name).expect("the job has this stage")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_seals_to_c1_and_unseals() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let file = piece(&cluster, 1_500)?;
    let (job, sector) = seal(&cluster, "2KiB", &file)?;
    cluster.wait_task(job, "c1", &["succeeded"], STAGE_PATIENCE).await?;
    let tasks = cluster.tasks(job).await?;
    assert!(tasks.iter().all(|task| task.attempt == 1), "{tasks:?}");
    let shown = cluster.client()?.sector(1000, sector).await?;
    for value in ["comm_d", "comm_r", "ticket", "seed"] {
        assert!(shown.values.contains_key(value), "{value} is missing: {shown:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_seal_while_the_leader_is_killed() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    cluster.add_executor("e2", &["--cores", "2"]).await?;
    let file = piece(&cluster, 2_000)?;
    let (job, _) = seal(&cluster, "2KiB", &file)?;
    cluster.wait_task(job, "pc1", &["succeeded"], STAGE_PATIENCE).await?;
    let before = cluster.tasks(job).await?;
    let old = cluster.wait_for_leader().await?;
    cluster.kill_node(old);
    cluster.wait_for_leader().await?;
    cluster.wait_task(job, "c1", &["succeeded"], STAGE_PATIENCE).await?;
    let after = cluster.tasks(job).await?;
    for task in before.iter().filter(|task| task.state == "succeeded") {
        let later = stage(&after, &task.stage);
        assert_eq!((later.attempt, later.token), (task.attempt, task.token), "{}", task.stage);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pc1_goes_on_after_the_last_good_layer() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let file = piece(&cluster, 4 << 20)?;
    let (job, sector) = seal(&cluster, "8MiB", &file)?;
    cluster.wait_task(job, "pc1", &["running"], STAGE_PATIENCE).await?;
    let directory = cluster.executors[0].dir.clone();
    let checkpoint = wait_until("layer 1 is on disc", STAGE_PATIENCE, async || {
        Ok(find(&directory, "layer-1.checkpoint.json"))
    })
    .await?;
    let attempt = checkpoint.parent().expect("it lies in a directory").to_owned();
    let layer = find(&attempt, "sc-02-data-layer-1.dat").expect("the layer is beside it");
    let made = std::fs::metadata(&layer)?.ino();
    cluster.kill_executor(0);
    cluster.start_executor(0)?;
    let pc1 = cluster.wait_task(job, "pc1", &["succeeded"], STAGE_PATIENCE).await?;
    assert_eq!((pc1.attempt, pc1.reused_layers), (2, 1), "{pc1:?}");
    let shown = cluster.client()?.sector(1000, sector).await?;
    assert!(shown.files.iter().any(|file| file.name == "sc-02-data-layer-1.dat"));
    // The layer in use is the file that the dead attempt had written.
    let used = find(&directory, "sc-02-data-layer-1.dat").expect("PC1 left its layers");
    assert_eq!(std::fs::metadata(&used)?.ino(), made);
    Ok(())
}

fn find(directory: &Utf8PathBuf, name: &str) -> Option<Utf8PathBuf> {
    let entries = directory.read_dir_utf8().ok()?;
    entries.flatten().find_map(|entry| {
        let path = entry.path().to_owned();
        if path.file_name() == Some(name) {
            return Some(path);
        }
        path.is_dir().then(|| find(&path, name)).flatten()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_does_not_fit_is_refused_with_the_limit() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let file = piece(&cluster, 2_033)?;
    let (code, _, err) = cluster.try_run(&[
        "sector",
        "seal",
        "--miner",
        "t01000",
        "--proof",
        "2KiB",
        "--file",
        file.as_str(),
    ])?;
    assert!(code != 0 && err.contains("2032"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_file_is_found_before_it_is_used() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    // A job holds all cores, so that the first stage waits while its input is altered.
    let release = cluster.dir.join("release");
    let line = format!("while [ ! -e {release} ]; do sleep 0.05; done");
    cluster.run(&["job", "submit", "--cpus", "2", "--", "sh", "-c", &line])?;
    cluster.wait_task(1, "command", &["running"], PATIENCE).await?;
    let file = piece(&cluster, 1_000)?;
    let (job, _) = seal(&cluster, "2KiB", &file)?;
    let hash = blake3::hash(&std::fs::read(&file)?).to_hex().to_string();
    let blob = find(&cluster.executors[0].dir, &hash).expect("the piece was put there");
    let mut bytes = std::fs::read(&blob)?;
    bytes[7] ^= 1;
    std::fs::write(&blob, bytes)?;
    std::fs::write(&release, "")?;
    let failed = cluster.wait_task(job, "add_piece", &["failed"], STAGE_PATIENCE).await?;
    assert!(failed.message.contains("altered"), "{failed:?}");
    // Other work goes on.
    cluster.run(&["job", "submit", "--wait", "--", "true"])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_move_to_another_executor_and_are_counted() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    cluster.add_executor("e2", &["--cores", "2"]).await?;
    let file = piece(&cluster, 1_200)?;
    let seal = |stop: &'static str, sector: Option<String>| {
        let mut arguments = vec![
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
            "--stop-after",
            stop,
            "--wait",
        ];
        let number = sector.unwrap_or_default();
        if !number.is_empty() {
            arguments.extend(["--sector", number.as_str()]);
        }
        let text = cluster.run(&arguments)?;
        anyhow::Ok(serde_json::from_str::<serde_json::Value>(&text)?)
    };
    let first = seal("pc1", None)?;
    let tasks = cluster.tasks(first["job"].as_u64().unwrap_or(0)).await?;
    let holder = stage(&tasks, "pc1").executor.clone();
    cluster.run(&["executor", "cordon", &holder, "--reason", "test"])?;
    let second = seal("pc2", Some(first["sector"].to_string()))?;
    let tasks = cluster.tasks(second["job"].as_u64().unwrap_or(0)).await?;
    let pc2 = stage(&tasks, "pc2");
    assert_ne!(pc2.executor, holder);
    // At least data, tree D and both layers.
    assert!(pc2.bytes_fetched >= 2048 * 4, "{pc2:?}");
    Ok(())
}
