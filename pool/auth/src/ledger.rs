//! **Purpose**: charge a call against all limits that cover it.
//!
//! **Invariants**
//! - A call is charged to all of them or to none.
//! - Reads, and what a proof depends on, are never refused here.

use std::collections::BTreeMap;

use crate::actor::Class;
use crate::budget::{LocalBudget, Take};
use crate::command::Draw;
use crate::reply::Reply;
use crate::state::State;

/// Whether a call may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    Admitted,
    /// Propose this draw, report its outcome with [`Ledger::answered`], then charge again.
    Draw(Draw),
    /// A draw of another call is under way: charge again when it is answered.
    Pending,
    /// Refuse, and say when to retry.
    Exhausted {
        limit: u64,
        retry_at_ms: u64,
    },
}

/// The shares of one node.
#[derive(Clone, Debug)]
pub struct Ledger {
    node: u64,
    budgets: BTreeMap<u64, LocalBudget>,
}

impl Ledger {
    pub fn new(node: u64) -> Self {
        Self { node, budgets: BTreeMap::new() }
    }

    /// Charges one call. `now_ms` is the node's estimate of state time.
    pub fn charge(
        &mut self,
        state: &State,
        user: &str,
        service: &str,
        method: &str,
        class: Class,
        now_ms: u64,
    ) -> Charge {
        match class {
            Class::Read | Class::ProofCritical => return Charge::Admitted,
            Class::Change => {}
        }
        let mut taken = Vec::new();
        for (id, limit) in state.limits_for(user, service, method) {
            let node = self.node;
            let budget = self.budgets.entry(id).or_insert_with(|| {
                LocalBudget::new(node, id, limit, state.share(id, node), now_ms)
            });
            budget.follow(limit);
            let charge = match budget.take(now_ms) {
                Take::Taken => {
                    taken.push(id);
                    continue;
                }
                Take::Draw(draw) => Charge::Draw(draw),
                Take::Pending => Charge::Pending,
                Take::Exhausted { retry_at_ms } => Charge::Exhausted { limit: id, retry_at_ms },
            };
            self.undo(&taken);
            return charge;
        }
        Charge::Admitted
    }

    /// Takes up the outcome of a proposed draw; `None`: it is not known and never will be.
    pub fn answered(&mut self, now_ms: u64, draw: &Draw, answer: Option<&Reply>) {
        if let Some(budget) = self.budgets.get_mut(&draw.limit) {
            budget.answered(now_ms, draw, answer);
        }
    }

    /// What is to be given back: propose each, and report its outcome. To be called about every 100 ms.
    pub fn poll(&mut self, state: &State, now_ms: u64) -> Vec<Draw> {
        self.budgets.retain(|id, _| state.limit(*id).is_some());
        self.budgets.values_mut().filter_map(|budget| budget.poll(now_ms)).collect()
    }

    /// The window of a limit that this node is spending, and how much of it is spent.
    pub fn spent(&self, limit: u64) -> Option<(u64, u64)> {
        self.budgets.get(&limit).map(LocalBudget::spent)
    }

    fn undo(&mut self, taken: &[u64]) {
        for id in taken {
            if let Some(budget) = self.budgets.get_mut(id) {
                budget.undo();
            }
        }
    }
}
