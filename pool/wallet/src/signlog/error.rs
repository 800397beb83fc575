//! **Purpose**: what can go wrong with the sign log.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::keystore::DirError;

/// The sign log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory belongs to another process or cannot be made.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A file cannot be read.
    #[error("could not read the sign log at `{path}`; check the disc and the permissions")]
    Read {
        /// The file or directory.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was acknowledged is not there any more, or was changed.
    #[error(
        "the sign log is damaged in `{file}` at offset {offset}: {reason}; the wallet signs nothing \
         until this is explained: keep a copy of the directory, find who or what changed it, and \
         restore it from a backup that verifies"
    )]
    Damaged {
        /// The file.
        file: Utf8PathBuf,
        /// Offset of the first record that cannot be trusted.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// No space: nothing was recorded, so nothing may be signed.
    #[error(
        "the disc under the sign log `{path}` is full, so nothing is signed; free space on \
         it, then ask again"
    )]
    Full {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// Another failure to write; nothing was recorded.
    #[error(
        "could not write the sign log `{path}`: {reason}; nothing is signed until it works again"
    )]
    Write {
        /// The directory.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// The disc did not confirm a write; what is on it is unknown until the log is opened anew.
    #[error(
        "the disc did not confirm a write to the sign log `{path}`: {reason}; the wallet signs \
         nothing more; check the disc and restart the wallet"
    )]
    Broken {
        /// The directory.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// The record is over the limit.
    #[error(
        "a record of {bytes} bytes is too large for the sign log (at most 1 MiB); shorten what it shows"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The record has no JSON form.
    #[error("could not encode a record of the sign log")]
    Encode(#[source] serde_json::Error),
    /// The receiver of an export failed.
    #[error("could not write the export of the sign log; check the target")]
    Export(#[source] io::Error),
    /// An exported line is not what an export writes.
    #[error(
        "line {line} of the export does not verify: {reason}; it was changed, or lines are missing"
    )]
    BadExport {
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

impl LogError {
    pub(crate) fn read(path: &Utf8Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(file: &Utf8Path, offset: usize, reason: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset: offset as u64, reason: reason.into() }
    }
}
