//! **Purpose**: carry out one committed command.
//!
//! **Invariants**
//! - Total: what cannot be done is answered with `Reply::Rejected` and changes nothing but the audit.
//! - The permission is checked before anything else is said about the subject.

mod audit;
mod draw;
mod limit;
mod miner;
mod secret;
mod signer;
mod token;
mod user;
mod uses;

use crate::actor::{Authority, Context, Permission};
use crate::command::Command;
use crate::model::User;
use crate::names;
use crate::reply::{Applied, Effects, OwnerLimits, Rejected, Reply};
use crate::state::{PutRow, State, encode};
use crate::tables;

/// One command under way.
struct Step<'a, 'b> {
    state: &'a mut State,
    context: &'a Context<'a>,
    put: &'a mut PutRow<'b>,
    effects: Effects,
}

impl State {
    /// Applies one committed command, writing the changed rows through `put`.
    pub fn apply(
        &mut self,
        context: &Context<'_>,
        command: Command,
        put: &mut PutRow<'_>,
    ) -> Applied {
        let meta_before = self.meta;
        let entry = audit::entry(&command);
        let mut step = Step { state: self, context, put, effects: Effects::default() };
        let result = step.carry_out(command);
        if let Some(entry) = entry {
            step.record(entry, &result);
        }
        let effects = step.effects;
        if self.meta != meta_before {
            put(tables::META, b"", Some(encode(&self.meta)));
        }
        debug_assert_eq!(self.validate(), Ok(()));
        Applied { reply: result.unwrap_or_else(Reply::Rejected), effects }
    }
}

impl Step<'_, '_> {
    fn carry_out(&mut self, command: Command) -> Result<Reply, Rejected> {
        self.check_actor()?;
        match command {
            Command::CreateUser { name, comment, enabled } => {
                self.create_user(&name, comment, enabled)
            }
            Command::UpdateUser { name, comment, enabled } => {
                self.update_user(&name, comment, enabled)
            }
            Command::DeleteUser { name } => self.delete_user(&name),
            Command::RecoverUser { name } => self.recover_user(&name),
            Command::PutMiner { miner, user, open_mining } => {
                self.put_miner(miner, &user, open_mining)
            }
            Command::DeleteMiner { miner } => self.delete_miner(miner),
            Command::RegisterSigners { user, signers } => self.register_signers(&user, &signers),
            Command::UnregisterSigners { user, signers } => {
                self.unregister_signers(&user, &signers)
            }
            Command::DeleteSigner { signer } => self.delete_signer(&signer),
            Command::CreateToken { user, name, permission, extra, valid_ms } => {
                self.create_token(token::Wanted { user, name, permission, extra, valid_ms })
            }
            Command::RevokeToken { id } => self.revoke_token(id),
            Command::RecoverToken { id } => self.recover_token(id),
            Command::RenewToken { id } => self.renew_token(id),
            Command::AddSecret { sealed, overlap_ms } => self.add_secret(sealed, overlap_ms),
            Command::SetLimit { id, user, service, method, cap, window_ms } => {
                self.set_limit(id, limit::Wanted { user, service, method, cap, window_ms })
            }
            Command::RemoveLimit { id } => self.remove_limit(id),
            Command::SetQuota { user, quota } => self.set_quota(&user, quota),
            Command::Draw(draw) => self.draw(&draw),
            Command::RecordUses { node, uses } => self.record_uses(node, &uses),
            Command::Audit { who, action, subject, outcome } => {
                self.need_node("write to the audit")?;
                self.record_foreign(&who, &action, &subject, &outcome);
                Ok(Reply::Done)
            }
        }
    }

    /// Disabling a user acts with the next entry, on commands that are under way too. A user without a
    /// row is the owner of a certificate, which the shell answers for.
    fn check_actor(&self) -> Result<(), Rejected> {
        let name = &self.context.actor.user;
        match self.state.users.get(name) {
            Some(user) if user.is_held() => Err(Rejected::ActorHeld { name: name.clone() }),
            Some(_) | None => Ok(()),
        }
    }

    fn need(&self, needed: Permission, action: &str) -> Result<(), Rejected> {
        let has = self.context.actor.permission();
        if has.allows(needed) {
            return Ok(());
        }
        Err(Rejected::MissingPermission { action: action.to_owned(), needed, has })
    }

    fn need_admin(&self, action: &str) -> Result<(), Rejected> {
        self.need(Permission::Admin, action)
    }

    /// Admin, or `needed` where the subject is the actor's own.
    fn need_own(&self, user: &str, needed: Permission, action: &str) -> Result<(), Rejected> {
        let actor = self.context.actor;
        if actor.is_admin() {
            return Ok(());
        }
        if !actor.is_user(user) {
            let has = actor.permission();
            return Err(Rejected::NotYours { action: action.to_owned(), has });
        }
        self.need(needed, action)
    }

    fn need_node(&self, action: &str) -> Result<(), Rejected> {
        match self.context.actor.authority {
            Authority::Node => Ok(()),
            Authority::User(_) => Err(Rejected::NotANode { action: action.to_owned() }),
        }
    }

    /// The row of a user who is not deleted.
    fn live_user(&self, name: &str) -> Result<&User, Rejected> {
        match self.state.users.get(name) {
            None => Err(Rejected::NoSuchUser { name: names::shortened(name) }),
            Some(user) if user.is_deleted() => Err(Rejected::UserDeleted { name: name.to_owned() }),
            Some(user) => Ok(user),
        }
    }

    /// Tells the scheduler how an owner stands now.
    fn announce(&mut self, name: &str) {
        let Some(user) = self.state.users.get(name) else { return };
        let limits = OwnerLimits { user: name.to_owned(), quota: user.quota, held: user.is_held() };
        self.effects.owner_limits.push(limits);
    }
}

fn invalid(message: impl ToString) -> Rejected {
    Rejected::Invalid { message: message.to_string() }
}

fn check_text(what: &str, text: &str) -> Result<(), Rejected> {
    if text.len() <= tables::TEXT_BYTES_MAX {
        return Ok(());
    }
    let (has, max) = (text.len(), tables::TEXT_BYTES_MAX);
    Err(invalid(format!("the {what} has {has} bytes, at most {max} are kept; shorten it")))
}

fn full(what: &str, max: usize) -> Rejected {
    Rejected::Full { what: what.to_owned(), max: u64::try_from(max).unwrap_or(u64::MAX) }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
