//! **Purpose**: consensus over gRPC: replication, votes, snapshots, and forwarding to the leader.
//!
//! **Invariants**
//! - Every call names the cluster; a node of another cluster is refused before anything is read.
//! - Replication, control messages, snapshots and forwarding use connections of their own, so that a
//!   snapshot never delays a heartbeat.
//! - Every call has a time limit, inside streams too.

mod client;
mod convert;
mod forward;
mod peers;
mod server;
mod snapshot;

pub use client::NetworkFactory;
pub use forward::Forwarders;
pub use peers::{ConnectError, Connector, Lane, Peers};
pub use server::RaftService;
