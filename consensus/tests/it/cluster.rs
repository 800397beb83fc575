//! Three nodes over loopback gRPC.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hesper_consensus::{Connector, StopReason};

use crate::common::{Plain, Trio, joining, restart, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_accepts_requests_and_reads_see_them() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    let follower = &trio.nodes[(leader + 1) % 3];
    let other = &trio.nodes[(leader + 2) % 3];
    assert_eq!(follower.run("put a 1").await, "1");
    within(other.consensus.read_barrier()).await.unwrap();
    assert_eq!(other.value("a").as_deref(), Some("1"));
    let session = follower.open_session().await;
    assert_eq!(follower.run_in(session, 1, "add a 2").await, "12");
    assert_eq!(other.run_in(session, 1, "add a 2").await, "12");
    trio.converge().await;
    let hashes: Vec<_> = trio.nodes.iter().map(|n| n.consensus.status().state_hash).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    for node in trio.nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_when_the_leader_goes() {
    let mut trio = Trio::start().await;
    let leader = trio.leader().await;
    let session = trio.nodes[(leader + 1) % 3].open_session().await;
    let term = trio.nodes[leader].consensus.status().leadership.term;
    for n in 1..=50 {
        trio.nodes[(leader + 1) % 3].run_in(session, n, "add a x").await;
    }
    let gone = trio.nodes.remove(leader);
    let client = trio.nodes[0].consensus.clone();
    let during = tokio::spawn(async move {
        for n in 51..=60u64 {
            let request = hesper_consensus::Request {
                session: Some((session, n)),
                principal: "tester".into(),
                command: bytes::Bytes::from_static(b"add a x"),
            };
            client.propose(request, crate::common::LIMIT).await.unwrap();
        }
    });
    let (id, path, address) = gone.stop().await;
    within(during).await.unwrap();
    let now = trio.leader().await;
    assert!(trio.nodes[now].consensus.status().leadership.term > term);
    assert_eq!(trio.nodes[1].run("get a").await, "x".repeat(60));
    let back = restart(id, &path, address).await;
    within(back.consensus.read_barrier()).await.unwrap();
    assert_eq!(back.value("a"), Some("x".repeat(60)));
    trio.nodes.push(back);
    trio.converge().await;
    for node in trio.nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_come_back_after_a_restart() {
    let trio = Trio::start().await;
    trio.leader().await;
    for n in 0..20 {
        trio.nodes[n % 3].run(&format!("put k{n} {n}")).await;
    }
    let mut stopped = Vec::new();
    for node in trio.nodes {
        stopped.push(node.stop().await);
    }
    let mut nodes = Vec::new();
    for (id, path, address) in &stopped {
        nodes.push(restart(*id, path, *address).await);
    }
    assert_eq!(nodes[1].run("get k13").await, "13");
    for node in &nodes {
        within(node.consensus.read_barrier()).await.unwrap();
        assert_eq!(node.value("k19").as_deref(), Some("19"));
        let (_, reloaded) = node.consensus.reload().unwrap();
        assert_eq!(reloaded, node.consensus.status().state_hash);
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_gets_a_snapshot_under_load_and_then_the_log() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut settings = crate::common::config(dirs[0].path(), 1);
    settings.retain_bytes = 1;
    let first =
        crate::common::TestNode::start_at(settings, crate::common::loopback()).await.unwrap();
    within(
        first.consensus.initialize(crate::common::cluster_id(), [(1, first.address.to_string())]),
    )
    .await
    .unwrap();
    first.established().await;
    let session = first.open_session().await;
    first.run_in(session, 1, "add once x").await;
    for n in 0..50 {
        first.run(&format!("put k{n} {}", "v".repeat(5000))).await;
    }
    within(first.consensus.snapshot_now()).await.unwrap();
    let mut applied = first.consensus.applied();
    while first.consensus.status().purged.is_none() {
        within(applied.changed()).await.unwrap();
    }
    let go_on = Arc::new(AtomicBool::new(true));
    let (client, flag) = (first.consensus.clone(), go_on.clone());
    let load = tokio::spawn(async move {
        let mut count = 0u64;
        while flag.load(Ordering::Relaxed) {
            let request = hesper_consensus::Request {
                session: None,
                principal: "load".into(),
                command: bytes::Bytes::from(format!("put load {count}")),
            };
            client.propose(request, crate::common::LIMIT).await.unwrap();
            count += 1;
        }
        count
    });
    let second = joining(&dirs[1], 2).await;
    let mut events = second.consensus.subscribe();
    within(first.consensus.add_learner(2, &second.address.to_string())).await.unwrap();
    let published = within(events.recv()).await.unwrap();
    assert!(published.reloaded);
    within(first.consensus.change_voters([1, 2].into())).await.unwrap();
    go_on.store(false, Ordering::Relaxed);
    let count = within(load).await.unwrap();
    within(second.consensus.read_barrier()).await.unwrap();
    assert_eq!(second.value("load"), Some((count - 1).to_string()));
    assert_eq!(second.value("k49").map(|v| v.len()), Some(5000));
    assert_eq!(second.run_in(session, 1, "add once x").await, "x");
    let last = first.consensus.status().applied.max(second.consensus.status().applied).unwrap();
    first.reached(last).await;
    second.reached(last).await;
    assert_eq!(first.consensus.status().members.len(), 2);
    let stopped = second.stop().await;
    let second = restart(stopped.0, &stopped.1, stopped.2).await;
    within(second.consensus.read_barrier()).await.unwrap();
    assert_eq!(second.value("k49").map(|v| v.len()), Some(5000));
    let (_, reloaded) = second.consensus.reload().unwrap();
    assert_eq!(reloaded, second.consensus.status().state_hash);
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_and_a_removed_node_is_out() {
    let mut trio = Trio::start().await;
    let leader = trio.leader().await;
    let to = trio.nodes[(leader + 1) % 3].id;
    within(trio.nodes[(leader + 2) % 3].consensus.transfer_leader(to)).await.unwrap();
    trio.nodes[(leader + 1) % 3].established().await;
    let old = trio.nodes[leader].id;
    within(trio.nodes[(leader + 2) % 3].consensus.remove_node(old)).await.unwrap();
    let removed = trio.nodes.remove(leader);
    removed.stop().await;
    assert_eq!(trio.nodes[0].run("put a 1").await, "1");
    let members: Vec<_> = trio.nodes[1].consensus.members().iter().map(|m| m.id).collect();
    assert_eq!(members.len(), 2);
    assert!(!members.contains(&old));
    for node in trio.nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_token_does_not_outlive_its_leadership() {
    let trio = Trio::start().await;
    let leader = trio.leader().await;
    let old = &trio.nodes[leader].consensus;
    let token = old.leadership().borrow().established.unwrap();
    let request = |command: &'static str| hesper_consensus::Request {
        session: None,
        principal: "shell".into(),
        command: bytes::Bytes::from_static(command.as_bytes()),
    };
    within(old.propose_as_leader(request("put a 1"), token)).await.unwrap();
    let next = &trio.nodes[(leader + 1) % 3];
    within(old.transfer_leader(next.id)).await.unwrap();
    next.established().await;
    let error = within(old.propose_as_leader(request("put a 2"), token)).await.unwrap_err();
    assert!(matches!(error, hesper_consensus::ProposeError::NotLeader { .. }), "{error}");
    let error =
        within(next.consensus.propose_as_leader(request("put a 3"), token)).await.unwrap_err();
    assert!(matches!(error, hesper_consensus::ProposeError::NotLeader { .. }), "{error}");
    assert_eq!(next.run("get a").await, "1");
    for node in trio.nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_state_differs_stops() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = crate::common::single(&dirs[0]).await;
    let mut settings = crate::common::config(dirs[1].path(), 2);
    settings.cluster_id = Some(crate::common::cluster_id());
    let liar = crate::common::TestNode::start_with(
        settings,
        crate::common::loopback(),
        Arc::new(crate::common::LiarFactory),
    )
    .await
    .unwrap();
    within(first.consensus.add_learner(2, &liar.address.to_string())).await.unwrap();
    for n in 0..40 {
        first.run(&format!("put k{n} 1")).await;
    }
    let mut stopped = liar.consensus.stopped();
    let reason = within(stopped.wait_for(Option::is_some)).await.unwrap().clone().unwrap();
    assert!(matches!(reason, StopReason::Diverged { .. }), "{reason}");
    assert_eq!(first.run("get k39").await, "1");
    liar.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = crate::common::single(&dir).await;
    let channel = Plain.connect(&node.address.to_string()).unwrap();
    let mut client = hesper_protos::raft::raft_client::RaftClient::new(channel);
    let unnamed = within(client.ping(hesper_protos::raft::Empty {})).await.unwrap_err();
    assert_eq!(unnamed.code(), tonic::Code::FailedPrecondition);
    let mut request = tonic::Request::new(hesper_protos::raft::VoteRequest::default());
    request.metadata_mut().insert("hesper-cluster", "another".parse().unwrap());
    let other = within(client.vote(request)).await.unwrap_err();
    assert_eq!(other.code(), tonic::Code::FailedPrecondition);
    assert!(other.message().contains("`test`") && other.message().contains("`another`"), "{other}");
    drop(client);
    node.stop().await;
}

/// Repeats a change that is refused because another one is under way.
async fn insist<F: Future<Output = Result<(), hesper_consensus::MembershipError>>>(
    change: impl Fn() -> F,
) {
    within(async {
        while change().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_join_at_once_all_become_voters() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let first = crate::common::single(&dirs[0]).await;
    let second = crate::common::joining(&dirs[1], 2).await;
    let third = crate::common::joining(&dirs[2], 3).await;
    let join = async |node: &crate::common::TestNode, id| {
        let address = node.address.to_string();
        insist(|| first.consensus.add_learner(id, &address)).await;
        insist(|| first.consensus.add_voter(id)).await;
    };
    tokio::join!(join(&second, 2), join(&third, 3));
    let voters = first.consensus.members().into_iter().filter(|member| member.is_voter).count();
    assert_eq!(voters, 3);
}
