//! Stacked depth-robust graph labelling (PC1) of many sectors in lockstep.
//!
//! **Purpose:** the parents of a graph and their table ([`parents`]), the label kernels ([`label`]),
//! and what drives them: layer files of a group of sectors ([`group`]) and the key of a sealed
//! sector ([`key`]).
//!
//! **Invariants:** labels, files and names are those of the Filecoin proofs library, API version 1.1
//! and later; a fast path is chosen by the features of the CPU and gives the portable path's bytes.
//!
//! **Source:** Filecoin specification, "Stacked DRG Proof of Replication".

mod blake2b;
mod disc;
mod engine;
mod feistel;
mod graph;
pub mod group;
pub mod key;
pub mod label;
mod lockstep;
pub mod parents;
mod transpose;

pub use graph::{
    BASE_PARENTS, EXPANDER_PARENTS, Graph, GraphError, NODE_BYTES, PARENTS, replica_id,
};
pub use lockstep::{Lockstep, LockstepError};
