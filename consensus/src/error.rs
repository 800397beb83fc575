//! **Purpose**: what can go wrong for a caller, by what the caller can do about it.

use std::time::Duration;

use crate::state::ApplyError;
use crate::stop::StopReason;
use crate::types::{LogIndex, NodeId};
use crate::wal::WalError;

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Now,
    After(Duration),
    /// Ask another node.
    Elsewhere,
    GiveUp,
    StopNode,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "could not {action} `{path}`: {source}; check the directory's permissions and the disc"
    )]
    Files {
        action: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "data directory `{path}` is in use by another process; stop that one or choose another directory"
    )]
    InUse { path: String },
    #[error(
        "data directory `{path}` belongs to cluster `{found}`, this node is to join `{wanted}`; \
         choose an empty directory"
    )]
    OtherCluster { path: String, found: String, wanted: String },
    #[error(
        "data directory `{path}` belongs to node {found}, this is node {wanted}; correct the node id or the directory"
    )]
    OtherNode { path: String, found: NodeId, wanted: NodeId },
    #[error(
        "data directory `{path}` has format version {found}, this program knows up to {known}; \
         run the newer program again"
    )]
    NewerFormat { path: String, found: u32, known: u32 },
    #[error("`{path}` cannot be read: {reason}; restore it from a backup or join this node anew")]
    Identity { path: String, reason: String },
    #[error(transparent)]
    Log(#[from] WalError),
    #[error("could not open the state: {0}")]
    State(#[from] ApplyError),
    #[error("the configuration of consensus is not valid: {0}")]
    Config(String),
    #[error("consensus could not start: {0}")]
    Raft(String),
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("too many requests are waiting; try again in {} ms", retry_after.as_millis())]
    Busy { retry_after: Duration },
    #[error(
        "the command has {bytes} B, at most {bytes_max} B fit an entry; split it or pass the data beside the log"
    )]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the session is unknown or expired, the request was not executed; open a new session")]
    SessionExpired,
    #[error(
        "the sequence number is older than what the session remembers, the request was not executed now; look at the state, or use a higher one"
    )]
    SequenceTooOld,
    #[error(
        "the request was executed before, its reply was too large to keep; read the result from the state"
    )]
    ReplyNotKept,
    #[error(
        "the cluster has as many sessions as it can keep; close some or wait until idle ones expire"
    )]
    TooManySessions,
    #[error(
        "no leader was found in time, the request was not executed; see whether a majority of the nodes runs"
    )]
    NoLeader,
    #[error("this node is not the leader any more, the request was not executed")]
    NotLeader { leader: Option<NodeId> },
    #[error(
        "it is not known whether the request was executed: {reason}; repeat it in the same session or look at the state"
    )]
    Unknown { reason: String },
    #[error("the node stops: {reason}")]
    Stopped { reason: String },
}

impl ProposeError {
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy { retry_after } => Retry::After(*retry_after),
            Self::NoLeader => Retry::After(Duration::from_millis(200)),
            Self::NotLeader { .. } => Retry::Now,
            Self::Stopped { .. } => Retry::Elsewhere,
            Self::TooLarge { .. }
            | Self::SessionExpired
            | Self::SequenceTooOld
            | Self::ReplyNotKept
            | Self::TooManySessions
            | Self::Unknown { .. } => Retry::GiveUp,
        }
    }
}

/// Why a linearizable read was not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(
        "the leader could not be confirmed in time: {reason}; see whether a majority of the nodes runs"
    )]
    Unavailable { reason: String },
    #[error("the node stops: {0}")]
    Stopped(StopReason),
    #[error("the state could not be read: {0}")]
    Store(String),
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    #[error("no leader was found in time; see whether a majority of the nodes runs")]
    NoLeader,
    #[error("the change of membership was refused: {0}")]
    Refused(String),
    #[error("node {0} is not a member; add it as a learner first")]
    Unknown(NodeId),
    #[error(
        "node {node} did not catch up with the log in time (it has {matched:?}, the leader {last:?}); see whether it runs"
    )]
    Behind { node: NodeId, matched: Option<LogIndex>, last: Option<LogIndex> },
    #[error("this node already belongs to a cluster")]
    AlreadyInitialized,
    #[error("could not record the cluster in the data directory: {0}")]
    Identity(String),
    #[error("the node stops: {0}")]
    Stopped(String),
}
