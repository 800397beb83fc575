//! **Purpose**: the gRPC services of Hesper and their generated messages.
//!
//! Nothing but generated code lives here; each service checks and converts a message once, at its
//! own edge, into the types of the model.
//!
//! **Source**: the files in `proto/hesper/`, compiled by `protox`.

// Generated: one message of a stream is much larger than the others, and boxing it would only move
// the cost.
#![allow(clippy::large_enum_variant)]

/// Messages and services between pool nodes: log replication, votes, snapshots, forwarding.
pub mod raft {
    tonic::include_proto!("hesper.raft");
}
/// Enrolment, membership and status of a cluster.
pub mod cluster {
    tonic::include_proto!("hesper.cluster");
}
/// Jobs: what a user submits, sees and cancels.
pub mod job {
    tonic::include_proto!("hesper.job");
}
/// Sectors and proofs.
pub mod sector {
    tonic::include_proto!("hesper.sector");
}
/// The session that an executor opens to the leader.
pub mod executor {
    tonic::include_proto!("hesper.executor");
}
/// Verified file transfer between executors.
pub mod transfer {
    tonic::include_proto!("hesper.transfer");
}
/// Users, miners, signers, tokens, limits and quotas.
pub mod auth {
    tonic::include_proto!("hesper.auth");
}
/// Sessions of wallets, and requests to sign.
pub mod wallet {
    tonic::include_proto!("hesper.wallet");
}
