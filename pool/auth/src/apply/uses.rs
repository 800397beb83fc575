//! **Purpose**: when tokens were last used, in batches.

use super::{Step, count, full, invalid};
use crate::command::Use;
use crate::model::NodeRow;
use crate::reply::{Rejected, Reply};
use crate::tables;

impl Step<'_, '_> {
    pub(super) fn record_uses(&mut self, node: u64, uses: &[Use]) -> Result<Reply, Rejected> {
        self.need_node("record uses of tokens")?;
        let (has, max) = (uses.len(), tables::USES_MAX);
        if has > max {
            return Err(invalid(format!("{has} uses were given; give at most {max} at once")));
        }
        let now = self.context.now_ms;
        match self.state.nodes.get(&node) {
            Some(row) => {
                let retry_at_ms = row.uses_recorded_ms.saturating_add(tables::USES_INTERVAL_MS);
                if now < retry_at_ms {
                    return Err(Rejected::UsesTooOften { retry_at_ms });
                }
            }
            None => self.make_room_for_node(now)?,
        }
        let recorded = uses.iter().filter(|used| self.record_use(used, now)).count();
        self.state.put_node(node, NodeRow { uses_recorded_ms: now }, self.put);
        Ok(Reply::UsesRecorded { count: count(recorded) })
    }

    /// Nodes that might record again give way: what is kept of them refuses nothing any more.
    fn make_room_for_node(&mut self, now: u64) -> Result<(), Rejected> {
        if self.state.nodes.len() < tables::NODES_MAX {
            return Ok(());
        }
        let is_over =
            |row: &NodeRow| now >= row.uses_recorded_ms.saturating_add(tables::USES_INTERVAL_MS);
        let idle = self.state.nodes.iter().filter(|(_, row)| is_over(row));
        let oldest = idle.min_by_key(|(_, row)| row.uses_recorded_ms).map(|(node, _)| *node);
        let Some(node) = oldest else {
            return Err(full("nodes that record uses", tables::NODES_MAX));
        };
        self.state.drop_node(node, self.put);
        Ok(())
    }

    fn record_use(&mut self, used: &Use, now: u64) -> bool {
        let Some(token) = self.state.tokens.get(&used.token) else { return false };
        let last = used.last_ms.min(now);
        if token.last_used_ms.is_some_and(|before| before >= last) {
            return false;
        }
        let mut token = token.clone();
        token.last_used_ms = Some(last);
        self.state.put_token(token, self.put);
        true
    }
}
