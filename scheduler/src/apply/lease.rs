//! Grants and releases: the only places where resources are charged and freed.
//!
//! Invariants: a grant is checked again at its log index, whatever the planner thought; a lease
//! is charged once, from its grant until the last of its attempts is known dead; tokens grow.

use std::collections::BTreeSet;

use crate::command::Grant;
use crate::event::Event;
use crate::model::{
    Admission, AttemptRow, AttemptToken, Demand, ExecutorId, ExecutorRow, JobState, LeaseId,
    LeaseRow, Liveness, PC1_GROUP_MAX, TaskId, TaskState, Usage, Work, hold, shortage,
};
use crate::reply::{GrantRefusal, RefusedGrant, Rejected, Reply};
use crate::sealing;
use crate::state::State;
use crate::view::node_of;

use super::Run;
use super::submit::limit;

pub(crate) const GRANTS_MAX: usize = 1024;
/// Tasks of one group, whatever the configuration says.
const GROUP_MAX: usize = 4096;
/// How far ahead of the first untouched task a grant may reach.
const AHEAD_MAX: u32 = 8192;

impl State {
    pub(super) fn grant(
        &mut self,
        grants: Vec<Grant>,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        limit("grants", grants.len(), GRANTS_MAX)?;
        let mut leases = Vec::with_capacity(grants.len());
        let mut refused = Vec::new();
        for (number, grant) in (0u32..).zip(grants) {
            match self.grant_one(&grant, run) {
                Ok(lease) => leases.push(lease),
                Err(reason) => refused.push(RefusedGrant { grant: number, reason }),
            }
        }
        Ok(Reply::Granted { leases, refused })
    }

    fn grant_one(&mut self, grant: &Grant, run: &mut Run<'_>) -> Result<LeaseId, GrantRefusal> {
        let (owner, demand) = if grant.width.is_some() {
            self.check_lockstep(&grant.tasks)?
        } else {
            self.check_group(&grant.tasks)?
        };
        self.check_quota(&owner, &grant.tasks, &demand)?;
        let executor = grant.executor;
        let row = self
            .executors
            .get(executor)
            .filter(|row| is_available(row) && self.serves_all(row, &grant.tasks))
            .ok_or(GrantRefusal::Unavailable { executor })?;
        let nothing = Usage::default();
        let used = self.index.usage.get(&executor).unwrap_or(&nothing);
        if let Some(short) = shortage(&demand, &row.inventory, &row.paths, used) {
            return Err(GrantRefusal::NoRoom {
                executor,
                resource: short.resource,
                needed: short.needed,
                available: short.available,
            });
        }
        let holding = hold(&demand, &row.inventory, used);

        let first = AttemptToken(self.meta.last_token.0 + 1);
        let lease = LeaseId(first.0);
        let count = u32::try_from(grant.tasks.len()).unwrap_or(u32::MAX);
        self.index.usage.entry(executor).or_default().add(&holding);
        self.index.executor_leases.insert((executor, lease));
        self.index.charge(&owner, |used| used.add(&holding));
        let executors = vec![executor];
        let owner = Some(owner);
        let width = grant.width.clone();
        self.leases.insert(
            lease,
            LeaseRow { executors, holding, first, count, open: count, owner, width },
        );
        for &task in &grant.tasks {
            self.start_attempt(task, lease, executor, run);
        }
        run.events.push(Event::LeaseGranted { lease, executors: vec![executor] });
        Ok(lease)
    }

    fn start_attempt(
        &mut self,
        task: TaskId,
        lease: LeaseId,
        executor: ExecutorId,
        run: &mut Run<'_>,
    ) {
        self.materialise(task, run);
        self.meta.last_token.0 += 1;
        let token = self.meta.last_token;
        let number = match self.tasks.get_mut(task) {
            Some(row) => {
                row.number += 1;
                row.number
            }
            None => 1,
        };
        self.attempts.insert(
            token,
            AttemptRow {
                task,
                lease,
                executor,
                number,
                granted_at: run.now,
                started_at: None,
                stop: None,
            },
        );
        self.index.attempts.insert((executor, token));
        self.set_task_state(task, TaskState::Leased { token }, run);
        if let Some(job) = self.jobs.get(task.job)
            && job.started_at.is_none()
            && let Some(job) = self.jobs.get_mut(task.job)
        {
            job.started_at = Some(run.now);
        }
        run.changed_jobs.insert(task.job);
    }

    /// Gives rows to a task and to all before it that have none.
    fn materialise(&mut self, task: TaskId, run: &mut Run<'_>) {
        let (Some(job), Some(spec)) = (self.jobs.get(task.job), self.specs.get(task.job)) else {
            return;
        };
        let Some(position) = spec.position_of(task.index) else {
            return;
        };
        let from = job.next;
        if position < from {
            return;
        }
        let indexes: Vec<u32> = (from..=position).filter_map(|p| spec.index_at(p)).collect();
        for index in indexes {
            self.add_task(TaskId::new(task.job, index), TaskState::Ready, run);
        }
        if let Some(job) = self.jobs.get_mut(task.job) {
            job.next = position + 1;
        }
    }

    /// Checks that a group may start together; answers whose it is and what it needs.
    fn check_group(&self, tasks: &[TaskId]) -> Result<(String, Demand), GrantRefusal> {
        let max = self.meta.configuration.chain_max;
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let bad_group = || GrantRefusal::BadGroup { count, max };
        let Some(&head) = tasks.first() else {
            return Err(bad_group());
        };
        if count > max || tasks.len() > GROUP_MAX {
            return Err(bad_group());
        }
        if tasks.len() > 1 && tasks.iter().collect::<BTreeSet<_>>().len() != tasks.len() {
            return Err(bad_group());
        }
        let (Some(spec), Some(job)) = (self.specs.get(head.job), self.jobs.get(head.job)) else {
            return Err(GrantRefusal::NotReady { task: head });
        };
        // A lease is charged to one owner.
        let is_of_owner =
            |task: &TaskId| self.jobs.get(task.job).is_none_or(|other| other.owner == job.owner);
        if !tasks.iter().all(is_of_owner) {
            return Err(bad_group());
        }
        let owner = job.owner.clone();
        match &spec.work {
            // Chained: one after the other in one slot, so the demand counts once.
            Work::Command(_) => {
                if tasks.iter().any(|task| task.job != head.job) {
                    return Err(bad_group());
                }
                let leases = self.index.jobs.get(&head.job).map_or(0, |job| job.leases);
                if spec.running_max > 0 && leases >= spec.running_max {
                    return Err(GrantRefusal::Throttled);
                }
                for &task in tasks {
                    self.check_ready(task)?;
                }
                Ok((owner, spec.demand.clone()))
            }
            // The demands add up.
            Work::Stages(_) => {
                let mut demand = Demand::default();
                for &task in tasks {
                    self.check_ready(task)?;
                    let spec = self.specs.get(task.job).ok_or(GrantRefusal::NotReady { task })?;
                    let Work::Stages(stages) = &spec.work else {
                        return Err(bad_group());
                    };
                    let node =
                        node_of(stages, task.index).ok_or(GrantRefusal::NotReady { task })?;
                    let kernels = stages.kernels();
                    demand = demand.plus(&sealing::demand_of(node.stage, stages.proof, kernels));
                }
                Ok((owner, demand))
            }
        }
    }

    /// Checks that sectors may be labelled together: PC1 of one owner and size, with our own kernels.
    fn check_lockstep(&self, tasks: &[TaskId]) -> Result<(String, Demand), GrantRefusal> {
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let bad_group = || GrantRefusal::BadGroup { count, max: PC1_GROUP_MAX };
        let is_bad_count = count == 0 || count > PC1_GROUP_MAX;
        if is_bad_count || tasks.iter().collect::<BTreeSet<_>>().len() != tasks.len() {
            return Err(bad_group());
        }
        let mut group = None;
        for &task in tasks {
            let not_ready = || GrantRefusal::NotReady { task };
            self.check_ready(task)?;
            let (Some(spec), Some(job)) = (self.specs.get(task.job), self.jobs.get(task.job))
            else {
                return Err(not_ready());
            };
            let Work::Stages(stages) = &spec.work else {
                return Err(bad_group());
            };
            let node = node_of(stages, task.index).ok_or_else(not_ready)?;
            let member = (&job.owner, stages.proof);
            if !sealing::is_lockstep(stages, node) || *group.get_or_insert(member) != member {
                return Err(bad_group());
            }
        }
        let (owner, proof) = group.ok_or_else(bad_group)?;
        Ok((owner.clone(), sealing::lockstep_demand(proof, count)))
    }

    /// Proofs are charged too, but a limit does not stop them: a missed one costs more than any
    /// limit saves.
    fn check_quota(
        &self,
        owner: &str,
        tasks: &[TaskId],
        demand: &Demand,
    ) -> Result<(), GrantRefusal> {
        if self.is_held(owner) {
            return Err(GrantRefusal::OwnerHeld { owner: owner.to_owned() });
        }
        if tasks.iter().all(|task| self.is_proof(task.job)) {
            return Ok(());
        }
        match self.quota_short(owner, demand) {
            None => Ok(()),
            Some(short) => Err(GrantRefusal::Quota {
                owner: owner.to_owned(),
                what: short.what.to_owned(),
                needed: short.needed,
                used: short.used,
                max: short.max,
            }),
        }
    }

    fn check_ready(&self, task: TaskId) -> Result<(), GrantRefusal> {
        let refused = GrantRefusal::NotReady { task };
        let (Some(job), Some(spec)) = (self.jobs.get(task.job), self.specs.get(task.job)) else {
            return Err(refused);
        };
        if job.state != JobState::Active || !job.waiting_for.is_empty() {
            return Err(refused);
        }
        let Some(position) = spec.position_of(task.index) else {
            return Err(refused);
        };
        let is_ready = if position >= job.next {
            position < job.total && position - job.next < AHEAD_MAX
        } else {
            self.tasks.get(task).is_some_and(|row| row.state == TaskState::Ready)
        };
        if is_ready { Ok(()) } else { Err(refused) }
    }

    fn serves_all(&self, row: &ExecutorRow, tasks: &[TaskId]) -> bool {
        tasks.iter().all(|task| self.jobs.get(task.job).is_some_and(|job| serves(row, &job.owner)))
    }

    /// The attempt's process is known dead: its row goes, and with the last of the group the lease.
    pub(super) fn release(&mut self, token: AttemptToken, run: &mut Run<'_>) {
        let Some(attempt) = self.attempts.remove(token) else {
            return;
        };
        self.index.attempts.remove(&(attempt.executor, token));
        self.index.superseded.remove(&(attempt.task, token));
        let Some(lease) = self.leases.get_mut(attempt.lease) else {
            return;
        };
        lease.open = lease.open.saturating_sub(1);
        if lease.open > 0 {
            return;
        }
        let Some(lease) = self.leases.remove(attempt.lease) else {
            return;
        };
        if let Some(owner) = &lease.owner {
            self.index.charge(owner, |used| used.remove(&lease.holding));
        }
        for executor in lease.executors {
            self.index.executor_leases.remove(&(executor, attempt.lease));
            if let Some(used) = self.index.usage.get_mut(&executor) {
                used.remove(&lease.holding);
                if used.leases == 0 {
                    self.index.usage.remove(&executor);
                }
            }
            self.check_shrunk(executor);
        }
        run.ready_work = true;
    }

    /// Keeps the mark of executors that came back with less than their leases hold.
    pub(super) fn check_shrunk(&mut self, executor: ExecutorId) {
        let Some(row) = self.executors.get(executor) else {
            return;
        };
        let is_shrunk =
            self.index.usage.get(&executor).is_some_and(|used| holds_more_than(row, used));
        if row.shrunk != is_shrunk
            && let Some(row) = self.executors.get_mut(executor)
        {
            row.shrunk = is_shrunk;
        }
    }
}

/// Whether anything is granted to this executor at all.
pub(crate) fn is_available(row: &ExecutorRow) -> bool {
    row.liveness == Liveness::Connected { awaiting: None }
        && row.admission == Admission::Open
        && !row.shrunk
}

pub(crate) fn serves(row: &ExecutorRow, owner: &str) -> bool {
    !row.owner_only || row.owner == owner
}

/// Whether more is held than the inventory has.
pub(crate) fn holds_more_than(row: &ExecutorRow, used: &Usage) -> bool {
    let inventory = &row.inventory;
    used.cores > u64::from(inventory.cores)
        || used.memory_bytes > inventory.memory_bytes
        || used.gpus.iter().any(|held| !inventory.gpus.iter().any(|gpu| gpu.device == *held))
        || used
            .named
            .iter()
            .any(|(name, held)| *held > inventory.named.get(name).copied().unwrap_or(0))
}
