//! **Purpose**: users: create, change, delete with all that is theirs, recover.

use super::{Step, check_text, count, full, invalid};
use crate::model::{Quota, Revoked, User};
use crate::names;
use crate::reply::{Rejected, Reply};
use crate::tables;

impl Step<'_, '_> {
    pub(super) fn create_user(
        &mut self,
        name: &str,
        comment: String,
        enabled: bool,
    ) -> Result<Reply, Rejected> {
        self.need_admin("create a user")?;
        names::check_user(name).map_err(invalid)?;
        check_text("comment", &comment)?;
        match self.state.users.get(name) {
            Some(user) if user.is_deleted() => {
                return Err(Rejected::UserDeleted { name: name.to_owned() });
            }
            Some(_) => return Err(Rejected::UserExists { name: name.to_owned() }),
            None if self.state.users.len() >= tables::USERS_MAX => {
                return Err(full("users", tables::USERS_MAX));
            }
            None => {}
        }
        let now = self.context.now_ms;
        let user = User {
            comment,
            enabled,
            created_ms: now,
            updated_ms: now,
            deleted_ms: None,
            quota: Quota::default(),
        };
        self.state.put_user(name, user, self.put);
        self.announce(name);
        Ok(Reply::Done)
    }

    pub(super) fn update_user(
        &mut self,
        name: &str,
        comment: Option<String>,
        enabled: Option<bool>,
    ) -> Result<Reply, Rejected> {
        self.need_admin("change a user")?;
        check_text("comment", comment.as_deref().unwrap_or_default())?;
        let mut user = self.live_user(name)?.clone();
        let was_enabled = user.enabled;
        user.comment = comment.unwrap_or(user.comment);
        user.enabled = enabled.unwrap_or(user.enabled);
        user.updated_ms = self.context.now_ms;
        let is_changed = user.enabled != was_enabled;
        self.state.put_user(name, user, self.put);
        if is_changed {
            self.announce(name);
        }
        Ok(Reply::Done)
    }

    pub(super) fn set_quota(&mut self, name: &str, quota: Quota) -> Result<Reply, Rejected> {
        self.need_admin("set a quota")?;
        let mut user = self.live_user(name)?.clone();
        user.quota = quota;
        user.updated_ms = self.context.now_ms;
        self.state.put_user(name, user, self.put);
        self.announce(name);
        Ok(Reply::Done)
    }

    pub(super) fn delete_user(&mut self, name: &str) -> Result<Reply, Rejected> {
        self.need_admin("delete a user")?;
        let now = self.context.now_ms;
        let mut user = self.live_user(name)?.clone();
        user.deleted_ms = Some(now);
        user.updated_ms = now;
        self.state.put_user(name, user, self.put);
        let tokens = self.revoke_tokens_of(name);
        let miners = self.delete_miners_of(name);
        let signers = self.delete_signers_of(name);
        self.announce(name);
        Ok(Reply::UserDeleted { tokens, miners, signers })
    }

    pub(super) fn recover_user(&mut self, name: &str) -> Result<Reply, Rejected> {
        self.need_admin("recover a user")?;
        let mut user = match self.state.users.get(name) {
            None => return Err(Rejected::NoSuchUser { name: names::shortened(name) }),
            Some(user) if !user.is_deleted() => {
                return Err(Rejected::UserNotDeleted { name: name.to_owned() });
            }
            Some(user) => user.clone(),
        };
        user.deleted_ms = None;
        user.updated_ms = self.context.now_ms;
        self.state.put_user(name, user, self.put);
        self.announce(name);
        Ok(Reply::Done)
    }

    fn revoke_tokens_of(&mut self, name: &str) -> u32 {
        let live: Vec<_> =
            self.state.tokens_of(name).filter(|token| token.revoked.is_none()).cloned().collect();
        let revoked = Revoked {
            at_ms: self.context.now_ms,
            by: self.context.actor.name.clone(),
            by_admin: true,
        };
        let tokens = count(live.len());
        for mut token in live {
            self.effects.revoked_tokens.push(token.id);
            token.revoked = Some(revoked.clone());
            self.state.put_token(token, self.put);
        }
        tokens
    }

    fn delete_miners_of(&mut self, name: &str) -> u32 {
        let live: Vec<_> =
            self.state.miners_of(name).map(|(id, miner)| (id, miner.clone())).collect();
        let miners = count(live.len());
        for (id, mut miner) in live {
            miner.deleted_ms = Some(self.context.now_ms);
            self.state.put_miner(id, miner, self.put);
        }
        miners
    }

    fn delete_signers_of(&mut self, name: &str) -> u32 {
        let live: Vec<_> =
            self.state.signers_of(name).map(|(text, signer)| (text.to_owned(), *signer)).collect();
        let signers = count(live.len());
        for (address, mut signer) in live {
            signer.deleted_ms = Some(self.context.now_ms);
            self.state.put_signer(&address, name, signer, self.put);
        }
        signers
    }
}
