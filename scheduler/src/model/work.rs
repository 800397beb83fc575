//! What a job does: a command (one or an array) or a graph of sealing and proving stages.

use std::collections::BTreeMap;
use std::fmt;

use minicbor::{Decode, Encode};

use super::{Demand, Digest, ExecutorId, JobId};

/// A user's submission, as it arrives in a command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct JobSpec {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub command: CommandWork,
    #[n(2)]
    pub array: Option<ArraySpec>,
    /// `cores` 0 counts as 1.
    #[n(3)]
    pub demand: Demand,
    #[n(4)]
    pub after: Vec<Dependency>,
    /// Higher runs first.
    #[n(5)]
    pub priority: i32,
    /// 0: none.
    #[n(6)]
    pub time_limit_ms: u64,
    /// 0: the configured default.
    #[n(7)]
    pub attempts_max: u32,
    /// Never run a second time once it may have started.
    #[n(8)]
    pub at_most_once: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct CommandWork {
    #[n(0)]
    pub program: String,
    #[n(1)]
    pub args: Vec<String>,
    #[n(2)]
    pub env: BTreeMap<String, String>,
    /// Empty: the attempt's own directory.
    #[n(3)]
    pub directory: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct ArraySpec {
    #[n(0)]
    pub ranges: Vec<Range>,
    /// 0: no limit.
    #[n(1)]
    pub running_max: u32,
}

/// Inclusive; `step` at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Range {
    #[n(0)]
    pub first: u32,
    #[n(1)]
    pub last: u32,
    #[n(2)]
    pub step: u32,
}

impl Range {
    /// Number of indexes in the range; the range is well formed.
    pub fn count(&self) -> u64 {
        u64::from(self.last - self.first) / u64::from(self.step) + 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Dependency {
    #[n(0)]
    pub job: JobId,
    #[n(1)]
    pub kind: DependencyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum DependencyKind {
    #[n(0)]
    AfterOk,
    #[n(1)]
    AfterAny,
    #[n(2)]
    AfterNotOk,
}

/// A typed kernel. The order is the order of the sealing pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Stage {
    #[n(0)]
    AddPiece,
    #[n(1)]
    TreeD,
    #[n(2)]
    Pc1,
    #[n(3)]
    Pc2,
    #[n(4)]
    C1,
    #[n(5)]
    C2,
    #[n(6)]
    Finalize,
    #[n(7)]
    Unseal,
    #[n(8)]
    WinningPost,
    #[n(9)]
    WindowPostVanilla,
    #[n(10)]
    WindowPostProve,
}

impl Stage {
    pub const ALL: [Self; 11] = [
        Self::AddPiece,
        Self::TreeD,
        Self::Pc1,
        Self::Pc2,
        Self::C1,
        Self::C2,
        Self::Finalize,
        Self::Unseal,
        Self::WinningPost,
        Self::WindowPostVanilla,
        Self::WindowPostProve,
    ];

    /// The name on the wire and in the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddPiece => "add_piece",
            Self::TreeD => "tree_d",
            Self::Pc1 => "pc1",
            Self::Pc2 => "pc2",
            Self::C1 => "c1",
            Self::C2 => "c2",
            Self::Finalize => "finalize",
            Self::Unseal => "unseal",
            Self::WinningPost => "winning_post",
            Self::WindowPostVanilla => "window_post_vanilla",
            Self::WindowPostProve => "window_post_prove",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sector size with interactive PoRep version 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ProofType {
    #[n(0)]
    Sector2KiB,
    #[n(1)]
    Sector8MiB,
    #[n(2)]
    Sector512MiB,
    #[n(3)]
    Sector32GiB,
    #[n(4)]
    Sector64GiB,
}

impl ProofType {
    pub const ALL: [Self; 5] = [
        Self::Sector2KiB,
        Self::Sector8MiB,
        Self::Sector512MiB,
        Self::Sector32GiB,
        Self::Sector64GiB,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sector2KiB => "2KiB",
            Self::Sector8MiB => "8MiB",
            Self::Sector512MiB => "512MiB",
            Self::Sector32GiB => "32GiB",
            Self::Sector64GiB => "64GiB",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|proof| proof.name() == name)
    }

    pub fn sector_bytes(self) -> u64 {
        match self {
            Self::Sector2KiB => 2 << 10,
            Self::Sector8MiB => 8 << 20,
            Self::Sector512MiB => 512 << 20,
            Self::Sector32GiB => 32 << 30,
            Self::Sector64GiB => 64 << 30,
        }
    }

    /// Bytes of a user's data that fit: 127 of every 128 (two bits of each 32 bytes are padding).
    pub fn piece_bytes_max(self) -> u64 {
        self.sector_bytes() / 128 * 127
    }

    /// SDR layers.
    pub fn layers(self) -> u32 {
        match self {
            Self::Sector2KiB | Self::Sector8MiB | Self::Sector512MiB => 2,
            Self::Sector32GiB | Self::Sector64GiB => 11,
        }
    }

    /// Sectors in one window PoSt partition.
    pub fn window_sectors(self) -> usize {
        match self {
            Self::Sector2KiB | Self::Sector8MiB | Self::Sector512MiB => 2,
            Self::Sector32GiB => 2349,
            Self::Sector64GiB => 2300,
        }
    }
}

impl fmt::Display for ProofType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose kernels run the stages of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Kernels {
    #[n(0)]
    Own,
    /// The proof library, for comparison.
    #[n(1)]
    Library,
}

impl Kernels {
    /// The name on the wire and in the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Library => "library",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Own, Self::Library].into_iter().find(|kernels| kernels.name() == name)
    }
}

/// What kind of job, for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum JobKind {
    #[n(0)]
    Command,
    #[n(1)]
    Seal,
    #[n(2)]
    Unseal,
    #[n(3)]
    WinningPost,
    #[n(4)]
    WindowPost,
}

impl JobKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Seal => "seal",
            Self::Unseal => "unseal",
            Self::WinningPost | Self::WindowPost => "proof",
        }
    }
}

/// The work of a job as stored: immutable after submission.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Work {
    #[n(0)]
    Command(#[n(0)] CommandWork),
    #[n(1)]
    Stages(#[n(0)] StageWork),
}

/// A directed acyclic graph of stages; task `i` is `nodes[i]`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StageWork {
    #[n(0)]
    pub kind: JobKind,
    #[n(1)]
    pub proof: ProofType,
    #[n(2)]
    pub miner: u64,
    /// The sector of a seal or unseal job; 0 for proofs over several sectors.
    #[n(3)]
    pub sector: u64,
    /// Nodes in topological order: an edge always points to a lower number.
    #[n(4)]
    pub nodes: Vec<StageNode>,
    /// Values of the job itself (randomness); the sector's values come from its row.
    #[n(5)]
    pub values: BTreeMap<String, String>,
}

impl StageWork {
    /// Name of the value that chooses the kernels; absent, they are our own.
    pub(crate) const KERNELS: &'static str = "kernels";

    pub fn kernels(&self) -> Kernels {
        let named = self.values.get(Self::KERNELS).and_then(|name| Kernels::from_name(name));
        named.unwrap_or(Kernels::Own)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StageNode {
    #[n(0)]
    pub stage: Stage,
    #[n(1)]
    pub after: Vec<u32>,
    /// Sectors that the stage reads (proofs only).
    #[n(2)]
    pub sectors: Vec<u64>,
    #[n(3)]
    pub partition: u32,
    /// The executor that held the sectors at submission (window PoSt vanilla proofs).
    #[n(4)]
    pub store: Option<ExecutorId>,
}

/// A file of an attempt's directory. `blake3` is absent for files that hold their own directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FileEntry {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub length: u64,
    #[n(2)]
    pub blake3: Option<Digest>,
}
