//! **Purpose**: the trees, commitments and encodings of a sector.
//!
//! **Invariants**
//! - Files have the names, lengths and bytes that the library writes and reads.
//! - Memory is bounded by buffers whose sizes are known before a run; files are read and written
//!   in pieces, never mapped whole.
//! - Hashing and field arithmetic come from `hesper-sha256` and `hesper-poseidon`, labels from
//!   `hesper-sdr`: this crate says what is hashed, and moves the bytes.

pub mod auxiliary;
pub mod encode;
pub mod fr32;
pub mod nodes;
pub mod output;
mod parts;
pub mod pc2;
pub mod piece;
pub mod post;
pub mod rows;
pub mod shape;
pub mod snap;
pub mod tree_d;
pub mod unseal;

pub use shape::{NODE_BYTES, P_AUX_NAME, Shape, T_AUX_NAME, TREE_D_NAME, UnknownSize, layer_name};
