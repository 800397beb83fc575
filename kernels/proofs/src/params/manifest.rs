//! What the generator made in a directory.
//!
//! Invariant: a file is listed *before* it gets its name. A crash in between leaves an entry without
//! a file, which is made again, and never a file without an entry, which would look foreign.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::params::{GENERATOR_VERSION, ParamsError};

/// File name of the manifest in the parameter directory.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The purpose that every manifest states.
const PURPOSE: &str = "development only: whoever knows the public seed can forge proofs";

/// The files that the generator made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub purpose: String,
    pub generator: u32,
    pub files: BTreeMap<String, ManifestEntry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    pub len: u64,
    /// BLAKE3 in hex.
    pub blake3: String,
}

impl Default for Manifest {
    fn default() -> Self {
        Self { purpose: PURPOSE.to_owned(), generator: GENERATOR_VERSION, files: BTreeMap::new() }
    }
}

impl Manifest {
    /// Reads the manifest of a directory; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or another generator wrote it.
    pub fn read(dir: &Path) -> Result<Option<Self>, ParamsError> {
        let path = dir.join(MANIFEST_FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io("read", path)(error).into()),
        };
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|source| ParamsError::Manifest { path: path.clone(), source })?;
        if manifest.generator != GENERATOR_VERSION {
            let found = manifest.generator;
            return Err(ParamsError::ManifestVersion { path, found });
        }
        Ok(Some(manifest))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), ParamsError> {
        let bytes = serde_json::to_vec_pretty(self).expect("strings and numbers serialise");
        Ok(files::write_durably(&dir.join(MANIFEST_FILE), &bytes)?)
    }

    /// Whether `name` is in `dir` as listed.
    pub(super) fn holds(&self, dir: &Path, name: &str) -> bool {
        self.files.get(name).is_some_and(|entry| {
            let path = dir.join(name);
            files::verify(name, &path, Some(entry.len), Some(&entry.blake3)).is_ok()
        })
    }
}
