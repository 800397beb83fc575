//! One node: apply, sessions, restart, snapshots, refusals at the start.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hesper_consensus::{ClusterId, Consensus, ProposeError, Request, StartError, StopReason};

use crate::common::{ARCHIVE, Plain, Store, StoreFactory, TABLE, config, restart, single, within};

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_applied_and_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    assert_eq!(node.run("put a 1").await, "1");
    assert_eq!(node.run("add a 2").await, "12");
    assert_eq!(node.run("nonsense").await, "error: no such command");
    assert_eq!(node.run("file old x").await, "x");
    let hash = node.consensus.status().state_hash;
    let (id, dir_path, address) = node.stop().await;
    let node = restart(id, &dir_path, address).await;
    assert_eq!(node.consensus.status().state_hash, hash);
    assert_eq!(node.value("a").as_deref(), Some("12"));
    node.established().await;
    assert_eq!(node.run("get a").await, "12");
    assert_eq!(node.run("archived old").await, "x");
    assert_eq!(node.consensus.get_row(ARCHIVE, b"old").unwrap().as_deref(), Some(&b"x"[..]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_share_entries_and_reload_equals_memory() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let runs = (0..500).map(|n| {
        let command =
            if n % 5 == 4 { format!("delete k{}", n - 1) } else { format!("put k{n} v{n}") };
        let node = &node;
        async move { node.run(&command).await }
    });
    futures_util::future::join_all(runs).await;
    let status = node.consensus.status();
    assert!(status.commands >= 500);
    assert!(status.log_entries < 400, "{} entries", status.log_entries);
    let (machine, hash) = node.consensus.reload().unwrap();
    assert_eq!(hash, status.state_hash);
    let reloaded = &machine.as_any().downcast_ref::<Store>().unwrap().values;
    node.consensus.read(|machine| {
        assert_eq!(&machine.as_any().downcast_ref::<Store>().unwrap().values, reloaded)
    });
    let rows = node.consensus.scan_rows(TABLE, b"", b"k10", 5).unwrap();
    let keys: Vec<_> =
        rows.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
    assert_eq!(keys, ["k10", "k100", "k101", "k102", "k105"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_executed_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let session = node.open_session().await;
    assert_eq!(node.run_in(session, 1, "add a x").await, "x");
    assert_eq!(node.run_in(session, 1, "add a x").await, "x");
    assert_eq!(node.run_in(session, 2, "add a y").await, "xy");
    let (id, path, address) = node.stop().await;
    let node = restart(id, &path, address).await;
    assert_eq!(node.run_in(session, 2, "add a y").await, "xy");
    assert_eq!(node.run_in(session, 1, "add a x").await, "x");
    assert_eq!(node.value("a").as_deref(), Some("xy"));
    let unknown = Request {
        session: Some((12345, 1)),
        principal: "tester".into(),
        command: Bytes::from_static(b"add a z"),
    };
    let error = node.consensus.propose(unknown, Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error, ProposeError::SessionExpired);
    assert_eq!(node.value("a").as_deref(), Some("xy"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_expires_by_state_time() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let session = within(node.consensus.open_session(
        "tester",
        Duration::from_millis(1),
        Duration::from_secs(10),
    ))
    .await
    .unwrap();
    // Ticks end it; each new entry is a chance to look.
    let mut applied = node.consensus.applied();
    while node.consensus.status().sessions > 0 {
        within(applied.changed()).await.unwrap();
    }
    let late = Request {
        session: Some((session, 1)),
        principal: "tester".into(),
        command: Bytes::from_static(b"put a 1"),
    };
    let error = node.consensus.propose(late, Duration::from_secs(10)).await.unwrap_err();
    assert_eq!(error, ProposeError::SessionExpired);
    assert_eq!(node.value("a"), None);
    let (_, hash) = node.consensus.reload().unwrap();
    assert_eq!(hash, node.consensus.status().state_hash);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_after_they_are_applied() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let mut events = node.consensus.subscribe();
    node.run("put a 1").await;
    let published = within(events.recv()).await.unwrap();
    assert_eq!(node.value("a").as_deref(), Some("1"));
    let event = published.events[0].downcast_ref::<String>().unwrap();
    assert_eq!(event, "tester put a");
    assert!(!published.reloaded);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_lets_the_log_be_purged_and_a_restart_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path(), 1);
    settings.retain_bytes = 4 << 10;
    settings.snapshot_bytes = 1 << 40;
    let node = crate::common::TestNode::start_at(settings.clone(), crate::common::loopback())
        .await
        .unwrap();
    node.consensus
        .initialize(crate::common::cluster_id(), [(1, node.address.to_string())])
        .await
        .unwrap();
    for n in 0..100 {
        node.run(&format!("put k{n} {}", "x".repeat(1000))).await;
    }
    let snapshot = within(node.consensus.snapshot_now()).await.unwrap();
    assert!(snapshot >= Some(100));
    let mut applied = node.consensus.applied();
    while node.consensus.status().purged.is_none() {
        within(applied.changed()).await.unwrap();
    }
    let (id, path, address) = node.stop().await;
    let node = restart(id, &path, address).await;
    assert_eq!(node.run("get k7").await.len(), 1000);
    assert!(node.consensus.status().snapshot >= Some(100));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let error = node.try_run(&format!("put a {}", "x".repeat(2 << 20))).await.unwrap_err();
    assert!(
        matches!(error, ProposeError::TooLarge { bytes_max, .. } if bytes_max == 1 << 20),
        "{error}"
    );
    assert_eq!(node.run(&format!("put a {}", "x".repeat(1 << 19))).await.len(), 1 << 19);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_refused_with_a_time_to_retry() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path(), 1);
    settings.queue_bytes_max = 1000;
    let node =
        crate::common::TestNode::start_at(settings, crate::common::loopback()).await.unwrap();
    node.consensus
        .initialize(crate::common::cluster_id(), [(1, node.address.to_string())])
        .await
        .unwrap();
    node.established().await;
    let error = node.try_run(&format!("put a {}", "x".repeat(2000))).await.unwrap_err();
    assert!(matches!(error, ProposeError::Busy { .. }), "{error}");
    assert_eq!(node.run("put a 1").await, "1");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_or_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let start = |settings| Consensus::start(settings, Arc::new(StoreFactory), Arc::new(Plain));
    let error = start(config(dir.path(), 1)).await.err().unwrap();
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    node.stop().await;
    let mut other = config(dir.path(), 1);
    other.cluster_id = Some(ClusterId("another".into()));
    let error = start(other).await.err().unwrap();
    assert!(matches!(error, StartError::OtherCluster { .. }), "{error}");
    let error = start(config(dir.path(), 2)).await.err().unwrap();
    assert!(matches!(error, StartError::OtherNode { found: 1, wanted: 2, .. }), "{error}");
    let identity = std::fs::read_to_string(dir.path().join("identity")).unwrap();
    std::fs::write(dir.path().join("identity"), identity.replace("format 1", "format 7")).unwrap();
    let error = start(config(dir.path(), 1)).await.err().unwrap();
    assert!(matches!(error, StartError::NewerFormat { found: 7, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let node = single(&dir).await;
    let stopped = node.consensus.stopped();
    assert_eq!(*stopped.borrow(), None);
    node.stop().await;
    assert_eq!(*stopped.borrow(), Some(StopReason::Shutdown));
}
