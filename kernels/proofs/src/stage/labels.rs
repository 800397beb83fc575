//! PC1 in the library, with a checkpoint after each layer, and what of earlier attempts is taken over.
//!
//! The library writes a layer under a temporary name and renames it, does not sync it, and takes any
//! file of the right *size* for a finished layer. Hence here:
//! - while it works, each finished layer is synced and digested, and a checkpoint is written beside
//!   it;
//! - before it starts, only layers with a checkpoint for the same replica id and the right digest
//!   are in its directory; everything else with such a name is removed.
//!
//! Invariant: a layer that the library skips has been verified byte by byte in this attempt.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files;
use crate::library;
use crate::proof_type::layer_name;
use crate::stage::context::{Context, entry};
use crate::stage::{FileEntry, StageError};

/// Between two looks for a finished layer. A layer of 32 GiB takes 20 minutes, one of 2 KiB less
/// than a millisecond; the look costs one `stat`.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stack of the thread in which the library works, as large as that of a main thread.
const LIBRARY_STACK_BYTES: usize = 8 << 20;

/// What is known of a finished layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub layer: u32,
    /// Binds the labels to sector, ticket and data.
    pub replica_id: String,
    pub len: u64,
    /// BLAKE3 in hex.
    pub blake3: String,
}

impl Checkpoint {
    /// File name of the checkpoint of a layer.
    pub fn file_name(layer: u32) -> String {
        format!("layer-{layer}.checkpoint.json")
    }

    /// Writes the checkpoint of a layer that is on disc.
    pub(super) fn write(
        dir: &Path,
        layer: u32,
        replica_id: &str,
        entry: &FileEntry,
    ) -> Result<(), StageError> {
        let checkpoint = Self {
            layer,
            replica_id: replica_id.to_owned(),
            len: entry.len,
            blake3: entry.blake3.clone().unwrap_or_default(),
        };
        let bytes = serde_json::to_vec_pretty(&checkpoint).expect("plain fields serialise");
        Ok(files::write_durably(&dir.join(Self::file_name(layer)), &bytes)?)
    }
}

pub(super) fn pc1(context: &mut Context<'_>) -> Result<(), StageError> {
    let (proof, sector) = (context.order.proof, context.order.sector);
    let ticket = context.ticket()?;
    let comm_d = context.value_bytes32("comm_d")?;
    let replica_id = context
        .library("replica id", || library::replica_id_hex(proof, sector, &ticket, &comm_d))?;
    let layers = proof.layers();
    let reused =
        context.timed("resume", |context| resume(context, &replica_id, proof.sector_bytes()))?;
    let mut done = u32::try_from(reused.len()).expect("at most as many as layers");
    context.outcome.reused_layers = done;
    context.outcome.files.extend(reused);
    context.report("layer", u64::from(done), u64::from(layers));

    let dir = context.order.out_dir.clone();
    context.timed("label", |context| {
        // Dropping the sender is the signal: it happens on return and on panic alike.
        let (alive, ended) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new()
                .name("pc1".to_owned())
                .stack_size(LIBRARY_STACK_BYTES)
                .spawn_scoped(scope, || {
                    let _alive = alive;
                    library::labels(proof, sector, &ticket, &comm_d, &dir)
                })
                .map_err(files::FileError::io("start the thread of PC1 in", &dir))?;
            loop {
                let running =
                    ended.recv_timeout(LOOK_EVERY) == Err(mpsc::RecvTimeoutError::Timeout);
                while done < layers && dir.join(layer_name(done + 1)).exists() {
                    done += 1;
                    let entry = checkpoint(&dir, done, &replica_id)?;
                    context.outcome.files.push(entry);
                    context.report("layer", u64::from(done), u64::from(layers));
                }
                if !running {
                    break;
                }
            }
            match worker.join() {
                Ok(result) => result.map_err(|error| context.library_error(error)),
                Err(panic) => Err(context.panic_error(panic.as_ref())),
            }
        })
    })?;
    if done < layers {
        let error = anyhow::anyhow!("the library returned after {done} of {layers} layers");
        return Err(context.library_error(error));
    }
    context.set("replica_id", replica_id);
    context.set("comm_d", hex::encode(comm_d));
    for layer in 1..=layers {
        context.made(&layer_name(layer));
        context.made(&Checkpoint::file_name(layer));
    }
    Ok(())
}

/// Makes a finished layer durable and writes its checkpoint.
fn checkpoint(dir: &Path, layer: u32, replica_id: &str) -> Result<FileEntry, StageError> {
    let name = layer_name(layer);
    let entry = entry(&dir.join(&name), &name)?;
    files::sync(dir)?;
    Checkpoint::write(dir, layer, replica_id, &entry)?;
    Ok(entry)
}

/// Fills the directory of the attempt with the longest run of verified layers, from the first on.
/// Each layer may come from another earlier attempt: labels are deterministic.
pub(super) fn resume(
    context: &mut Context<'_>,
    replica_id: &str,
    len: u64,
) -> Result<Vec<FileEntry>, StageError> {
    let own = context.order.out_dir.clone();
    let layers = context.order.proof.layers();
    let mut sources: Vec<PathBuf> = vec![own.clone()];
    sources.extend(context.order.resume_dirs.iter().filter(|dir| **dir != own).cloned());

    let mut reused = Vec::new();
    for layer in 1..=layers {
        let found = sources
            .iter()
            .find_map(|dir| verified(dir, layer, replica_id, len).map(|entry| (dir, entry)));
        let Some((dir, entry)) = found else { break };
        if *dir != own {
            for name in [layer_name(layer), Checkpoint::file_name(layer)] {
                files::remove_if_there(&own.join(&name))?;
                files::link_or_copy(&dir.join(&name), &own.join(&name))?;
            }
        }
        reused.push(entry);
        context.report("verify earlier layers", reused.len() as u64, u64::from(layers));
    }
    let first_missing = u32::try_from(reused.len()).expect("at most as many as layers") + 1;
    for layer in first_missing..=layers {
        files::remove_if_there(&own.join(layer_name(layer)))?;
        files::remove_if_there(&own.join(Checkpoint::file_name(layer)))?;
    }
    files::sync(&own)?;
    Ok(reused)
}

/// The layer of an earlier attempt, if its checkpoint is for this replica and its bytes are those
/// that the checkpoint saw. Anything else is as good as absent: it is computed again.
fn verified(dir: &Path, layer: u32, replica_id: &str, len: u64) -> Option<FileEntry> {
    let bytes = std::fs::read(dir.join(Checkpoint::file_name(layer))).ok()?;
    let checkpoint: Checkpoint = serde_json::from_slice(&bytes).ok()?;
    if checkpoint.layer != layer || checkpoint.replica_id != replica_id || checkpoint.len != len {
        return None;
    }
    let name = layer_name(layer);
    files::verify(&name, &dir.join(&name), Some(len), Some(&checkpoint.blake3)).ok()?;
    Some(FileEntry { name, len, blake3: Some(checkpoint.blake3) })
}
