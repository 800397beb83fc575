//! **Purpose**: the files that PC2 reads: layers and data.
//!
//! **Invariants**
//! - Lengths are checked before anything is read.
//! - Every node that is handed out is a field element.

use std::fs::File;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::Error;
use crate::encode::first_out_of_field;
use crate::output::FileError;
use crate::shape::{NODE_BYTES, Shape};

/// An open input.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    path: PathBuf,
    what: &'static str,
}

impl Input {
    pub(super) fn layer(path: &Path, shape: Shape) -> Result<Self, Error> {
        Self::open(path, "the layer", &[shape.sector_bytes()])
    }

    /// The data alone, or with the rest of tree D after it.
    pub(super) fn data(path: &Path, shape: Shape) -> Result<Self, Error> {
        let bytes = shape.sector_bytes();
        Self::open(path, "the data", &[bytes, 2 * bytes - NODE_BYTES as u64])
    }

    fn open(path: &Path, what: &'static str, lengths: &[u64]) -> Result<Self, Error> {
        let file = File::open(path).map_err(FileError::io("open", path))?;
        let metadata = file.metadata().map_err(FileError::io("look at", path))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { what, path: path.to_owned() });
        }
        let found = metadata.len();
        if !lengths.contains(&found) {
            let expected = lengths[0];
            return Err(Error::Length { what, path: path.to_owned(), expected, found });
        }
        Ok(Self { file, path: path.to_owned(), what })
    }

    /// Fills `buffer` with the nodes at `offset`.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(buffer, offset).map_err(FileError::io("read", &self.path))?;
        match first_out_of_field(buffer) {
            None => Ok(()),
            Some(index) => Err(Error::OutOfField {
                what: self.what,
                path: self.path.clone(),
                node: offset / NODE_BYTES as u64 + index as u64,
            }),
        }
    }

    /// Asks the system to read ahead, so that a cold disc works while chunks are hashed.
    pub(super) fn expect(&self, offset: u64, len: u64) {
        if let Some(len) = NonZeroU64::new(len) {
            // Advice only: where it is not taken the read waits for the disc.
            let _ = fadvise(&self.file, offset, Some(len), Advice::WillNeed);
        }
    }
}
