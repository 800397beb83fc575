//! **Purpose**: which users may have messages signed by which addresses, n to n.

use super::{Step, full, invalid};
use crate::actor::Permission;
use crate::model::Signer;
use crate::names;
use crate::reply::{Rejected, Reply};
use crate::tables;

impl Step<'_, '_> {
    pub(super) fn register_signers(
        &mut self,
        user: &str,
        signers: &[String],
    ) -> Result<Reply, Rejected> {
        self.need_admin("register signers")?;
        self.live_user(user)?;
        let addresses = checked(signers)?;
        self.check_room_for_signers(user, &addresses)?;
        let now = self.context.now_ms;
        for address in addresses {
            let key = (address, user.to_owned());
            let before = self.state.signers.get(&key);
            let created_ms = before.map_or(now, |row| row.created_ms);
            let row = Signer { created_ms, updated_ms: now, deleted_ms: None };
            self.make_room_for_signer(user, &key.0);
            self.state.put_signer(&key.0, user, row, self.put);
        }
        Ok(Reply::Done)
    }

    pub(super) fn unregister_signers(
        &mut self,
        user: &str,
        signers: &[String],
    ) -> Result<Reply, Rejected> {
        self.need_own(user, Permission::Write, "unregister signers")?;
        let addresses = checked(signers)?;
        let mut existed = false;
        for address in addresses {
            existed |= self.delete_registration(&address, user);
        }
        Ok(Reply::Deleted { existed })
    }

    pub(super) fn delete_signer(&mut self, signer: &str) -> Result<Reply, Rejected> {
        self.need(Permission::Write, "delete a signer")?;
        let address = names::signer(signer).map_err(invalid)?;
        let actor = self.context.actor;
        let users: Vec<String> = if actor.is_admin() {
            self.state.users_of_signer(&address).map(str::to_owned).collect()
        } else {
            self.need_own(&actor.user, Permission::Write, "delete a signer")?;
            vec![actor.user.clone()]
        };
        let mut existed = false;
        for user in users {
            existed |= self.delete_registration(&address, &user);
        }
        Ok(Reply::Deleted { existed })
    }

    fn delete_registration(&mut self, address: &str, user: &str) -> bool {
        let key = (address.to_owned(), user.to_owned());
        let live = self.state.signers.get(&key).filter(|row| row.deleted_ms.is_none());
        let Some(mut row) = live.copied() else { return false };
        row.deleted_ms = Some(self.context.now_ms);
        row.updated_ms = self.context.now_ms;
        self.state.put_signer(address, user, row, self.put);
        true
    }

    /// Refuses the whole command before anything of it is done.
    fn check_room_for_signers(&self, user: &str, addresses: &[String]) -> Result<(), Rejected> {
        let live = self.state.signers_of(user).count();
        let new = addresses.iter().filter(|address| !self.state.is_signer_of(address, user));
        if live + new.count() <= tables::SIGNERS_MAX_PER_USER {
            return Ok(());
        }
        Err(full("signers of this user", tables::SIGNERS_MAX_PER_USER))
    }

    /// Deleted registrations give way to new ones.
    fn make_room_for_signer(&mut self, user: &str, address: &str) {
        let Some(holdings) = self.state.index.of(user) else { return };
        let is_known = holdings.signers.contains(address);
        if is_known || holdings.signers.len() < tables::SIGNERS_MAX_PER_USER {
            return;
        }
        let dead = holdings.signers.iter().find(|text| !self.state.is_signer_of(text, user));
        if let Some(dead) = dead.cloned() {
            self.state.drop_signer(&dead, user, self.put);
        }
    }
}

/// The addresses in their one text, each once.
fn checked(signers: &[String]) -> Result<Vec<String>, Rejected> {
    let (has, max) = (signers.len(), tables::SIGNERS_MAX_PER_COMMAND);
    if has == 0 || has > max {
        return Err(invalid(format!("{has} signers were given; give 1 to {max} at once")));
    }
    let mut addresses: Vec<String> = signers
        .iter()
        .map(|text| names::signer(text).map_err(invalid))
        .collect::<Result<_, _>>()?;
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}
