//! Groth16 parameters: their names, where they lie, whether they are right, and making them for
//! development.
//!
//! The library finds parameters by name in one directory and accepts whatever has that name, so that
//! development parameters stand under the names of the production ones. What tells them apart is the
//! manifest that the generator writes, and the digests of the production files.
//!
//! Invariants:
//! - A file that the manifest does not list was not made here and is never overwritten.
//! - A name appears only after its bytes are complete and on disc.
//!
//! Source: `storage-proofs-core`, module `parameter_cache`; production digests: its
//! `parameters.json` (BLAKE2b, the first 16 bytes in hex).

mod circuit;
mod curve;
mod field;
mod generate;
mod manifest;
mod output;
mod status;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use filecoin_proofs::{PoStConfig, SectorShape32GiB, SectorShape64GiB};
use serde::{Deserialize, Serialize};
use storage_proofs_core::parameter_cache;

use crate::files::FileError;
use crate::library::{self, Shape};
use crate::proof_type::SealProof;

pub use generate::{GENERATOR_VERSION, GenerateProgress, Generated, generate};
pub use manifest::{MANIFEST_FILE, Manifest, ManifestEntry};
pub use status::{FileState, FileStatus, check_present, list, verify, verifying_key_digest};

/// Which circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamSet {
    Porep,
    WinningPost,
    WindowPost,
}

impl ParamSet {
    pub const ALL: [Self; 3] = [Self::Porep, Self::WinningPost, Self::WindowPost];
}

impl fmt::Display for ParamSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Porep => "porep",
            Self::WinningPost => "winning",
            Self::WindowPost => "window",
        })
    }
}

/// The two file names of one circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub params: String,
    pub vk: String,
}

/// Why parameters could not be used, checked or made.
#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    #[error(
        "the {set} parameters of {proof} sectors are missing: there is no `{path}`; make them \
             with `hesper params generate` or point to a directory that has them"
    )]
    Missing { proof: SealProof, set: ParamSet, path: PathBuf },
    #[error(
        "the parameter file `{path}` is damaged: expected {expected}, found {found}; delete it \
             and run `hesper params generate` (or fetch the production file) again"
    )]
    Damaged { path: PathBuf, expected: String, found: String },
    #[error(
        "`{path}` exists but was not made by this program: it is not in the manifest of its \
             directory, and it is not overwritten; use another directory for development \
             parameters, or remove the file yourself"
    )]
    Foreign { path: PathBuf },
    #[error(
        "development parameters of {0} sectors are not made: their circuit does not fit into \
             this build; fetch the production files into FIL_PROOFS_PARAMETER_CACHE"
    )]
    Unsupported(SealProof),
    #[error(
        "could not read the manifest `{path}`: {source}; if it is damaged, remove the whole \
             directory and run `hesper params generate` again"
    )]
    Manifest {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "the manifest `{path}` was written by generator version {found}, this program has \
             version {GENERATOR_VERSION}: their keys do not fit together; use another directory"
    )]
    ManifestVersion { path: PathBuf, found: u32 },
    #[error("another process is making parameters in `{dir}`, and waiting for it failed: {source}")]
    Lock {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("could not build the {set} circuit of {proof} sectors: {source:#}")]
    Circuit {
        proof: SealProof,
        set: ParamSet,
        #[source]
        source: anyhow::Error,
    },
}

/// The directory of parameters when none is configured: in the user's cache, given the values of
/// `XDG_CACHE_HOME` and `HOME`.
pub fn default_dir(xdg_cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    xdg_cache_home
        .and_then(absolute)
        .or_else(|| home.and_then(absolute).map(|home| home.join(".cache")))
        .map(|cache| cache.join("hesper").join("proof-parameters"))
}

/// The environment of a child process that runs stages. The library reads it once, at its first use.
pub fn child_env(params_dir: &Path, threads: Option<u32>) -> Vec<(String, String)> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut env = vec![
        ("FIL_PROOFS_PARAMETER_CACHE".to_owned(), text(params_dir)),
        ("FIL_PROOFS_PARENT_CACHE".to_owned(), text(&params_dir.join("parents"))),
        // A child killed while it wrote the table of parents leaves a file of full length with a
        // tail of zeros, and with it wrong labels. With this setting the table is compared with its
        // published digest and made again.
        ("FIL_PROOFS_VERIFY_CACHE".to_owned(), "true".to_owned()),
    ];
    if let Some(threads) = threads {
        for name in ["RAYON_NUM_THREADS", "EC_GPU_NUM_THREADS"] {
            env.push((name.to_owned(), threads.max(1).to_string()));
        }
    }
    env
}

/// The parameter directory of this process, as the library sees it.
pub(crate) fn library_dir() -> PathBuf {
    parameter_cache::parameter_cache_dir()
}

/// The file names of a circuit.
///
/// # Errors
/// When the library cannot set the circuit up.
pub fn names(proof: SealProof, set: ParamSet) -> anyhow::Result<Names> {
    let id = match set {
        ParamSet::Porep => {
            let config = library::porep_config(proof);
            match proof {
                SealProof::Stacked32GiBV1_1 => config.get_cache_identifier::<SectorShape32GiB>(),
                SealProof::Stacked64GiBV1_1 => config.get_cache_identifier::<SectorShape64GiB>(),
                _ => config.get_cache_identifier::<Shape>(),
            }
        }
        ParamSet::WinningPost => post_id(proof, &library::winning_config(proof)),
        ParamSet::WindowPost => post_id(proof, &library::window_config(proof)),
    }?;
    Ok(Names {
        params: parameter_cache::parameter_id(&id),
        vk: parameter_cache::verifying_key_id(&id),
    })
}

fn post_id(proof: SealProof, config: &PoStConfig) -> anyhow::Result<String> {
    match proof {
        SealProof::Stacked32GiBV1_1 => config.get_cache_identifier::<SectorShape32GiB>(),
        SealProof::Stacked64GiBV1_1 => config.get_cache_identifier::<SectorShape64GiB>(),
        _ => config.get_cache_identifier::<Shape>(),
    }
}

pub(crate) fn names_or_error(proof: SealProof, set: ParamSet) -> Result<Names, ParamsError> {
    names(proof, set).map_err(|source| ParamsError::Circuit { proof, set, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_a_published_file() {
        for proof in SealProof::ALL {
            for set in ParamSet::ALL {
                let names = names(proof, set).unwrap();
                for name in [names.params, names.vk] {
                    let known = parameter_cache::get_parameter_data_from_id(&name);
                    let size = known.map(|data| data.sector_size);
                    assert_eq!(size, Some(proof.sector_bytes()), "{proof} {set} {name}");
                }
            }
        }
    }

    #[test]
    fn the_default_directory_is_in_the_users_cache() {
        let dir = |xdg: Option<&str>, home: Option<&str>| {
            default_dir(xdg.map(Into::into), home.map(Into::into))
        };
        let expected = Some(PathBuf::from("/c/hesper/proof-parameters"));
        assert_eq!(dir(Some("/c"), Some("/h")), expected);
        let expected = Some(PathBuf::from("/h/.cache/hesper/proof-parameters"));
        assert_eq!(dir(None, Some("/h")), expected);
        // A relative value is to be ignored, says the XDG specification.
        assert_eq!(dir(Some("c"), Some("/h")), expected);
        assert_eq!(dir(None, None), None);
    }
}
