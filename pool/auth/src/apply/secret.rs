//! **Purpose**: the secrets that tokens are signed with, and their rotation with overlap.

use super::{Step, invalid};
use crate::model::Secret;
use crate::reply::{Rejected, Reply};
use crate::tables;

impl Step<'_, '_> {
    pub(super) fn add_secret(
        &mut self,
        sealed: Vec<u8>,
        overlap_ms: u64,
    ) -> Result<Reply, Rejected> {
        self.need_admin("rotate the secret of tokens")?;
        let (has, max) = (sealed.len(), tables::SEALED_BYTES_MAX);
        if has == 0 || has > max {
            return Err(invalid(format!("the sealed secret has {has} bytes; 1 to {max} are kept")));
        }
        let now = self.context.now_ms;
        self.retire_all(now.saturating_add(overlap_ms));
        self.drop_retired(now);
        let kid = self.state.meta.next_kid;
        self.state.meta.next_kid += 1;
        let secret = Secret { sealed, created_ms: now, valid_until_ms: None };
        self.state.put_secret(kid, secret, self.put);
        Ok(Reply::SecretAdded { kid })
    }

    /// No earlier secret outlives the overlap: a rotation without one ends all of them at once, which
    /// is what a leaked secret needs.
    fn retire_all(&mut self, until_ms: u64) {
        let outlives = |secret: &Secret| secret.valid_until_ms.is_none_or(|until| until > until_ms);
        let retired: Vec<(u64, Secret)> = self
            .state
            .secrets()
            .filter(|(_, secret)| outlives(secret))
            .map(|(kid, secret)| (kid, Secret { valid_until_ms: Some(until_ms), ..secret.clone() }))
            .collect();
        for (kid, secret) in retired {
            self.state.put_secret(kid, secret, self.put);
        }
    }

    /// Drops secrets whose overlap is over, and the oldest beyond the bound.
    fn drop_retired(&mut self, now: u64) {
        let is_over = |secret: &Secret| secret.valid_until_ms.is_some_and(|until| until <= now);
        let mut gone: Vec<u64> = self
            .state
            .secrets()
            .filter(|(_, secret)| is_over(secret))
            .map(|(kid, _)| kid)
            .collect();
        let left = self.state.secrets.len() - gone.len();
        let excess = (left + 1).saturating_sub(tables::SECRETS_MAX);
        let oldest: Vec<u64> = self
            .state
            .secrets()
            .filter(|(_, secret)| !is_over(secret))
            .map(|(kid, _)| kid)
            .collect();
        gone.extend(oldest.into_iter().take(excess));
        for kid in gone {
            self.state.drop_secret(kid, self.put);
        }
    }
}
