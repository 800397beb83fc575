//! **Purpose**: miners; each belongs to one user.

use super::{Step, full, invalid};
use crate::actor::Permission;
use crate::model::Miner;
use crate::reply::{Rejected, Reply};
use crate::tables;

impl Step<'_, '_> {
    pub(super) fn put_miner(
        &mut self,
        miner: u64,
        user: &str,
        open_mining: bool,
    ) -> Result<Reply, Rejected> {
        self.need_admin("add a miner")?;
        if miner >= 1 << 63 {
            return Err(invalid(format!("{miner} is no actor id: ids have at most 63 bits")));
        }
        self.live_user(user)?;
        let before = self.state.miners.get(&miner).cloned();
        let is_new_here = before.as_ref().is_none_or(|row| row.user != user);
        if is_new_here {
            self.make_room_for_miner(user)?;
        }
        let now = self.context.now_ms;
        let created = before.as_ref().is_none_or(|row| row.deleted_ms.is_some());
        let row = Miner {
            user: user.to_owned(),
            open_mining,
            created_ms: before.map_or(now, |row| row.created_ms),
            updated_ms: now,
            deleted_ms: None,
        };
        self.state.put_miner(miner, row, self.put);
        Ok(Reply::MinerPut { created })
    }

    pub(super) fn delete_miner(&mut self, miner: u64) -> Result<Reply, Rejected> {
        let action = format!("delete miner f0{miner}");
        let owner = self.state.miner(miner).map(|row| row.user.clone());
        // Nobody owns a miner that is not there; only an administrator learns that.
        self.need_own(owner.as_deref().unwrap_or_default(), Permission::Write, &action)?;
        let Some(mut row) = self.state.miner(miner).cloned() else {
            return Ok(Reply::Deleted { existed: false });
        };
        row.deleted_ms = Some(self.context.now_ms);
        row.updated_ms = self.context.now_ms;
        self.state.put_miner(miner, row, self.put);
        Ok(Reply::Deleted { existed: true })
    }

    /// Deleted miners give way to new ones.
    fn make_room_for_miner(&mut self, user: &str) -> Result<(), Rejected> {
        let max = tables::MINERS_MAX_PER_USER;
        let Some(holdings) = self.state.index.of(user) else { return Ok(()) };
        if holdings.miners.len() < max {
            return Ok(());
        }
        let dead = holdings.miners.iter().copied().find(|id| self.state.miner(*id).is_none());
        let Some(dead) = dead else { return Err(full("miners of this user", max)) };
        self.state.drop_miner(dead, self.put);
        Ok(())
    }
}
