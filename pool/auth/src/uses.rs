//! **Purpose**: gather when tokens were used, so that one command a minute records it.
//!
//! **Invariants**: at most one command a minute; a command has at most `USES_MAX` uses; no more than
//! [`WAITING_MAX`] tokens wait, further ones are left out.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::command::{Command, Use};
use crate::tables::{USES_INTERVAL_MS, USES_MAX};

/// Tokens that wait to be recorded.
const WAITING_MAX: usize = 100_000;
/// The leader's clock and the node's estimate of it differ a little.
const SLACK_MS: u64 = 1_000;

/// Uses of tokens at one node.
#[derive(Clone, Debug)]
pub struct UseCollector {
    node: u64,
    waiting: BTreeMap<u64, u64>,
    /// Where the last command ended, so that all tokens have their turn.
    after: u64,
    next_ms: u64,
}

impl UseCollector {
    pub fn new(node: u64) -> Self {
        Self { node, waiting: BTreeMap::new(), after: 0, next_ms: 0 }
    }

    pub fn used(&mut self, token: u64, now_ms: u64) {
        let is_known = self.waiting.contains_key(&token);
        if is_known || self.waiting.len() < WAITING_MAX {
            let last = self.waiting.entry(token).or_default();
            *last = now_ms.max(*last);
        }
    }

    /// The command to propose now, if any.
    pub fn poll(&mut self, now_ms: u64) -> Option<Command> {
        if self.waiting.is_empty() || now_ms < self.next_ms {
            return None;
        }
        self.next_ms = now_ms.saturating_add(USES_INTERVAL_MS + SLACK_MS);
        let after = (Bound::Excluded(self.after), Bound::Unbounded);
        let from_start = self.waiting.range(..=self.after);
        let turn = self.waiting.range(after).chain(from_start).take(USES_MAX);
        let uses: Vec<Use> = turn.map(|(&token, &last_ms)| Use { token, last_ms }).collect();
        for used in &uses {
            self.waiting.remove(&used.token);
            self.after = used.token;
        }
        Some(Command::RecordUses { node: self.node, uses })
    }

    /// Takes the uses of a command back that was not applied.
    pub fn give_back(&mut self, command: &Command) {
        if let Command::RecordUses { uses, .. } = command {
            for used in uses {
                self.used(used.token, used.last_ms);
            }
        }
    }
}
