//! **Purpose**: the `hesper` binary as a library: command line, client, configuration, identity and
//! HTTP endpoints, so that tests and benchmarks use the same code as the product.
//!
//! **Invariants**
//! - Nothing here decides anything that replicas must agree on; that is the pure machines' work.
//! - Environment variables are read by the command line alone.

pub mod cli;
pub mod client;
pub mod config;
pub mod files;
pub mod http;
pub mod identity;
pub mod logging;
pub mod node;
pub mod output;
pub mod parameters;
pub mod roles;
pub mod shutdown;
pub mod values;
