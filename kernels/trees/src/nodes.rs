//! Files of nodes: sealed sectors, unsealed ones, layers.
//!
//! **Purpose**: read nodes of a file whose length is known, and refuse bytes that are no field
//! elements, as the library does.
//!
//! **Invariants**: positioned reads only, so that threads share a file.
//!
//! **Source**: Filecoin specification, "Sealing".

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::encode::first_out_of_field;
use crate::output::FileError;
use crate::shape::NODE_BYTES;

/// Why a file of nodes is of no use.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// It has another length than the sector.
    #[error(
        "`{}` has {found} bytes, the sector has {expected}; the file is not whole or of another \
         sector, fetch or recover it", path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// It is damaged.
    #[error(
        "node {node} of `{}` is no field element; the file is damaged, fetch or recover it",
        path.display()
    )]
    Node {
        /// The file.
        path: PathBuf,
        /// The first such node.
        node: u64,
    },
    /// It cannot be read.
    #[error("a file of the sector is of no use")]
    File(#[from] FileError),
}

/// A file of as many nodes as the sector has.
#[derive(Debug)]
pub(crate) struct NodeFile<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> NodeFile<'a> {
    pub(crate) fn open(path: &'a Path, expected: u64) -> Result<NodeFile<'a>, NodesError> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let found = file.metadata().map_err(FileError::io("read the length of", path))?.len();
        if found != expected {
            return Err(NodesError::Length { path: path.to_owned(), expected, found });
        }
        Ok(NodeFile { path, file })
    }

    /// Fill `bytes` with the nodes from `first` on.
    pub(crate) fn read(&self, first: u64, bytes: &mut [u8]) -> Result<(), NodesError> {
        self.file
            .read_exact_at(bytes, first * NODE_BYTES as u64)
            .map_err(FileError::io("read", self.path))?;
        match first_out_of_field(bytes) {
            None => Ok(()),
            Some(node) => {
                Err(NodesError::Node { path: self.path.to_owned(), node: first + node as u64 })
            }
        }
    }
}
