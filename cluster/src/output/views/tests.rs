use hesper_protos::{cluster, job};

use super::*;
use crate::output::Show;

fn task(task: u32, stage: &str, state: &str) -> Task {
    job::Task { job: 7, task, stage: stage.into(), state: state.into(), ..job::Task::default() }
        .into()
}

#[test]
fn jobs_as_a_table() {
    let counts =
        job::TaskCounts { total: 10, pending: 2, succeeded: 7, failed: 1, ..Default::default() };
    let one = job::Job {
        job: 7,
        name: "sweep".into(),
        kind: "command".into(),
        state: "running".into(),
        submitted_at_ms: 1_795_340_700_000,
        tasks: Some(counts),
        ..Default::default()
    };
    let two = job::Job {
        job: 6,
        name: "x".into(),
        kind: "seal".into(),
        state: "pending".into(),
        reason: "no executor has 4 GPUs".into(),
        ..Default::default()
    };
    let jobs = Jobs { jobs: vec![one.into(), two.into()], more: true };
    insta::assert_snapshot!(jobs.text(), @r"
    JOB  NAME   KIND     STATE    DONE  FAILED  SUBMITTED             REASON
      7  sweep  command  running  7/10       1  2026-11-22 09:45:00Z
      6  x      seal     pending   0/0       0  -                     no executor has 4 GPUs
    older jobs were left off; use --before or --limit
    ");
}

#[test]
fn tasks_as_a_table() {
    let done = Task {
        executor: "e1".into(),
        attempt: 1,
        started_at_ms: 1_000,
        ended_at_ms: 4_200,
        user_us: 3_000_000,
        rss_max_bytes: 5 << 20,
        bytes_fetched: 2048,
        ..task(2, "pc1", "succeeded")
    };
    let killed =
        Task { signal: 9, attempt: 2, message: "killed".into(), ..task(3, "pc2", "failed") };
    let waits = Task { reason: "waits for pc2".into(), ..task(4, "c1", "waiting") };
    let tasks = Tasks { tasks: vec![done, killed, waits], more: false };
    insta::assert_snapshot!(tasks.text(), @r"
    TASK  STAGE  STATE      EXECUTOR  ATTEMPT  TOOK  CPU  MEMORY  MOVED      EXIT  NOTE
       2  pc1    succeeded  e1              1  3.2s   3s   5 MiB  2 KiB         0
       3  pc2    failed     -               2     -  0ms     0 B    0 B  signal 9  killed
       4  c1     waiting    -               0     -  0ms     0 B    0 B         -  waits for pc2
    ");
}

#[test]
fn json_keeps_raw_numbers_and_stable_names() {
    let json = serde_json::to_value(task(1, "c2", "running")).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "attempt",
            "bytes_fetched",
            "ended_at_ms",
            "executor",
            "exit_code",
            "job",
            "message",
            "progress",
            "reason",
            "reused_layers",
            "rss_max_bytes",
            "signal",
            "stage",
            "started_at_ms",
            "state",
            "system_us",
            "task",
            "token",
            "user_us",
            "values"
        ]
    );
    let proof = Proof {
        kind: "winning",
        miner: 1000,
        sectors: vec![1],
        randomness: "00".into(),
        job: 3,
        proof: None,
    };
    insta::assert_snapshot!(serde_json::to_string(&proof).unwrap(), @r#"{"kind":"winning","miner":1000,"sectors":[1],"randomness":"00","job":3,"proof":null}"#);
}

#[test]
fn a_status_without_leader_says_so() {
    let status =
        Status::from(cluster::StatusReply { cluster_id: "c".into(), ..Default::default() });
    assert!(status.text().contains("none; an election is under way"));
}
