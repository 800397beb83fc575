//! Replies: what a command did, or why it was refused.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::model::{AttemptToken, ExecutorId, JobId, LeaseId, SectorId, TaskId};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// `SubmitJob`, `Prove`, `Unseal`.
    #[n(0)]
    Submitted {
        #[n(0)]
        job: JobId,
    },
    #[n(1)]
    GraphSubmitted {
        #[n(0)]
        jobs: Vec<JobId>,
    },
    #[n(2)]
    Sealing {
        #[n(0)]
        job: JobId,
        #[n(1)]
        sector: SectorId,
    },
    #[n(3)]
    Cancelled {
        #[n(0)]
        already_ended: bool,
    },
    #[n(4)]
    Registered {
        #[n(0)]
        executor: ExecutorId,
    },
    #[n(5)]
    Granted {
        #[n(0)]
        leases: Vec<LeaseId>,
        #[n(1)]
        refused: Vec<RefusedGrant>,
    },
    /// Everything up to `through` is durable and need not be sent again.
    #[n(6)]
    Reported {
        #[n(0)]
        through: u64,
        /// Reports of attempts that are no longer known or current: not applied.
        #[n(1)]
        stale: Vec<AttemptToken>,
    },
    /// `ExecutorDisconnected`, `SetAdmission`, `Configure`.
    #[n(7)]
    Done,
    #[n(8)]
    Rejected(#[n(0)] Rejected),
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("encoding into a vector does not fail")
    }

    /// # Errors
    /// The bytes are not a reply that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }
}

/// A proposed grant that no longer held when it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RefusedGrant {
    /// Position in the command.
    #[n(0)]
    pub grant: u32,
    #[n(1)]
    pub reason: GrantRefusal,
}

#[derive(Debug, Clone, PartialEq, Eq, Error, Encode, Decode)]
pub enum GrantRefusal {
    #[n(0)]
    #[error("task {task} is not ready")]
    NotReady {
        #[n(0)]
        task: TaskId,
    },
    #[n(1)]
    #[error("executor {executor} is not connected and open, or does not serve this owner")]
    Unavailable {
        #[n(0)]
        executor: ExecutorId,
    },
    #[n(2)]
    #[error("executor {executor} has {available} {resource} free, the group needs {needed}")]
    NoRoom {
        #[n(0)]
        executor: ExecutorId,
        #[n(1)]
        resource: String,
        #[n(2)]
        needed: u64,
        #[n(3)]
        available: u64,
    },
    #[n(3)]
    #[error("a group has 1 to {max} different tasks, this one has {count}")]
    BadGroup {
        #[n(0)]
        count: u32,
        #[n(1)]
        max: u32,
    },
    #[n(4)]
    #[error("the job already has as many tasks running as it allows")]
    Throttled,
    #[n(5)]
    #[error("quota of user {owner}: {used} of {max} {what} in use, the group needs {needed}")]
    Quota {
        #[n(0)]
        owner: String,
        #[n(1)]
        what: String,
        #[n(2)]
        needed: u64,
        #[n(3)]
        used: u64,
        #[n(4)]
        max: u64,
    },
    #[n(6)]
    #[error("user {owner} is disabled")]
    OwnerHeld {
        #[n(0)]
        owner: String,
    },
}

/// Why a command was not carried out. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error, Encode, Decode)]
pub enum Rejected {
    #[n(0)]
    #[error("`{principal}` may not {action}; ask its owner or an administrator")]
    NotAllowed {
        #[n(0)]
        principal: String,
        #[n(1)]
        action: String,
    },
    #[n(1)]
    #[error("there is no job {job}; `hesper job list` shows those that exist")]
    UnknownJob {
        #[n(0)]
        job: JobId,
    },
    #[n(2)]
    #[error("job {job} is older than the history, which begins at job {floor}")]
    JobExpired {
        #[n(0)]
        job: JobId,
        #[n(1)]
        floor: JobId,
    },
    #[n(3)]
    #[error("job {job} has no task {task}; `hesper job show {job}` lists its tasks")]
    UnknownTask {
        #[n(0)]
        job: JobId,
        #[n(1)]
        task: u32,
    },
    #[n(4)]
    #[error("there is no executor `{name}`; `hesper executor list` shows those that exist")]
    UnknownExecutor {
        #[n(0)]
        name: String,
    },
    #[n(5)]
    #[error("there is no sector {sector}; `hesper sector list` shows those that exist")]
    UnknownSector {
        #[n(0)]
        sector: SectorId,
    },
    #[n(6)]
    #[error(
        "the queue holds {queued} {what} and takes at most {limit}; {adding} more do not fit: \
         wait until some have ended, or raise the limit"
    )]
    QueueFull {
        #[n(0)]
        what: String,
        #[n(1)]
        queued: u64,
        #[n(2)]
        adding: u64,
        #[n(3)]
        limit: u64,
    },
    #[n(7)]
    #[error(
        "the job is to run after job {dependency}, which does not exist (the last one is {last}); \
         a job can only follow jobs that were submitted before it"
    )]
    UnknownDependency {
        #[n(0)]
        dependency: JobId,
        #[n(1)]
        last: JobId,
    },
    #[n(8)]
    #[error("the jobs {names} wait for each other in a circle; remove one of these edges")]
    Cycle {
        #[n(0)]
        names: String,
    },
    #[n(9)]
    #[error("`{field}` {problem}")]
    BadField {
        #[n(0)]
        field: String,
        #[n(1)]
        problem: String,
    },
    #[n(10)]
    #[error(
        "the piece has {length} bytes, a sector of {proof} takes at most {max}; \
         use a larger sector or a smaller piece"
    )]
    PieceTooLarge {
        #[n(0)]
        length: u64,
        #[n(1)]
        proof: String,
        #[n(2)]
        max: u64,
    },
    #[n(11)]
    #[error("sector {sector} exists already (job {job}): {problem}")]
    SectorExists {
        #[n(0)]
        sector: SectorId,
        #[n(1)]
        job: JobId,
        #[n(2)]
        problem: String,
    },
    #[n(12)]
    #[error("sector {sector} is not sealed yet: {missing}; seal it to the end first")]
    SectorNotReady {
        #[n(0)]
        sector: SectorId,
        #[n(1)]
        missing: String,
    },
    #[n(13)]
    #[error("miner {miner} belongs to `{owner}`")]
    MinerOwned {
        #[n(0)]
        miner: u64,
        #[n(1)]
        owner: String,
    },
    #[n(14)]
    #[error(
        "an executor named `{name}` is connected from another machine or data directory; \
         stop it, or enrol this one under another name"
    )]
    IdentityInUse {
        #[n(0)]
        name: String,
    },
    #[n(15)]
    #[error("the executor `{name}` belongs to `{owner}`; enrol this one under another name")]
    ExecutorOwned {
        #[n(0)]
        name: String,
        #[n(1)]
        owner: String,
    },
    #[n(16)]
    #[error(
        "executor `{name}` has the verifying key {theirs} for {parameter}, the cluster uses \
         {cluster}; install the cluster's parameters on that executor"
    )]
    VerifyingKeyMismatch {
        #[n(0)]
        name: String,
        #[n(1)]
        parameter: String,
        #[n(2)]
        theirs: String,
        #[n(3)]
        cluster: String,
    },
    #[n(17)]
    #[error(
        "incarnation {incarnation} of executor {executor} is not the registered one; register first"
    )]
    StaleIncarnation {
        #[n(0)]
        executor: ExecutorId,
        #[n(1)]
        incarnation: u64,
    },
    #[n(18)]
    #[error(
        "{what}: {count} is more than the {limit} that one command may carry; send it in parts"
    )]
    TooLarge {
        #[n(0)]
        what: String,
        #[n(1)]
        count: u64,
        #[n(2)]
        limit: u64,
    },
    #[n(19)]
    #[error(
        "quota of user {owner}: {used} of {max} {what} in use, {adding} more do not fit; wait \
         until some are free, or let an administrator raise it with `hesper auth quota set`"
    )]
    QuotaExceeded {
        #[n(0)]
        owner: String,
        #[n(1)]
        what: String,
        #[n(2)]
        used: u64,
        #[n(3)]
        max: u64,
        #[n(4)]
        adding: u64,
    },
    #[n(20)]
    #[error(
        "user {owner} is disabled; let an administrator enable it with `hesper auth user enable`"
    )]
    OwnerHeld {
        #[n(0)]
        owner: String,
    },
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    After { millis: u64 },
    GiveUp,
}

impl Rejected {
    pub fn retry(&self) -> Retry {
        match self {
            Self::QueueFull { .. } | Self::QuotaExceeded { .. } => Retry::After { millis: 1_000 },
            // The old session may just not have been noticed dead yet.
            Self::IdentityInUse { .. } => Retry::After { millis: 1_000 },
            Self::StaleIncarnation { .. } => Retry::After { millis: 100 },
            Self::SectorNotReady { .. } => Retry::After { millis: 1_000 },
            Self::NotAllowed { .. }
            | Self::UnknownJob { .. }
            | Self::JobExpired { .. }
            | Self::UnknownTask { .. }
            | Self::UnknownExecutor { .. }
            | Self::UnknownSector { .. }
            | Self::UnknownDependency { .. }
            | Self::Cycle { .. }
            | Self::BadField { .. }
            | Self::PieceTooLarge { .. }
            | Self::SectorExists { .. }
            | Self::MinerOwned { .. }
            | Self::ExecutorOwned { .. }
            | Self::VerifyingKeyMismatch { .. }
            | Self::TooLarge { .. }
            | Self::OwnerHeld { .. } => Retry::GiveUp,
        }
    }
}
