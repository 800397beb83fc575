//! **Purpose**: the executor: an agent that takes leases from the leading node, a supervisor that
//! runs attempts and outlives the agent, storage paths and verified transfers.
//!
//! **Invariants**
//! - Exit status, signal and usage come from the kernel, through the supervisor that is the parent
//!   of every attempt; nothing is inferred from a vanished process.
//! - A report is on disc until a node has acknowledged it.
//! - An attempt writes into its own directory alone; nothing that was committed is ever changed.
//! - Stopping the agent ends no attempt; a token never runs twice.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent;
mod attempt;
pub mod capability;
mod config;
mod error;
mod fetch;
mod frame;
mod link;
mod metrics;
mod outbox;
mod output;
mod protocol;
mod reading;
mod recent;
mod resources;
mod session;
mod stage;
mod storage;
pub mod supervisor;
mod transfer;

pub use agent::run;
pub use config::{
    Config, Connect, ConnectError, GpuLimit, PathConfig, PathRole, PlainConnect, ResourceLimits,
    Runner,
};
pub use error::AgentError;
pub use metrics::Metrics;
