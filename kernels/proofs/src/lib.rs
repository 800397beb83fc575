//! Filecoin proofs behind functions without type parameters.
//!
//! Purpose: run the sealing and proof stages of `filecoin-proofs` in a child process under a JSON
//! contract ([`stage`]), verify proofs ([`verify`]) and make development parameters ([`params`]).
//! The generic interface of the library costs minutes of compile time in every crate that touches
//! it; this crate is the only one that does, for one tree shape.
//!
//! Invariants:
//! - An attempt writes only into its own directory; inputs are never modified.
//! - Nothing here reads the clock for a decision, and no environment variable is read except by the
//!   library itself (see [`params::child_env`]).
//!
//! Source: the Filecoin specification, section "Proof-of-Replication", and the behaviour of
//! `filecoin-proofs` 19.1.

pub mod bench;
pub mod demand;
pub mod files;
mod kernels;
mod library;
pub mod params;
pub mod proof_type;
pub mod stage;
pub mod verify;

pub use demand::Demand;
pub use proof_type::{ParseSealProofError, SealProof, SectorIdentity};
