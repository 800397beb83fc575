//! The executor agent with a real supervisor process, against a fake node.
#![allow(clippy::unwrap_used)]

mod commands;
mod groups;
mod restarts;
mod stages;
mod support;
mod throughput;
mod transfers;
