//! **Purpose**: share a limit out over the nodes.
//!
//! **Invariants**
//! - In every window the shares sum to at most the cap.
//! - A draw that is repeated, late or from a process that does not know its share changes nothing.

use super::{Step, full};
use crate::command::Draw;
use crate::model::ShareRow;
use crate::reply::{Rejected, Reply, Share};
use crate::tables;

impl Step<'_, '_> {
    pub(super) fn draw(&mut self, draw: &Draw) -> Result<Reply, Rejected> {
        self.need_node("draw from a limit")?;
        let id = draw.limit;
        let Some(limit) = self.state.limits.get(&id) else {
            return Err(Rejected::NoSuchLimit { id });
        };
        let window = limit.window_at(self.context.now_ms);
        if draw.window != window {
            return Err(Rejected::OtherWindow { limit: id, window });
        }
        let cap = limit.cap;
        let known = self.state.share(id, draw.node).copied();
        let before = known.unwrap_or_default();
        let held = if before.window == window { before.granted } else { 0 };
        let others = self.others(draw, window);
        if draw.sequence <= before.sequence || draw.keep > held || draw.used > draw.keep {
            return Err(Rejected::StaleShare(Share {
                limit: id,
                window,
                sequence: before.sequence,
                granted: held,
                spare_elsewhere: others.spare,
            }));
        }
        if known.is_none() {
            self.make_room_for_share(id, window)?;
        }
        let room = cap.saturating_sub(others.granted);
        let granted = draw.keep.max(draw.keep.saturating_add(draw.want).min(room));
        let share = ShareRow { window, sequence: draw.sequence, granted, used: draw.used };
        self.state.put_share(id, draw.node, share, self.put);
        Ok(Reply::Share(Share {
            limit: id,
            window,
            sequence: draw.sequence,
            granted,
            spare_elsewhere: others.spare,
        }))
    }

    /// Nodes that drew nothing in this window give way: they hold nothing that would be forgotten.
    fn make_room_for_share(&mut self, id: u64, window: u64) -> Result<(), Rejected> {
        if self.state.shares_of(id).count() < tables::NODES_MAX {
            return Ok(());
        }
        let old = self.state.shares_of(id).filter(|(_, share)| share.window < window);
        let oldest = old.min_by_key(|(_, share)| share.window).map(|(node, _)| node);
        let Some(node) = oldest else {
            return Err(full("nodes that draw from this limit", tables::NODES_MAX));
        };
        self.state.drop_share(id, node, self.put);
        Ok(())
    }

    fn others(&self, draw: &Draw, window: u64) -> Others {
        let mut others = Others { granted: 0, spare: 0 };
        let shares = self.state.shares_of(draw.limit);
        for (_, share) in
            shares.filter(|(node, share)| *node != draw.node && share.window == window)
        {
            others.granted = others.granted.saturating_add(share.granted);
            others.spare = others.spare.saturating_add(share.granted - share.used);
        }
        others
    }
}

/// What the other nodes hold in a window.
struct Others {
    granted: u64,
    spare: u64,
}
