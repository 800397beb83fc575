//! Indexes derived from the rows: what is ready, what is charged, who waits for whom.
//!
//! Invariants: `Index::derive(state)` equals the index that `apply` keeps step by step; entries
//! that say nothing (empty sets, zero counts) are absent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{
    AttemptToken, Demand, ExecutorId, JobId, JobRow, JobState, LeaseId, OwnerUsage, ProofType,
    SpecRow, TaskId, TaskState, UnixMillis, Usage, Work,
};
use crate::sealing;
use crate::state::State;

/// Tasks that ask for the same: the planner looks at each shape once, not at each task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub owner: String,
    /// Of one task.
    pub demand: Demand,
    /// Tasks of the shape may run together in one process, labelling sectors of this size.
    pub lockstep: Option<ProofType>,
}

/// Order of the queue: higher priority first, then older jobs. `index` is 0 for command jobs,
/// which are queued as a whole, and the node's number for stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QueueKey {
    /// The negated priority.
    pub order: i64,
    pub job: JobId,
    pub index: u32,
}

/// What is derived about a job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct JobIndex {
    /// Of a command job.
    pub shape: Option<Arc<Shape>>,
    /// Rows in state `Ready`.
    pub ready: BTreeSet<u32>,
    /// Tasks in state `Leased`.
    pub leased: u32,
    /// Leases with at least one current attempt of this job.
    pub leases: u32,
    pub rows: u32,
    /// Queue entries: {0} for a queued command job, node numbers for a stage job.
    pub queued: BTreeSet<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Index {
    pub queue: BTreeMap<Arc<Shape>, BTreeSet<QueueKey>>,
    /// Jobs that have not ended.
    pub jobs: BTreeMap<JobId, JobIndex>,
    pub back_off: BTreeSet<(UnixMillis, TaskId)>,
    pub usage: BTreeMap<ExecutorId, Usage>,
    pub attempts: BTreeSet<(ExecutorId, AttemptToken)>,
    pub executor_leases: BTreeSet<(ExecutorId, LeaseId)>,
    /// Attempts that are charged but no longer current.
    pub superseded: BTreeSet<(TaskId, AttemptToken)>,
    /// Current attempts of each lease.
    pub lease_current: BTreeMap<LeaseId, u32>,
    pub names: BTreeMap<String, ExecutorId>,
    /// (job, the job that waits for it).
    pub dependents: BTreeSet<(JobId, JobId)>,
    /// Ended jobs still in memory, oldest end first.
    pub ended: BTreeSet<(UnixMillis, JobId)>,
    /// Jobs in state `Stopping`.
    pub stopping: BTreeSet<JobId>,
    /// What each owner holds.
    pub owners: BTreeMap<String, OwnerUsage>,
    pub queued_tasks: u64,
    /// Tasks in state `Leased`, over all jobs.
    pub leased_tasks: u64,
}

impl Index {
    pub fn derive(state: &State) -> Self {
        let mut index = Self::default();
        for (&id, row) in state.executors.iter() {
            index.names.insert(row.name.clone(), id);
        }
        for (&lease, row) in state.leases.iter() {
            for &executor in &row.executors {
                index.usage.entry(executor).or_default().add(&row.holding);
                index.executor_leases.insert((executor, lease));
            }
            if let Some(owner) = &row.owner {
                index.charge(owner, |used| used.add(&row.holding));
            }
        }
        for (_, row) in state.sectors.iter() {
            index.charge(&row.owner, |used| {
                used.sector_bytes = used.sector_bytes.saturating_add(row.bytes());
            });
        }
        for (&id, row) in state.jobs.iter() {
            match row.state {
                JobState::Ended { at, .. } => {
                    index.ended.insert((at, id));
                }
                JobState::Active | JobState::Stopping { .. } => {
                    let Some(spec) = state.specs.get(id) else {
                        continue;
                    };
                    index.add_job(id, row, spec);
                    index.queued_tasks -= u64::from(row.ended());
                    if matches!(row.state, JobState::Stopping { .. }) {
                        index.stopping.insert(id);
                    }
                }
            }
        }
        for (&task, row) in state.tasks.iter() {
            if let Some(job) = index.jobs.get_mut(&task.job) {
                job.rows += 1;
            }
            let lease = match row.state {
                TaskState::Leased { token } => state.attempts.get(token).map(|a| a.lease),
                TaskState::Waiting | TaskState::Ready | TaskState::BackOff { .. } => None,
            };
            index.enter(task, row.state, lease);
        }
        for (&token, row) in state.attempts.iter() {
            index.attempts.insert((row.executor, token));
            let current = state.tasks.get(row.task).map(|task| task.state);
            if current != Some(TaskState::Leased { token }) {
                index.superseded.insert((row.task, token));
            }
        }
        for (&id, row) in state.jobs.iter() {
            if let Some(spec) = state.specs.get(id) {
                index.requeue(id, row, spec);
            }
        }
        index
    }

    /// A job that has not ended.
    pub fn add_job(&mut self, id: JobId, row: &JobRow, spec: &SpecRow) {
        let shape = match &spec.work {
            Work::Command(_) => {
                let (owner, demand) = (row.owner.clone(), spec.demand.clone());
                Some(self.intern(Shape { owner, demand, lockstep: None }))
            }
            Work::Stages(_) => None,
        };
        self.jobs.insert(id, JobIndex { shape, ..JobIndex::default() });
        for dependency in &row.waiting_for {
            self.dependents.insert((dependency.job, id));
        }
        self.queued_tasks += u64::from(row.total);
        self.charge(&row.owner, |used| used.jobs += 1);
    }

    /// Changes what an owner holds.
    pub fn charge(&mut self, owner: &str, change: impl FnOnce(&mut OwnerUsage)) {
        let mut used = self.owners.remove(owner).unwrap_or_default();
        change(&mut used);
        if !used.is_nothing() {
            self.owners.insert(owner.to_owned(), used);
        }
    }

    fn intern(&self, shape: Shape) -> Arc<Shape> {
        match self.queue.get_key_value(&shape) {
            Some((shared, _)) => Arc::clone(shared),
            None => Arc::new(shape),
        }
    }

    /// A task's row takes this state.
    pub fn enter(&mut self, task: TaskId, state: TaskState, lease: Option<LeaseId>) {
        match state {
            TaskState::Waiting => {}
            TaskState::Ready => {
                if let Some(job) = self.jobs.get_mut(&task.job) {
                    job.ready.insert(task.index);
                }
            }
            TaskState::BackOff { until } => {
                self.back_off.insert((until, task));
            }
            TaskState::Leased { .. } => {
                self.leased_tasks += 1;
                let Some(job) = self.jobs.get_mut(&task.job) else {
                    return;
                };
                job.leased += 1;
                // Only command jobs are throttled by leases, and their groups are of one job.
                if let Some(lease) = lease.filter(|_| job.shape.is_some()) {
                    let current = self.lease_current.entry(lease).or_default();
                    *current += 1;
                    job.leases += u32::from(*current == 1);
                }
            }
        }
    }

    /// A task's row leaves this state.
    pub fn leave(&mut self, task: TaskId, state: TaskState, lease: Option<LeaseId>) {
        match state {
            TaskState::Waiting => {}
            TaskState::Ready => {
                if let Some(job) = self.jobs.get_mut(&task.job) {
                    job.ready.remove(&task.index);
                }
            }
            TaskState::BackOff { until } => {
                self.back_off.remove(&(until, task));
            }
            TaskState::Leased { .. } => {
                self.leased_tasks = self.leased_tasks.saturating_sub(1);
                let Some(job) = self.jobs.get_mut(&task.job) else {
                    return;
                };
                job.leased = job.leased.saturating_sub(1);
                let Some(lease) = lease.filter(|_| job.shape.is_some()) else {
                    return;
                };
                match self.lease_current.get_mut(&lease) {
                    Some(current) if *current > 1 => *current -= 1,
                    _ => {
                        self.lease_current.remove(&lease);
                        job.leases = job.leases.saturating_sub(1);
                    }
                }
            }
        }
    }

    /// Brings the queue entries of a job in line with its rows.
    pub fn requeue(&mut self, id: JobId, row: &JobRow, spec: &SpecRow) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let order = -i64::from(row.priority);
        let may_start = row.state == JobState::Active && row.waiting_for.is_empty();
        match &spec.work {
            Work::Command(_) => {
                let Some(shape) = job.shape.clone() else {
                    return;
                };
                let throttled = spec.running_max > 0 && job.leases >= spec.running_max;
                let wanted =
                    may_start && !throttled && (row.next < row.total || !job.ready.is_empty());
                if wanted == job.queued.contains(&0) {
                    return;
                }
                let key = QueueKey { order, job: id, index: 0 };
                if wanted {
                    job.queued.insert(0);
                    self.insert(shape, key);
                } else {
                    job.queued.remove(&0);
                    self.remove(&shape, key);
                }
            }
            Work::Stages(stages) => {
                let wanted = if may_start { job.ready.clone() } else { BTreeSet::new() };
                let old = std::mem::replace(&mut job.queued, wanted.clone());
                for &index in old.symmetric_difference(&wanted) {
                    let Some(shape) = sealing::shape_of(&row.owner, stages, index) else {
                        continue;
                    };
                    let key = QueueKey { order, job: id, index };
                    if wanted.contains(&index) {
                        let shape = self.intern(shape);
                        self.insert(shape, key);
                    } else {
                        self.remove(&shape, key);
                    }
                }
            }
        }
    }

    fn insert(&mut self, shape: Arc<Shape>, key: QueueKey) {
        self.queue.entry(shape).or_default().insert(key);
    }

    fn remove(&mut self, shape: &Shape, key: QueueKey) {
        if let Some(keys) = self.queue.get_mut(shape) {
            keys.remove(&key);
            if keys.is_empty() {
                self.queue.remove(shape);
            }
        }
    }

    /// Takes the job out of everything that only jobs that have not ended have.
    pub fn end_job(&mut self, id: JobId, row: &JobRow, spec: &SpecRow) {
        self.requeue(id, row, spec);
        if self.jobs.remove(&id).is_some() {
            self.charge(&row.owner, |used| used.jobs = used.jobs.saturating_sub(1));
        }
        self.stopping.remove(&id);
        for dependency in &row.waiting_for {
            self.dependents.remove(&(dependency.job, id));
        }
    }
}
