//! **Purpose**: what the streams are doing, for people to look at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// No stream; the last one ended, or none was opened yet.
    Waiting,
    Dialling,
    /// Greeted; the keys are not yet accepted.
    Proving,
    Live,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamState {
    pub node: String,
    pub stage: Stage,
    /// The node's number for it.
    pub session: u64,
    pub node_id: u64,
    /// Since when it stands there, milliseconds since 1970.
    pub since_ms: u64,
    /// Keys that the node routes to it.
    pub accepted: Vec<String>,
    /// Keys that the node refused, with its reason.
    pub refused: Vec<(String, String)>,
    /// Requests answered, refusals among them.
    pub answered: u64,
    /// Why the slot's last stream ended; empty when none has.
    pub last_error: String,
}

/// All streams of a wallet.
#[derive(Default)]
pub struct Board {
    slots: Mutex<BTreeMap<usize, StreamState>>,
}

impl Board {
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The streams as they stand.
    #[must_use]
    pub fn list(&self) -> Vec<StreamState> {
        self.slots.lock().values().cloned().collect()
    }

    pub(super) fn clear(&self) {
        self.slots.lock().clear();
    }

    pub(super) fn begin(&self, slot: usize, node: &str) {
        let mut slots = self.slots.lock();
        let last_error = slots.remove(&slot).map(|state| state.last_error).unwrap_or_default();
        let fresh = StreamState {
            node: node.to_owned(),
            stage: Stage::Dialling,
            session: 0,
            node_id: 0,
            since_ms: now_ms(),
            accepted: Vec::new(),
            refused: Vec::new(),
            answered: 0,
            last_error,
        };
        slots.insert(slot, fresh);
    }

    pub(super) fn end(&self, slot: usize, reason: &str) {
        self.change(slot, |state| {
            state.stage = Stage::Waiting;
            state.since_ms = now_ms();
            state.accepted.clear();
            reason.clone_into(&mut state.last_error);
        });
    }

    pub(super) fn greeted(&self, slot: usize, session: u64, node_id: u64) {
        self.change(slot, |state| {
            state.stage = Stage::Proving;
            state.since_ms = now_ms();
            (state.session, state.node_id) = (session, node_id);
        });
    }

    /// The node routes exactly `accepted`, and refused `refused` of what was last proven.
    pub(super) fn proven(
        &self,
        slot: usize,
        accepted: Vec<String>,
        refused: Vec<(String, String)>,
    ) {
        self.change(slot, |state| {
            if state.stage != Stage::Live {
                state.stage = Stage::Live;
                state.since_ms = now_ms();
            }
            state.accepted = accepted;
            state.refused = refused;
        });
    }

    pub(super) fn answered(&self, slot: usize) {
        self.change(slot, |state| state.answered += 1);
    }

    fn change(&self, slot: usize, change: impl FnOnce(&mut StreamState)) {
        if let Some(state) = self.slots.lock().get_mut(&slot) {
            change(state);
        }
    }
}

fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
