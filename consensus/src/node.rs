//! **Purpose**: the parts of a running node that its tasks, its service and its face share.

use std::sync::Arc;
use std::time::Duration;

use hesper_protos::raft as pb;
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use parking_lot::Mutex;
use pb::item::Kind;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::error::{ProposeError, ReadError};
use crate::network::{Forwarders, Lane, Peers};
use crate::proposer::{Outcome, Proposer, Raft};
use crate::state::{SnapshotStore, State};
use crate::stop::StopSignal;
use crate::types::{ItemOutcome, LogIndex, NodeId};
use crate::wal::Wal;

/// Pause before a request is sent again after its leader was lost.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Proof that this process became leader: valid while `Leadership` still shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeadershipToken {
    pub term: u64,
    pub boot_id: u64,
    /// The entry that established it.
    pub index: LogIndex,
}

/// Who leads, as far as this node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<(NodeId, String)>,
    pub term: u64,
    /// Set while this process is the leader, its `LeaderStarted` entry is applied here, and a quorum
    /// has confirmed it lately.
    pub established: Option<LeadershipToken>,
}

/// An answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry in which it was executed.
    pub index: LogIndex,
    pub reply: bytes::Bytes,
}

#[derive(Default)]
struct BarrierQueue {
    waiting: Vec<oneshot::Sender<Result<LogIndex, ReadError>>>,
    is_running: bool,
}

/// A running node.
pub struct Node {
    pub config: Config,
    pub boot_id: u64,
    pub raft: Raft,
    pub state: Arc<State>,
    pub snapshots: Arc<SnapshotStore>,
    pub wal: Wal,
    pub proposer: Proposer,
    pub peers: Arc<Peers>,
    pub forwarders: Forwarders,
    pub stop: StopSignal,
    pub leadership: watch::Sender<Leadership>,
    pub data_dir: Mutex<Option<DataDir>>,
    barriers: Mutex<BarrierQueue>,
}

/// Everything of a node but what it makes itself.
pub struct Parts {
    pub config: Config,
    pub boot_id: u64,
    pub raft: Raft,
    pub state: Arc<State>,
    pub snapshots: Arc<SnapshotStore>,
    pub wal: Wal,
    pub peers: Arc<Peers>,
    pub stop: StopSignal,
    pub data_dir: DataDir,
}

impl Node {
    pub fn new(parts: Parts) -> Self {
        let Parts { config, boot_id, raft, state, snapshots, wal, peers, stop, data_dir } = parts;
        let proposer = Proposer::start(
            raft.clone(),
            state.clone(),
            config.queue_bytes_max,
            config.command_bytes_max,
        );
        Self {
            config,
            boot_id,
            raft,
            state,
            snapshots,
            wal,
            proposer,
            forwarders: Forwarders::new(peers.clone()),
            peers,
            stop,
            leadership: watch::Sender::new(Leadership::default()),
            data_dir: Mutex::new(Some(data_dir)),
            barriers: Mutex::default(),
        }
    }

    /// Proposes at the leader, wherever it is. Sends again after an unknown outcome only if that is
    /// `repeatable`.
    pub async fn propose(
        &self,
        kind: Kind,
        repeatable: bool,
        deadline: Duration,
    ) -> Result<Applied, ProposeError> {
        let end = Instant::now() + deadline;
        let mut unknown: Option<String> = None;
        let mut hint: Option<(NodeId, String)> = None;
        loop {
            let late = |unknown: &Option<String>| match unknown {
                Some(reason) => ProposeError::Unknown { reason: reason.clone() },
                None => ProposeError::NoLeader,
            };
            if let Some(reason) = self.stop.reason() {
                return Err(match unknown {
                    Some(reason) => ProposeError::Unknown { reason },
                    None => ProposeError::Stopped { reason: reason.to_string() },
                });
            }
            let leader = match hint.take() {
                Some(leader) => leader,
                None => match self.wait_for_leader(end).await {
                    Some(leader) => leader,
                    None => return Err(late(&unknown)),
                },
            };
            let attempt = async {
                if leader.0 == self.config.node_id {
                    self.proposer.submit_and_wait(kind.clone(), None).await
                } else {
                    self.forwarders.propose(leader.0, &leader.1, kind.clone()).await
                }
            };
            match tokio::time::timeout_at(end, attempt).await {
                Err(_) => {
                    return Err(ProposeError::Unknown { reason: "no answer in time".into() });
                }
                Ok(Outcome::NotLeader(other)) => {
                    hint = other.filter(|other| *other != leader);
                    if hint.is_none() {
                        self.pause(end).await;
                    }
                }
                Ok(Outcome::Unknown(reason)) if repeatable => {
                    unknown = Some(reason);
                    self.pause(end).await;
                }
                Ok(outcome) => {
                    let is_answer = matches!(
                        outcome,
                        Outcome::Item(ItemOutcome::Applied { .. } | ItemOutcome::ReplyNotKept)
                    );
                    let settled = settle(outcome, self.proposer.command_bytes_max());
                    // A refusal of the repetition says nothing about the attempt before it.
                    return match unknown {
                        Some(reason) if !is_answer => Err(ProposeError::Unknown { reason }),
                        _ => settled,
                    };
                }
            }
        }
    }

    async fn pause(&self, end: Instant) {
        let mut leadership = self.leadership.subscribe();
        leadership.borrow_and_update();
        let until = end.min(Instant::now() + RETRY_PAUSE);
        // Woken early by a change of leadership; otherwise the pause is over.
        let _ = tokio::time::timeout_at(until, leadership.changed()).await;
    }

    async fn wait_for_leader(&self, end: Instant) -> Option<(NodeId, String)> {
        let mut leadership = self.leadership.subscribe();
        let found = tokio::time::timeout_at(end, leadership.wait_for(|l| l.leader.is_some())).await;
        found.ok()?.ok()?.leader.clone()
    }

    pub async fn propose_as_leader(
        &self,
        kind: Kind,
        token: LeadershipToken,
    ) -> Result<Applied, ProposeError> {
        let (established, leader) = {
            let now = self.leadership.borrow();
            (now.established, now.leader.as_ref().map(|(id, _)| *id))
        };
        if established != Some(token) {
            return Err(ProposeError::NotLeader { leader });
        }
        match self.proposer.submit_and_wait(kind, Some(token.term)).await {
            Outcome::NotLeader(leader) => {
                Err(ProposeError::NotLeader { leader: leader.map(|(id, _)| id) })
            }
            outcome => settle(outcome, self.proposer.command_bytes_max()),
        }
    }

    /// Waits until this node's state includes everything answered before the call, on any node.
    /// Concurrent calls share one confirmation.
    pub async fn read_barrier(self: &Arc<Self>) -> Result<LogIndex, ReadError> {
        let (waiter, confirmed) = oneshot::channel();
        {
            let mut barriers = self.barriers.lock();
            barriers.waiting.push(waiter);
            if !barriers.is_running {
                barriers.is_running = true;
                tokio::spawn(self.clone().run_barriers());
            }
        }
        let stopped = || ReadError::Unavailable { reason: "the node was shut down".into() };
        let index = confirmed.await.map_err(|_| stopped())??;
        let mut applied = self.state.applied_index.subscribe();
        let mut stop = self.stop.watch();
        tokio::select! {
            reached = applied.wait_for(|applied| *applied >= Some(index)) => {
                reached.map_err(|_| stopped())?;
                Ok(index)
            }
            reason = stop.wait_for(Option::is_some) => Err(match reason.ok().and_then(|r| r.clone()) {
                Some(reason) => ReadError::Stopped(reason),
                None => stopped(),
            }),
        }
    }

    async fn run_barriers(self: Arc<Self>) {
        loop {
            let waiting = {
                let mut barriers = self.barriers.lock();
                if barriers.waiting.is_empty() {
                    barriers.is_running = false;
                    return;
                }
                std::mem::take(&mut barriers.waiting)
            };
            let result = self.confirm().await;
            for waiter in waiting {
                // Whoever has stopped waiting needs no answer.
                let _ = waiter.send(result.clone());
            }
        }
    }

    async fn confirm(&self) -> Result<LogIndex, ReadError> {
        use pb::read_index_reply::Outcome;
        let end = Instant::now() + self.config.election_max * 5;
        let mut last = String::from("no leader is known");
        while Instant::now() < end {
            if let Some(reason) = self.stop.reason() {
                return Err(ReadError::Stopped(reason));
            }
            let Some((leader, address)) = self.wait_for_leader(end).await else {
                break;
            };
            let outcome = if leader == self.config.node_id {
                self.read_index_as_leader().await
            } else {
                self.read_index_from(leader, &address).await
            };
            match outcome {
                Outcome::Index(index) => return Ok(index),
                Outcome::NotLeader(_) => last = "the leader changes".into(),
                Outcome::Unavailable(reason) => last = reason,
            }
            self.pause(end).await;
        }
        Err(ReadError::Unavailable { reason: last })
    }

    async fn read_index_from(
        &self,
        leader: NodeId,
        address: &str,
    ) -> pb::read_index_reply::Outcome {
        use pb::read_index_reply::Outcome;
        let limit = self.config.election_max;
        let asked = async {
            let mut client = self
                .peers
                .client(leader, address, Lane::Forward)
                .map_err(|error| error.to_string())?;
            let request = self.peers.request(pb::Empty {});
            match tokio::time::timeout(limit, client.read_index(request)).await {
                Ok(Ok(reply)) => {
                    reply.into_inner().outcome.ok_or_else(|| "an unreadable answer".to_string())
                }
                Ok(Err(status)) => Err(status.to_string()),
                Err(_) => Err(format!("the leader did not answer within {limit:?}")),
            }
        };
        asked.await.unwrap_or_else(Outcome::Unavailable)
    }

    /// The index that a read must see, if this node is the leader and a quorum confirms it.
    pub async fn read_index_as_leader(&self) -> pb::read_index_reply::Outcome {
        use pb::read_index_reply::Outcome;
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => Outcome::Index(read.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => {
                let address = forward.leader_node.map(|node| node.addr).unwrap_or_default();
                Outcome::NotLeader(pb::LeaderHint {
                    node_id: forward.leader_id.unwrap_or(0),
                    address,
                })
            }
            Err(error) => Outcome::Unavailable(error.to_string()),
        }
    }

    pub fn server_metrics(&self) -> openraft::metrics::RaftServerMetrics<crate::types::Types> {
        self.raft.server_metrics().borrow_watched().clone()
    }
}

fn settle(outcome: Outcome, bytes_max: usize) -> Result<Applied, ProposeError> {
    Err(match outcome {
        Outcome::Item(ItemOutcome::Applied { index, reply }) => {
            return Ok(Applied { index, reply });
        }
        Outcome::Item(ItemOutcome::SessionExpired) => ProposeError::SessionExpired,
        Outcome::Item(ItemOutcome::SequenceTooOld) => ProposeError::SequenceTooOld,
        Outcome::Item(ItemOutcome::ReplyNotKept) => ProposeError::ReplyNotKept,
        Outcome::Item(ItemOutcome::TooManySessions) => ProposeError::TooManySessions,
        Outcome::NotLeader(leader) => ProposeError::NotLeader { leader: leader.map(|(id, _)| id) },
        Outcome::Unknown(reason) => ProposeError::Unknown { reason },
        Outcome::Busy(retry_after) => ProposeError::Busy { retry_after },
        Outcome::TooLarge(bytes) => ProposeError::TooLarge { bytes, bytes_max },
        Outcome::Stopped(reason) => ProposeError::Stopped { reason },
    })
}
