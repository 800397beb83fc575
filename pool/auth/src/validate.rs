//! **Purpose**: the invariants of the state, by name.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::index::Index;
use crate::names;
use crate::state::State;
use crate::tables;

/// A broken invariant: the node must stop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokenInvariant {
    #[error("the name of user `{user}` has not the accepted form")]
    UserName { user: String },
    #[error("miner {miner} is live, but its user `{user}` is not")]
    Miner { miner: u64, user: String },
    #[error("signer {address} of user `{user}` is live, but the user is not, or its form is wrong")]
    Signer { address: String, user: String },
    #[error("token {token} is live, but its user `{user}` is not, or its row has another id")]
    Token { token: u64, user: String },
    #[error("secret {kid} is current, but a newer one exists, or the newest is not")]
    Secret { kid: u64 },
    #[error("limit {limit} belongs to no user or has no window")]
    Limit { limit: u64 },
    #[error("in window {window} of limit {limit} nodes hold {granted} of at most {cap}")]
    OverGranted { limit: u64, window: u64, granted: u64, cap: u64 },
    #[error("the share of node {node} in limit {limit} belongs to no limit or is overspent")]
    Share { limit: u64, node: u64 },
    #[error("the audit has {rows} rows, or a number that was not given out")]
    Audit { rows: usize },
    #[error("a counter lies below a number that was given out")]
    Counter,
    #[error("the derived index differs from what the rows say")]
    Index,
}

impl State {
    /// Checks every invariant; cost grows with the size of the state.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), BrokenInvariant> {
        self.check_belongings()?;
        self.check_tokens()?;
        self.check_shares()?;
        self.check_audit()?;
        if self.index != self.derive_index() {
            return Err(BrokenInvariant::Index);
        }
        Ok(())
    }

    fn is_live(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| !user.is_deleted())
    }

    fn check_belongings(&self) -> Result<(), BrokenInvariant> {
        if let Some(user) = self.users.keys().find(|name| names::check_user(name).is_err()) {
            return Err(BrokenInvariant::UserName { user: user.clone() });
        }
        for (miner, row) in self.miners() {
            if !self.is_live(&row.user) {
                return Err(BrokenInvariant::Miner { miner, user: row.user.clone() });
            }
        }
        for (address, user, _) in self.signers() {
            if !self.is_live(user) || names::signer(address).as_deref() != Ok(address) {
                let (address, user) = (address.to_owned(), user.to_owned());
                return Err(BrokenInvariant::Signer { address, user });
            }
        }
        for (limit, row) in self.limits() {
            if !self.users.contains_key(&row.user) || row.window_ms < tables::WINDOW_MS_MIN {
                return Err(BrokenInvariant::Limit { limit });
            }
        }
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), BrokenInvariant> {
        for (&token, row) in &self.tokens {
            let is_sound = row.revoked.is_some() || self.is_live(&row.user);
            if !is_sound || row.id != token || row.kid >= self.meta.next_kid {
                return Err(BrokenInvariant::Token { token, user: row.user.clone() });
            }
        }
        let newest = self.current_kid();
        for (kid, secret) in self.secrets() {
            if secret.valid_until_ms.is_none() != (Some(kid) == newest) {
                return Err(BrokenInvariant::Secret { kid });
            }
        }
        let is_below = |last: Option<&u64>, next: u64| last.is_none_or(|last| *last < next);
        let counters_hold = is_below(self.tokens.keys().next_back(), self.meta.next_token)
            && is_below(self.secrets.keys().next_back(), self.meta.next_kid)
            && is_below(self.limits.keys().next_back(), self.meta.next_limit);
        if counters_hold { Ok(()) } else { Err(BrokenInvariant::Counter) }
    }

    fn check_shares(&self) -> Result<(), BrokenInvariant> {
        let mut sums: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for (&(limit, node), share) in &self.shares {
            if !self.limits.contains_key(&limit) || share.used > share.granted {
                return Err(BrokenInvariant::Share { limit, node });
            }
            let sum = sums.entry((limit, share.window)).or_default();
            *sum = sum.saturating_add(share.granted);
        }
        for ((limit, window), granted) in sums {
            let cap = self.limits.get(&limit).map_or(0, |row| row.cap_in(window));
            if granted > cap {
                return Err(BrokenInvariant::OverGranted { limit, window, granted, cap });
            }
        }
        Ok(())
    }

    fn check_audit(&self) -> Result<(), BrokenInvariant> {
        let rows = self.audit.len();
        let count = u64::try_from(rows).unwrap_or(u64::MAX);
        let last = self.audit.keys().next_back();
        let is_given_out = last.is_none_or(|last| *last < self.meta.next_audit);
        if count <= tables::AUDIT_MAX && is_given_out {
            Ok(())
        } else {
            Err(BrokenInvariant::Audit { rows })
        }
    }

    fn derive_index(&self) -> Index {
        let mut index = Index::default();
        for (&id, miner) in &self.miners {
            index.add(&miner.user, |holdings| {
                holdings.miners.insert(id);
            });
        }
        for (address, user) in self.signers.keys() {
            index.add(user, |holdings| {
                holdings.signers.insert(address.clone());
            });
        }
        for (&id, token) in &self.tokens {
            index.add(&token.user, |holdings| {
                holdings.tokens.insert(id);
            });
        }
        for (&id, limit) in &self.limits {
            index.add(&limit.user, |holdings| {
                holdings.limits.insert(id);
            });
        }
        for (&number, row) in &self.audit {
            index.add_audit(number, row);
        }
        index
    }
}
