//! What the end of an attempt means for its task: success, retry, loss, supersession.
//!
//! Invariants: a manifest becomes current only here; failures and losses are counted apart; an
//! attempt that is superseded stays charged until it is known dead.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Event;
use crate::model::{
    AttemptRow, AttemptToken, EndedTaskRow, ExecutorId, Exit, ExitKind, Finished, JobKind,
    JobState, Manifest, Outcome, PastAttempt, SectorId, SpecRow, Stage, StageWork, StopCause,
    TaskId, TaskRow, TaskState, Work,
};
use crate::sealing;
use crate::state::State;
use crate::view::node_of;

use super::Run;

const AVOID_MAX: usize = 4;
const PAST_MAX: usize = 16;
/// A row holds at most 64 KiB.
const SECTOR_VALUES_BYTES_MAX: usize = 40 << 10;

/// An attempt that did not succeed.
pub(super) struct Setback {
    pub exit: Exit,
    /// Lost with its executor or superseded: not the task's own doing.
    pub is_loss: bool,
    /// The report of its end, when there is one.
    pub finished: Option<Finished>,
}

impl Setback {
    fn lost(why: &str) -> Self {
        let exit = Exit {
            kind: ExitKind::Lost,
            code: 0,
            signal: 0,
            message: Some(why.to_owned()),
            retryable: true,
        };
        Self { exit, is_loss: true, finished: None }
    }
}

impl EndedTaskRow {
    /// What the report of the end says.
    fn describe(&mut self, finished: &Finished) {
        self.started_at = Some(finished.started_at);
        self.ended_at = finished.ended_at;
        self.usage = Some(finished.usage);
        self.bytes_fetched = some_if(finished.bytes_fetched);
        self.reused_layers = some_if(finished.reused_layers);
        self.stdout_bytes = some_if(finished.stdout_bytes);
        self.stderr_bytes = some_if(finished.stderr_bytes);
    }
}

impl State {
    /// The attempt's result becomes the task's: the only way that work becomes visible.
    pub(super) fn succeed(
        &mut self,
        task: TaskId,
        attempt: &AttemptRow,
        spec: &SpecRow,
        finished: Finished,
        run: &mut Run<'_>,
    ) {
        let token = finished.token;
        let number = self.tasks.get(task).map_or(attempt.number, |row| row.number);
        let mut ended = EndedTaskRow::without_attempt(Outcome::Succeeded, number, run.now);
        ended.token = Some(token);
        ended.executor = Some(attempt.executor);
        ended.describe(&finished);
        self.note_duration(task, &finished);
        if let Work::Stages(stages) = &spec.work {
            ended.values = (!finished.values.is_empty()).then(|| finished.values.clone());
            let manifest = Manifest {
                token,
                executors: vec![attempt.executor],
                files: finished.files,
                values: finished.values,
                collected: false,
            };
            self.commit_manifest(task, stages, manifest, run);
        }
        self.fence_others(task, token, run);
        self.collect_past(task, run);
        self.end_task(task, ended, run);
        self.release(token, run);
    }

    /// Running mean of the time of succeeded tasks; the executor's clock, so bounded.
    fn note_duration(&mut self, task: TaskId, finished: &Finished) {
        let Some(job) = self.jobs.get(task.job) else {
            return;
        };
        let sample = finished.ended_at.since(finished.started_at).min(1 << 40) * 1000;
        let mean = job.mean_us.map_or(sample, |mean| (mean * 7 + sample) / 8);
        if job.mean_us != Some(mean)
            && let Some(job) = self.jobs.get_mut(task.job)
        {
            job.mean_us = Some(mean);
        }
    }

    /// Stops every other attempt of a task that just ended.
    fn fence_others(&mut self, task: TaskId, token: AttemptToken, run: &mut Run<'_>) {
        let Some(row) = self.tasks.get(task) else {
            return;
        };
        if let TaskState::Leased { token: current } = row.state
            && current != token
        {
            self.index.superseded.insert((task, current));
            self.stop_attempt(current, StopCause::Adopted, run);
        }
    }

    fn commit_manifest(
        &mut self,
        task: TaskId,
        stages: &StageWork,
        manifest: Manifest,
        run: &mut Run<'_>,
    ) {
        let Some(node) = node_of(stages, task.index) else {
            return;
        };
        match stages.kind {
            JobKind::Seal | JobKind::Unseal => {
                let id = SectorId::new(stages.miner, stages.sector);
                let Some(sector) = self.sectors.get_mut(id) else {
                    return;
                };
                let bytes_before = sector.bytes();
                sector.values.extend(manifest.values.clone());
                let mut collect: Vec<Manifest> = Vec::new();
                if node.stage == Stage::Finalize {
                    for (stage, old) in &mut sector.manifests {
                        if sealing::collectable(*stage) && !old.collected {
                            old.collected = true;
                            collect.push(old.clone());
                            old.files.clear();
                        }
                    }
                }
                // Values are kept once, in the sector.
                let kept = Manifest { values: BTreeMap::new(), ..manifest };
                collect.extend(sector.manifests.insert(node.stage, kept));
                if stages.kind == JobKind::Seal {
                    sector.stage = Some(node.stage);
                }
                bound_values(&mut sector.values);
                let (owner, bytes_after) = (sector.owner.clone(), sector.bytes());
                self.index.charge(&owner, |used| {
                    used.sector_bytes =
                        used.sector_bytes.saturating_sub(bytes_before).saturating_add(bytes_after);
                });
                for old in collect {
                    for executor in old.executors {
                        let tokens = vec![old.token];
                        run.events.push(Event::Collect { executor, tokens });
                    }
                }
            }
            JobKind::WinningPost | JobKind::WindowPost => self.outputs.insert(task, manifest),
            JobKind::Command => {}
        }
    }

    /// The current attempt did not succeed: retry, or the end of the task.
    pub(super) fn set_back(
        &mut self,
        task: TaskId,
        attempt: &AttemptRow,
        spec: &SpecRow,
        setback: Setback,
        run: &mut Run<'_>,
    ) {
        let is_active = self.jobs.get(task.job).is_some_and(|job| job.state == JobState::Active);
        let token = self.token_of(task);
        let losses_max = self.meta.configuration.losses_max;
        let Some(row) = self.tasks.get_mut(task) else {
            return;
        };
        let is_loss = setback.is_loss || setback.exit.kind == ExitKind::Lost;
        let tries = note_setback(row, attempt.executor, spec, task, &setback.exit, is_loss);
        let is_final = if is_loss {
            spec.at_most_once || tries > losses_max
        } else {
            tries >= spec.attempts_max || is_final_failure(spec, &setback.exit)
        };
        let number = row.number;
        if is_active && !is_final {
            self.retry(task, is_loss, tries, run);
        } else {
            let outcome = if is_active {
                self.note_failure(task, spec, &setback.exit);
                Outcome::Failed
            } else {
                Outcome::Cancelled
            };
            let mut ended = EndedTaskRow::without_attempt(outcome, number, run.now);
            ended.token = token;
            ended.executor = Some(attempt.executor);
            ended.started_at = attempt.started_at;
            if let Some(finished) = &setback.finished {
                ended.describe(finished);
            }
            ended.exit = Some(setback.exit);
            self.end_task(task, ended, run);
        }
        let Some(token) = token else { return };
        if is_superseding(self.attempts.get(token).and_then(|row| row.stop)) {
            // Not known dead: charged on.
            self.index.superseded.insert((task, token));
        } else {
            self.remember(task, token, attempt.executor);
            self.release(token, run);
        }
    }

    /// Ready again: at once after the first loss, since the work itself is not suspected, and
    /// with growing pauses otherwise.
    fn retry(&mut self, task: TaskId, is_loss: bool, tries: u32, run: &mut Run<'_>) {
        let settings = &self.meta.configuration;
        let doublings = tries.saturating_sub(1).min(20);
        let wait =
            settings.back_off_base_ms.saturating_mul(1 << doublings).min(settings.back_off_max_ms);
        let until = run.now.plus(wait);
        let state =
            if is_loss && tries == 1 { TaskState::Ready } else { TaskState::BackOff { until } };
        self.set_task_state(task, state, run);
        run.changed_jobs.insert(task.job);
    }

    fn token_of(&self, task: TaskId) -> Option<AttemptToken> {
        match self.tasks.get(task)?.state {
            TaskState::Leased { token } => Some(token),
            TaskState::Waiting | TaskState::Ready | TaskState::BackOff { .. } => None,
        }
    }

    fn note_failure(&mut self, task: TaskId, spec: &SpecRow, exit: &Exit) {
        let Some(job) = self.jobs.get(task.job) else {
            return;
        };
        if job.reason.is_some() {
            return;
        }
        let what = match &spec.work {
            Work::Command(_) => format!("task {}", task.index),
            Work::Stages(stages) => {
                node_of(stages, task.index).map_or("a stage", |node| node.stage.name()).to_owned()
            }
        };
        let reason = format!("{what} {exit}");
        if let Some(job) = self.jobs.get_mut(task.job) {
            job.reason = Some(reason);
        }
    }

    /// The attempt is known dead without a result.
    pub(super) fn lose(
        &mut self,
        token: AttemptToken,
        attempt: &AttemptRow,
        why: &str,
        run: &mut Run<'_>,
    ) {
        let task = attempt.task;
        let is_current =
            self.tasks.get(task).is_some_and(|row| row.state == TaskState::Leased { token });
        if !is_current {
            self.remember(task, token, attempt.executor);
            self.release(token, run);
            return;
        }
        if let Some(row) = self.attempts.get_mut(token) {
            row.stop = None;
        }
        if let Some(spec) = self.specs.get(task.job).map(Arc::clone) {
            self.set_back(task, attempt, &spec, Setback::lost(why), run);
        }
    }

    /// The attempt is no longer current although it may still run; it stays charged.
    pub(super) fn supersede(
        &mut self,
        token: AttemptToken,
        cause: StopCause,
        why: &str,
        run: &mut Run<'_>,
    ) {
        let Some(attempt) = self.attempts.get(token).cloned() else {
            return;
        };
        let task = attempt.task;
        if self.tasks.get(task).is_none_or(|row| row.state != (TaskState::Leased { token })) {
            return;
        }
        if let Some(row) = self.attempts.get_mut(token) {
            row.stop = Some(cause);
        }
        if let Some(spec) = self.specs.get(task.job).map(Arc::clone) {
            self.set_back(task, &attempt, &spec, Setback::lost(why), run);
        }
        let executor = attempt.executor;
        run.events.push(Event::CancelAttempt { executor, token, cause });
    }

    /// Keeps the names of dead attempts' directories until the task has ended.
    pub(super) fn remember(&mut self, task: TaskId, token: AttemptToken, executor: ExecutorId) {
        if let Some(row) = self.tasks.get_mut(task) {
            row.past.push(PastAttempt { token, executor });
            if row.past.len() > PAST_MAX {
                row.past.remove(0);
            }
        }
    }

    /// Directories of dead attempts of a stage that has a result now.
    fn collect_past(&mut self, task: TaskId, run: &mut Run<'_>) {
        let Some(spec) = self.specs.get(task.job) else {
            return;
        };
        if matches!(spec.work, Work::Command(_)) {
            return;
        }
        let past = self.tasks.get(task).map(|row| row.past.clone()).unwrap_or_default();
        for PastAttempt { token, executor } in past {
            run.events.push(Event::Collect { executor, tokens: vec![token] });
        }
    }
}

/// Counts the setback in the task's row; answers how many of its class there were.
fn note_setback(
    row: &mut TaskRow,
    executor: ExecutorId,
    spec: &SpecRow,
    task: TaskId,
    exit: &Exit,
    is_loss: bool,
) -> u32 {
    row.last_failure = Some(exit.to_string());
    // A checkpoint on the lost executor is worth more than another executor.
    let resumes = matches!(&spec.work, Work::Stages(stages)
        if node_of(stages, task.index).is_some_and(|node| node.stage == Stage::Pc1));
    if !(is_loss && resumes) {
        row.avoid.retain(|id| *id != executor);
        row.avoid.push(executor);
        if row.avoid.len() > AVOID_MAX {
            row.avoid.remove(0);
        }
    }
    let tries = if is_loss { &mut row.losses } else { &mut row.failures };
    *tries += 1;
    *tries
}

fn is_superseding(stop: Option<StopCause>) -> bool {
    match stop {
        Some(StopCause::Superseded | StopCause::Adopted | StopCause::Forgotten) => true,
        Some(StopCause::Cancelled) | None => false,
    }
}

/// The one rule: a stage's result depends on its inputs alone, and those are fixed by earlier
/// manifests, so a late one is as good as any. A command may have had other effects.
pub(super) fn may_adopt(spec: &SpecRow) -> bool {
    matches!(spec.work, Work::Stages(_))
}

/// Failures that another try cannot help, or must not have.
fn is_final_failure(spec: &SpecRow, exit: &Exit) -> bool {
    match (&spec.work, exit.kind) {
        (_, ExitKind::NotStarted | ExitKind::NoSpace | ExitKind::InputBad) => false,
        (Work::Command(_), ExitKind::TimedOut) => true,
        (Work::Command(_), _) => spec.at_most_once,
        (Work::Stages(_), ExitKind::Exited) => !exit.retryable,
        (Work::Stages(_), _) => false,
    }
}

fn some_if<T: PartialEq + Default>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// Drops the largest values of a sector until its row is small enough; stages need only small ones.
fn bound_values(values: &mut BTreeMap<String, String>) {
    let bytes = |values: &BTreeMap<String, String>| -> usize {
        values.iter().map(|(name, value)| name.len() + value.len()).sum()
    };
    while bytes(values) > SECTOR_VALUES_BYTES_MAX {
        let largest =
            values.iter().max_by_key(|(_, value)| value.len()).map(|(name, _)| name.clone());
        match largest {
            Some(name) => values.remove(&name),
            None => return,
        };
    }
}
