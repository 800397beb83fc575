//! Tests of whole nodes, of the log under crashes, and openraft's own suite over the real stores.
//! One binary, because each links RocksDB.

#![allow(clippy::unwrap_used)]

mod cluster;
mod common;
mod crash;
mod log;
mod single;
mod suite;
