//! Nodes that die, stop, come back and join, with work going on.

use std::collections::BTreeSet;
use std::time::Duration;

use hesper_e2e::{Cluster, PATIENCE, wait_until};
use hesper_protos::job::JobSpec;

fn program(line: &str) -> JobSpec {
    JobSpec { program: "sh".into(), args: vec!["-c".into(), line.into()], ..JobSpec::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_job_is_lost_when_the_leader_is_killed() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let shared = cluster.dir.join("ran");
    let client = cluster.client()?;
    let submitting = {
        let (client, line) = (client.clone(), format!("echo $HESPER_JOB_ID >> {shared}"));
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for _ in 0..150 {
                acknowledged.push(client.submit(program(&line)).await?.job);
            }
            anyhow::Ok(acknowledged)
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let old = cluster.wait_for_leader().await?;
    cluster.kill_node(old);
    let new = cluster.wait_for_leader().await?;
    assert_ne!(new, old);
    let acknowledged = submitting.await??;
    let distinct: BTreeSet<u64> = acknowledged.iter().copied().collect();
    assert_eq!(distinct.len(), acknowledged.len(), "an id was given twice");
    for job in &acknowledged {
        let ended = client.wait(*job, |_| {}).await?;
        assert_eq!(ended.state, "succeeded", "{ended:?}");
    }
    // Each ran exactly once: the executor never died.
    let text = std::fs::read_to_string(&shared)?;
    let mut ran: Vec<u64> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
    ran.sort_unstable();
    assert_eq!(ran, acknowledged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_declares_nobody_lost_and_running_work_goes_on() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let release = cluster.dir.join("release");
    let client = cluster.client()?;
    let line = format!("while [ ! -e {release} ]; do sleep 0.05; done");
    let job = client.submit(program(&line)).await?.job;
    let before = cluster.wait_task(job, "command", &["running"], PATIENCE).await?;
    let old = cluster.wait_for_leader().await?;
    cluster.kill_node(old);
    cluster.wait_for_leader().await?;
    for executor in client.executors("").await? {
        assert_ne!(executor.liveness, "lost", "{executor:?}");
    }
    std::fs::write(&release, "")?;
    let after = cluster.wait_task(job, "command", &["succeeded"], PATIENCE).await?;
    assert_eq!((after.attempt, after.token), (1, before.token));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_all_nodes_were_restarted() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    cluster.add_executor("e1", &["--cores", "2"]).await?;
    let client = cluster.client()?;
    let done = client.submit(program("exit 0")).await?.job;
    client.wait(done, |_| {}).await?;
    let release = cluster.dir.join("release");
    let open = client
        .submit(program(&format!("while [ ! -e {release} ]; do sleep 0.05; done")))
        .await?
        .job;
    let before = cluster.wait_task(open, "command", &["running"], PATIENCE).await?;
    let shown = client.job(done).await?;
    for at in 0..3 {
        cluster.stop_node(at)?;
    }
    for at in 0..3 {
        cluster.start_node(at)?;
    }
    cluster.wait_for_leader().await?;
    // Times too are those of the log, not of the restart.
    assert_eq!(client.job(done).await?, shown);
    std::fs::write(&release, "")?;
    let after = cluster.wait_task(open, "command", &["succeeded"], PATIENCE).await?;
    assert_eq!(
        (after.attempt, after.token, after.started_at_ms),
        (1, before.token, before.started_at_ms)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_catches_up_by_snapshot_under_load() -> anyhow::Result<()> {
    // Small limits, so that the log that a new node needs is gone.
    let limits = ["--snapshot-every", "1MiB", "--log-retention", "1MiB"];
    let mut cluster = Cluster::start_with(1, &limits).await?;
    let client = cluster.client()?;
    let filler = "x".repeat(8 << 10);
    let fill = |count: u32| {
        let (client, filler) = (client.with_own_session(), filler.clone());
        tokio::spawn(async move {
            for _ in 0..count {
                let mut spec = program(&format!(": {filler}"));
                spec.resources = Some(hesper_protos::job::Resources {
                    named: [("nobody".to_owned(), 1)].into(),
                    ..Default::default()
                });
                client.submit(spec).await?;
            }
            anyhow::Ok(())
        })
    };
    fill(600).await??;
    wait_until("a snapshot is made", PATIENCE, async || {
        Ok((cluster.status().await?.snapshot_index > 0).then_some(()))
    })
    .await?;
    let load = fill(300);
    let at = cluster.add_node().await?;
    load.await??;
    let newcomer = cluster.client_of(vec![cluster.nodes[at].address.clone()])?;
    let first = cluster.client_of(vec![cluster.nodes[0].address.clone()])?;
    wait_until("both nodes have the same state", PATIENCE, async || {
        let (a, b) = (first.status(true).await?, newcomer.status(true).await?);
        Ok((a.applied_index == b.applied_index && a.state_hash == b.state_hash).then_some(()))
    })
    .await?;
    assert_eq!(newcomer.status(true).await?.jobs_pending, 900);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_left_is_no_member_and_the_rest_go_on() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let leader = cluster.wait_for_leader().await?;
    let leaving = (leader + 1) % 3;
    let id = (leaving + 1).to_string();
    cluster.run(&["node", "leave", "--node", &id])?;
    cluster.kill_node(leaving);
    let status = cluster.status().await?;
    assert_eq!(status.nodes.iter().filter(|node| node.voter).count(), 2, "{status:?}");
    cluster.run(&["job", "submit", "--", "true"])?;
    Ok(())
}
