//! **Purpose**: why PC2 stopped.

use std::path::PathBuf;

use crate::auxiliary;
use crate::output::FileError;

/// Why PC2 stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Columns are hashed with 2 or 11 inputs.
    #[error("PC2 takes 2 or 11 layers, not {found}; give every layer of PC1, the first one first")]
    Layers {
        /// How many were given.
        found: usize,
    },
    /// An input has another length than its shape says.
    #[error(
        "{what} `{path}` has {found} bytes instead of {expected}; it was truncated or belongs to \
         another sector size, fetch it again or run the stage that makes it again"
    )]
    Length {
        /// Which input.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The length that it must have.
        expected: u64,
        /// The length that it has.
        found: u64,
    },
    /// An input is no file that can be read in any order.
    #[error("{what} `{path}` is not a regular file; name the file itself")]
    NotAFile {
        /// Which input.
        what: &'static str,
        /// What was named.
        path: PathBuf,
    },
    /// An input holds bytes that no field element has.
    #[error(
        "node {node} of {what} `{path}` is not a field element; the file is damaged or not in Fr32 \
         form, fetch it again or run the stage that makes it again"
    )]
    OutOfField {
        /// Which input.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The first such node of the chunk that was looked at.
        node: u64,
    },
    /// The replica would take the place of the data.
    #[error("the sealed file `{path}` is the data itself; give it another path")]
    SameFile {
        /// The path of both.
        path: PathBuf,
    },
    /// Not even one thread fits.
    #[error(
        "PC2 was given {given} bytes of memory and needs at least {needed}; raise the bound to \
         that"
    )]
    Memory {
        /// The bound that was given.
        given: u64,
        /// The least bound that would do.
        needed: u64,
    },
    /// `t_aux` cannot be made.
    #[error(transparent)]
    Aux(#[from] auxiliary::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The progress callback asked for it.
    #[error("PC2 was cancelled; run it again, it starts anew")]
    Cancelled,
}

impl Error {
    /// Whether a filesystem is full.
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::File(error) if error.is_storage_full())
    }

    /// Whether an input file is wrong, so that another attempt with the same files fails too.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Length { .. } | Self::NotAFile { .. } | Self::OutOfField { .. })
    }
}
