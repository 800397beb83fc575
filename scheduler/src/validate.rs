//! The invariants of the state, by name.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::apply::holds_more_than;
use crate::index::Index;
use crate::model::{AttemptToken, ExecutorId, JobId, JobState, LeaseId, TaskId, TaskState};
use crate::state::State;

/// A broken invariant: the node must stop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokenInvariant {
    #[error("executor {executor} is over-granted")]
    OverGranted { executor: ExecutorId },
    #[error("executor {executor}: device {device} is held by two leases")]
    DeviceHeldTwice { executor: ExecutorId, device: u32 },
    #[error("lease {lease} does not match its attempts")]
    Lease { lease: LeaseId },
    #[error("attempt {token} belongs to no lease, executor or number given out")]
    Attempt { token: AttemptToken },
    #[error("task {task} does not match its job or its attempt")]
    Task { task: TaskId },
    #[error("job {job}: its counts do not add up")]
    Job { job: JobId },
    #[error("job {job} ended but has live tasks, or should have ended")]
    JobEnd { job: JobId },
    #[error("a counter lies below a number that was given out")]
    Counter,
    #[error("the derived indexes differ from what the rows say")]
    Index,
}

impl State {
    /// Checks every invariant; cost grows with the size of the live state.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn validate(&self) -> Result<(), BrokenInvariant> {
        self.check_attempts()?;
        self.check_resources()?;
        self.check_tasks()?;
        self.check_jobs()?;
        if self.index != Index::derive(self) {
            return Err(BrokenInvariant::Index);
        }
        Ok(())
    }

    fn check_attempts(&self) -> Result<(), BrokenInvariant> {
        for (&token, attempt) in self.attempts.iter() {
            let lease = self.leases.get(attempt.lease);
            let in_lease = lease.is_some_and(|lease| {
                token >= lease.first
                    && token.0 < lease.first.0 + u64::from(lease.count)
                    && lease.executors.contains(&attempt.executor)
            });
            if !in_lease || token > self.meta.last_token {
                return Err(BrokenInvariant::Attempt { token });
            }
        }
        for (&id, lease) in self.leases.iter() {
            let end = AttemptToken(lease.first.0 + u64::from(lease.count));
            let open = self.attempts.range(lease.first..end).count();
            if lease.first.0 != id.0 || open == 0 || u32::try_from(open) != Ok(lease.open) {
                return Err(BrokenInvariant::Lease { lease: id });
            }
        }
        Ok(())
    }

    fn check_resources(&self) -> Result<(), BrokenInvariant> {
        for (&executor, used) in &self.index.usage {
            let row = self.executors.get(executor);
            if row.is_none_or(|row| !row.shrunk && holds_more_than(row, used)) {
                return Err(BrokenInvariant::OverGranted { executor });
            }
        }
        let mut devices = BTreeSet::new();
        for (_, lease) in self.leases.iter() {
            for &executor in &lease.executors {
                for &device in &lease.holding.gpus {
                    if !devices.insert((executor, device)) {
                        return Err(BrokenInvariant::DeviceHeldTwice { executor, device });
                    }
                }
            }
        }
        Ok(())
    }

    fn check_tasks(&self) -> Result<(), BrokenInvariant> {
        for (&task, row) in self.tasks.iter() {
            let broken = BrokenInvariant::Task { task };
            let (Some(job), Some(spec)) = (self.jobs.get(task.job), self.specs.get(task.job))
            else {
                return Err(broken);
            };
            let has_place = spec.position_of(task.index).is_some_and(|at| at < job.next);
            if !has_place || job.is_ended() {
                return Err(broken);
            }
            if let TaskState::Leased { token } = row.state
                && self.attempts.get(token).is_none_or(|attempt| attempt.task != task)
            {
                return Err(broken);
            }
        }
        Ok(())
    }

    fn check_jobs(&self) -> Result<(), BrokenInvariant> {
        let last_job = self.jobs.iter().next_back().map(|(&id, _)| id);
        let last_executor = self.executors.iter().next_back().map(|(&id, _)| id);
        if last_job.is_some_and(|id| id > self.meta.last_job)
            || last_executor.is_some_and(|id| id > self.meta.last_executor)
        {
            return Err(BrokenInvariant::Counter);
        }
        for (&job, row) in self.jobs.iter() {
            let live = self.index.jobs.get(&job).map_or(0, |derived| derived.rows);
            let untouched = match row.state {
                JobState::Active => row.total - row.next.min(row.total),
                JobState::Stopping { .. } | JobState::Ended { .. } => 0,
            };
            let known = u64::from(row.ended()) + u64::from(live) + u64::from(untouched);
            if known != u64::from(row.total) || row.next > row.total {
                return Err(BrokenInvariant::Job { job });
            }
            let should_end = row.ended() == row.total;
            if row.is_ended() != should_end || !self.specs.contains(job) {
                return Err(BrokenInvariant::JobEnd { job });
            }
        }
        Ok(())
    }
}
