//! **Purpose**: between openraft's types and the messages of `hesper.raft`, which are the only form
//! on the wire and on disc.
//!
//! **Invariants**: conversion from a message is checked; nothing is assumed of a peer or a file.

use std::collections::{BTreeMap, BTreeSet};

use hesper_protos::raft as pb;
use openraft::BasicNode;

use crate::types::{
    CommittedLeaderId, EncodedBatch, Entry, LogId, Membership, Payload, StoredMembership, Vote,
};

/// A message that lacks something or contradicts itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error(
        "message `{message}` lacks field `{field}`; the sender runs another format, upgrade the older node"
    )]
    Missing { message: &'static str, field: &'static str },
    #[error("membership is not valid: {reason}")]
    Membership { reason: String },
}

pub fn required<T>(
    value: Option<T>,
    message: &'static str,
    field: &'static str,
) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { message, field })
}

pub fn log_id_to_pb(id: &LogId) -> pb::LogId {
    pb::LogId { term: id.leader_id.term, index: id.index }
}

pub fn log_id_from_pb(id: &pb::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term), id.index)
}

pub fn vote_to_pb(vote: &Vote) -> pb::Vote {
    pb::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.voted_for,
        committed: vote.committed,
    }
}

pub fn vote_from_pb(vote: &pb::Vote) -> Vote {
    if vote.committed {
        Vote::new_committed(vote.term, vote.node_id)
    } else {
        Vote::new(vote.term, vote.node_id)
    }
}

pub fn membership_to_pb(membership: &Membership) -> pb::Membership {
    pb::Membership {
        configs: membership
            .get_joint_config()
            .iter()
            .map(|set| pb::VoterSet { ids: set.iter().copied().collect() })
            .collect(),
        nodes: membership
            .nodes()
            .map(|(id, node)| pb::Node { id: *id, address: node.addr.clone() })
            .collect(),
    }
}

pub fn membership_from_pb(membership: &pb::Membership) -> Result<Membership, DecodeError> {
    let configs: Vec<BTreeSet<u64>> =
        membership.configs.iter().map(|set| set.ids.iter().copied().collect()).collect();
    let nodes: BTreeMap<u64, BasicNode> = membership
        .nodes
        .iter()
        .map(|node| (node.id, BasicNode { addr: node.address.clone() }))
        .collect();
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|e| DecodeError::Membership { reason: e.to_string() })
}

pub fn stored_membership_to_pb(stored: &StoredMembership) -> pb::StoredMembership {
    pb::StoredMembership {
        log_id: stored.log_id().as_ref().map(log_id_to_pb),
        membership: Some(membership_to_pb(stored.membership())),
    }
}

pub fn stored_membership_from_pb(
    stored: &pb::StoredMembership,
) -> Result<StoredMembership, DecodeError> {
    let membership = required(stored.membership.as_ref(), "StoredMembership", "membership")?;
    Ok(StoredMembership::new(
        stored.log_id.as_ref().map(log_id_from_pb),
        membership_from_pb(membership)?,
    ))
}

pub fn entry_to_pb(entry: &Entry) -> pb::Entry {
    use pb::entry::Payload as Wire;
    pb::Entry {
        term: entry.log_id.leader_id.term,
        index: entry.log_id.index,
        payload: Some(match &entry.payload {
            Payload::Blank => Wire::Blank(pb::Empty {}),
            Payload::Normal(batch) => Wire::Batch(batch.0.clone()),
            Payload::Membership(membership) => Wire::Membership(membership_to_pb(membership)),
        }),
    }
}

pub fn entry_from_pb(entry: pb::Entry) -> Result<Entry, DecodeError> {
    use pb::entry::Payload as Wire;
    let log_id = LogId::new(CommittedLeaderId::new(entry.term), entry.index);
    let payload = match required(entry.payload, "Entry", "payload")? {
        Wire::Blank(_) => Payload::Blank,
        Wire::Batch(bytes) => Payload::Normal(EncodedBatch(bytes)),
        Wire::Membership(membership) => Payload::Membership(membership_from_pb(&membership)?),
    };
    Ok(Entry { log_id, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_the_round_trip() {
        let membership = Membership::new(
            vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
            BTreeMap::from([1, 2, 3, 4].map(|id| (id, BasicNode { addr: format!("h{id}:1") }))),
        )
        .expect("a valid membership");
        for payload in [
            Payload::Blank,
            Payload::Normal(EncodedBatch(bytes::Bytes::from_static(b"abc"))),
            Payload::Membership(membership),
        ] {
            let entry = Entry { log_id: LogId::new(CommittedLeaderId::new(7), 9), payload };
            let back = entry_from_pb(entry_to_pb(&entry)).expect("own message");
            assert_eq!(back.log_id, entry.log_id);
            assert_eq!(back.payload, entry.payload);
        }
    }

    #[test]
    fn an_entry_without_a_payload_is_refused() {
        let error =
            entry_from_pb(pb::Entry { term: 1, index: 1, payload: None }).expect_err("no payload");
        assert_eq!(error, DecodeError::Missing { message: "Entry", field: "payload" });
    }

    #[test]
    fn a_voter_without_an_address_is_refused() {
        let membership =
            pb::Membership { configs: vec![pb::VoterSet { ids: vec![1] }], nodes: vec![] };
        assert!(matches!(membership_from_pb(&membership), Err(DecodeError::Membership { .. })));
    }
}
