//! **Purpose**: changes of the membership, asked on any node and made by the leader.
//!
//! **Invariants**: a node becomes a voter only after it has the log nearly to its end as a learner, so
//! that a change never leaves the cluster waiting for a node that is far behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hesper_protos::raft as pb;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers};
use pb::membership_reply::Outcome;
use pb::membership_request::Change;
use tokio::time::Instant;

use crate::error::MembershipError;
use crate::network::Lane;
use crate::node::Node;
use crate::types::{NodeId, Types};

const CHANGE_LIMIT: Duration = Duration::from_secs(120);
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A learner that lacks no more entries than this may vote.
const LAG_MAX: u64 = 1000;

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub address: String,
    pub is_voter: bool,
}

pub fn list(node: &Node) -> Vec<Member> {
    let server = node.server_metrics();
    let membership = server.membership_config.membership();
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let member = |(id, node): (&NodeId, &BasicNode)| Member {
        id: *id,
        address: node.addr.clone(),
        is_voter: voters.contains(id),
    };
    membership.nodes().map(member).collect()
}

/// Has the leader make `change`.
pub async fn change(node: &Arc<Node>, change: Change) -> Result<(), MembershipError> {
    let end = Instant::now() + CHANGE_LIMIT;
    let request = pb::MembershipRequest { change: Some(change) };
    loop {
        if let Some(reason) = node.stop.reason() {
            return Err(MembershipError::Stopped(reason.to_string()));
        }
        let mut leadership = node.leadership.subscribe();
        let known = tokio::time::timeout_at(end, leadership.wait_for(|l| l.leader.is_some())).await;
        let leader = known.ok().and_then(Result::ok).and_then(|l| l.leader.clone());
        let Some((leader, address)) = leader else {
            return Err(MembershipError::NoLeader);
        };
        let outcome = if leader == node.config.node_id {
            change_as_leader(node, request.clone()).await
        } else {
            ask(node, leader, &address, request.clone()).await?
        };
        match outcome {
            Outcome::Done(_) => return Ok(()),
            Outcome::Refused(reason) => return Err(MembershipError::Refused(reason)),
            Outcome::NotLeader(_) if Instant::now() >= end => {
                return Err(MembershipError::NoLeader);
            }
            Outcome::NotLeader(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

async fn ask(
    node: &Node,
    leader: NodeId,
    address: &str,
    request: pb::MembershipRequest,
) -> Result<Outcome, MembershipError> {
    let refused = |reason: String| MembershipError::Refused(reason);
    let mut client =
        node.peers.client(leader, address, Lane::Forward).map_err(|e| refused(e.to_string()))?;
    let answered =
        tokio::time::timeout(CHANGE_LIMIT, client.change_membership(node.peers.request(request)))
            .await;
    let reply = answered
        .map_err(|_| refused(format!("node {leader} did not answer within {CHANGE_LIMIT:?}")))?
        .map_err(|status| refused(status.to_string()))?;
    reply.into_inner().outcome.ok_or_else(|| refused("the leader's answer cannot be read".into()))
}

type WriteError = RaftError<Types, ClientWriteError<Types>>;

fn outcome_of<T>(result: Result<T, WriteError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done(pb::Empty {}),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            let address = forward.leader_node.map(|node| node.addr).unwrap_or_default();
            Outcome::NotLeader(pb::LeaderHint { node_id: forward.leader_id.unwrap_or(0), address })
        }
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

/// Makes a change, if this node is the leader.
pub async fn change_as_leader(node: &Node, request: pb::MembershipRequest) -> Outcome {
    match request.change {
        Some(Change::AddLearner(learner)) => outcome_of(
            node.raft.add_learner(learner.id, BasicNode { addr: learner.address }, false).await,
        ),
        Some(Change::ChangeVoters(voters)) => {
            let voters: BTreeSet<NodeId> = voters.ids.into_iter().collect();
            if let Err(error) = wait_for_voters(node, &voters).await {
                return Outcome::Refused(error.to_string());
            }
            outcome_of(node.raft.change_membership(voters, true).await)
        }
        Some(Change::AddVoter(id)) => {
            if let Err(error) = wait_for_voters(node, &BTreeSet::from([id])).await {
                return Outcome::Refused(error.to_string());
            }
            let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
            outcome_of(node.raft.change_membership(change, true).await)
        }
        Some(Change::RemoveNode(id)) => {
            let server = node.server_metrics();
            let is_voter =
                server.membership_config.membership().voter_ids().any(|voter| voter == id);
            let change = if is_voter {
                ChangeMembers::RemoveVoters(BTreeSet::from([id]))
            } else {
                ChangeMembers::RemoveNodes(BTreeSet::from([id]))
            };
            outcome_of(node.raft.change_membership(change, false).await)
        }
        Some(Change::TransferLeader(id)) => transfer(node, id).await,
        None => Outcome::Refused("the request names no change; upgrade the older node".into()),
    }
}

async fn transfer(node: &Node, id: NodeId) -> Outcome {
    let server = node.server_metrics();
    if !server.membership_config.membership().voter_ids().any(|voter| voter == id) {
        return Outcome::Refused(format!("node {id} is no voter"));
    }
    match node.raft.trigger().transfer_leader(id).await {
        Ok(()) => Outcome::Done(pb::Empty {}),
        Err(fatal) => Outcome::Refused(fatal.to_string()),
    }
}

async fn wait_for_voters(node: &Node, voters: &BTreeSet<NodeId>) -> Result<(), MembershipError> {
    let end = Instant::now() + CATCH_UP_LIMIT;
    for id in voters {
        loop {
            let metrics = node.raft.metrics().borrow_watched().clone();
            let membership = metrics.membership_config.membership();
            if membership.get_node(id).is_none() {
                return Err(MembershipError::Unknown(*id));
            }
            // Not the leader any more: the change itself will say so.
            let Some(replication) = &metrics.replication else {
                return Ok(());
            };
            let matched = replication.get(id).and_then(|id| id.as_ref()).map(|id| id.index);
            let is_old = membership.voter_ids().any(|voter| voter == *id);
            let next = matched.map_or(0, |index| index + 1);
            let last = metrics.last_log_index;
            if is_old || last.map_or(0, |index| index + 1) <= next + LAG_MAX && matched.is_some() {
                break;
            }
            if Instant::now() >= end {
                return Err(MembershipError::Behind { node: *id, matched, last });
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
    Ok(())
}
