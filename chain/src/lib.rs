//! Filecoin primitives: addresses, messages, headers, signatures, randomness.
//!
//! **Purpose**: the one place where bytes and JSON of the chain become checked values and back.
//!
//! **Invariants**
//! - Nothing here opens a file or a socket, reads a clock or logs.
//! - What decodes is canonical: encoding it again gives the bytes that came in.
//! - Text forms take the network as an argument; the process-wide network of `fvm_shared` is
//!   neither read nor set.
//!
//! **Source**: the Filecoin specification and the formats of Lotus; types of `fvm_shared` where it
//! has them, own types elsewhere.

pub mod address;
pub mod amount;
pub mod base_fee;
pub mod block;
pub mod bls;
pub mod cbor;
pub mod cid;
pub mod deadline;
pub mod delegated;
pub mod drand;
pub mod election;
pub mod hash;
pub mod json;
pub mod key;
pub mod limits;
pub mod message;
pub mod method;
pub mod network;
pub mod randomness;
pub mod secp;
pub mod signature;
pub mod tipset;
pub mod vrf;

pub use ::cid::Cid;
pub use fvm_ipld_encoding::RawBytes;
pub use fvm_shared::address::{Address, Network, Payload, Protocol};
pub use fvm_shared::clock::ChainEpoch;
pub use fvm_shared::econ::TokenAmount;
pub use fvm_shared::message::Message;
pub use fvm_shared::{ActorID, MethodNum};
pub use num_bigint::BigInt;

pub use crate::message::SignedMessage;
