//! The outbound session against a node in this process.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod asks;
mod keys;
mod node;
mod real;
mod streams;
mod wallet;
