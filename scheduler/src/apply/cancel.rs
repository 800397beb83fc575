//! Stopping jobs: on a user's word, after a failed stage, or when a dependency cannot be met.
//!
//! Invariants: a stopping job starts nothing; its running attempts are told to stop and stay
//! charged until they are known dead; rows are swept in bounded slices.

use crate::event::Event;
use crate::model::{
    AttemptToken, EndedTaskRow, JobId, JobState, OldJobRow, Outcome, StopCause, TaskId, TaskState,
};
use crate::reply::{Rejected, Reply};
use crate::state::State;
use crate::table::{Row, TableId};

use super::Run;

/// Rows of a stopping job that one command ends.
const SWEEP_MAX: usize = 1000;

impl State {
    pub(super) fn cancel_job(&mut self, id: JobId, run: &mut Run<'_>) -> Result<Reply, Rejected> {
        let Some(row) = self.jobs.get(id) else {
            return self.cancel_old_job(id, run);
        };
        run.require_owner(&row.owner, &format!("cancel job {id}"))?;
        match row.state {
            JobState::Ended { .. } => Ok(Reply::Cancelled { already_ended: true }),
            JobState::Stopping { .. } => Ok(Reply::Cancelled { already_ended: false }),
            JobState::Active => {
                let reason = format!("cancelled by {}", run.principal.name);
                self.stop_job(id, Outcome::Cancelled, Some(reason), run);
                Ok(Reply::Cancelled { already_ended: false })
            }
        }
    }

    /// A job that left memory has ended.
    fn cancel_old_job(&self, id: JobId, run: &mut Run<'_>) -> Result<Reply, Rejected> {
        if id.0 == 0 || id > self.meta.last_job {
            return Err(Rejected::UnknownJob { job: id });
        }
        let bytes = run.store.get(TableId::OLD_JOBS, &id.key());
        match bytes.and_then(|bytes| OldJobRow::from_row(&bytes).ok()) {
            Some(old) => {
                run.require_owner(&old.job.owner, &format!("cancel job {id}"))?;
                Ok(Reply::Cancelled { already_ended: true })
            }
            None => Err(Rejected::JobExpired { job: id, floor: self.meta.history_floor }),
        }
    }

    /// Ends an active job as `outcome` as soon as its running attempts are dead.
    pub(super) fn stop_job(
        &mut self,
        id: JobId,
        outcome: Outcome,
        reason: Option<String>,
        run: &mut Run<'_>,
    ) {
        let Some(row) = self.jobs.get_mut(id) else {
            return;
        };
        if row.state != JobState::Active {
            return;
        }
        row.state = JobState::Stopping { outcome };
        if row.reason.is_none() {
            row.reason = reason;
        }
        let untouched = row.total - row.next;
        row.cancelled += untouched;
        self.meta.tasks_cancelled += u64::from(untouched);
        self.index.queued_tasks -= u64::from(untouched);
        self.index.stopping.insert(id);
        run.requeue.insert(id);
        run.changed_jobs.insert(id);

        let running: Vec<AttemptToken> = self
            .rows_of(id)
            .filter_map(|(_, state)| match state {
                TaskState::Leased { token } => Some(token),
                TaskState::Waiting | TaskState::Ready | TaskState::BackOff { .. } => None,
            })
            .collect();
        for token in running {
            self.stop_attempt(token, StopCause::Cancelled, run);
        }
        self.sweep(id, run);
    }

    fn rows_of(&self, id: JobId) -> impl Iterator<Item = (TaskId, TaskState)> {
        self.tasks
            .range(TaskId::new(id, 0)..=TaskId::new(id, u32::MAX))
            .map(|(&task, row)| (task, row.state))
    }

    /// Tells the executor to stop an attempt; it stays charged until it is known dead.
    pub(super) fn stop_attempt(
        &mut self,
        token: AttemptToken,
        cause: StopCause,
        run: &mut Run<'_>,
    ) {
        let Some(attempt) = self.attempts.get_mut(token) else {
            return;
        };
        if attempt.stop.is_none() {
            attempt.stop = Some(cause);
        }
        let executor = attempt.executor;
        run.events.push(Event::CancelAttempt { executor, token, cause });
    }

    /// Ends rows of a stopping job that no attempt runs.
    pub(super) fn sweep(&mut self, id: JobId, run: &mut Run<'_>) {
        let idle: Vec<TaskId> = self
            .rows_of(id)
            .filter(|(_, state)| !matches!(state, TaskState::Leased { .. }))
            .map(|(task, _)| task)
            .take(SWEEP_MAX)
            .collect();
        for task in idle {
            let number = self.tasks.get(task).map_or(0, |row| row.number);
            let ended = EndedTaskRow::without_attempt(Outcome::Cancelled, number, run.now);
            self.end_task(task, ended, run);
        }
        self.end_job_if_done(id, run);
    }
}
