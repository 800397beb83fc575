//! Users, miners, signers, tokens and limits as a pure replicated machine.
//!
//! **Purpose**: say who may do what and how much of it. [`State::apply`] carries out one committed
//! command; [`Verifier`] checks tokens against the applied state of the node it runs on; [`Ledger`]
//! spends a node's shares of the replicated rate limits.
//!
//! **Invariants** (each has a check in `State::validate` or a property test)
//! - apply is total: a bad command is answered with `Reply::Rejected`, never panics; equal commands
//!   give equal states and equal rows; the state loaded from rows equals the one in memory;
//! - ids of tokens, secrets and limits are strictly increasing and never reused;
//! - a live token, miner or signer belongs to a user who is not deleted; a miner has one user;
//! - the shares that nodes hold of a limit never sum to more than its cap, at any log index.
//!
//! **Source**: the services that `sophon-auth` offers (users, miners, signers, tokens, rate limits);
//! RFC 7515 and RFC 7519 for the tokens.
//!
//! Deliberately absent: clock, randomness, files, sockets, threads, logging, the wire. Secrets are
//! opaque sealed bytes here; the shell seals and unseals them.
#![forbid(unsafe_code)]

mod actor;
mod apply;
mod budget;
mod command;
mod index;
mod ledger;
mod model;
pub mod names;
mod reply;
mod state;
pub mod tables;
pub mod token;
mod uses;
mod validate;
mod verify;
mod view;

pub use actor::{Actor, Authority, Class, Context, Permission};
pub use budget::{LocalBudget, Take};
pub use command::{Command, Draw, Use};
pub use ledger::{Charge, Ledger};
pub use model::{
    AuditRow, Limit, Meta, Miner, NodeRow, Quota, Revoked, Secret, ShareRow, Signer, TokenRow, User,
};
pub use reply::{Applied, Effects, Kind, OwnerLimits, Rejected, Reply, Share};
pub use state::{LoadError, PutRow, State};
pub use uses::UseCollector;
pub use validate::BrokenInvariant;
pub use verify::{Caller, Denied, Verifier};
pub use view::Standing;

/// First byte of every command and reply of this module inside a composed one.
pub const MODULE: u8 = 3;
