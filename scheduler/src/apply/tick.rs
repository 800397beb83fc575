//! What time alone brings: supersession, loss, the end of history.
//!
//! Invariants: every timer starts at a command's time; a new leader re-arms all of them by a full
//! period, so that an election alone never ends an attempt; work per tick is bounded.

use crate::event::Event;
use crate::model::{
    EndedTaskRow, ExecutorId, JobId, JobKind, Liveness, OldJobRow, SpecRow, StopCause, TaskId,
    UnixMillis, Work,
};
use crate::state::State;
use crate::table::{Row, TableId};

use super::Run;

/// Archive rows that one tick deletes.
const PRUNE_MAX: u32 = 2_000;

impl State {
    pub(super) fn pass_time(&mut self, run: &mut Run<'_>) {
        let executors: Vec<(ExecutorId, Liveness)> =
            self.executors.iter().map(|(&id, row)| (id, row.liveness)).collect();
        for (id, liveness) in executors {
            match liveness {
                Liveness::Connected { awaiting: None } => {}
                Liveness::Connected { awaiting: Some(since) } => {
                    if run.now.since(since) >= self.meta.configuration.reconnect_grace_ms {
                        let since = run.now;
                        self.set_liveness(id, Liveness::Disconnected { since }, run);
                    }
                }
                Liveness::Disconnected { since } => {
                    self.supersede_since(id, since, run);
                    if run.now.since(since) >= self.meta.configuration.lost_after_ms {
                        self.set_liveness(id, Liveness::Lost { since }, run);
                    }
                }
                Liveness::Lost { since } => self.supersede_since(id, since, run),
            }
        }
        let stopping: Vec<JobId> = self.index.stopping.iter().copied().collect();
        for job in stopping {
            self.sweep(job, run);
        }
        self.prune_history(run);
    }

    /// Attempts whose executor has been away for longer than their kind allows.
    fn supersede_since(&mut self, executor: ExecutorId, since: UnixMillis, run: &mut Run<'_>) {
        let away = run.now.since(since);
        for token in self.current_on(executor) {
            let Some(task) = self.attempts.get(token).map(|attempt| attempt.task) else {
                continue;
            };
            let Some(spec) = self.specs.get(task.job) else {
                continue;
            };
            let allowed = self.meta.configuration.supersede_after_ms(&spec.work, task.index);
            if away >= allowed {
                let why = format!("its executor was away for {} s", away / 1000);
                self.supersede(token, StopCause::Superseded, &why, run);
            }
        }
    }

    pub(super) fn rearm_liveness(&mut self, run: &mut Run<'_>) {
        let executors: Vec<(ExecutorId, Liveness)> =
            self.executors.iter().map(|(&id, row)| (id, row.liveness)).collect();
        for (id, liveness) in executors {
            let rearmed = match liveness {
                Liveness::Connected { .. } => Liveness::Connected { awaiting: Some(run.now) },
                Liveness::Disconnected { .. } => Liveness::Disconnected { since: run.now },
                Liveness::Lost { .. } => continue,
            };
            self.set_liveness(id, rearmed, run);
        }
        run.ready_work = true;
    }

    /// Deletes the oldest archived jobs beyond the configured number, a slice at a time.
    fn prune_history(&mut self, run: &mut Run<'_>) {
        let mut budget = PRUNE_MAX;
        while budget > 0 && self.meta.jobs_archived > self.meta.configuration.history_jobs_max {
            let id = self.meta.history_floor;
            if self.jobs.contains(id) {
                // Ids below a job that is still here are pruned in order, so wait for it.
                return;
            }
            let bytes = run.store.get(TableId::OLD_JOBS, &id.key());
            let Some(old) = bytes.and_then(|bytes| OldJobRow::from_row(&bytes).ok()) else {
                if id >= self.meta.last_job {
                    return;
                }
                self.meta.history_floor.0 += 1;
                self.meta.prune_position = 0;
                budget -= 1;
                continue;
            };
            let end = old.job.next.min(self.meta.prune_position.saturating_add(budget));
            for position in self.meta.prune_position..end {
                if let Some(index) = old.spec.index_at(position) {
                    delete_ended(TaskId::new(id, index), owns_output(&old.spec), run);
                }
            }
            budget -= (end - self.meta.prune_position).min(budget);
            self.meta.prune_position = end;
            if end == old.job.next {
                run.store.delete(TableId::OLD_JOBS, &id.key());
                self.meta.jobs_archived -= 1;
                self.meta.history_floor.0 += 1;
                self.meta.prune_position = 0;
                budget = budget.saturating_sub(1);
            }
        }
    }
}

/// Whether the output of a job's tasks is the job's. What sealing and unsealing leave is the sector's
/// and outlives the history of the job that made it.
fn owns_output(spec: &SpecRow) -> bool {
    match &spec.work {
        Work::Command(_) => true,
        Work::Stages(stages) => !matches!(stages.kind, JobKind::Seal | JobKind::Unseal),
    }
}

/// Deletes a task's archive row and, if its output is the job's, lets its executor delete that.
fn delete_ended(task: TaskId, owns_output: bool, run: &mut Run<'_>) {
    let key = task.key();
    let bytes = run.store.get(TableId::ENDED_TASKS, &key);
    let row = bytes.and_then(|bytes| EndedTaskRow::from_row(&bytes).ok());
    if let Some((token, executor)) = row.and_then(|row| row.token.zip(row.executor))
        && owns_output
    {
        run.events.push(Event::Collect { executor, tokens: vec![token] });
    }
    run.store.delete(TableId::ENDED_TASKS, &key);
}
