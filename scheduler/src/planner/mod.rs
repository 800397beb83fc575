//! The planner: which ready task goes to which executor. A pure function of the state; its result
//! is only a proposal, checked again when it is applied, so it may change between versions.
//!
//! Cost: one look per shape (owner and demand) that cannot be placed, whatever the number of its
//! tasks, and one walk over the executors per grant.
//!
//! Rules, in order: higher priority first, then older jobs; a retry avoids executors on which it
//! failed; stages go where their bytes lie, waiting for that executor at most as long as the
//! transfer would take; otherwise the emptiest executor; short tasks of one array are chained in
//! one lease; sectors that wait for PC1 are granted together, after a short wait for more of them;
//! a shape that has waited long gets an executor reserved; nothing is planned beyond the quota of
//! its owner, except proofs.

mod explain;
mod fit;
mod lockstep;
mod quota;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::Grant;
use crate::index::{QueueKey, Shape};
use crate::model::{ExecutorId, JobRow, SpecRow, TaskId, UnixMillis, Work};
use crate::state::State;

use fit::{Choice, Rooms};
use quota::Quotas;
use wish::Wish;

pub use explain::Explanation;

/// How much one call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanBudget {
    pub grants_max: usize,
    /// Tasks over all grants: bounds the size of the command.
    pub tasks_max: usize,
    /// Tasks of one shape looked at that wait for something else than room.
    pub skips_max: usize,
}

impl Default for PlanBudget {
    fn default() -> Self {
        Self { grants_max: 512, tasks_max: 8_192, skips_max: 1_024 }
    }
}

/// What could be granted now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Propose them as one `Command::Grant`.
    pub grants: Vec<Grant>,
    /// At this time a group has waited long enough for others to join it.
    pub again_at: Option<UnixMillis>,
}

/// Largest start order that chaining may make.
const CHAIN_BYTES_MAX: u64 = 512 << 10;

/// What one pass decided.
pub(crate) struct Pass<'a> {
    pub rooms: Rooms<'a>,
    quotas: Quotas<'a>,
    pub grants: Vec<Grant>,
    tasks: usize,
    budget: PlanBudget,
    /// Granted in a group by an earlier task of their line.
    joined: BTreeSet<TaskId>,
    /// Where tasks behind a head would go, and how often that executor had changed then.
    chosen: BTreeMap<TaskId, Option<(ExecutorId, u32)>>,
    /// Tasks that wait for others to join them, and until when.
    pub gathering: BTreeMap<TaskId, UnixMillis>,
}

/// One shape's queue, during a pass.
struct Line<'a> {
    shape: &'a Arc<Shape>,
    keys: std::collections::btree_set::Iter<'a, QueueKey>,
    /// Tasks of it that wait for something else than room.
    skips: usize,
}

/// What became of the head of a line.
enum Placed {
    Yes,
    /// It waits for something else than room; those behind it may go on.
    Skipped,
    /// There is no room for the shape.
    Blocked,
    /// Its owner may start nothing of this shape now; no room is kept for it.
    Held,
}

impl State {
    /// Grants that could be made now. Propose them as one `Command::Grant`.
    pub fn plan(&self, now: UnixMillis, budget: PlanBudget) -> Vec<Grant> {
        self.plan_with_wake(now, budget).grants
    }

    /// As [`Self::plan`], with the time at which a group that still gathers is to be planned.
    pub fn plan_with_wake(&self, now: UnixMillis, budget: PlanBudget) -> Plan {
        let pass = self.plan_pass(now, budget);
        let again_at = pass.gathering.values().copied().min();
        Plan { grants: pass.grants, again_at }
    }

    pub(crate) fn plan_pass(&self, now: UnixMillis, budget: PlanBudget) -> Pass<'_> {
        let mut pass = Pass {
            rooms: Rooms::new(self),
            quotas: Quotas::new(self),
            grants: Vec::new(),
            tasks: 0,
            budget,
            joined: BTreeSet::new(),
            chosen: BTreeMap::new(),
            gathering: BTreeMap::new(),
        };
        // With nobody to grant to there is nothing to decide.
        if pass.rooms.is_empty() {
            return pass;
        }
        let mut lines: Vec<Line<'_>> = Vec::with_capacity(self.index.queue.len());
        let mut heads: BTreeMap<QueueKey, usize> = BTreeMap::new();
        for (shape, keys) in &self.index.queue {
            let mut line = Line { shape, keys: keys.iter(), skips: 0 };
            if let Some(&key) = line.keys.next() {
                heads.insert(key, lines.len());
                lines.push(line);
            }
        }
        while let Some((key, number)) = heads.pop_first() {
            if pass.is_spent() {
                break;
            }
            let Some(line) = lines.get_mut(number) else {
                break;
            };
            let (Some(job), Some(spec)) = (self.jobs.get(key.job), self.specs.get(key.job)) else {
                continue;
            };
            let placed = match &spec.work {
                Work::Command(_) => pass.place_commands(self, line.shape, key, job, spec),
                Work::Stages(_) => match line.shape.lockstep {
                    Some(proof) => pass.place_lockstep(self, line, key, proof, now),
                    None => pass.place_stage(self, line.shape, key, now),
                },
            };
            match placed {
                Placed::Yes => {}
                Placed::Skipped => {
                    line.skips += 1;
                    if line.skips >= budget.skips_max {
                        continue;
                    }
                }
                Placed::Held => continue,
                Placed::Blocked => {
                    let task = self.tasks.get(TaskId::new(key.job, key.index));
                    let since = task.map_or(job.submitted_at, |row| row.ready_since);
                    if now.since(since) >= self.meta.configuration.reserve_after_ms {
                        pass.rooms.reserve(line.shape);
                    }
                    continue;
                }
            }
            if let Some(&next) = line.keys.next() {
                heads.insert(next, number);
            }
        }
        pass
    }
}

impl Pass<'_> {
    fn is_spent(&self) -> bool {
        self.grants.len() >= self.budget.grants_max || self.tasks >= self.budget.tasks_max
    }

    fn push(&mut self, grant: Grant) {
        self.tasks += grant.tasks.len();
        self.grants.push(grant);
    }

    /// Places as many tasks of a command job as there is room for.
    fn place_commands(
        &mut self,
        state: &State,
        shape: &Shape,
        key: QueueKey,
        job: &JobRow,
        spec: &SpecRow,
    ) -> Placed {
        let Some(derived) = state.index.jobs.get(&key.job) else {
            return Placed::Yes;
        };
        let mut leases = derived.leases;
        let may_lease = |leases: u32| spec.running_max == 0 || leases < spec.running_max;
        // Retries first, one by one: each may have executors to avoid.
        for &index in &derived.ready {
            if !may_lease(leases) || self.is_spent() {
                return Placed::Yes;
            }
            if !self.quotas.allow(&shape.owner, &shape.demand) {
                return Placed::Held;
            }
            let task = TaskId::new(key.job, index);
            let avoid = state.tasks.get(task).map(|row| row.avoid.as_slice()).unwrap_or_default();
            match self.rooms.choose(shape, avoid, None) {
                Choice::Take(executor) => {
                    self.rooms.take(executor, &shape.demand);
                    self.quotas.take(&shape.owner, &shape.demand);
                    self.push(Grant { executor, tasks: vec![task], width: None });
                    leases += 1;
                }
                Choice::WaitFor { .. } | Choice::Full => return Placed::Blocked,
            }
        }
        let mut next = job.next;
        let slots = self.rooms.slots(shape).max(1);
        while next < job.total {
            if !may_lease(leases) || self.is_spent() {
                return Placed::Yes;
            }
            if !self.quotas.allow(&shape.owner, &shape.demand) {
                return Placed::Held;
            }
            let Choice::Take(executor) = self.rooms.choose(shape, &[], None) else {
                return Placed::Blocked;
            };
            let left = self.budget.tasks_max - self.tasks;
            let size = chain(state, job, spec, job.total - next, slots);
            let size = size.min(u32::try_from(left).unwrap_or(u32::MAX)).max(1);
            let tasks: Vec<TaskId> = (next..next + size)
                .filter_map(|position| spec.index_at(position))
                .map(|index| TaskId::new(key.job, index))
                .collect();
            next += size;
            leases += 1;
            self.rooms.take(executor, &shape.demand);
            self.quotas.take(&shape.owner, &shape.demand);
            self.push(Grant { executor, tasks, width: None });
        }
        Placed::Yes
    }

    /// Places one stage.
    fn place_stage(
        &mut self,
        state: &State,
        shape: &Shape,
        key: QueueKey,
        now: UnixMillis,
    ) -> Placed {
        let task = TaskId::new(key.job, key.index);
        // A proof of the same demand may stand behind it in the line, so the line goes on.
        if state.is_held(&shape.owner)
            || (!state.is_proof(key.job) && !self.quotas.allow(&shape.owner, &shape.demand))
        {
            return Placed::Skipped;
        }
        let wish = Wish::of(state, task, now);
        if wish.unreachable().is_some() {
            return Placed::Skipped;
        }
        let avoid = state.tasks.get(task).map(|row| row.avoid.as_slice()).unwrap_or_default();
        match self.rooms.choose(shape, avoid, Some(&wish)) {
            Choice::Take(executor) => {
                self.rooms.take(executor, &shape.demand);
                self.quotas.take(&shape.owner, &shape.demand);
                self.push(Grant { executor, tasks: vec![task], width: None });
                Placed::Yes
            }
            Choice::WaitFor { .. } => Placed::Skipped,
            Choice::Full => Placed::Blocked,
        }
    }
}

/// How many tasks of an array to put in one lease: while tasks are short, about one second's
/// worth, but never more than a fair share of what is ready.
fn chain(state: &State, job: &JobRow, spec: &SpecRow, ready: u32, slots: u64) -> u32 {
    let settings = &state.meta.configuration;
    let Some(mean) = job.mean_us else { return 1 };
    if mean >= settings.chain_mean_below_us || spec.ranges.is_empty() {
        return 1;
    }
    let by_time = settings.chain_lease_us / mean.max(1);
    let by_share = u64::from(ready).div_ceil(slots.saturating_mul(2));
    // Each attempt of the lease carries the whole command.
    let by_bytes = CHAIN_BYTES_MAX / command_bytes(spec);
    let size = by_time.min(by_share).min(by_bytes).min(u64::from(settings.chain_max)).max(1);
    u32::try_from(size).unwrap_or(1).min(ready)
}

fn command_bytes(spec: &SpecRow) -> u64 {
    let Work::Command(command) = &spec.work else {
        return 1;
    };
    let args: usize = command.args.iter().map(|arg| arg.len() + 4).sum();
    let env: usize = command.env.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let bytes = 64 + command.program.len() + command.directory.len() + args + env;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Tasks that the pass would grant.
pub(super) fn granted(pass: &Pass<'_>) -> BTreeSet<TaskId> {
    pass.grants.iter().flat_map(|grant| grant.tasks.iter().copied()).collect()
}
