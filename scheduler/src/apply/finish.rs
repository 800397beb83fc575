//! Ends: of tasks, of jobs, of their stay in memory.
//!
//! Invariants: an ended task has an archive row and no live row; a job ends exactly once, when
//! all its tasks have; its dependents learn it in the same command.

use std::sync::Arc;

use crate::model::{
    EndedTaskRow, JobId, JobState, OldJobRow, Outcome, TaskId, TaskState, UnixMillis, Work,
};
use crate::state::State;
use crate::table::{Row, TableId};

use super::Run;
use super::submit::unmet;

/// Jobs that one command moves from memory to the archive.
const ARCHIVE_MAX: usize = 64;

impl EndedTaskRow {
    /// A task that ended without an attempt of its own to tell of.
    pub(crate) fn without_attempt(outcome: Outcome, number: u32, ended_at: UnixMillis) -> Self {
        Self {
            outcome,
            number,
            ended_at,
            token: None,
            executor: None,
            started_at: None,
            exit: None,
            usage: None,
            bytes_fetched: None,
            reused_layers: None,
            stdout_bytes: None,
            stderr_bytes: None,
            values: None,
        }
    }
}

impl State {
    /// Ends a task that has a row, and what follows for its job.
    pub(super) fn end_task(&mut self, task: TaskId, ended: EndedTaskRow, run: &mut Run<'_>) {
        let outcome = ended.outcome;
        let mut bytes = Vec::with_capacity(64);
        ended.to_row(&mut bytes);
        run.store.put(TableId::ENDED_TASKS, &task.key(), &bytes);
        self.remove_task(task, run);
        self.index.queued_tasks = self.index.queued_tasks.saturating_sub(1);
        run.changed_jobs.insert(task.job);
        let Some(row) = self.jobs.get_mut(task.job) else {
            return;
        };
        match outcome {
            Outcome::Succeeded => {
                row.succeeded += 1;
                self.meta.tasks_succeeded += 1;
            }
            Outcome::Failed => {
                row.failed += 1;
                self.meta.tasks_failed += 1;
            }
            Outcome::Cancelled => {
                row.cancelled += 1;
                self.meta.tasks_cancelled += 1;
            }
        }
        let is_last = row.ended() == row.total;
        if self.index.jobs.get(&task.job).is_some_and(|job| job.shape.is_none()) {
            self.advance_stages(task, outcome, run);
        }
        if is_last {
            self.end_job_if_done(task.job, run);
        }
    }

    /// A stage ended: successors become ready, or the job stops.
    fn advance_stages(&mut self, task: TaskId, outcome: Outcome, run: &mut Run<'_>) {
        let Some(spec) = self.specs.get(task.job).map(Arc::clone) else {
            return;
        };
        let Work::Stages(stages) = &spec.work else {
            return;
        };
        match outcome {
            Outcome::Succeeded => {
                let Some(row) = self.jobs.get_mut(task.job) else {
                    return;
                };
                row.done.push(task.index);
                row.done.sort_unstable();
                let done = row.done.clone();
                for (index, node) in (0u32..).zip(&stages.nodes) {
                    let follows = node.after.contains(&task.index);
                    if !follows || !node.after.iter().all(|before| done.contains(before)) {
                        continue;
                    }
                    let next = TaskId::new(task.job, index);
                    if self.tasks.get(next).is_some_and(|row| row.state == TaskState::Waiting) {
                        self.set_task_state(next, TaskState::Ready, run);
                    }
                }
            }
            Outcome::Failed => self.stop_job(task.job, Outcome::Failed, None, run),
            Outcome::Cancelled => {}
        }
    }

    /// Ends the job when all its tasks have ended.
    pub(super) fn end_job_if_done(&mut self, id: JobId, run: &mut Run<'_>) {
        let (Some(row), Some(spec)) = (self.jobs.get(id), self.specs.get(id)) else {
            return;
        };
        if row.is_ended() || row.ended() < row.total {
            return;
        }
        let spec = Arc::clone(spec);
        let Some(row) = self.jobs.get_mut(id) else {
            return;
        };
        let outcome = match row.state {
            JobState::Stopping { outcome } => outcome,
            _ if row.failed > 0 => Outcome::Failed,
            _ if row.cancelled > 0 => Outcome::Cancelled,
            _ => Outcome::Succeeded,
        };
        row.state = JobState::Ended { outcome, at: run.now };
        self.index.end_job(id, row, &spec);
        row.waiting_for.clear();
        self.index.ended.insert((run.now, id));
        run.ended_jobs.push(id);
        run.changed_jobs.insert(id);
    }

    /// Tells the jobs that wait for `id` that it has ended.
    pub(super) fn resolve_dependents(&mut self, id: JobId, run: &mut Run<'_>) {
        let Some(row) = self.jobs.get(id) else { return };
        let JobState::Ended { outcome, .. } = row.state else {
            return;
        };
        let waiting: Vec<JobId> = self
            .index
            .dependents
            .range((id, JobId(0))..=(id, JobId(u64::MAX)))
            .map(|&(_, dependent)| dependent)
            .collect();
        for dependent in waiting {
            self.index.dependents.remove(&(id, dependent));
            let Some(row) = self.jobs.get_mut(dependent) else {
                continue;
            };
            let mut never = None;
            row.waiting_for.retain(|dependency| {
                if dependency.job == id {
                    never = never.take().or_else(|| unmet(*dependency, outcome));
                }
                dependency.job != id
            });
            run.requeue.insert(dependent);
            run.changed_jobs.insert(dependent);
            if let Some(reason) = never {
                self.stop_job(dependent, Outcome::Failed, Some(reason), run);
            } else if self.jobs.get(dependent).is_some_and(|row| row.waiting_for.is_empty()) {
                run.ready_work = true;
            }
        }
    }

    /// Moves the oldest ended jobs to the archive.
    pub(super) fn archive_old_jobs(&mut self, run: &mut Run<'_>) {
        let keep =
            usize::try_from(self.meta.configuration.ended_jobs_in_memory).unwrap_or(usize::MAX);
        for _ in 0..ARCHIVE_MAX {
            if self.index.ended.len() <= keep {
                return;
            }
            let Some((_, id)) = self.index.ended.pop_first() else {
                return;
            };
            let (Some(job), Some(spec)) = (self.jobs.remove(id), self.specs.remove(id)) else {
                continue;
            };
            let tasks: Vec<TaskId> = self
                .outputs
                .range(TaskId::new(id, 0)..=TaskId::new(id, u32::MAX))
                .map(|(&task, _)| task)
                .collect();
            for task in tasks {
                self.outputs.remove(task);
            }
            let mut bytes = Vec::with_capacity(256);
            OldJobRow { job, spec: Arc::unwrap_or_clone(spec) }.to_row(&mut bytes);
            run.store.put(TableId::OLD_JOBS, &id.key(), &bytes);
            self.meta.jobs_archived += 1;
        }
    }
}
