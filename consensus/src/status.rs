//! **Purpose**: how a node stands, for status pages, metrics and tests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use crate::config::ClusterId;
use crate::members::{self, Member};
use crate::node::{Leadership, Node};
use crate::state::StateHash;
use crate::types::{LogIndex, NodeId};

/// How a node stands. Counts are since its start.
#[derive(Clone, Debug)]
pub struct Status {
    pub node_id: NodeId,
    pub cluster_id: Option<ClusterId>,
    pub leadership: Leadership,
    pub members: Vec<Member>,
    pub last_log: Option<LogIndex>,
    pub committed: Option<LogIndex>,
    pub applied: Option<LogIndex>,
    /// The state is on disc up to here.
    pub flushed: Option<LogIndex>,
    pub snapshot: Option<LogIndex>,
    pub purged: Option<LogIndex>,
    pub state_hash: StateHash,
    /// State time.
    pub now_ms: u64,
    pub sessions: usize,
    pub fsyncs: u64,
    pub log_bytes: u64,
    pub log_entries: u64,
    pub commands: u64,
    /// Smoothed round trips to the other nodes.
    pub round_trips: Vec<(NodeId, Duration)>,
    /// On the leader: the last entry that each other node has.
    pub matched: Vec<(NodeId, Option<LogIndex>)>,
}

impl Status {
    pub fn of(node: &Node) -> Self {
        let metrics = node.raft.metrics().borrow_watched().clone();
        let index = |id: &crate::types::LogId| id.index;
        let counters = node.wal.counters();
        let (state_hash, now_ms, sessions) =
            node.state.read(|live| (live.applied.hash, live.applied.now_ms, live.sessions.count()));
        Self {
            node_id: node.config.node_id,
            cluster_id: node.peers.cluster(),
            leadership: node.leadership.borrow().clone(),
            members: members::list(node),
            last_log: metrics.last_log_index,
            committed: metrics.cluster_committed.as_ref().map(index),
            applied: *node.state.applied_index.borrow(),
            flushed: node.state.flushed(),
            snapshot: metrics.snapshot.as_ref().map(index),
            purged: metrics.purged.as_ref().map(index),
            state_hash,
            now_ms,
            sessions,
            fsyncs: counters.fsyncs.load(Ordering::Relaxed),
            log_bytes: counters.bytes.load(Ordering::Relaxed),
            log_entries: counters.entries.load(Ordering::Relaxed),
            commands: node.state.commands.load(Ordering::Relaxed),
            round_trips: node.peers.round_trips(),
            matched: metrics
                .replication
                .iter()
                .flatten()
                .map(|(id, matched)| (*id, matched.as_ref().map(index)))
                .collect(),
        }
    }
}
