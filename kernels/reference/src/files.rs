//! **Purpose**: the finished files of a command, with their BLAKE3 as our own stages report it.
//!
//! **Invariants**: lists are sorted by name.
//!
//! **Source**: the names that `storage-proofs` gives to a sector's files.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// A finished file.
#[derive(Serialize)]
pub struct Finished {
    pub name: String,
    pub len: u64,
    pub blake3: String,
}

/// Length and digest of one file.
pub fn digest(path: &Path) -> Result<Finished> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap(path).with_context(|| format!("could not read {path:?}"))?;
    Ok(Finished {
        name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        len: hasher.count(),
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

/// The files of a directory whose names begin with one of `prefixes`.
pub fn digests(dir: &Path, prefixes: &[&str]) -> Result<Vec<Finished>> {
    let mut finished = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("could not list {dir:?}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            finished.push(digest(&dir.join(name))?);
        }
    }
    finished.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(finished)
}
