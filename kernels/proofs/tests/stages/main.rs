//! The stages through their contract: every stage runs in a child process, as in production.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod group;
mod harness;
mod labels_reference;
mod long;
mod post;
mod refusals;
mod resume;
mod seal;
