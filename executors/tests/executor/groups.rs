//! Several attempts in one process: each ends, fails, is cancelled and is found again on its own.
use std::collections::HashMap;

use camino::Utf8PathBuf;
use hesper_executor::{PathConfig, PathRole};
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::*;

use crate::support::*;

async fn one() -> (Node, Executor, Session) {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.config.paths = vec![PathConfig {
        id: "p".to_owned(),
        role: PathRole::Seal,
        dir: executor.dir().join("seal"),
        reserve_bytes: 0,
        capacity_bytes: Some(10_000),
    }];
    executor.kernel("lockstep");
    executor.start();
    let session = node.session().await;
    (node, executor, session)
}

/// A sector whose child is told what to do with it.
fn sector(token: u64, what: &str) -> Attempt {
    Attempt {
        token,
        job: token,
        number: 1,
        work: Some(attempt::Work::Stage(Stage {
            stage: "pc1".to_owned(),
            proof: "2KiB".to_owned(),
            miner: 1000,
            sector: token,
            values: HashMap::from([("do".to_owned(), what.to_owned())]),
            inputs: Vec::new(),
        })),
        ..Attempt::default()
    }
}

fn group(first: u64, what: &[&str]) -> Lease {
    let attempts: Vec<Attempt> =
        (first..).zip(what).map(|(token, what)| sector(token, what)).collect();
    let width = u32::try_from(attempts.len()).unwrap();
    let mut lease = lease(first, attempts);
    // The disc is granted to all together.
    lease.named.insert("disc".to_owned(), 2_000 * u64::from(width));
    Lease { width, ..lease }
}

fn dir(executor: &Executor, token: u64) -> Utf8PathBuf {
    executor.dir().join(format!("seal/sectors/1000-{token}/{token}"))
}

fn go(executor: &Executor, token: u64) {
    std::fs::write(dir(executor, token).join("go"), "").unwrap();
}

async fn started(session: &mut Session, count: usize) -> Vec<Started> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(session.started().await);
    }
    all.sort_by_key(|started| started.token);
    all
}

async fn ends(session: &mut Session, count: usize) -> Vec<Finished> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(session.finished().await.1);
    }
    all.sort_by_key(|finished| finished.token);
    all
}

fn code(finished: &Finished) -> i32 {
    finished.exit.as_ref().unwrap().code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_one_process_with_an_order_outcome_and_progress_for_each() {
    let (_node, executor, mut session) = one().await;
    session.start(vec![group(1, &["wait", "wait", "wait"])]).await;
    let started = started(&mut session, 3).await;
    assert_eq!(started.iter().map(|one| one.token).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(started.iter().all(|one| one.pid == started[0].pid), "{started:?}");
    let mut progress = Vec::new();
    while progress.len() < 3 {
        let Progress { token, done, .. } = session.progress().await;
        if !progress.contains(&(token, done)) {
            progress.push((token, done));
        }
    }
    progress.sort_unstable();
    assert_eq!(progress, [(1, 0), (2, 1), (3, 2)]);
    // Everybody finds the output of the process under its own token.
    assert!(session.output(2, "stdout").await.data.starts_with(b"3 orders\n"));
    (1..=3).for_each(|token| go(&executor, token));
    for finished in ends(&mut session, 3).await {
        assert_eq!((kind(&finished), code(&finished)), (Kind::Exited, 0), "{finished:?}");
        assert_eq!(finished.values["orders"], "3");
        assert_eq!(finished.values["pid"], started[0].pid.to_string());
        assert_eq!((finished.files.len(), finished.files[0].length), (1, 5));
        assert!(finished.started_at_ms > 0 && finished.ended_at_ms >= finished.started_at_ms);
        assert!(finished.usage.unwrap().rss_max_bytes > 0);
        assert!(dir(&executor, finished.token).join("files/layer").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fails_one_is_done_early_and_the_others_go_on() {
    let (_node, executor, mut session) = one().await;
    session.start(vec![group(1, &["wait", "fail", "finish", "wait"])]).await;
    // While the process lives on for 1 and 4.
    let early = ends(&mut session, 2).await;
    assert_eq!((early[0].token, kind(&early[0]), code(&early[0])), (2, Kind::Exited, 1));
    assert!(text(&early[0]).contains("told to (io)"), "{}", text(&early[0]));
    assert!(early[0].exit.as_ref().unwrap().retryable && early[0].files.is_empty());
    assert_eq!((early[1].token, kind(&early[1]), code(&early[1])), (3, Kind::Exited, 0));
    assert_eq!(early[1].files.len(), 1);
    go(&executor, 1);
    go(&executor, 4);
    // The process exits with 1, which is none of theirs.
    for finished in ends(&mut session, 2).await {
        assert_eq!((kind(&finished), code(&finished)), (Kind::Exited, 0), "{finished:?}");
        assert_eq!((finished.files.len(), text(&finished)), (1, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_cancelled_alone_and_the_last_takes_the_process_along() {
    let (_node, executor, mut session) = one().await;
    session.start(vec![group(1, &["wait", "wait", "wait"])]).await;
    let pid = started(&mut session, 3).await[0].pid;
    session.cancel(2, false).await;
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished)), (2, Kind::Cancelled));
    assert!(dir(&executor, 2).join("cancel").exists());
    assert!(!dir(&executor, 1).join("cancel").exists());
    assert!(std::fs::exists(format!("/proc/{pid}")).unwrap());
    go(&executor, 3);
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished), code(&finished)), (3, Kind::Exited, 0));
    session.cancel(1, true).await;
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished)), (1, Kind::Cancelled));
    assert_eq!(finished.exit.unwrap().signal, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_those_that_have_left_no_report() {
    let (_node, executor, mut session) = one().await;
    session.start(vec![group(1, &["wait", "crash", "wait"])]).await;
    started(&mut session, 3).await;
    go(&executor, 1);
    let (_, first) = session.finished().await;
    assert_eq!((first.token, kind(&first), code(&first)), (1, Kind::Exited, 0));
    go(&executor, 2);
    for finished in ends(&mut session, 2).await {
        assert_eq!((kind(&finished), finished.exit.as_ref().unwrap().signal), (Kind::Signaled, 6));
        assert!(finished.exit.unwrap().retryable);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_hangs_ends_at_its_limit_and_what_was_done_counts() {
    let (_node, _executor, mut session) = one().await;
    let mut lease = group(1, &["wait", "finish", "wait"]);
    lease.attempts.iter_mut().for_each(|attempt| attempt.time_limit_ms = 1_000);
    session.start(vec![lease]).await;
    let ends = ends(&mut session, 3).await;
    assert_eq!(
        ends.iter().map(kind).collect::<Vec<_>>(),
        [Kind::TimedOut, Kind::Exited, Kind::TimedOut]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_group_is_found_again_by_the_next_agent() {
    let (mut node, mut executor, mut session) = one().await;
    session.start(vec![group(1, &["wait", "finish", "wait", "wait"])]).await;
    // What ended before the restart is not told again once it was acknowledged.
    let (sequence, early) = session.finished().await;
    assert_eq!(early.token, 2);
    session.ack(sequence).await;
    session.output_with(1, "4 orders").await;
    executor.kill().await;
    // One ends while no agent looks, and its process goes on.
    go(&executor, 3);

    executor.start();
    let mut session = node.session().await;
    let (sequence, third) = loop {
        let (sequence, finished) = session.finished().await;
        // The acknowledgement may not have come in time.
        if finished.token != 2 {
            break (sequence, finished);
        }
    };
    assert_eq!((third.token, kind(&third), code(&third)), (3, Kind::Exited, 0), "{third:?}");
    session.ack(sequence).await;
    session.cancel(4, false).await;
    let (_, fourth) = session.finished().await;
    assert_eq!((fourth.token, kind(&fourth)), (4, Kind::Cancelled));
    executor.stop().await;

    executor.start();
    let mut session = node.session().await;
    go(&executor, 1);
    let first = loop {
        let (_, finished) = session.finished().await;
        if finished.token != 4 {
            break finished;
        }
    };
    assert_eq!((first.token, kind(&first), code(&first)), (1, Kind::Exited, 0), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_be_prepared_fails_alone() {
    let (_node, _executor, mut session) = one().await;
    let mut lease = group(1, &["finish", "finish", "finish"]);
    let Some(attempt::Work::Stage(stage)) = &mut lease.attempts[1].work else { panic!() };
    // An input that nobody has.
    stage.inputs.push(InputFile {
        name: "a".to_owned(),
        length: 5,
        blake3: blake3::hash(b"hello").to_hex().to_string(),
        sources: Vec::new(),
    });
    session.start(vec![lease]).await;
    let ends = ends(&mut session, 3).await;
    assert_eq!(
        ends.iter().map(kind).collect::<Vec<_>>(),
        [Kind::Exited, Kind::InputBad, Kind::Exited]
    );
    assert_eq!(ends[0].values["orders"], "2");
    assert_eq!(ends[0].values["pid"], ends[2].values["pid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_that_were_not_granted_as_a_group_have_a_process_each() {
    let (_node, _executor, mut session) = one().await;
    let lease = Lease { width: 0, ..group(1, &["finish", "finish"]) };
    session.start(vec![lease]).await;
    let ends = ends(&mut session, 2).await;
    assert!(ends.iter().all(|finished| finished.values["orders"] == "1"));
    assert_ne!(ends[0].values["pid"], ends[1].values["pid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_has_left_outlives_agent_and_supervisor() {
    let (mut node, mut executor, mut session) = one().await;
    session.start(vec![group(1, &["wait", "wait", "wait"])]).await;
    session.output_with(1, "3 orders").await;
    executor.kill().await;
    // It ends while no agent looks; then the machine goes.
    go(&executor, 2);
    let outcome = dir(&executor, 2).join("outcome.json");
    tokio::time::timeout(PATIENCE, async {
        while !outcome.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let control =
        std::fs::read_to_string(executor.config.data_dir.join("supervisor.control")).unwrap();
    let pid: i32 = control.split_whitespace().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    executor.start();
    let mut session = node.session().await;
    let ends = ends(&mut session, 3).await;
    assert_eq!(ends.iter().map(kind).collect::<Vec<_>>(), [Kind::Lost, Kind::Exited, Kind::Lost]);
    assert_eq!((code(&ends[1]), ends[1].files.len()), (0, 1), "{:?}", ends[1]);
}
