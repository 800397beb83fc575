//! What can go wrong in a group.
//!
//! **Purpose:** errors of a request and of a single sector.
//!
//! **Invariants:** an error of a sector says nothing about the others.

use std::io;
use std::path::PathBuf;

use crate::group::SECTORS_MAX;
use crate::lockstep::LockstepError;

/// Why a group was not started.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("could not label {sectors} sectors in one group; give it 1 to {SECTORS_MAX}")]
    Sectors { sectors: usize },
    #[error(
        "could not label a sector that has {have} layers up to layer {layers}; ask for at least 1 \
         layer, and for no fewer than the sector has"
    )]
    Layers { have: u32, layers: u32 },
    #[error("two sectors of the group would write into `{dir}`; give each its own directory")]
    SameDir { dir: PathBuf },
    #[error(transparent)]
    Memory(#[from] LockstepError),
}

/// Why a sector ended without all its layers.
#[derive(Debug, thiserror::Error)]
pub enum SectorError {
    #[error("the labelling was cancelled; its finished layers remain, run PC1 again to go on")]
    Cancelled,
    #[error(
        "could not {action} `{path}`; check that the disc is there, writable and not full, and \
             run PC1 of this sector again"
    )]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "layer file `{path}` is damaged: it has {found} and not {expected}; remove it and run PC1 of \
         this sector again"
    )]
    Damaged { path: PathBuf, expected: String, found: String },
    #[error("the group of this sector ended before it did; run PC1 of this sector again")]
    Abandoned,
}

impl SectorError {
    /// Whether the caller wanted it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Whether there was no space for a layer.
    pub fn is_disc_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
