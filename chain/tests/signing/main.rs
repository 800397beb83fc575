//! Keys, signatures, randomness, election, beacon, deadlines and base fee against data that others
//! made, and against every malformed input that must be refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod base_fee;
mod bls;
mod chains;
mod deadline;
mod delegated;
mod drand;
mod keys;
mod poisson;
mod secp;
#[path = "../foreign_core/support.rs"]
mod support;
mod zondax;
