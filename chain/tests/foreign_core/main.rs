//! The structural primitives against data that others made: see `sources.rs` for what each is
//! checked with.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod address;
mod forest;
mod method;
mod serialization;
mod signing;
mod sources;
mod support;
mod venus;
