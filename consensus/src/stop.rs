//! **Purpose**: how a part of the node says that the process must end.
//!
//! **Invariants**: the first reason stays; it is never taken back.

use std::sync::Arc;

use tokio::sync::watch;

/// Why the node cannot go on. The process must exit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    #[error("the log failed: {0}")]
    Log(String),
    #[error("the state failed: {0}")]
    State(String),
    #[error(
        "this node's state differs from the leader's at index {index} (own hash {own}, leader's {leader}); \
         remove this node, keep its data directory for analysis, and join it as a new node"
    )]
    Diverged { index: u64, own: String, leader: String },
    #[error("consensus ended: {0}")]
    Raft(String),
    #[error("the node was shut down")]
    Shutdown,
}

/// Shared by all parts of a node.
#[derive(Clone, Debug)]
pub struct StopSignal(Arc<watch::Sender<Option<StopReason>>>);

impl Default for StopSignal {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl StopSignal {
    pub fn stop(&self, reason: StopReason) {
        self.0.send_if_modified(|current| {
            if current.is_some() {
                return false;
            }
            if reason != StopReason::Shutdown {
                tracing::error!(%reason, "the node stops");
            }
            *current = Some(reason);
            true
        });
    }

    pub fn reason(&self) -> Option<StopReason> {
        self.0.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Option<StopReason>> {
        self.0.subscribe()
    }
}
