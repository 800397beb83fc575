//! **Purpose**: the wallet's methods over JSON-RPC: those of Lotus, those of Venus, and own ones
//! for the command line.
//!
//! **Invariants**
//! - [`METHODS`] is the dispatch table itself: what is not in it does not exist, and what it says
//!   of a permission is what is checked.
//! - Without a token nothing is allowed. A token of a group sees that group's keys only. No token
//!   makes one that sees or allows more, or that lives longer, also not after its revocation.
//! - What a token may ask for reads a bounded part of the log, however long that is.
//! - Own methods (`Hesper.*`) exist on the Unix socket only.
//! - Passwords and keys are never logged; they are wiped from the memory that this module owns.
//!
//! **Source**: filecoin-project/lotus `api/api_full.go` and `api/types`; filecoin-project/venus
//! `venus-shared/api/wallet/method.md`.

mod args;
mod auth;
mod keys;
mod local;
mod methods;
mod records;
mod service;
mod sign;
mod time;
mod token;

#[cfg(test)]
mod tests;

pub use methods::{METHODS, Method};
pub use service::{Extras, RpcCaller, SetLevel, WalletService};
pub use token::{Claims, TokenError, Tokens};
