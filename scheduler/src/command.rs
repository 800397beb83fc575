//! Commands: imperative, numbered, with all their inputs. Append-only: a number is never reused.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::model::{
    Admission, ConfigurationChange, DependencyKind, ExecutorId, Inventory, JobId, JobSpec, Kernels,
    OwnerLimits, Piece, ProofType, Report, SectorId, Stage, StoragePath, TaskId, WidthBound,
};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    #[n(0)]
    SubmitJob(#[n(0)] JobSpec),
    #[n(1)]
    SubmitGraph(#[n(0)] SubmitGraph),
    #[n(2)]
    SealSector(#[n(0)] SealSector),
    #[n(3)]
    Prove(#[n(0)] Prove),
    #[n(4)]
    Unseal(#[n(0)] SectorId),
    #[n(5)]
    CancelJob(#[n(0)] JobId),
    #[n(6)]
    RegisterExecutor(#[n(0)] RegisterExecutor),
    #[n(7)]
    ExecutorDisconnected(#[n(0)] ExecutorDisconnected),
    #[n(8)]
    SetAdmission(#[n(0)] SetAdmission),
    #[n(9)]
    Grant(#[n(0)] Vec<Grant>),
    #[n(10)]
    Report(#[n(0)] ReportBatch),
    #[n(11)]
    Configure(#[n(0)] ConfigurationChange),
    #[n(12)]
    SetOwnerLimits(#[n(0)] SetOwnerLimits),
}

impl Command {
    /// The bytes for the log.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("encoding into a vector does not fail")
    }

    /// # Errors
    /// The bytes are not a command that this version knows. A node must then stop: it cannot
    /// know what the others did.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }
}

/// Several jobs with edges between them, accepted together or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SubmitGraph {
    #[n(0)]
    pub jobs: Vec<JobSpec>,
    #[n(1)]
    pub edges: Vec<Edge>,
}

/// `jobs[job]` runs after `jobs[after]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Edge {
    #[n(0)]
    pub job: u32,
    #[n(1)]
    pub after: u32,
    #[n(2)]
    pub kind: DependencyKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SealSector {
    #[n(0)]
    pub miner: u64,
    /// `None`: the next free number of this miner.
    #[n(1)]
    pub number: Option<u64>,
    #[n(2)]
    pub proof: ProofType,
    #[n(3)]
    pub piece: Piece,
    /// Hex, 32 bytes; `None`: derived, development only.
    #[n(4)]
    pub ticket: Option<String>,
    #[n(5)]
    pub seed: Option<String>,
    /// `None`: to the end.
    #[n(6)]
    pub stop_after: Option<Stage>,
    #[n(7)]
    pub priority: i32,
    /// `None`: our own.
    #[n(8)]
    pub kernels: Option<Kernels>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Prove {
    #[n(0)]
    pub kind: ProveKind,
    #[n(1)]
    pub miner: u64,
    #[n(2)]
    pub sectors: Vec<u64>,
    /// Hex, 32 bytes.
    #[n(3)]
    pub randomness: String,
    #[n(4)]
    pub priority: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ProveKind {
    #[n(0)]
    Winning,
    #[n(1)]
    Window,
}

/// An executor opened a session.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RegisterExecutor {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub owner: String,
    /// New at each start of the agent.
    #[n(2)]
    pub incarnation: u64,
    #[n(3)]
    pub supervisor_boot_id: String,
    #[n(4)]
    pub machine_boot_id: String,
    #[n(5)]
    pub inventory: Inventory,
    #[n(6)]
    pub paths: Vec<StoragePath>,
    #[n(7)]
    pub address: String,
    #[n(8)]
    pub capabilities: Vec<String>,
    #[n(9)]
    pub notes: Vec<String>,
    #[n(10)]
    pub verifying_key_digests: BTreeMap<String, String>,
    /// Attempts that the supervisor still runs or has unreported results of.
    #[n(11)]
    pub held_tokens: Vec<crate::model::AttemptToken>,
    #[n(12)]
    pub owner_only: bool,
}

/// The session of this incarnation ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ExecutorDisconnected {
    #[n(0)]
    pub executor: ExecutorId,
    #[n(1)]
    pub incarnation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SetAdmission {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub admission: Admission,
    #[n(2)]
    pub reason: String,
}

/// Replaces the limits of one owner.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SetOwnerLimits {
    #[n(0)]
    pub owner: String,
    #[n(1)]
    pub limits: OwnerLimits,
}

/// An assignment that the planner proposes; checked again when it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    #[n(0)]
    pub executor: ExecutorId,
    /// 1..n tasks: chained tasks of one array, or stages that run in lockstep.
    #[n(1)]
    pub tasks: Vec<TaskId>,
    /// The tasks are PC1 and label in lockstep in one process, which is charged as one; this
    /// bounded their number.
    #[n(2)]
    pub width: Option<WidthBound>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ReportBatch {
    #[n(0)]
    pub executor: ExecutorId,
    #[n(1)]
    pub incarnation: u64,
    /// With their numbers in the executor's outbox, ascending.
    #[n(2)]
    pub reports: Vec<NumberedReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NumberedReport {
    #[n(0)]
    pub sequence: u64,
    #[n(1)]
    pub report: Report,
}
