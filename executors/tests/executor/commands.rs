//! The agent runs commands for a fake node, through a real supervisor process.
use hesper_executor::AgentError;
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::*;

use crate::support::*;

async fn one() -> (Node, Executor, Session) {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let session = node.session().await;
    (node, executor, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_code_signal_usage_and_output_are_reported() {
    let (_node, _executor, mut session) = one().await;
    let script = "echo out $HESPER_JOB_ID $SLURM_ARRAY_TASK_ID; echo err >&2; exit 3";
    session.start(vec![lease(1, vec![shell(1, script)])]).await;
    let (sequence, finished) = session.finished().await;
    assert!(sequence >= 1);
    assert_eq!((kind(&finished), finished.exit.as_ref().unwrap().code), (Kind::Exited, 3));
    assert_eq!((finished.stdout_bytes, finished.stderr_bytes), (8, 4));
    assert!(finished.usage.unwrap().rss_max_bytes > 0);
    assert!(finished.started_at_ms > 0 && finished.ended_at_ms >= finished.started_at_ms);
    let chunk = session.output(1, "stdout").await;
    assert_eq!((&chunk.data[..], chunk.end, chunk.total), (&b"out 1 1\n"[..], true, 8));
    assert_eq!(&session.output(1, "stderr").await.data[..], b"err\n");
    assert!(session.output(2, "stdout").await.error.contains("keeps no `stdout` of attempt 2"));
    assert!(session.output(1, "../index").await.error.contains("plain"));

    session.start(vec![lease(2, vec![shell(2, "kill -9 $$")])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!((kind(&finished), finished.exit.as_ref().unwrap().signal), (Kind::Signaled, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_of_a_lease_run_in_order_with_own_outputs_and_directories() {
    let (_node, _executor, mut session) = one().await;
    let scripts = ["echo one; echo x > file", "true", "echo three; pwd >&2"];
    let attempts = (10..).zip(scripts).map(|(token, script)| shell(token, script)).collect();
    session.start(vec![lease(10, attempts)]).await;
    for token in 10..13 {
        let (_, finished) = session.finished().await;
        assert_eq!((finished.token, kind(&finished)), (token, Kind::Exited));
    }
    assert_eq!(&session.output(10, "stdout").await.data[..], b"one\n");
    assert_eq!(&session.output(10, "file").await.data[..], b"x\n");
    assert_eq!(session.output(11, "stdout").await.total, 0);
    assert!(session.output(11, "file").await.error.contains("keeps no"));
    assert_eq!(&session.output(12, "stdout").await.data[..], b"three\n");
    let pwd = session.output(12, "stderr").await;
    assert!(String::from_utf8_lossy(&pwd.data).ends_with("/attempts/10/12\n"), "{pwd:?}");

    session.send(node_message::Message::Collect(Collect { tokens: vec![10, 11, 12] })).await;
    let until = tokio::time::Instant::now() + PATIENCE;
    while session.output(12, "stdout").await.error.is_empty() {
        assert!(tokio::time::Instant::now() < until);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let (_node, _executor, mut session) = one().await;
    let mut elsewhere = command(2, "/bin/true", &[]);
    if let Some(attempt::Work::Command(command)) = &mut elsewhere.work {
        command.directory = "/nowhere/at/all".to_owned();
    }
    let bad = vec![
        command(1, "/no/such/program", &[]),
        elsewhere,
        Attempt { token: 3, ..Attempt::default() },
    ];
    session.start(vec![lease(1, bad)]).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (_, finished) = session.finished().await;
        assert_eq!(kind(&finished), Kind::NotStarted);
        ends.push((finished.token, text(&finished).to_owned()));
    }
    ends.sort();
    assert!(ends[0].1.contains("/no/such/program") && ends[0].1.contains("install"), "{ends:?}");
    assert!(ends[1].1.contains("`/nowhere/at/all` does not exist"), "{ends:?}");
    assert!(ends[2].1.contains("neither command nor stage"), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_ends_the_whole_group() {
    let (_node, _executor, mut session) = one().await;
    // The grandchild holds the output open; its death is seen by the last line never coming.
    let mut attempt = shell(1, "(sleep 600; echo survived) & echo started; wait");
    attempt.time_limit_ms = 50;
    session.start(vec![lease(1, vec![attempt, shell(2, "echo next")])]).await;
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished)), (1, Kind::TimedOut));
    assert!(text(&finished).contains("50 ms"));
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished)), (2, Kind::Exited));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_the_polite_signal_is_killed_when_asked() {
    let (_node, _executor, mut session) = one().await;
    session
        .start(vec![lease(
            1,
            vec![shell(1, "trap '' TERM; echo ready; while :; do sleep 600; done")],
        )])
        .await;
    session.output_with(1, "ready").await;
    session.cancel(1, true).await;
    let (_, finished) = session.finished().await;
    assert_eq!((kind(&finished), finished.exit.as_ref().unwrap().signal), (Kind::Cancelled, 9));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_group_is_cancelled_and_the_others_end_on_their_own() {
    let (_node, executor, mut session) = one().await;
    let go = executor.dir().join("go");
    let wait = format!("echo ready; until [ -e {go} ]; do sleep 0.01; done; exit 4");
    session
        .start(vec![lease(1, vec![shell(1, &wait), shell(2, "true"), shell(3, "exit 5")])])
        .await;
    session.output_with(1, "ready").await;
    session.cancel(2, false).await;
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, kind(&finished)), (2, Kind::Cancelled));
    std::fs::write(&go, "").unwrap();
    let (_, first) = session.finished().await;
    let (_, third) = session.finished().await;
    assert_eq!((first.token, first.exit.unwrap().code), (1, 4));
    assert_eq!((third.token, third.exit.unwrap().code), (3, 5));
    session.cancel(77, false).await;
    let gone = session.report().await.report.unwrap();
    assert_eq!(gone, report::Report::Gone(Gone { token: 77 }));
    // Its start comes after all, from an older stream: it must not run.
    session
        .start(vec![lease(77, vec![shell(77, "exit 0")]), lease(78, vec![shell(78, "exit 0")])])
        .await;
    assert_eq!(session.finished().await.1.token, 78);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_start_is_one_run() {
    let (_node, executor, mut session) = one().await;
    let file = executor.dir().join("runs");
    let attempt = shell(1, &format!("echo run >> {file}"));
    session.start(vec![lease(1, vec![attempt.clone()])]).await;
    session.finished().await;
    session.start(vec![lease(1, vec![attempt]), lease(2, vec![shell(2, "true")])]).await;
    assert_eq!(session.finished().await.1.token, 2);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "run\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_start_is_reported_on_its_own() {
    let (_node, executor, mut session) = one().await;
    let go = executor.dir().join("go");
    session
        .start(vec![lease(1, vec![shell(1, &format!("until [ -e {go} ]; do sleep 0.01; done"))])])
        .await;
    let started = session.started().await;
    assert!(started.token == 1 && started.pid > 0);
    std::fs::write(&go, "").unwrap();
    assert_eq!(session.finished().await.1.token, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_op_attempts_end_at_once() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.config.runner = hesper_executor::Runner::NoOp;
    executor.start();
    let mut session = node.session().await;
    let attempts = (1..=5000).map(|token| command(token, "/no/such/program", &[])).collect();
    session.start(vec![lease(1, attempts)]).await;
    for token in 1..=5000 {
        let (sequence, finished) = session.finished().await;
        assert_eq!((sequence, finished.token, kind(&finished)), (token, token, Kind::Exited));
        if token % 1000 == 0 {
            session.ack(token).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_bad_configurations_name_all_problems() {
    let node = Node::start().await;
    node.answer(Some(node_message::Message::Refused(Refused {
        code: "verifying_keys".to_owned(),
        message: "other keys".to_owned(),
    })));
    let mut executor = Executor::new(&node);
    executor.start();
    let error = executor.ended().await.unwrap_err();
    assert!(
        matches!(&error, AgentError::Refused { code, .. } if code == "verifying_keys"),
        "{error}"
    );
    executor.config.name = String::new();
    executor.config.nodes.clear();
    executor.start();
    let error = executor.ended().await.unwrap_err();
    assert!(matches!(&error, AgentError::Config { problems } if problems.len() == 2), "{error}");
}
