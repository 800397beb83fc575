//! What owners may still start during one planning pass.

use std::collections::BTreeMap;

use crate::model::{Demand, OwnerUsage, QuotaShortage, quota_shortage};
use crate::state::State;

/// The use of owners that have limits, as the pass adds to it.
pub(super) struct Quotas<'a> {
    state: &'a State,
    used: BTreeMap<String, OwnerUsage>,
}

impl<'a> Quotas<'a> {
    pub fn new(state: &'a State) -> Self {
        Self { state, used: BTreeMap::new() }
    }

    /// Whether a lease of `demand` may start.
    pub fn allow(&self, owner: &str, demand: &Demand) -> bool {
        let Some(limits) = self.state.owners.find(owner) else {
            return true;
        };
        if limits.held {
            return false;
        }
        self.short(owner, demand).is_none()
    }

    /// What the owner lacks for a lease of `demand`.
    pub fn short(&self, owner: &str, demand: &Demand) -> Option<QuotaShortage> {
        let limits = self.state.owners.find(owner)?;
        match self.used.get(owner) {
            Some(used) => quota_shortage(limits, used, demand),
            None => quota_shortage(limits, &self.state.owner_usage(owner), demand),
        }
    }

    /// Counts a planned lease.
    pub fn take(&mut self, owner: &str, demand: &Demand) {
        if self.state.owners.find(owner).is_none() {
            return;
        }
        let state = self.state;
        let used = self.used.entry(owner.to_owned()).or_insert_with(|| state.owner_usage(owner));
        used.plan(demand);
    }
}
