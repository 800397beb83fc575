//! **Purpose**: what belongs to each user and who filled the audit, derived from the rows.
//!
//! **Invariants**: equals what the rows say; a user who holds nothing has no entry.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::AuditRow;

/// Keys of all rows of one user, dead rows included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub tokens: BTreeSet<u64>,
    pub miners: BTreeSet<u64>,
    pub signers: BTreeSet<String>,
    pub limits: BTreeSet<u64>,
}

impl Holdings {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty()
            && self.miners.is_empty()
            && self.signers.is_empty()
            && self.limits.is_empty()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    users: BTreeMap<String, Holdings>,
    /// Numbers of audit rows by who caused them.
    audit: BTreeMap<String, BTreeSet<u64>>,
}

impl Index {
    pub fn of(&self, user: &str) -> Option<&Holdings> {
        self.users.get(user)
    }

    /// Adds to what a user holds.
    pub fn add(&mut self, user: &str, change: impl FnOnce(&mut Holdings)) {
        if let Some(holdings) = self.users.get_mut(user) {
            return change(holdings);
        }
        let mut holdings = Holdings::default();
        change(&mut holdings);
        self.users.insert(user.to_owned(), holdings);
    }

    pub fn add_audit(&mut self, number: u64, row: &AuditRow) {
        self.audit.entry(cause(row).to_owned()).or_default().insert(number);
    }

    pub fn remove_audit(&mut self, number: u64, row: &AuditRow) {
        let Some(numbers) = self.audit.get_mut(cause(row)) else { return };
        numbers.remove(&number);
        if numbers.is_empty() {
            self.audit.remove(cause(row));
        }
    }

    /// The oldest audit row of whoever caused most of them.
    pub fn spare_audit(&self) -> Option<u64> {
        let most = self
            .audit
            .values()
            .max_by_key(|numbers| (numbers.len(), numbers.first().map(|oldest| Reverse(*oldest))));
        most.and_then(|numbers| numbers.first().copied())
    }

    /// Removes from what a user holds.
    pub fn remove(&mut self, user: &str, change: impl FnOnce(&mut Holdings)) {
        let Some(holdings) = self.users.get_mut(user) else { return };
        change(holdings);
        if holdings.is_empty() {
            self.users.remove(user);
        }
    }
}

/// The user, or the name of one that is no user.
fn cause(row: &AuditRow) -> &str {
    if row.user.is_empty() { &row.who } else { &row.user }
}
