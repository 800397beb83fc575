//! Groups of PC1: sectors that label in lockstep in one process.
//!
//! Invariants: a group is of one shape, so of one owner, one sector size and our own kernels; each
//! member goes where it would have gone alone; a sector never waits for room that a narrower group
//! does not need, and for others at most the configured time, whatever the leaders' clocks say.

use super::fit::Choice;
use super::wish::Wish;
use super::{Line, Pass, Placed};
use crate::command::Grant;
use crate::index::{QueueKey, Shape};
use crate::model::{ExecutorId, ProofType, TaskId, UnixMillis, WidthBound};
use crate::sealing::lockstep_demand;
use crate::state::State;

/// How far behind the head of a line others are looked for.
const SCAN_MAX: usize = 1_024;

impl Pass<'_> {
    /// Places the head of a line with those behind it that go to the same executor.
    pub(super) fn place_lockstep(
        &mut self,
        state: &State,
        line: &Line<'_>,
        key: QueueKey,
        proof: ProofType,
        now: UnixMillis,
    ) -> Placed {
        let head = TaskId::new(key.job, key.index);
        if self.joined.contains(&head) {
            return Placed::Yes;
        }
        if self.gathering.contains_key(&head) {
            return Placed::Skipped;
        }
        let shape = line.shape;
        if !self.quotas.allow(&shape.owner, &shape.demand) {
            return Placed::Held;
        }
        let executor = match self.choose(state, shape, head, now) {
            Choice::Take(executor) => executor,
            Choice::WaitFor { .. } => return Placed::Skipped,
            Choice::Full => return Placed::Blocked,
        };
        let settings = &state.meta.configuration;
        let most = settings.pc1_group_max();
        let mut members = vec![head];
        for key in line.keys.clone().take(SCAN_MAX) {
            if members.len() >= to_usize(most) {
                break;
            }
            let task = TaskId::new(key.job, key.index);
            if self.joined.contains(&task) || self.gathering.contains_key(&task) {
                continue;
            }
            if self.choose_once(state, shape, task, now) == Some(executor) {
                members.push(task);
            }
        }
        let room = self.rooms.width(executor, proof, most).max(1);
        let possible = (1..=room)
            .rev()
            .find(|width| self.quotas.allow(&shape.owner, &lockstep_demand(proof, *width)))
            .unwrap_or(1)
            .min(u32::try_from(self.budget.tasks_max - self.tasks).unwrap_or(u32::MAX));
        let wanted = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let since = members.iter().map(|task| ready_since(state, *task)).min().unwrap_or(now);
        let until = since.plus(settings.pc1_group_wait_ms());
        // Ready later than now: the clock of an earlier leader was ahead. How long it waited is not
        // known, so it does not wait for others.
        if wanted < possible && (since..until).contains(&now) {
            self.gathering.extend(members.into_iter().map(|task| (task, until)));
            return Placed::Skipped;
        }
        let width = wanted.min(possible);
        let bound = self.bound(shape, executor, proof, width, wanted, most);
        members.truncate(to_usize(width));
        self.joined.extend(members.iter().copied());
        let demand = lockstep_demand(proof, width);
        self.rooms.take(executor, &demand);
        self.quotas.take(&shape.owner, &demand);
        self.push(Grant { executor, tasks: members, width: Some(bound) });
        Placed::Yes
    }

    /// As [`Self::choose`], kept while it holds: otherwise each head would ask again for all tasks
    /// behind it.
    fn choose_once(
        &mut self,
        state: &State,
        shape: &Shape,
        task: TaskId,
        now: UnixMillis,
    ) -> Option<ExecutorId> {
        match self.chosen.get(&task) {
            // A pass gives no room back.
            Some(None) => return None,
            Some(Some((executor, changes))) if self.rooms.changes(*executor) == *changes => {
                return Some(*executor);
            }
            Some(Some(_)) | None => {}
        }
        let executor = match self.choose(state, shape, task, now) {
            Choice::Take(executor) => Some(executor),
            Choice::WaitFor { .. } | Choice::Full => None,
        };
        let chosen = executor.map(|executor| (executor, self.rooms.changes(executor)));
        self.chosen.insert(task, chosen);
        executor
    }

    fn choose(&self, state: &State, shape: &Shape, task: TaskId, now: UnixMillis) -> Choice {
        let wish = Wish::of(state, task, now);
        let avoid = state.tasks.get(task).map(|row| row.avoid.as_slice()).unwrap_or_default();
        self.rooms.choose(shape, avoid, Some(&wish))
    }

    /// Why a group has `width` members when `wanted` waited.
    fn bound(
        &self,
        shape: &Shape,
        executor: ExecutorId,
        proof: ProofType,
        width: u32,
        wanted: u32,
        most: u32,
    ) -> WidthBound {
        if width == most {
            return WidthBound::Configured;
        }
        let demand = lockstep_demand(proof, wanted);
        if let Some(short) = self.rooms.short(executor, &demand) {
            let (resource, free) = (short.resource, short.available);
            return WidthBound::Room { resource, free, wanted, needed: short.needed };
        }
        match self.quotas.short(&shape.owner, &demand) {
            Some(short) => WidthBound::Quota {
                resource: short.what.to_owned(),
                free: short.max.saturating_sub(short.used),
                wanted,
                needed: short.needed,
            },
            None => WidthBound::Waiting,
        }
    }
}

fn ready_since(state: &State, task: TaskId) -> UnixMillis {
    state.tasks.get(task).map_or(state.meta.now, |row| row.ready_since)
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
