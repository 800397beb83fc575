//! The table of parents, one file per size, shared by all sectors and all processes of a machine.
//!
//! The library makes it when it is absent, and (with the setting of [`crate::params::child_env`])
//! compares it with its published digest before use and makes it again when it differs, which is
//! what a killed process leaves behind. Several processes that do so at once take each other's
//! half-written file for a damaged one and remove it. A lock of our own lets one do it, the others
//! then find a good file.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use filecoin_proofs::parameters::public_params;
use rustix::fs::{FlockOperation, flock};
use storage_proofs_core::settings::SETTINGS;

use super::{Shape, porep_config};
use crate::proof_type::SealProof;

/// Makes the table if it is absent or damaged.
pub(super) fn prepare(proof: SealProof) -> Result<()> {
    let dir = PathBuf::from(&SETTINGS.parent_cache);
    fs::create_dir_all(&dir).with_context(|| format!("could not create {dir:?}"))?;
    let path = dir.join(format!(".{proof}.lock"));
    let lock = File::create(&path).with_context(|| format!("could not create {path:?}"))?;
    // Released when the file is closed, also by the end of the process.
    flock(&lock, FlockOperation::LockExclusive)
        .with_context(|| format!("could not lock {path:?}"))?;
    public_params::<Shape>(&porep_config(proof))?.graph.parent_cache()?;
    Ok(())
}
