//! Programs as jobs, through the command line, on one real node and one real executor.

use std::time::Duration;

use hesper_e2e::{Cluster, PATIENCE, wait_until};

async fn small() -> anyhow::Result<Cluster> {
    let mut cluster = Cluster::start(1).await?;
    cluster.add_executor("e1", &["--cores", "2", "--memory", "2GiB"]).await?;
    Ok(cluster)
}

fn json(text: &str) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::from_str(text)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_and_its_output_is_kept() -> anyhow::Result<()> {
    let cluster = small().await?;
    let shown =
        cluster.run(&["job", "submit", "--wait", "--", "sh", "-c", "echo out; echo err >&2"])?;
    assert!(shown.contains("succeeded"), "{shown}");
    assert_eq!(cluster.run(&["job", "logs", "1"])?, "out\n");
    let (code, out, err) = cluster.try_run(&["job", "logs", "1", "--stderr"])?;
    assert_eq!((code, format!("{out}{err}").trim()), (0, "err"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_status_and_signal_are_reported() -> anyhow::Result<()> {
    let cluster = small().await?;
    let submit = ["job", "submit", "--max-attempts", "1", "--wait", "--", "sh", "-c"];
    let (code, ..) = cluster.try_run(&[&submit[..], &["exit 7"]].concat())?;
    assert_eq!(code, 1);
    assert_eq!(cluster.tasks(1).await?[0].exit_code, 7);
    let (code, ..) = cluster.try_run(&[&submit[..], &["kill -9 $$"]].concat())?;
    assert_eq!(code, 1);
    assert_eq!(cluster.tasks(2).await?[0].signal, 9);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_runs_every_index_once() -> anyhow::Result<()> {
    let cluster = small().await?;
    let shared = cluster.dir.join("ran");
    let line = format!("echo $HESPER_TASK_INDEX >> {shared}");
    cluster.run(&["job", "submit", "--array", "1-200%20", "--wait", "--", "sh", "-c", &line])?;
    let text = std::fs::read_to_string(&shared)?;
    let mut ran: Vec<u32> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
    ran.sort_unstable();
    assert_eq!(ran, (1..=200).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_follow_each_other_and_a_failed_one_stops_the_next() -> anyhow::Result<()> {
    let cluster = small().await?;
    cluster.run(&["job", "submit", "--", "sleep", "0.2"])?;
    cluster.run(&["job", "submit", "--after", "1", "--wait", "--", "true"])?;
    let (first, second) = (&cluster.tasks(1).await?[0], &cluster.tasks(2).await?[0]);
    assert!(second.started_at_ms >= first.ended_at_ms, "{first:?} {second:?}");
    cluster.try_run(&["job", "submit", "--max-attempts", "1", "--wait", "--", "false"])?;
    let (code, ..) = cluster.try_run(&["job", "submit", "--after", "3", "--wait", "--", "true"])?;
    assert_ne!(code, 0);
    assert_eq!(cluster.tasks(4).await?[0].attempt, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_and_a_time_limit_holds() -> anyhow::Result<()> {
    let cluster = small().await?;
    cluster.run(&["job", "submit", "--", "sleep", "1000"])?;
    cluster.wait_task(1, "command", &["running"], PATIENCE).await?;
    cluster.run(&["job", "cancel", "1"])?;
    cluster.wait_task(1, "command", &["cancelled"], PATIENCE).await?;
    let limited = [
        "job",
        "submit",
        "--time-limit",
        "1s",
        "--max-attempts",
        "1",
        "--wait",
        "--",
        "sleep",
        "1000",
    ];
    let (code, ..) = cluster.try_run(&limited)?;
    assert_eq!(code, 1);
    assert!(cluster.tasks(2).await?[0].message.contains("time limit"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nothing_can_run_says_why() -> anyhow::Result<()> {
    let cluster = small().await?;
    cluster.run(&["job", "submit", "--gpus", "3", "--", "true"])?;
    let text = cluster.run(&["job", "explain", "1"])?;
    assert!(text.contains("gpu") && text.contains("e1"), "{text}");
    cluster.run(&["job", "submit", "--resource", "licence=1", "--", "true"])?;
    let text = cluster.run(&["job", "explain", "2"])?;
    assert!(text.contains("licence"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_in_plain_words() -> anyhow::Result<()> {
    let cluster = small().await?;
    let cases: [(&[&str], i32, &str); 6] = [
        (&["job", "show", "99"], 4, "no job 99"),
        (&["job", "show", "banana"], 2, "banana"),
        (&["job", "submit", "--after", "99", "--", "true"], 5, "99"),
        (&["sector", "show", "--miner", "t01000", "--sector", "5"], 4, "sector"),
        (&["executor", "show", "nobody"], 4, "nobody"),
        (&["executor", "cordon", "nobody"], 4, "nobody"),
    ];
    for (arguments, want, word) in cases {
        let (code, out, err) = cluster.try_run(arguments)?;
        assert!(code != 0, "{arguments:?} was taken: {out}");
        assert!(err.contains(word), "{arguments:?} ({code}, wanted {want}): {err}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_child_survives_the_restart_of_its_agent() -> anyhow::Result<()> {
    let mut cluster = small().await?;
    let release = cluster.dir.join("release");
    let line = format!("while [ ! -e {release} ]; do sleep 0.05; done; exit 5");
    cluster.run(&["job", "submit", "--max-attempts", "1", "--", "sh", "-c", &line])?;
    let before = cluster.wait_task(1, "command", &["running"], PATIENCE).await?;
    cluster.kill_agent(0);
    // The child ends while nobody watches but the supervisor.
    std::fs::write(&release, "")?;
    cluster.start_executor(0)?;
    let after = cluster.wait_task(1, "command", &["failed"], PATIENCE).await?;
    assert_eq!((after.token, after.attempt, after.exit_code), (before.token, 1, 5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_executor_gets_nothing_new() -> anyhow::Result<()> {
    let cluster = small().await?;
    cluster.run(&["executor", "cordon", "e1", "--reason", "new disc"])?;
    cluster.run(&["job", "submit", "--", "true"])?;
    let text = cluster.run(&["job", "explain", "1"])?;
    assert!(text.contains("cordoned"), "{text}");
    cluster.run(&["executor", "uncordon", "e1"])?;
    cluster.wait_task(1, "command", &["succeeded"], PATIENCE).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_value_on_every_command_that_prints() -> anyhow::Result<()> {
    let cluster = small().await?;
    cluster.run(&["job", "submit", "--wait", "--", "true"])?;
    let commands: [&[&str]; 7] = [
        &["job", "list"],
        &["job", "show", "1"],
        &["job", "tasks", "1"],
        &["executor", "list"],
        &["executor", "show", "e1"],
        &["node", "status"],
        &["sector", "list"],
    ];
    for command in commands {
        let text = cluster.run(&[&["--output", "json"], command].concat())?;
        assert!(json(&text).is_ok(), "{command:?}: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_works_once_and_a_foreign_certificate_never() -> anyhow::Result<()> {
    let cluster = small().await?;
    let token = cluster.token("executor", "")?;
    let join = |name: &str| {
        let dir = cluster.dir.join(name);
        cluster.try_run(&["executor", "join", "--data-dir", dir.as_str(), "--name", name, &token])
    };
    assert_eq!(join("e2")?.0, 0);
    let (code, _, err) = join("e3")?;
    assert!(code != 0 && err.contains("already used"), "{err}");
    let other = Cluster::start(1).await?;
    let identity = other.nodes[0].dir.join("client");
    let (code, _, err) = cluster.try_run(&[
        "node",
        "status",
        "--nodes",
        &cluster.nodes[0].address,
        "--identity",
        identity.as_str(),
        "--timeout",
        "3s",
    ])?;
    assert!(code != 0, "a foreign certificate was taken");
    assert!(err.contains("certificate") || err.contains("reach"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_executor_of_the_same_name_is_refused() -> anyhow::Result<()> {
    let mut cluster = small().await?;
    let token = cluster.token("executor", "")?;
    let dir = cluster.dir.join("twin");
    cluster.run(&["executor", "join", "--data-dir", dir.as_str(), "--name", "e1", &token])?;
    let address = format!("127.0.0.1:{}", hesper_e2e::free_port()?);
    let (code, _, err) = cluster.try_run(&[
        "executor",
        "run",
        "--data-dir",
        dir.as_str(),
        "--listen",
        &address,
        "--http",
        "off",
    ])?;
    hesper_executor::supervisor::stop(&dir)?;
    assert!(code != 0 && err.contains("e1"), "{code}: {err}");
    // The first one is not disturbed.
    cluster.run(&["job", "submit", "--wait", "--", "true"])?;
    cluster.kill_executor(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_with_the_limit() -> anyhow::Result<()> {
    let cluster = Cluster::start_with(1, &["--queue-limit", "3"]).await?;
    // The leader configures itself just after it is established.
    wait_until("the limit holds", Duration::from_secs(20), async || {
        let (code, _, err) = cluster.try_run(&["job", "submit", "--", "true"])?;
        Ok((code != 0).then(|| assert!(err.contains('3'), "{err}")))
    })
    .await
}
