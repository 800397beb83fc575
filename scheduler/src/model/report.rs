//! What executors report, in the past tense.

use std::collections::BTreeMap;
use std::fmt;

use minicbor::{Decode, Encode};

use super::{AttemptToken, FileEntry, StoragePath, UnixMillis};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Report {
    #[n(0)]
    Started(#[n(0)] Started),
    #[n(1)]
    Finished(#[n(0)] Finished),
    /// The attempt is known dead and nothing of it is left.
    #[n(2)]
    Gone(#[n(0)] AttemptToken),
    #[n(3)]
    PathChanged(#[n(0)] StoragePath),
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Started {
    #[n(0)]
    pub token: AttemptToken,
    /// By the executor's clock; for people and means, never for decisions.
    #[n(1)]
    pub at: UnixMillis,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Finished {
    #[n(0)]
    pub token: AttemptToken,
    #[n(1)]
    pub started_at: UnixMillis,
    #[n(2)]
    pub ended_at: UnixMillis,
    #[n(3)]
    pub exit: Exit,
    #[n(4)]
    pub usage: ProcessUsage,
    /// Stages: the manifest of the attempt's directory.
    #[n(5)]
    pub files: Vec<FileEntry>,
    #[n(6)]
    pub values: BTreeMap<String, String>,
    #[n(7)]
    pub bytes_fetched: u64,
    #[n(8)]
    pub reused_layers: u32,
    #[n(9)]
    pub stdout_bytes: u64,
    #[n(10)]
    pub stderr_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct ProcessUsage {
    #[n(0)]
    pub user_us: u64,
    #[n(1)]
    pub system_us: u64,
    #[n(2)]
    pub rss_max_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Exit {
    #[n(0)]
    pub kind: ExitKind,
    #[n(1)]
    pub code: i32,
    #[n(2)]
    pub signal: i32,
    #[n(3)]
    pub message: Option<String>,
    /// Asked only for stages: whether another try can help.
    #[n(4)]
    pub retryable: bool,
}

impl Exit {
    /// The program ended by itself with status 0.
    pub fn success() -> Self {
        Self { kind: ExitKind::Exited, code: 0, signal: 0, message: None, retryable: false }
    }

    pub fn is_success(&self) -> bool {
        self.kind == ExitKind::Exited && self.code == 0
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ExitKind::Exited => write!(f, "exited with status {}", self.code)?,
            ExitKind::Signaled => write!(f, "ended by signal {}", self.signal)?,
            ExitKind::NotStarted => f.write_str("could not be started")?,
            ExitKind::TimedOut => f.write_str("ran past its time limit")?,
            ExitKind::Cancelled => f.write_str("cancelled")?,
            ExitKind::InputBad => f.write_str("an input is missing or altered")?,
            ExitKind::NoSpace => f.write_str("no space")?,
            ExitKind::OutputBad => f.write_str("ended without a readable result")?,
            ExitKind::Lost => f.write_str("lost: its exit status is not known")?,
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ExitKind {
    #[n(0)]
    Exited,
    #[n(1)]
    Signaled,
    #[n(2)]
    NotStarted,
    #[n(3)]
    TimedOut,
    #[n(4)]
    Cancelled,
    #[n(5)]
    InputBad,
    #[n(6)]
    NoSpace,
    #[n(7)]
    OutputBad,
    #[n(8)]
    Lost,
}
