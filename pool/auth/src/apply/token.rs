//! **Purpose**: tokens and what becomes of them.
//!
//! **Invariants**: nobody but an administrator gains a permission here that the credential used does not
//! have: recovering or renewing an own token needs the token's permission.

use super::{Step, check_text, full, invalid};
use crate::actor::Permission;
use crate::model::{Revoked, TokenRow};
use crate::reply::{Rejected, Reply};
use crate::tables;

/// A token to be made.
pub(super) struct Wanted {
    pub user: String,
    pub name: String,
    pub permission: Permission,
    pub extra: String,
    pub valid_ms: Option<u64>,
}

impl Step<'_, '_> {
    pub(super) fn create_token(&mut self, wanted: Wanted) -> Result<Reply, Rejected> {
        self.need_admin("create a token")?;
        self.live_user(&wanted.user)?;
        check_text("name of the token", &wanted.name)?;
        check_text("extra field", &wanted.extra)?;
        if wanted.valid_ms == Some(0) {
            return Err(invalid("the token would expire at once; give it some time"));
        }
        let kid = self.state.current_kid().ok_or(Rejected::NoSecret)?;
        self.make_room_for_token(&wanted.user)?;
        let now = self.context.now_ms;
        let id = self.state.meta.next_token;
        self.state.meta.next_token += 1;
        let token = TokenRow {
            id,
            name: wanted.name,
            user: wanted.user,
            permission: wanted.permission,
            extra: wanted.extra,
            kid,
            created_ms: now,
            expires_ms: wanted.valid_ms.map(|valid| whole_seconds(now.saturating_add(valid))),
            revoked: None,
            last_used_ms: None,
        };
        self.state.put_token(token.clone(), self.put);
        Ok(Reply::Token { token })
    }

    pub(super) fn revoke_token(&mut self, id: u64) -> Result<Reply, Rejected> {
        let mut token = self.own_token(id, Some(Permission::Write), "revoke")?;
        if token.revoked.is_some() {
            return Ok(Reply::Deleted { existed: false });
        }
        let actor = self.context.actor;
        token.revoked = Some(Revoked {
            at_ms: self.context.now_ms,
            by: actor.name.clone(),
            by_admin: actor.is_admin(),
        });
        self.state.put_token(token, self.put);
        self.effects.revoked_tokens.push(id);
        Ok(Reply::Deleted { existed: true })
    }

    pub(super) fn recover_token(&mut self, id: u64) -> Result<Reply, Rejected> {
        let mut token = self.own_token(id, None, "recover")?;
        let Some(revoked) = token.revoked.take() else {
            return Err(Rejected::TokenNotRevoked { id });
        };
        if revoked.by_admin {
            self.need_admin(&format!("recover token {id}, which an administrator revoked"))?;
        }
        self.need(Permission::Write, &format!("recover token {id}"))?;
        self.live_user(&token.user)?;
        if token.is_expired(self.context.now_ms) {
            return Err(Rejected::TokenExpired { id });
        }
        self.state.put_token(token, self.put);
        Ok(Reply::Done)
    }

    pub(super) fn renew_token(&mut self, id: u64) -> Result<Reply, Rejected> {
        let mut token = self.own_token(id, None, "renew")?;
        self.live_user(&token.user)?;
        if token.revoked.is_some() {
            return Err(Rejected::TokenRevoked { id });
        }
        if token.is_expired(self.context.now_ms) {
            return Err(Rejected::TokenExpired { id });
        }
        token.kid = self.state.current_kid().ok_or(Rejected::NoSecret)?;
        self.state.put_token(token.clone(), self.put);
        Ok(Reply::Token { token })
    }

    /// A token that the actor may do something with; `None` stands for the token's own permission.
    fn own_token(
        &self,
        id: u64,
        needed: Option<Permission>,
        verb: &str,
    ) -> Result<TokenRow, Rejected> {
        let action = format!("{verb} token {id}");
        match self.state.tokens.get(&id) {
            Some(token) => {
                self.need_own(&token.user, needed.unwrap_or(token.permission), &action)?;
                Ok(token.clone())
            }
            // Nobody owns a token that is not there; only an administrator learns that.
            None => {
                self.need_own("", Permission::Admin, &action)?;
                Err(Rejected::NoSuchToken { id })
            }
        }
    }

    /// The oldest token that is revoked or expired gives way to a new one.
    fn make_room_for_token(&mut self, user: &str) -> Result<(), Rejected> {
        let max = tables::TOKENS_MAX_PER_USER;
        let Some(holdings) = self.state.index.of(user) else { return Ok(()) };
        if holdings.tokens.len() < max {
            return Ok(());
        }
        let now = self.context.now_ms;
        let is_dead = |token: &&TokenRow| token.revoked.is_some() || token.is_expired(now);
        let dead = self.state.tokens_of(user).find(is_dead).map(|token| token.id);
        let Some(dead) = dead else { return Err(full("tokens of this user", max)) };
        self.state.drop_token(dead, self.put);
        Ok(())
    }
}

/// Rounded up: the claim `exp` has no milliseconds. The saturation lies below what a claim can say.
fn whole_seconds(ms: u64) -> u64 {
    (ms.min(u64::MAX - 1_000).div_ceil(1_000)) * 1_000
}
