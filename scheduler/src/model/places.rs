//! Rows of what work runs on and of what it makes: executors, sectors, manifests.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::{
    AttemptToken, Digest, ExecutorId, FileEntry, Inventory, JobId, ProofType, Stage, StoragePath,
    UnixMillis,
};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ExecutorRow {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub owner: String,
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
    #[n(11)]
    pub liveness: Liveness,
    #[n(12)]
    pub admission: Admission,
    #[n(13)]
    pub admission_reason: String,
    /// Consecutive attempts that the executor could not even begin.
    #[n(14)]
    pub suspicion: u32,
    /// Runs only tasks of its own owner.
    #[n(15)]
    pub owner_only: bool,
    #[n(16)]
    pub registered_at: UnixMillis,
    /// It came back with less than its leases hold; nothing new is granted until that fits again.
    #[n(17)]
    pub shrunk: bool,
    /// The job of the last attempt that could not begin: one bad job is no evidence.
    #[n(18)]
    pub suspect_job: Option<JobId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Liveness {
    /// `awaiting` is set when a new leader began: the session must be opened again within the
    /// grace period counted from then.
    #[n(0)]
    Connected {
        #[n(0)]
        awaiting: Option<UnixMillis>,
    },
    #[n(1)]
    Disconnected {
        #[n(0)]
        since: UnixMillis,
    },
    #[n(2)]
    Lost {
        #[n(0)]
        since: UnixMillis,
    },
}

impl Liveness {
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected { .. } => "connected",
            Self::Disconnected { .. } => "disconnected",
            Self::Lost { .. } => "lost",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Admission {
    #[n(0)]
    Open,
    /// Nothing new is granted; running work goes on.
    #[n(1)]
    Cordoned,
    /// As cordoned, with the intent to stop the executor when it is empty.
    #[n(2)]
    Draining,
}

impl Admission {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
        }
    }
}

/// The current result of a stage: only an applied command makes a manifest current.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    #[n(0)]
    pub token: AttemptToken,
    /// Executors that hold the directory.
    #[n(1)]
    pub executors: Vec<ExecutorId>,
    #[n(2)]
    pub files: Vec<FileEntry>,
    #[n(3)]
    pub values: BTreeMap<String, String>,
    /// The directories were collected after a later stage made them unnecessary.
    #[n(4)]
    pub collected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SectorRow {
    #[n(0)]
    pub owner: String,
    #[n(1)]
    pub proof: ProofType,
    /// The last job that sealed or unsealed it.
    #[n(2)]
    pub job: JobId,
    /// The last committed stage.
    #[n(3)]
    pub stage: Option<Stage>,
    /// Current manifests, by stage.
    #[n(4)]
    pub manifests: BTreeMap<Stage, Manifest>,
    /// ticket, seed, comm_d, comm_r, proof and the like, as the stages made them.
    #[n(5)]
    pub values: BTreeMap<String, String>,
    #[n(6)]
    pub piece: Piece,
    #[n(7)]
    pub created_at: UnixMillis,
}

impl SectorRow {
    /// Bytes of the files that its current manifests name, on every executor that holds them.
    pub fn bytes(&self) -> u64 {
        self.manifests
            .values()
            .filter(|manifest| !manifest.collected)
            .map(|manifest| {
                let files =
                    manifest.files.iter().fold(0u64, |sum, file| sum.saturating_add(file.length));
                let copies = u64::try_from(manifest.executors.len()).unwrap_or(u64::MAX);
                files.saturating_mul(copies)
            })
            .fold(0, u64::saturating_add)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Piece {
    #[n(0)]
    pub blake3: Digest,
    #[n(1)]
    pub length: u64,
    /// The executor whose blob store holds it.
    #[n(2)]
    pub executor: ExecutorId,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MinerRow {
    #[n(0)]
    pub owner: String,
    /// The highest sector number given out.
    #[n(1)]
    pub last_sector: u64,
}
