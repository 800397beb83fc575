//! Sealing and proving as job templates: graphs of stages, their needs and their input files.

mod demand;
mod files;
pub(crate) mod template;

pub use demand::{demand_of, lockstep_demand};
pub(crate) use demand::{lockstep_time_limit_ms, time_limit_ms};
pub(crate) use files::{collectable, find_file, inputs, problem_of_result};

use crate::index::Shape;
use crate::model::{Kernels, SectorId, Stage, StageNode, StageWork};

/// The shape of a node of a stage job.
pub(crate) fn shape_of(owner: &str, work: &StageWork, index: u32) -> Option<Shape> {
    let node = work.nodes.get(usize::try_from(index).ok()?)?;
    let owner = owner.to_owned();
    Some(if is_lockstep(work, node) {
        Shape { owner, demand: lockstep_demand(work.proof, 1), lockstep: Some(work.proof) }
    } else {
        Shape { owner, demand: demand_of(node.stage, work.proof, work.kernels()), lockstep: None }
    })
}

/// Whether a node may label together with those of other sectors.
pub(crate) fn is_lockstep(work: &StageWork, node: &StageNode) -> bool {
    node.stage == Stage::Pc1 && work.kernels() == Kernels::Own
}

/// A ticket or seed for development, from the sector's name: 32 bytes in hex, below the field's
/// modulus and not zero. Real ones come from the chain.
pub fn derived_challenge(purpose: &str, sector: SectorId) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("hesper development challenge v1");
    hasher.update(purpose.as_bytes());
    hasher.update(&sector.key());
    let mut bytes = *hasher.finalize().as_bytes();
    bytes[31] &= 0x3f;
    bytes[0] |= 1;
    crate::model::Digest(bytes).hex()
}
