//! Errors of stages, and what a caller may do about them.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::FileError;
use crate::params::ParamsError;
use crate::proof_type::SealProof;
use crate::stage::{Order, Stage};
use crate::verify::VerifyError;

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same again may succeed.
    Now,
    /// Another executor may succeed: this one lacks space, parameters or a good copy.
    Elsewhere,
    /// The order itself is wrong.
    GiveUp,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(
        "the order has version {found}, this program understands version 1; use executors and \
             nodes of one release"
    )]
    Version { found: u32 },
    #[error("could not read the order `{path}`: {why}")]
    Order { path: PathBuf, why: String },
    #[error(
        "{stage} of a {proof} sector is not run here: this build has only the tree shape of \
             2KiB, 8MiB and 512MiB; choose one of these sizes"
    )]
    Unsupported { proof: SealProof, stage: Stage },
    #[error("{stage} needs the input `{name}`, which the order does not name")]
    InputAbsent { stage: Stage, name: String },
    #[error("{stage} needs the value `{name}`, which the order does not give")]
    ValueAbsent { stage: Stage, name: &'static str },
    #[error("{stage} got `{value}` for `{name}`, which is not {expected}")]
    ValueMalformed { stage: Stage, name: &'static str, value: String, expected: &'static str },
    #[error(
        "a piece of {len} bytes does not fit into a {proof} sector, which holds {capacity} \
             bytes; split the file or use a larger sector"
    )]
    PieceTooLarge { len: u64, capacity: u64, proof: SealProof },
    #[error(
        "the source of the piece has {found} bytes now, {expected} when the stage began; do \
             not write to it while it is being sealed"
    )]
    SourceChanged { expected: u64, found: u64 },
    #[error(
        "no space left below `{dir}` in {stage}: this attempt needs up to {needed} bytes there; \
             free space or give the executor another path"
    )]
    NoSpace { stage: Stage, dir: PathBuf, needed: u64 },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Params(#[from] ParamsError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(
        "{what} did not verify: the inputs of {stage} do not belong together, or the parameters \
             are of another cluster; check ticket, seed, commitments and `hesper params verify`"
    )]
    NotValid { stage: Stage, what: &'static str },
    #[error("{stage} came to {what} {found}, expected {expected}; an input is of another sector")]
    Mismatch { stage: Stage, what: &'static str, expected: String, found: String },
    #[error(
        "the replicas or trees of the sectors {sectors:?} are damaged; recover or declare them \
             faulty"
    )]
    FaultySectors { sectors: Vec<u64> },
    #[error("{stage} failed in the proof library: {source:#}")]
    Library {
        stage: Stage,
        #[source]
        source: anyhow::Error,
    },
    #[error("{stage} failed: {source:#}")]
    Kernel {
        stage: Stage,
        #[source]
        source: anyhow::Error,
    },
    #[error("{stage} was cancelled; the other sectors of its group go on")]
    Cancelled { stage: Stage },
    #[error(
        "{stage} of {proof} cannot be run in one group with the other orders: only PC1 of one \
             proof type with Hesper's kernels can; use nodes and executors of one release"
    )]
    Group { stage: Stage, proof: SealProof },
    #[error(
        "{stage} panicked in the proof library: {message}; check the inputs, then the memory \
             of this machine"
    )]
    Panic { stage: Stage, message: String },
}

/// An error as the child reports it, in `error.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// A stable word for programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether another attempt makes sense at all.
    pub retryable: bool,
    pub retry: Retry,
}

impl StageError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "order_version",
            Self::Order { .. } => "order",
            Self::Unsupported { .. } => "unsupported",
            Self::InputAbsent { .. } => "input_absent",
            Self::ValueAbsent { .. } => "value_absent",
            Self::ValueMalformed { .. } => "value_malformed",
            Self::PieceTooLarge { .. } => "piece_too_large",
            Self::SourceChanged { .. } => "source_changed",
            Self::NoSpace { .. } => "no_space",
            Self::File(FileError::Length { .. }) => "input_truncated",
            Self::File(FileError::Digest { .. }) => "input_altered",
            Self::File(FileError::Io { .. }) => "io",
            Self::Params(_) => "params",
            Self::Verify(_) => "verify",
            Self::NotValid { .. } => "not_valid",
            Self::Mismatch { .. } => "mismatch",
            Self::FaultySectors { .. } => "faulty_sectors",
            Self::Library { .. } => "library",
            Self::Kernel { .. } => "kernel",
            Self::Cancelled { .. } => "cancelled",
            Self::Group { .. } => "group",
            Self::Panic { .. } => "panic",
        }
    }

    /// What to do next.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Version { .. } | Self::Order { .. } | Self::Unsupported { .. } => Retry::GiveUp,
            Self::InputAbsent { .. }
            | Self::ValueAbsent { .. }
            | Self::ValueMalformed { .. }
            | Self::PieceTooLarge { .. }
            | Self::FaultySectors { .. }
            | Self::Mismatch { .. }
            | Self::Cancelled { .. }
            | Self::Group { .. }
            | Self::NotValid { .. } => Retry::GiveUp,
            Self::SourceChanged { .. } => Retry::Now,
            Self::NoSpace { .. }
            | Self::File(_)
            | Self::Params(_)
            | Self::Verify(_)
            | Self::Library { .. }
            | Self::Kernel { .. }
            | Self::Panic { .. } => Retry::Elsewhere,
        }
    }

    pub fn report(&self) -> ErrorReport {
        let retry = self.retry();
        ErrorReport {
            code: self.code().to_owned(),
            message: self.to_string(),
            retryable: retry != Retry::GiveUp,
            retry,
        }
    }

    pub(super) fn from_panic(stage: Stage, panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Self::Panic { stage, message }
    }

    /// Says of a full filesystem how much the attempt needs there.
    pub(super) fn with_demand(self, order: &Order) -> Self {
        match self {
            Self::File(error) if error.is_storage_full() => {
                let Order { stage, proof, out_dir, .. } = order;
                let needed = proof.demand(*stage).disc_bytes;
                Self::NoSpace { stage: *stage, dir: out_dir.clone(), needed }
            }
            other => other,
        }
    }

    /// Sorts an error of a kernel: a full filesystem has an answer of its own.
    pub(crate) fn from_kernel(
        stage: Stage,
        proof: SealProof,
        dir: &Path,
        source: anyhow::Error,
    ) -> Self {
        if is_storage_full(&source) {
            let needed = proof.demand(stage).disc_bytes;
            return Self::NoSpace { stage, dir: dir.to_owned(), needed };
        }
        Self::Kernel { stage, source }
    }

    /// Sorts an error of the library: a full filesystem and damaged sectors have answers of their
    /// own.
    pub(crate) fn from_library(
        stage: Stage,
        proof: SealProof,
        dir: &Path,
        source: anyhow::Error,
    ) -> Self {
        use storage_proofs_core::error::Error as CoreError;

        if is_storage_full(&source) {
            let needed = proof.demand(stage).disc_bytes;
            return Self::NoSpace { stage, dir: dir.to_owned(), needed };
        }
        for cause in source.chain() {
            if let Some(CoreError::FaultySectors(ids)) = cause.downcast_ref::<CoreError>() {
                let sectors = ids.iter().map(|id| u64::from(*id)).collect();
                return Self::FaultySectors { sectors };
            }
        }
        Self::Library { stage, source }
    }
}

fn is_storage_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        kind == Some(io::ErrorKind::StorageFull)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::proof_type::SectorIdentity;

    fn full() -> io::Error {
        io::Error::from(io::ErrorKind::StorageFull)
    }

    #[test]
    fn a_full_disc_is_told_with_path_and_bytes_wherever_it_is_met() {
        let proof = SealProof::Stacked8MiBV1_1;
        let identity = SectorIdentity { miner: 1, number: 2 };
        let order = Order::new(Stage::Pc2, proof, identity, "/seal/attempt");
        let in_library = Err::<(), _>(full()).context("could not write tree C").unwrap_err();
        let in_library = StageError::from_library(Stage::Pc2, proof, &order.out_dir, in_library);
        let in_files = StageError::from(FileError::io("copy", "/seal/attempt/sealed")(full()));
        for error in [in_library, in_files.with_demand(&order)] {
            assert_eq!((error.code(), error.retry()), ("no_space", Retry::Elsewhere));
            let needed = proof.demand(Stage::Pc2).disc_bytes.to_string();
            let text = error.to_string();
            assert!(text.contains("/seal/attempt") && text.contains(&needed), "{text}");
        }
    }

    #[test]
    fn faulty_sectors_are_found_inside_an_error_of_the_library() {
        use storage_proofs_core::error::Error as CoreError;
        let error = anyhow::Error::from(CoreError::FaultySectors(vec![7.into()])).context("post");
        let dir = Path::new("/x");
        let proof = SealProof::Stacked2KiBV1_1;
        let error = StageError::from_library(Stage::WinningPost, proof, dir, error);
        assert!(matches!(error, StageError::FaultySectors { sectors } if sectors == [7]));
    }
}
