//! Agents, supervisors and nodes come and go; no exit status is lost.
use hesper_executor::AgentError;
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::*;

use crate::support::*;

fn waits_for(executor: &Executor, name: &str) -> (camino::Utf8PathBuf, String) {
    let go = executor.dir().join(name);
    let script = format!("echo ready; until [ -e {go} ]; do sleep 0.01; done; echo done; exit 6");
    (go, script)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_child_is_adopted_by_the_next_agent() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let mut session = node.session().await;
    let (go, script) = waits_for(&executor, "go");
    session.start(vec![lease(1, vec![shell(1, &script), shell(2, "exit 7")])]).await;
    session.output_with(1, "ready").await;
    executor.kill().await;

    executor.start();
    let mut session = node.session().await;
    assert_eq!(session.hello.held_tokens, [1, 2]);
    let boot = session.hello.supervisor_boot_id.clone();
    executor.stop().await;
    // It ends while no agent looks.
    std::fs::write(&go, "").unwrap();

    executor.start();
    let mut session2 = node.session().await;
    assert_eq!(session2.hello.supervisor_boot_id, boot);
    assert_ne!(session2.hello.incarnation, session.hello.incarnation);
    assert_eq!(session2.hello.instance, session.hello.instance);
    let (_, first) = session2.finished().await;
    assert_eq!((first.token, kind(&first), first.exit.unwrap().code), (1, Kind::Exited, 6));
    let (_, second) = session2.finished().await;
    assert_eq!((second.token, second.exit.unwrap().code), (2, 7));
    assert_eq!(&session2.output(1, "stdout").await.data[..], b"ready\ndone\n");
    session = session2;
    session.ack(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_sent_again_until_it_is_acknowledged() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let mut session = node.session().await;
    session.start(vec![lease(1, vec![shell(1, "exit 1"), shell(2, "exit 2")])]).await;
    let first = session.finished().await;
    let second = session.finished().await;
    session.ack(first.0).await;
    session.output(2, "stdout").await; // what was said before has been heard
    drop(session); // the node restarts

    let mut session = node.session().await;
    assert_eq!(session.finished().await, second);
    executor.stop().await;
    executor.start();
    let mut session = node.session().await;
    assert_eq!(session.hello.held_tokens, [2]);
    assert_eq!(session.finished().await, second);
    session.ack(second.0).await;
    session.start(vec![lease(3, vec![shell(3, "exit 3")])]).await;
    let third = session.finished().await;
    assert!(third.0 > second.0, "numbers are never used again");
    assert_eq!(third.1.token, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_lead_names_the_leader() {
    let mut leader = Node::start().await;
    let follower = Node::start().await;
    let told = NotLeader { leader_address: leader.address.clone(), node_addresses: Vec::new() };
    follower.answer(Some(node_message::Message::NotLeader(told)));
    let mut executor = Executor::new(&follower);
    executor.start();
    let session = leader.session().await;
    assert_eq!(session.hello.name, "e1");
    assert_eq!(session.hello.protocol_version, 1);
    assert!(session.hello.resources.unwrap().cores > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_without_a_node_and_is_reported_to_the_next() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let mut session = node.session().await;
    let (go, script) = waits_for(&executor, "go");
    session.start(vec![lease(1, vec![shell(1, &script)])]).await;
    session.output_with(1, "ready").await;
    drop(session);
    std::fs::write(&go, "").unwrap();
    let mut session = node.session().await;
    assert_eq!(session.hello.held_tokens, [1]);
    let (_, finished) = session.finished().await;
    assert_eq!((finished.token, finished.exit.unwrap().code), (1, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_takes_its_children_along_and_says_lost() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let mut session = node.session().await;
    let (_, script) = waits_for(&executor, "never");
    session.start(vec![lease(1, vec![shell(1, &script), shell(2, "true")])]).await;
    session.output_with(1, "ready").await;
    let started = session.started().await;
    let control =
        std::fs::read_to_string(executor.config.data_dir.join("supervisor.control")).unwrap();
    let pid: i32 = control.split_whitespace().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    for _ in 0..2 {
        let (_, finished) = session.finished().await;
        assert_eq!(kind(&finished), Kind::Lost);
        assert!(finished.exit.unwrap().retryable);
    }
    // Lost is said only when the process is known dead.
    let child = rustix::process::Pid::from_raw(i32::try_from(started.pid).unwrap()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()))
        .unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    session.start(vec![lease(3, vec![shell(3, "exit 3")])]).await;
    assert_eq!(session.finished().await.1.exit.unwrap().code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_cannot_share_a_directory() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let _session = node.session().await;
    let mut second = Executor::new(&node);
    second.config.data_dir = executor.config.data_dir.clone();
    second.start();
    let error = second.ended().await.unwrap_err();
    assert!(matches!(&error, AgentError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    executor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_which_nothing_comes_is_dead_and_heartbeats_are_sent() {
    let mut node = Node::with_heartbeat(50).await;
    let mut executor = Executor::new(&node);
    executor.start();
    // This node's side stays open and says nothing, as a frozen machine would.
    let mut frozen = node.session().await;
    let mut session = node.session().await;
    assert_eq!(session.hello.incarnation, frozen.hello.incarnation);
    assert!(frozen.heartbeats_until_closed().await > 0);
    session.start(vec![lease(1, vec![shell(1, "exit 2")])]).await;
    assert_eq!(session.finished().await.1.exit.unwrap().code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_does_not_start_is_a_clear_error() {
    let node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.config.supervisor_command = vec!["/bin/false".into()];
    executor.start();
    let error = executor.ended().await.unwrap_err();
    assert!(error.to_string().contains("`/bin/false` ended with exit status: 1"), "{error}");
}

/// `mount -t tmpfs -o size=256k none DIR; HESPER_TEST_SMALL_DIR=DIR cargo test ... -- --ignored full_disc`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a small filesystem of its own, named in HESPER_TEST_SMALL_DIR"]
async fn on_a_full_disc_new_attempts_fail_and_running_ones_are_reported_when_there_is_room() {
    let small = std::env::var("HESPER_TEST_SMALL_DIR").unwrap();
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.config.data_dir = camino::Utf8Path::new(&small).join("data");
    executor.start();
    let mut session = node.session().await;
    let (go, script) = waits_for(&executor, "go");
    session.start(vec![lease(1, vec![shell(1, &script)])]).await;
    session.output_with(1, "ready").await;
    session.started().await;
    let filler = camino::Utf8Path::new(&small).join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 512]).is_ok() {}
    session.start(vec![lease(2, vec![shell(2, "exit 0")])]).await;
    std::fs::write(&go, "").unwrap();
    assert!(session.output_with(1, "ready").await.error.is_empty());
    std::fs::remove_file(&filler).unwrap();
    let mut ends = [session.finished().await.1, session.finished().await.1];
    ends.sort_by_key(|finished| finished.token);
    assert_eq!((ends[0].token, ends[0].exit.as_ref().unwrap().code), (1, 6));
    assert_eq!(kind(&ends[1]), Kind::NoSpace, "{}", text(&ends[1]));
    assert!(text(&ends[1]).contains(&small));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_ended_is_not_run_again_by_a_repeated_order() {
    let mut node = Node::start().await;
    let mut executor = Executor::new(&node);
    executor.start();
    let mut session = node.session().await;
    let ran = executor.config.data_dir.join("ran");
    let order = || vec![lease(1, vec![shell(1, &format!("echo once >> {ran}"))])];
    session.start(order()).await;
    let end = session.finished().await;
    drop(session);
    // Agent and supervisor are new; the end is known to the outbox alone.
    executor.stop().await;
    let dir = executor.config.data_dir.clone();
    tokio::task::spawn_blocking(move || hesper_executor::supervisor::stop(&dir))
        .await
        .unwrap()
        .unwrap();
    executor.start();
    let mut session = node.session().await;
    session.start(order()).await;
    assert_eq!(session.finished().await, end);
    session.ack(end.0).await;
    session.start(vec![lease(2, vec![shell(2, "true")])]).await;
    assert_eq!(session.finished().await.1.token, 2);
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "once\n");
}
