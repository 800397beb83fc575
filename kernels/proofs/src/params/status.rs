//! Whether the files of a parameter directory are there and right.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use storage_proofs_core::parameter_cache;

use crate::files::{self, FileError};
use crate::params::manifest::Manifest;
use crate::params::{ParamSet, ParamsError, names_or_error};
use crate::proof_type::SealProof;

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum FileState {
    Missing,
    /// There, not read.
    Present {
        len: u64,
        development: bool,
    },
    /// Made by the generator, digest equal.
    Development {
        len: u64,
    },
    /// The published file, digest equal.
    Production {
        len: u64,
    },
    /// Neither what the manifest says nor the published file.
    Damaged {
        expected: String,
        found: String,
    },
}

impl FileState {
    /// Whether a digest was compared and is right.
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Development { .. } | Self::Production { .. })
    }
}

/// One file of a circuit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    pub proof: SealProof,
    pub set: ParamSet,
    pub name: String,
    pub state: FileState,
}

/// Which files of `proof` are there, without reading them.
///
/// # Errors
/// When the manifest cannot be read.
pub fn list(dir: &Path, proof: SealProof) -> Result<Vec<FileStatus>, ParamsError> {
    let manifest = Manifest::read(dir)?.unwrap_or_default();
    statuses(proof, |name| match fs::metadata(dir.join(name)) {
        Ok(found) => Ok(FileState::Present {
            len: found.len(),
            development: manifest.files.contains_key(name),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(FileState::Missing),
        Err(error) => Err(FileError::io("read", dir.join(name))(error).into()),
    })
}

/// Reads every file of `proof` and compares its digest: with the manifest if the generator made it,
/// with the published one otherwise.
///
/// # Errors
/// When a file or the manifest cannot be read. A wrong digest is a [`FileState`].
pub fn verify(dir: &Path, proof: SealProof) -> Result<Vec<FileStatus>, ParamsError> {
    let manifest = Manifest::read(dir)?.unwrap_or_default();
    statuses(proof, |name| file_state(dir, name, &manifest))
}

fn statuses(
    proof: SealProof,
    mut state: impl FnMut(&str) -> Result<FileState, ParamsError>,
) -> Result<Vec<FileStatus>, ParamsError> {
    let mut all = Vec::new();
    for set in ParamSet::ALL {
        let names = names_or_error(proof, set)?;
        for name in [names.params, names.vk] {
            all.push(FileStatus { proof, set, state: state(&name)?, name });
        }
    }
    Ok(all)
}

fn file_state(dir: &Path, name: &str, manifest: &Manifest) -> Result<FileState, ParamsError> {
    let path = dir.join(name);
    if !path.exists() {
        return Ok(FileState::Missing);
    }
    if let Some(entry) = manifest.files.get(name) {
        let (len, found) = files::digest(&path)?;
        return Ok(if (len, &found) == (entry.len, &entry.blake3) {
            FileState::Development { len }
        } else {
            FileState::Damaged {
                expected: format!("{} bytes, BLAKE3 {}", entry.len, entry.blake3),
                found: format!("{len} bytes, BLAKE3 {found}"),
            }
        });
    }
    let expected = parameter_cache::get_parameter_data_from_id(name)
        .map(|data| data.digest.clone())
        .unwrap_or_else(|| "a file of the manifest".to_owned());
    let (len, found) = production_digest(&path)?;
    Ok(if found == expected {
        FileState::Production { len }
    } else {
        FileState::Damaged {
            expected: format!("BLAKE2b {expected} (the published file)"),
            found: format!("{len} bytes, BLAKE2b {found}"),
        }
    })
}

/// Length and digest as in `parameters.json`.
fn production_digest(path: &Path) -> Result<(u64, String), FileError> {
    let mut file = File::open(path).map_err(FileError::io("open", path))?;
    let mut state = blake2b_simd::Params::new().to_state();
    let len = io::copy(&mut file, &mut state).map_err(FileError::io("read", path))?;
    let mut hex = state.finalize().to_hex().to_string();
    hex.truncate(32);
    Ok((len, hex))
}

/// Whether the files of one circuit can be used. Files of the generator are compared with their
/// digests; others are large production files, of which only the presence is checked here (see
/// [`verify`]).
///
/// # Errors
/// [`ParamsError::Missing`] or [`ParamsError::Damaged`], naming the file.
pub fn check_present(dir: &Path, proof: SealProof, set: ParamSet) -> Result<(), ParamsError> {
    let manifest = Manifest::read(dir)?.unwrap_or_default();
    let names = names_or_error(proof, set)?;
    for name in [names.params, names.vk] {
        let path = dir.join(&name);
        let len = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ParamsError::Missing { proof, set, path });
            }
            Err(error) => return Err(FileError::io("read", path)(error).into()),
        };
        let Some(entry) = manifest.files.get(&name) else {
            if len == 0 {
                let (expected, found) = ("a parameter file".to_owned(), "0 bytes".to_owned());
                return Err(ParamsError::Damaged { path, expected, found });
            }
            continue;
        };
        // A truncated file is told without reading a gigabyte.
        if entry.len != len {
            let (expected, found) = (format!("{} bytes", entry.len), format!("{len} bytes"));
            return Err(ParamsError::Damaged { path, expected, found });
        }
        let (_, found) = files::digest(&path)?;
        if found != entry.blake3 {
            let expected = entry.blake3.clone();
            return Err(ParamsError::Damaged { path, expected, found });
        }
    }
    Ok(())
}

/// One digest over the verifying keys of `proof`: what all members of a cluster must agree on,
/// because proofs made under one key do not verify under another.
///
/// # Errors
/// When a key is missing.
pub fn verifying_key_digest(dir: &Path, proof: SealProof) -> Result<String, ParamsError> {
    let mut combined = blake3::Hasher::new();
    for set in ParamSet::ALL {
        let name = names_or_error(proof, set)?.vk;
        let path = dir.join(&name);
        if !path.exists() {
            return Err(ParamsError::Missing { proof, set, path });
        }
        let (_, digest) = files::digest(&path)?;
        combined.update(name.as_bytes());
        combined.update(digest.as_bytes());
    }
    Ok(combined.finalize().to_hex().to_string())
}
