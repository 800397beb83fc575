//! **Purpose**: rate limits: set, change, remove.
//!
//! **Invariants**: a window of state time belongs to one cap; what was granted before a cap was lowered
//! stays granted until the window ends, and nothing more is.

use super::{Step, check_text, full, invalid};
use crate::model::{Limit, ShareRow};
use crate::reply::{Rejected, Reply};
use crate::tables;

/// A limit to be set.
pub(super) struct Wanted {
    pub user: String,
    pub service: String,
    pub method: String,
    pub cap: u64,
    pub window_ms: u64,
}

impl Wanted {
    fn is_same_subject(&self, limit: &Limit) -> bool {
        self.user == limit.user
            && self.service == limit.service
            && self.method == limit.method
            && self.window_ms == limit.window_ms
    }
}

impl Step<'_, '_> {
    pub(super) fn set_limit(&mut self, id: Option<u64>, wanted: Wanted) -> Result<Reply, Rejected> {
        self.need_admin("set a limit")?;
        self.live_user(&wanted.user)?;
        check(&wanted)?;
        if let Some(id) = id.filter(|id| !self.state.limits.contains_key(id)) {
            return Err(Rejected::NoSuchLimit { id });
        }
        let mut limits = self.state.limits_of(&wanted.user);
        let same = limits.find(|(_, limit)| wanted.is_same_subject(limit)).map(|(id, _)| id);
        drop(limits);
        match same {
            Some(same) if id == Some(same) => {
                self.change_cap(same, wanted.cap);
                Ok(Reply::LimitSet { id: same })
            }
            Some(same) => Err(Rejected::LimitExists { id: same }),
            None => self.add_limit(id, wanted),
        }
    }

    pub(super) fn remove_limit(&mut self, id: u64) -> Result<Reply, Rejected> {
        self.need_admin("remove a limit")?;
        let existed = self.state.limits.contains_key(&id);
        self.state.drop_limit(id, self.put);
        Ok(Reply::Deleted { existed })
    }

    /// Windows of another length are other windows, so the limit gets another id with fresh shares.
    fn add_limit(&mut self, replaced: Option<u64>, wanted: Wanted) -> Result<Reply, Rejected> {
        let max = tables::LIMITS_MAX_PER_USER;
        let kept = self.state.limits_of(&wanted.user).filter(|(id, _)| Some(*id) != replaced);
        if kept.count() >= max {
            return Err(full("limits of this user", max));
        }
        if let Some(replaced) = replaced {
            self.state.drop_limit(replaced, self.put);
        }
        let id = self.state.meta.next_limit;
        self.state.meta.next_limit += 1;
        let limit = Limit {
            user: wanted.user,
            service: wanted.service,
            method: wanted.method,
            cap: wanted.cap,
            window_ms: wanted.window_ms,
            updated_ms: self.context.now_ms,
            changed_window: 0,
            changed_from: 0,
        };
        self.state.put_limit(id, limit, self.put);
        Ok(Reply::LimitSet { id })
    }

    fn change_cap(&mut self, id: u64, cap: u64) {
        let Some(before) = self.state.limits.get(&id).cloned() else { return };
        let window = before.window_at(self.context.now_ms);
        let mut limit = before.clone();
        limit.changed_from = before.cap_in(window);
        limit.changed_window = window;
        limit.cap = cap;
        limit.updated_ms = self.context.now_ms;
        // Grants of earlier windows were made under another cap and bind nobody any more.
        let old: Vec<(u64, ShareRow)> = self
            .state
            .shares_of(id)
            .filter(|(_, share)| share.window != window)
            .map(|(node, share)| (node, ShareRow { granted: 0, used: 0, ..*share }))
            .collect();
        for (node, share) in old {
            self.state.put_share(id, node, share, self.put);
        }
        self.state.put_limit(id, limit, self.put);
    }
}

fn check(wanted: &Wanted) -> Result<(), Rejected> {
    check_text("name of the service", &wanted.service)?;
    check_text("name of the method", &wanted.method)?;
    let (least, most) = (tables::WINDOW_MS_MIN, tables::WINDOW_MS_MAX);
    if !(least..=most).contains(&wanted.window_ms) {
        let has = wanted.window_ms;
        return Err(invalid(format!(
            "a window of {has} ms is not possible; use {least} to {most}"
        )));
    }
    if wanted.cap > tables::CAP_MAX {
        let (has, max) = (wanted.cap, tables::CAP_MAX);
        return Err(invalid(format!("a limit of {has} is no limit; use at most {max}")));
    }
    Ok(())
}
