//! Reports of executors: starts, ends, deaths, changed paths.
//!
//! Invariants: a report counts only for its own token; only the current attempt ends its task,
//! except that the late result of a stage may be adopted, which fences every other attempt; every
//! end frees the attempt's charge, current or not; a report sent twice changes nothing.

use std::sync::Arc;

use crate::command::ReportBatch;
use crate::event::Event;
use crate::model::{
    Admission, AttemptRow, AttemptToken, ExecutorId, Exit, ExitKind, Finished, Report, SpecRow,
    Started, StoragePath, TaskId, TaskState, Work,
};
use crate::reply::{Rejected, Reply};
use crate::sealing;
use crate::state::State;
use crate::view::node_of;

use super::Run;
use super::outcome::{Setback, may_adopt};
use super::submit::limit;

const REPORTS_MAX: usize = 16_384;
const MESSAGE_BYTES_MAX: usize = 1024;

impl State {
    pub(super) fn report(
        &mut self,
        batch: ReportBatch,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        limit("reports", batch.reports.len(), REPORTS_MAX)?;
        let ReportBatch { executor, incarnation, reports } = batch;
        let row = self
            .executors
            .get(executor)
            .ok_or_else(|| Rejected::UnknownExecutor { name: executor.to_string() })?;
        if row.incarnation != incarnation {
            return Err(Rejected::StaleIncarnation { executor, incarnation });
        }
        let mut through = 0;
        let mut stale = Vec::new();
        for numbered in reports {
            through = through.max(numbered.sequence);
            let unknown = match numbered.report {
                Report::Started(started) => self.started(executor, &started, run),
                Report::Finished(finished) => self.finished(executor, finished, run),
                Report::Gone(token) => self.gone(executor, token, run),
                Report::PathChanged(path) => {
                    self.path_changed(executor, path, run);
                    None
                }
            };
            stale.extend(unknown);
        }
        Ok(Reply::Reported { through, stale })
    }

    /// The attempt, if it exists and runs on this executor.
    fn attempt_on(&self, executor: ExecutorId, token: AttemptToken) -> Option<&AttemptRow> {
        self.attempts.get(token).filter(|attempt| attempt.executor == executor)
    }

    fn started(
        &mut self,
        executor: ExecutorId,
        started: &Started,
        run: &mut Run<'_>,
    ) -> Option<AttemptToken> {
        let token = started.token;
        let Some(attempt) = self.attempt_on(executor, token) else {
            return Some(token);
        };
        let task = attempt.task;
        if let Some(cause) = attempt.stop {
            run.events.push(Event::CancelAttempt { executor, token, cause });
        }
        if attempt.started_at.is_none() {
            if let Some(attempt) = self.attempts.get_mut(token) {
                attempt.started_at = Some(started.at);
            }
            run.changed_jobs.insert(task.job);
        }
        None
    }

    fn finished(
        &mut self,
        executor: ExecutorId,
        mut finished: Finished,
        run: &mut Run<'_>,
    ) -> Option<AttemptToken> {
        let token = finished.token;
        let Some(attempt) = self.attempt_on(executor, token).cloned() else {
            return Some(token);
        };
        truncate(&mut finished.exit.message);
        self.note_health(executor, attempt.task, &finished.exit);
        let task = attempt.task;
        let state = self.tasks.get(task).map(|row| row.state);
        let is_current = state == Some(TaskState::Leased { token });
        let spec = self.specs.get(task.job).map(Arc::clone);
        let (Some(spec), Some(_)) = (spec, state) else {
            // The task has ended by another attempt; this one only frees its charge.
            self.release(token, run);
            run.events.push(Event::Collect { executor, tokens: vec![token] });
            return Some(token);
        };
        self.check_result(&spec, task, &mut finished);
        if finished.exit.is_success() && (is_current || may_adopt(&spec)) {
            self.succeed(task, &attempt, &spec, finished, run);
            return None;
        }
        if !is_current {
            self.remember(task, token, executor);
            self.release(token, run);
            return Some(token);
        }
        let setback =
            Setback { exit: finished.exit.clone(), is_loss: false, finished: Some(finished) };
        self.set_back(task, &attempt, &spec, setback, run);
        None
    }

    /// A stage's result must be usable by the stages after it.
    fn check_result(&self, spec: &SpecRow, task: TaskId, finished: &mut Finished) {
        let Work::Stages(stages) = &spec.work else {
            finished.files.clear();
            finished.values.clear();
            return;
        };
        let Some(node) = node_of(stages, task.index) else {
            return;
        };
        if !finished.exit.is_success() {
            finished.files.clear();
            finished.values.clear();
            return;
        }
        let problem =
            sealing::problem_of_result(node.stage, stages.proof, &finished.files, &finished.values);
        if let Some(problem) = problem {
            finished.files.clear();
            finished.values.clear();
            finished.exit = Exit {
                kind: ExitKind::OutputBad,
                code: 0,
                signal: 0,
                message: Some(problem),
                retryable: true,
            };
        }
    }

    /// The attempt is dead and left nothing.
    fn gone(
        &mut self,
        executor: ExecutorId,
        token: AttemptToken,
        run: &mut Run<'_>,
    ) -> Option<AttemptToken> {
        let Some(attempt) = self.attempt_on(executor, token).cloned() else {
            return Some(token);
        };
        self.lose(token, &attempt, "its executor does not know it any more", run);
        None
    }

    /// Counts attempts in a row, of different jobs, that the executor could not even begin.
    fn note_health(&mut self, executor: ExecutorId, task: TaskId, exit: &Exit) {
        let Some(row) = self.executors.get(executor) else {
            return;
        };
        match exit.kind {
            ExitKind::NotStarted | ExitKind::NoSpace => {
                if row.suspect_job == Some(task.job) {
                    return;
                }
                let max = self.meta.configuration.suspicion_max;
                let Some(row) = self.executors.get_mut(executor) else {
                    return;
                };
                row.suspicion += 1;
                row.suspect_job = Some(task.job);
                if max > 0 && row.suspicion >= max && row.admission == Admission::Open {
                    row.admission = Admission::Cordoned;
                    row.admission_reason = format!(
                        "cordoned automatically: {} jobs in a row could not begin; the last: {exit}",
                        row.suspicion
                    );
                }
            }
            ExitKind::Exited | ExitKind::Signaled | ExitKind::TimedOut => {
                if row.suspicion > 0
                    && let Some(row) = self.executors.get_mut(executor)
                {
                    row.suspicion = 0;
                    row.suspect_job = None;
                }
            }
            ExitKind::Cancelled | ExitKind::InputBad | ExitKind::OutputBad | ExitKind::Lost => {}
        }
    }

    fn path_changed(&mut self, executor: ExecutorId, path: StoragePath, run: &mut Run<'_>) {
        let Some(row) = self.executors.get(executor) else {
            return;
        };
        let Some(place) = row.paths.iter().position(|known| known.id == path.id) else {
            return;
        };
        if row.paths[place] == path {
            return;
        }
        if let Some(row) = self.executors.get_mut(executor) {
            row.paths[place] = path;
        }
        run.changed_executors.insert(executor);
        run.ready_work = true;
    }
}

fn truncate(message: &mut Option<String>) {
    if let Some(text) = message {
        if text.len() > MESSAGE_BYTES_MAX {
            let mut end = MESSAGE_BYTES_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        if text.is_empty() {
            *message = None;
        }
    }
}
