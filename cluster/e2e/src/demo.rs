//! **Purpose**: `make demo`: seals a real file on three nodes and two executors while the leader is
//! killed twice, and fails unless nothing was lost and nothing ran twice.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use hesper_e2e::{Cluster, wait_until};
use hesper_protos::job::Task;

/// A 2 KiB sector takes so many bytes of a user's data.
const PIECE_BYTES_MAX: usize = 2_032;
/// C2 takes minutes on a small machine.
const C2_PATIENCE: Duration = Duration::from_secs(30 * 60);
const STAGE_PATIENCE: Duration = Duration::from_secs(5 * 60);
const RANDOMNESS: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what happens, with the seconds since the start.
struct Story(Instant);

impl Story {
    fn tell(&self, text: &str) {
        println!("{:7.1} s  {text}", self.0.elapsed().as_secs_f64());
    }
}

async fn demo() -> anyhow::Result<()> {
    let story = Story(Instant::now());
    make_parameters(&story)?;

    let mut cluster = Cluster::start(3).await?;
    let file = piece_file(&story, &cluster.dir)?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    cluster.add_executor("e2", &["--cores", "2"]).await?;
    story.tell("3 nodes and 2 executors are up");

    let miner = "t01000";
    let sealed = cluster.run(&[
        "--output",
        "json",
        "sector",
        "seal",
        "--miner",
        miner,
        "--proof",
        "2KiB",
        "--file",
        file.as_str(),
    ])?;
    let sealed: serde_json::Value = serde_json::from_str(&sealed)?;
    let job = sealed["job"].as_u64().context("the answer names no job")?;
    let sector = sealed["sector"].as_u64().context("the answer names no sector")?;
    story.tell(&format!("sealing sector {sector} of {miner} as job {job}"));

    cluster.wait_task(job, "pc1", &["succeeded"], STAGE_PATIENCE).await?;
    let before = cluster.tasks(job).await?;
    kill_leader(&mut cluster, &story, "the PC1 report is durable").await?;

    cluster.wait_task(job, "c2", &["running"], STAGE_PATIENCE).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let running = cluster.wait_task(job, "c2", &["running", "succeeded"], STAGE_PATIENCE).await?;
    ensure!(running.state == "running", "C2 was already over 10 s after its start");
    let during = cluster.tasks(job).await?;
    kill_leader(&mut cluster, &story, "C2 has run for 10 s").await?;

    story.tell("waiting for C2");
    cluster.wait_task(job, "c2", &["succeeded"], C2_PATIENCE).await?;
    cluster.wait_task(job, "finalize", &["succeeded"], STAGE_PATIENCE).await?;
    let after = cluster.tasks(job).await?;
    ran_once(&before, &after)?;
    ran_once(&during, &after)?;
    let c2 = after.iter().find(|task| task.stage == "c2").context("no C2 in the job")?;
    ensure!(c2.attempt == 1, "C2 took {} attempts", c2.attempt);
    story.tell("no finished stage ran again; C2 ended in its first attempt");

    let number = sector.to_string();
    let verified = cluster
        .run(&["sector", "verify", "--miner", miner, "--sector", &number])
        .context("the PoRep proof")?;
    story.tell(&format!("PoRep: {}", verified.trim()));
    let mut proofs = Vec::new();
    for kind in ["winning", "window"] {
        proofs.push((kind, prove_and_verify(&cluster, kind, miner, &number).await?));
        story.tell(&format!("{kind} PoSt made and verified"));
    }

    let copy = cluster.dir.join("unsealed");
    cluster.run(&[
        "sector",
        "unseal",
        "--miner",
        miner,
        "--sector",
        &number,
        "--to",
        copy.as_str(),
    ])?;
    ensure!(std::fs::read(&copy)? == std::fs::read(&file)?, "the unsealed bytes differ");
    story.tell("unsealed: the bytes are those of the file");

    let mut rows = after;
    for (kind, job) in proofs {
        for mut task in cluster.tasks(job).await? {
            task.stage = format!("{kind}: {}", task.stage);
            rows.push(task);
        }
    }
    print_table(&rows);
    story.tell("done");
    Ok(())
}

/// The file to seal; what a 2 KiB sector cannot take is left off, and said so.
fn piece_file(story: &Story, scratch: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let path = std::env::var("DEMO_FILE").unwrap_or_else(|_| "README.md".to_owned());
    let bytes = std::fs::read(&path).with_context(|| format!("could not read `{path}`"))?;
    ensure!(!bytes.is_empty(), "`{path}` is empty; name a file with bytes in it");
    if bytes.len() <= PIECE_BYTES_MAX {
        return Ok(Utf8PathBuf::from(path));
    }
    let part = scratch.join("piece");
    std::fs::write(&part, &bytes[..PIECE_BYTES_MAX])?;
    story.tell(&format!(
        "`{path}` has {} bytes; a 2 KiB sector takes the first {PIECE_BYTES_MAX} of them",
        bytes.len()
    ));
    Ok(part)
}

/// Makes the development parameters that are not there yet.
fn make_parameters(story: &Story) -> anyhow::Result<()> {
    story.tell("checking the proof parameters (made once, up to 4 minutes)");
    let status = std::process::Command::new(hesper_e2e::binary()?)
        .args(["params", "generate", "--proof", "2KiB"])
        .status()?;
    ensure!(status.success(), "the parameters could not be made");
    Ok(())
}

/// Kills the leader with SIGKILL, waits for another one, and starts the dead node again.
async fn kill_leader(cluster: &mut Cluster, story: &Story, when: &str) -> anyhow::Result<()> {
    let old = cluster.wait_for_leader().await?;
    cluster.kill_node(old);
    let killed = Instant::now();
    let new = cluster.wait_for_leader().await?;
    ensure!(new != old, "the leader did not change");
    story.tell(&format!(
        "{when}: leader {} killed, {} leads after {:.1} s",
        cluster.nodes[old].name,
        cluster.nodes[new].name,
        killed.elapsed().as_secs_f64()
    ));
    cluster.start_node(old)?;
    // The next kill must leave a majority.
    let client = cluster.client_of(vec![cluster.nodes[old].address.clone()])?;
    wait_until("the killed node is back", hesper_e2e::PATIENCE, async || {
        let status = client.status(true).await;
        Ok(status.is_ok_and(|status| status.leader_id != 0).then_some(()))
    })
    .await
}

/// What had succeeded before still stands on the same attempt and token.
fn ran_once(before: &[Task], after: &[Task]) -> anyhow::Result<()> {
    let now: BTreeMap<&str, &Task> = after.iter().map(|task| (task.stage.as_str(), task)).collect();
    for task in before.iter().filter(|task| task.state == "succeeded") {
        let later = now.get(task.stage.as_str()).context("a finished stage is gone")?;
        if (later.attempt, later.token, later.ended_at_ms)
            != (task.attempt, task.token, task.ended_at_ms)
        {
            bail!("{} had finished and ran again", task.stage);
        }
    }
    Ok(())
}

async fn prove_and_verify(
    cluster: &Cluster,
    kind: &str,
    miner: &str,
    sector: &str,
) -> anyhow::Result<u64> {
    let made = cluster.run(&[
        "--output",
        "json",
        "proof",
        kind,
        "--miner",
        miner,
        "--sectors",
        sector,
        "--randomness",
        RANDOMNESS,
        "--wait",
    ])?;
    let made: serde_json::Value = serde_json::from_str(&made)?;
    let proof = made["proof"].as_str().context("the answer holds no proof")?;
    cluster
        .run(&[
            "proof",
            "verify",
            "--kind",
            kind,
            "--miner",
            miner,
            "--sectors",
            sector,
            "--randomness",
            RANDOMNESS,
            "--proof",
            proof,
        ])
        .with_context(|| format!("the {kind} PoSt"))?;
    made["job"].as_u64().context("the answer names no job")
}

fn print_table(tasks: &[Task]) {
    println!(
        "\n{:<32} {:<9} {:>7} {:>10} {:>12}",
        "stage", "executor", "attempt", "time", "bytes moved"
    );
    for task in tasks {
        let millis = task.ended_at_ms.saturating_sub(task.started_at_ms);
        println!(
            "{:<32} {:<9} {:>7} {:>8.2} s {:>12}",
            task.stage,
            task.executor,
            task.attempt,
            Duration::from_millis(millis).as_secs_f64(),
            task.bytes_fetched
        );
    }
    println!();
}
