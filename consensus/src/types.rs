//! **Purpose**: the types with which openraft is instantiated, once, in this crate.
//!
//! **Invariants**
//! - None of these types reaches the disc or the wire: `codec` converts to own messages.
//! - `leader_id_std`: at most one leader per term, so a term identifies a leadership.
//!
//! **Source**: openraft 0.10.0-alpha.37, `RaftTypeConfig`.

use std::fmt;

use bytes::Bytes;

/// Index of a log entry. The first entry has index 0.
pub type LogIndex = u64;
/// Identity of a pool node, unique for the life of the cluster.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// The one instantiation of openraft.
    pub Types:
        D = EncodedBatch,
        R = Replies,
        NodeId = u64,
        Node = openraft::BasicNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

/// The payload of an entry: an encoded `hesper.raft.Batch`, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedBatch(pub Bytes);

impl fmt::Debug for EncodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} B", self.0.len())
    }
}

impl fmt::Display for EncodedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry answers: one outcome per item of its batch.
#[derive(Clone, Debug, Default)]
pub struct Replies(pub Vec<ItemOutcome>);

/// How one item of a batch ended. Equal on every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    /// Executed now, or executed before at `index` and answered again from the session's replies.
    Applied {
        /// The entry in which it was executed.
        index: LogIndex,
        /// What the machine answered.
        reply: Bytes,
    },
    /// The session is unknown or expired; the request was not executed.
    SessionExpired,
    /// The sequence number lies below the window of kept replies; not executed now.
    SequenceTooOld,
    /// Executed before, but its reply was too large to keep.
    ReplyNotKept,
    /// The cluster has as many sessions as it can keep.
    TooManySessions,
}

pub type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
pub type CommittedLeaderId = openraft::vote::leader_id_std::CommittedLeaderId<u64>;
pub type LogId = openraft::LogId<CommittedLeaderId>;
pub type Vote = openraft::impls::Vote<LeaderId>;
pub type Payload = openraft::EntryPayload<EncodedBatch, u64, openraft::BasicNode>;
pub type Entry = openraft::Entry<CommittedLeaderId, Payload>;
pub type Membership = openraft::Membership<u64, openraft::BasicNode>;
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, openraft::BasicNode>;
pub type SnapshotMeta =
    openraft::storage::SnapshotMeta<CommittedLeaderId, u64, openraft::BasicNode>;
pub type Snapshot = openraft::storage::Snapshot<
    CommittedLeaderId,
    u64,
    openraft::BasicNode,
    crate::state::SnapshotDir,
>;
