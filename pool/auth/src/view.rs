//! **Purpose**: reading the state.
//!
//! **Invariants**: what is deleted is not listed, except users and tokens, which show that they are.

use crate::model::{AuditRow, Limit, Miner, Secret, ShareRow, Signer, TokenRow, User};
use crate::state::State;

/// Whether a user may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Enabled,
    Disabled,
    Deleted,
    Unknown,
}

impl State {
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users by name, deleted ones too.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    pub fn standing(&self, name: &str) -> Standing {
        match self.users.get(name) {
            None => Standing::Unknown,
            Some(user) if user.is_deleted() => Standing::Deleted,
            Some(user) if user.enabled => Standing::Enabled,
            Some(_) => Standing::Disabled,
        }
    }

    pub fn miner(&self, id: u64) -> Option<&Miner> {
        self.miners.get(&id).filter(|miner| miner.deleted_ms.is_none())
    }

    pub fn miners(&self) -> impl Iterator<Item = (u64, &Miner)> {
        self.miners
            .iter()
            .filter(|(_, miner)| miner.deleted_ms.is_none())
            .map(|(id, miner)| (*id, miner))
    }

    pub fn miners_of<'a>(&'a self, user: &str) -> impl Iterator<Item = (u64, &'a Miner)> + use<'a> {
        let ids = self.index.of(user).into_iter().flat_map(|holdings| &holdings.miners);
        ids.filter_map(|id| Some((*id, self.miner(*id)?)))
    }

    /// Registrations as (address, user, row).
    pub fn signers(&self) -> impl Iterator<Item = (&str, &str, &Signer)> {
        self.signers
            .iter()
            .filter(|(_, signer)| signer.deleted_ms.is_none())
            .map(|((address, user), signer)| (address.as_str(), user.as_str(), signer))
    }

    pub fn signers_of<'a>(
        &'a self,
        user: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Signer)> + use<'a> {
        let addresses = self.index.of(user).into_iter().flat_map(|holdings| &holdings.signers);
        let user = user.to_owned();
        addresses.filter_map(move |address| {
            let signer = self.signers.get(&(address.clone(), user.clone()))?;
            signer.deleted_ms.is_none().then_some((address.as_str(), signer))
        })
    }

    pub fn users_of_signer(&self, address: &str) -> impl Iterator<Item = &str> {
        let first = (address.to_owned(), String::new());
        let address = address.to_owned();
        self.signers
            .range(first..)
            .take_while(move |((at, _), _)| *at == address)
            .filter(|(_, signer)| signer.deleted_ms.is_none())
            .map(|((_, user), _)| user.as_str())
    }

    pub fn is_signer_of(&self, address: &str, user: &str) -> bool {
        let row = self.signers.get(&(address.to_owned(), user.to_owned()));
        row.is_some_and(|signer| signer.deleted_ms.is_none())
    }

    /// A token, revoked or not.
    pub fn token(&self, id: u64) -> Option<&TokenRow> {
        self.tokens.get(&id)
    }

    pub fn tokens(&self) -> impl Iterator<Item = &TokenRow> {
        self.tokens.values()
    }

    pub fn tokens_of<'a>(&'a self, user: &str) -> impl Iterator<Item = &'a TokenRow> + use<'a> {
        let ids = self.index.of(user).into_iter().flat_map(|holdings| &holdings.tokens);
        ids.filter_map(|id| self.tokens.get(id))
    }

    /// Secrets by key id, retired ones too.
    pub fn secrets(&self) -> impl Iterator<Item = (u64, &Secret)> {
        self.secrets.iter().map(|(kid, secret)| (*kid, secret))
    }

    pub fn secret(&self, kid: u64) -> Option<&Secret> {
        self.secrets.get(&kid)
    }

    /// The secret that new tokens are signed with.
    pub fn current_kid(&self) -> Option<u64> {
        self.secrets.last_key_value().map(|(kid, _)| *kid)
    }

    pub fn limit(&self, id: u64) -> Option<&Limit> {
        self.limits.get(&id)
    }

    pub fn limits(&self) -> impl Iterator<Item = (u64, &Limit)> {
        self.limits.iter().map(|(id, limit)| (*id, limit))
    }

    pub fn limits_of<'a>(&'a self, user: &str) -> impl Iterator<Item = (u64, &'a Limit)> + use<'a> {
        let ids = self.index.of(user).into_iter().flat_map(|holdings| &holdings.limits);
        ids.filter_map(|id| Some((*id, self.limits.get(id)?)))
    }

    /// The limits that a call counts against.
    pub fn limits_for<'a>(
        &'a self,
        user: &str,
        service: &'a str,
        method: &'a str,
    ) -> impl Iterator<Item = (u64, &'a Limit)> {
        self.limits_of(user).filter(move |(_, limit)| limit.covers(service, method))
    }

    pub fn share(&self, limit: u64, node: u64) -> Option<&ShareRow> {
        self.shares.get(&(limit, node))
    }

    /// Up to `max` audit rows below number `before`, newest first.
    pub fn audit(&self, before: Option<u64>, max: usize) -> Vec<(u64, &AuditRow)> {
        let rows = self.audit.range(..before.unwrap_or(u64::MAX)).rev();
        rows.take(max).map(|(number, row)| (*number, row)).collect()
    }
}
