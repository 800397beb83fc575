//! **Purpose**: PC2: the replica, tree C, tree R last and the commitments of a sector, in one pass
//! over its layers and data.
//!
//! **Invariants**
//! - Each input is read once, by positioned reads into buffers whose sum is bounded; nothing is
//!   mapped, and nothing that was written is read back.
//! - A file gets its name only when every file is on disc; `p_aux` gets its name last.
//! - The result does not depend on threads, memory or backend.
//!
//! **Source**: storage-proofs-porep 19.1 `transform_and_replicate_layers`, for what is computed.

mod error;
mod input;
mod plan;
mod work;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use hesper_poseidon::Backend;

pub use self::error::Error;
pub use self::plan::buffer_bytes;
use crate::output::Written;
use crate::shape::Shape;

/// Bound of the buffers when a request names none.
pub const DEFAULT_MEMORY_BYTES_MAX: u64 = 256 << 20;

/// What PC2 works on.
#[derive(Clone, Debug)]
pub struct Request {
    /// The trees of this sector size.
    pub shape: Shape,
    /// The 2 or 11 layers, the first one first: `nodes x 32 B` each.
    pub layers: Vec<PathBuf>,
    /// The unsealed sector (`nodes x 32 B`), or its tree D, whose first nodes are the same bytes.
    pub data: PathBuf,
    /// The replica to be made. An older file of that name is replaced; it must not be an input.
    pub sealed: PathBuf,
    /// Where the trees, `p_aux` and `t_aux` are put; `t_aux` names this directory.
    pub cache_dir: PathBuf,
    /// Threads that hash; 0 for as many as there are cores.
    pub threads: usize,
    /// Bound of all buffers of this run; 0 for [`DEFAULT_MEMORY_BYTES_MAX`]. With a small bound
    /// fewer threads may run.
    pub memory_bytes_max: u64,
    /// Which code hashes.
    pub backend: Backend,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nodes of the sector that are in both trees.
    pub nodes_done: u64,
    /// Nodes of the sector.
    pub nodes_total: u64,
}

/// The commitments of a replica; each a canonical field element, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitments {
    /// Root of tree C.
    pub comm_c: [u8; 32],
    /// Root of tree R last.
    pub comm_r_last: [u8; 32],
    /// Poseidon of the two: what goes on chain.
    pub comm_r: [u8; 32],
}

/// A file that was written and has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFile {
    /// Last component of the path.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// BLAKE3 of its bytes.
    pub blake3: [u8; 32],
}

impl From<Written> for WrittenFile {
    fn from(Written { path, bytes, blake3 }: Written) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, path, len: bytes, blake3 }
    }
}

/// What a run made.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The commitments.
    pub commitments: Commitments,
    /// The replica, then the files of tree C, of tree R last, `t_aux` and `p_aux`.
    pub files: Vec<WrittenFile>,
    /// Bytes of buffers that the run planned with, at most the request's bound.
    pub buffer_bytes: u64,
}

/// Makes the replica and its trees.
///
/// `progress` is called from the hashing threads, after every chunk of at most 32768 nodes, so that
/// counts of several threads may come out of order; when it returns `false` the run stops.
///
/// # Errors
/// When an input has a wrong length or holds what is not a field element, when a file cannot be
/// read or written, when an output would replace an input, when the bound of memory is too small, or
/// when `progress` stopped the run. Temporary files are removed then, and no file has its final name,
/// unless it was the renaming itself that failed: then there is no `p_aux`.
pub fn run(
    request: &Request,
    progress: &(dyn Fn(Progress) -> bool + Sync),
) -> Result<Outcome, Error> {
    let threads = match request.threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    };
    let memory_bytes_max = match request.memory_bytes_max {
        0 => DEFAULT_MEMORY_BYTES_MAX,
        bytes => bytes,
    };
    let plan = plan::Plan::new(request.shape, request.layers.len(), threads, memory_bytes_max)?;
    work::Run::open(request, plan)?.run(progress)
}
