//! **Purpose**: the tasks of a node: who leads, the leader's tick, snapshots and purging by bytes.
//!
//! **Invariants**
//! - A leadership is shown as established only after its `LeaderStarted` entry, proposed by this
//!   process in this term, was applied here, and only while a quorum confirms it.
//! - Heartbeats never enter the log; a tick does once a second.

use std::sync::Arc;
use std::time::Duration;

use hesper_protos::raft as pb;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, ServerState};
use pb::item::Kind;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior};

use crate::node::{Leadership, LeadershipToken, Node};
use crate::proposer::{Outcome, ReplyTo};
use crate::stop::StopReason;
use crate::types::LogIndex;

const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const TICK_INTERVAL: Duration = Duration::from_secs(1);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(1);

struct LeaderTask {
    node: Arc<Node>,
    /// The announcement that is under way or done, and its term.
    announced: Option<(u64, Option<oneshot::Receiver<Outcome>>)>,
    ticked_at: Instant,
    compared: Option<LogIndex>,
}

/// Starts the tasks of `node`; they end when it stops.
pub fn start(node: &Arc<Node>) {
    let task = LeaderTask {
        node: node.clone(),
        announced: None,
        ticked_at: Instant::now(),
        compared: None,
    };
    tokio::spawn(task.run());
    tokio::spawn(housekeeping(node.clone()));
    tokio::spawn(end_with_stop(node.clone()));
}

impl LeaderTask {
    async fn run(mut self) {
        let mut server = self.node.raft.server_metrics();
        let mut mark = self.node.state.leader_mark.subscribe();
        let mut stop = self.node.stop.watch();
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.borrow_and_update().is_none() {
            self.look();
            tokio::select! {
                changed = server.changed() => if changed.is_err() { break },
                changed = mark.changed() => if changed.is_err() { break },
                _ = stop.changed() => {}
                _ = look.tick() => {}
            }
        }
        self.node.leadership.send_replace(Leadership::default());
    }

    fn look(&mut self) {
        let server = self.node.server_metrics();
        let membership = server.membership_config.membership();
        let leader =
            server.current_leader.and_then(|id| Some((id, membership.get_node(&id)?.addr.clone())));
        let term = server.vote.leader_id.term;
        let leads = server.state == ServerState::Leader && server.vote.committed;
        let established = if leads {
            self.announce(term);
            let only_voter = membership.voter_ids().eq([self.node.config.node_id]);
            self.token(term).filter(|_| only_voter || self.is_confirmed())
        } else {
            self.announced = None;
            None
        };
        let now = Leadership { leader, term, established };
        self.node.leadership.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                if known.established != now.established {
                    tracing::info!(
                        term,
                        established = now.established.is_some(),
                        "leadership of this node"
                    );
                }
                *known = now;
            }
            changed
        });
        if established.is_some() && self.ticked_at.elapsed() >= TICK_INTERVAL {
            self.ticked_at = Instant::now();
            self.tick(term);
        }
    }

    /// Proposes `LeaderStarted` once per term, again if that was refused.
    fn announce(&mut self, term: u64) {
        if let Some((announced, answer)) = &mut self.announced
            && *announced == term
        {
            match answer.as_mut().map(oneshot::Receiver::try_recv) {
                Some(Ok(Outcome::Item(_))) => {
                    *answer = None;
                    return;
                }
                Some(Err(oneshot::error::TryRecvError::Empty)) | None => return,
                Some(Ok(_) | Err(oneshot::error::TryRecvError::Closed)) => {}
            }
        }
        let (waiter, answer) = oneshot::channel();
        let started =
            pb::LeaderStarted { node_id: self.node.config.node_id, boot_id: self.node.boot_id };
        self.node.proposer.submit(
            Kind::LeaderStarted(started),
            Some(term),
            ReplyTo::Waiter(waiter),
        );
        self.announced = Some((term, Some(answer)));
    }

    fn token(&self, term: u64) -> Option<LeadershipToken> {
        let mark = (*self.node.state.leader_mark.borrow())?;
        let own = mark.boot_id == self.node.boot_id && mark.term == term;
        own.then_some(LeadershipToken { term, boot_id: mark.boot_id, index: mark.index })
    }

    fn is_confirmed(&self) -> bool {
        let data = self.node.raft.data_metrics();
        let acknowledged = data.borrow_watched().last_quorum_acked;
        acknowledged.is_some_and(|at| at.elapsed() < self.node.config.election_max)
    }

    fn tick(&mut self, term: u64) {
        let proposer = &self.node.proposer;
        proposer.submit(Kind::Tick(pb::Empty {}), Some(term), ReplyTo::Nobody);
        if let Some((index, hash)) = self.node.state.hash_after(self.compared) {
            self.compared = Some(index);
            let checkpoint = pb::Checkpoint { index, hash: hash.to_bytes().to_vec().into() };
            proposer.submit(Kind::Checkpoint(checkpoint), Some(term), ReplyTo::Nobody);
        }
    }
}

/// Snapshots when enough bytes are newer than the last one, purges when enough are behind it.
async fn housekeeping(node: Arc<Node>) {
    let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = node.stop.watch();
    while stop.borrow_and_update().is_none() {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stop.changed() => continue,
        }
        let metrics = node.raft.metrics().borrow_watched().clone();
        if let Err(fatal) = &metrics.running_state {
            node.stop.stop(StopReason::Raft(fatal.to_string()));
            return;
        }
        let snapshot = metrics.snapshot.map(|id| id.index);
        let has_more = metrics.last_applied.map(|id| id.index) > snapshot;
        let mut result = Ok(());
        if has_more && node.wal.bytes_after(snapshot) > node.config.snapshot_bytes {
            result = node.raft.trigger().snapshot().await;
        }
        let purged = metrics.purged.map(|id| id.index);
        let retain = node.config.retain_bytes;
        let point = node.wal.purge_point(retain).min(snapshot);
        // Not for every few entries: each purge costs a sync.
        let is_worth = node.wal.bytes_after(purged) > retain + retain / 4;
        if let Some(point) = point.filter(|_| is_worth && point > purged)
            && result.is_ok()
        {
            result = node.raft.trigger().purge_log(point).await;
        }
        if let Err(fatal) = result {
            node.stop.stop(StopReason::Raft(fatal.to_string()));
            return;
        }
    }
}

/// A part that failed stops consensus, so that nothing is acknowledged any more.
async fn end_with_stop(node: Arc<Node>) {
    let mut stop = node.stop.watch();
    if stop.wait_for(Option::is_some).await.is_ok()
        && let Err(error) = node.raft.shutdown().await
    {
        tracing::warn!(%error, "consensus did not end in order");
    }
}
