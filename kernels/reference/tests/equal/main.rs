//! **Purpose**: our kernels equal the library byte for byte, on every CPU path of the machine.
//!
//! **Invariants**
//! - The library runs in child processes, one per setting: numbers of layers are global there.
//! - Expected bytes always come from the library, inputs from a seed; nothing is shared between
//!   tests but the program, so they run in parallel.
//! - `HESPER_REFERENCE` names another build of the program (one of `scripts/peer`, for example);
//!   without it the one that cargo built with these tests runs.
//!
//! **Source**: `filecoin-proofs` 19.1, `neptune` 11.

mod graph;
mod labels;
mod library;
mod pc2;
mod piece;
mod poseidon;
mod post;
mod sector;
mod snap;
mod tree_d;
mod unseal;
