//! Submission of command jobs: checks, dependencies, graphs.

use std::sync::Arc;

use crate::command::SubmitGraph;
use crate::model::{
    Dependency, DependencyKind, JobId, JobRow, JobSpec, JobState, OldJobRow, Outcome, SpecRow,
    TaskId, TaskRow, TaskState, Work,
};
use crate::reply::{Rejected, Reply};
use crate::state::State;
use crate::table::{Row, TableId};

use super::Run;

const NAME_BYTES_MAX: usize = 256;
/// A row holds at most 64 KiB.
const COMMAND_BYTES_MAX: usize = 48 << 10;
const RANGES_MAX: usize = 256;
pub(crate) const ARRAY_TASKS_MAX: u64 = 1_000_000;
const DEPENDENCIES_MAX: usize = 256;
const GRAPH_JOBS_MAX: usize = 1024;
const ATTEMPTS_MAX: u32 = 1000;
const NAMED_MAX: usize = 16;

impl State {
    pub(super) fn submit_job(
        &mut self,
        spec: JobSpec,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        let total = check(&spec)?;
        self.check_queue(1, u64::from(total), false, run)?;
        let waiting = self.check_dependencies(&spec.after, run)?;
        let job = self.add_command_job(spec, total, waiting, run);
        Ok(Reply::Submitted { job })
    }

    pub(super) fn submit_graph(
        &mut self,
        graph: SubmitGraph,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        let count = graph.jobs.len();
        if count == 0 {
            return Err(bad("jobs", "is empty; name at least one job"));
        }
        limit("jobs of a graph", count, GRAPH_JOBS_MAX)?;
        limit("edges of a graph", graph.edges.len(), GRAPH_JOBS_MAX * 16)?;
        let mut totals = Vec::with_capacity(count);
        let mut waiting = Vec::with_capacity(count);
        for spec in &graph.jobs {
            totals.push(check(spec)?);
            waiting.push(self.check_dependencies(&spec.after, run)?);
        }
        let adding = u64::try_from(count).unwrap_or(u64::MAX);
        self.check_queue(adding, totals.iter().copied().map(u64::from).sum(), false, run)?;
        check_acyclic(&graph)?;

        // Ids are given in the order of the list, so edges can be written before the jobs exist.
        let first = self.meta.last_job.0 + 1;
        let id = |position: u32| JobId(first + u64::from(position));
        for edge in &graph.edges {
            let position = usize::try_from(edge.job).unwrap_or(usize::MAX);
            if let Some((open, _)) = waiting.get_mut(position) {
                open.push(Dependency { job: id(edge.after), kind: edge.kind });
            }
        }
        let mut jobs = Vec::with_capacity(count);
        for ((mut spec, total), waiting) in graph.jobs.into_iter().zip(totals).zip(waiting) {
            spec.after.extend(waiting.0.iter().filter(|open| open.job.0 >= first));
            jobs.push(self.add_command_job(spec, total, waiting, run));
        }
        Ok(Reply::GraphSubmitted { jobs })
    }

    fn add_command_job(
        &mut self,
        spec: JobSpec,
        total: u32,
        (waiting, never): (Vec<Dependency>, Option<String>),
        run: &mut Run<'_>,
    ) -> JobId {
        let mut demand = spec.demand;
        demand.cores = demand.cores.max(1);
        demand.named.retain(|_, amount| *amount > 0);
        let (ranges, running_max) =
            spec.array.map_or((Vec::new(), 0), |array| (array.ranges, array.running_max));
        let row = SpecRow {
            name: spec.name,
            work: Work::Command(spec.command),
            demand,
            ranges,
            running_max,
            after: spec.after,
            time_limit_ms: spec.time_limit_ms,
            attempts_max: self.attempts_max(spec.attempts_max),
            at_most_once: spec.at_most_once,
        };
        let job = self.add_job(row, spec.priority, total, waiting, run);
        if let Some(reason) = never {
            self.stop_job(job, Outcome::Failed, Some(reason), run);
        }
        job
    }

    pub(super) fn attempts_max(&self, asked: u32) -> u32 {
        if asked == 0 { self.meta.configuration.attempts_default.max(1) } else { asked }
    }

    /// Adds a job whose parts have been checked. Stage tasks get their rows at once.
    pub(super) fn add_job(
        &mut self,
        spec: SpecRow,
        priority: i32,
        total: u32,
        waiting_for: Vec<Dependency>,
        run: &mut Run<'_>,
    ) -> JobId {
        self.meta.last_job.0 += 1;
        let id = self.meta.last_job;
        let is_graph = matches!(spec.work, Work::Stages(_));
        let row = JobRow {
            owner: run.principal.owner.clone(),
            priority,
            submitted_at: run.now,
            started_at: None,
            waiting_for,
            total,
            next: if is_graph { total } else { 0 },
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            state: JobState::Active,
            mean_us: None,
            done: Vec::new(),
            reason: None,
        };
        self.index.add_job(id, &row, &spec);
        self.jobs.insert(id, row);
        let spec = Arc::new(spec);
        self.specs.insert(id, Arc::clone(&spec));
        if let Work::Stages(stages) = &spec.work {
            for (index, node) in (0u32..).zip(&stages.nodes) {
                self.add_task(TaskId::new(id, index), TaskState::Waiting, run);
                if node.after.is_empty() {
                    self.set_task_state(TaskId::new(id, index), TaskState::Ready, run);
                }
            }
        }
        run.requeue.insert(id);
        run.changed_jobs.insert(id);
        run.ready_work = true;
        id
    }

    /// Adds the row of a task to which nothing has happened yet.
    pub(super) fn add_task(&mut self, task: TaskId, state: TaskState, run: &mut Run<'_>) {
        let row = TaskRow {
            number: 0,
            failures: 0,
            losses: 0,
            state,
            ready_since: run.now,
            avoid: Vec::new(),
            past: Vec::new(),
            last_failure: None,
        };
        self.tasks.insert(task, row);
        if let Some(job) = self.index.jobs.get_mut(&task.job) {
            job.rows += 1;
        }
        self.index.enter(task, state, None);
    }

    pub(super) fn check_queue(
        &self,
        jobs: u64,
        tasks: u64,
        proves: bool,
        run: &Run<'_>,
    ) -> Result<(), Rejected> {
        self.check_owner(jobs, proves, run)?;
        let settings = &self.meta.configuration;
        let queued_jobs = u64::try_from(self.index.jobs.len()).unwrap_or(u64::MAX);
        for (what, queued, adding, limit) in [
            ("jobs", queued_jobs, jobs, settings.queued_jobs_max),
            ("tasks", self.index.queued_tasks, tasks, settings.queued_tasks_max),
        ] {
            if queued.saturating_add(adding) > limit {
                let what = what.to_owned();
                return Err(Rejected::QueueFull { what, queued, adding, limit });
            }
        }
        Ok(())
    }

    /// The dependencies still open, and why one of them can never be met, if so.
    fn check_dependencies(
        &self,
        after: &[Dependency],
        run: &mut Run<'_>,
    ) -> Result<(Vec<Dependency>, Option<String>), Rejected> {
        limit("dependencies", after.len(), DEPENDENCIES_MAX)?;
        let mut open = Vec::new();
        let mut never = None;
        for &dependency in after {
            let job = dependency.job;
            if job.0 == 0 || job > self.meta.last_job {
                let last = self.meta.last_job;
                return Err(Rejected::UnknownDependency { dependency: job, last });
            }
            let archived;
            let row = match self.jobs.get(job) {
                Some(row) => row,
                None => {
                    let found = run.store.get(TableId::OLD_JOBS, &job.key());
                    match found.and_then(|bytes| OldJobRow::from_row(&bytes).ok()) {
                        Some(old) => {
                            archived = old;
                            &archived.job
                        }
                        None => {
                            let floor = self.meta.history_floor;
                            return Err(Rejected::JobExpired { job, floor });
                        }
                    }
                }
            };
            run.require_owner(&row.owner, &format!("wait for job {job}"))?;
            match row.state {
                JobState::Active | JobState::Stopping { .. } => {
                    if !open.contains(&dependency) {
                        open.push(dependency);
                    }
                }
                JobState::Ended { outcome, .. } => {
                    never = never.or_else(|| unmet(dependency, outcome));
                }
            }
        }
        Ok((open, never))
    }
}

/// Why a dependency on an ended job is not met; `None` when it is.
pub(super) fn unmet(dependency: Dependency, outcome: Outcome) -> Option<String> {
    let met = match dependency.kind {
        DependencyKind::AfterAny => true,
        DependencyKind::AfterOk => outcome == Outcome::Succeeded,
        DependencyKind::AfterNotOk => outcome != Outcome::Succeeded,
    };
    (!met).then(|| {
        format!(
            "it could only run once {}, but that job {}",
            crate::view::dependency_text(&dependency),
            match outcome {
                Outcome::Succeeded => "succeeded",
                Outcome::Failed => "failed",
                Outcome::Cancelled => "was cancelled",
            }
        )
    })
}

/// Checks a submission; answers its number of tasks.
fn check(spec: &JobSpec) -> Result<u32, Rejected> {
    limit("bytes of the job's name", spec.name.len(), NAME_BYTES_MAX)?;
    let command = &spec.command;
    if command.program.is_empty() {
        return Err(bad("program", "is empty; name the program to run"));
    }
    let texts = command
        .args
        .iter()
        .chain(command.env.keys())
        .chain(command.env.values())
        .chain([&command.program, &command.directory]);
    let mut bytes = 0usize;
    for text in texts {
        if text.contains('\0') {
            return Err(bad("command", "contains a zero byte, which no program can be given"));
        }
        bytes = bytes.saturating_add(text.len() + 4);
    }
    limit("bytes of the command with its environment", bytes, COMMAND_BYTES_MAX)?;
    if let Some(name) = command.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return Err(bad(
            "env",
            &format!("has the name `{name}`; names are not empty, without `=`"),
        ));
    }
    limit("named resources", spec.demand.named.len(), NAMED_MAX)?;
    for name in spec.demand.named.keys() {
        limit("bytes of a resource's name", name.len(), NAME_BYTES_MAX)?;
    }
    if spec.attempts_max > ATTEMPTS_MAX {
        return Err(bad("attempts_max", &format!("is above {ATTEMPTS_MAX}")));
    }
    let Some(array) = &spec.array else {
        return Ok(1);
    };
    if array.ranges.is_empty() {
        return Err(bad("array", "names no task; give a range such as 1-100"));
    }
    limit("ranges of an array", array.ranges.len(), RANGES_MAX)?;
    let mut total = 0u64;
    let mut last: Option<u32> = None;
    for range in &array.ranges {
        if range.step == 0 || range.first > range.last {
            let text = format!("has the range {}-{}:{}", range.first, range.last, range.step);
            return Err(bad("array", &format!("{text}; write first-last:step, step at least 1")));
        }
        if last.is_some_and(|last| range.first <= last) {
            let first = range.first;
            return Err(bad(
                "array",
                &format!("names {first} twice or out of order; sort the ranges"),
            ));
        }
        last = Some(range.last);
        total += range.count();
    }
    if total > ARRAY_TASKS_MAX {
        let what = "tasks of an array".to_owned();
        return Err(Rejected::TooLarge { what, count: total, limit: ARRAY_TASKS_MAX });
    }
    Ok(u32::try_from(total).unwrap_or(u32::MAX))
}

/// Kahn's algorithm over the edges of a graph.
fn check_acyclic(graph: &SubmitGraph) -> Result<(), Rejected> {
    let count = graph.jobs.len();
    let mut blockers = vec![0u32; count];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in &graph.edges {
        let (Ok(job), Ok(after)) = (usize::try_from(edge.job), usize::try_from(edge.after)) else {
            return Err(bad("edges", "name a job that is not in the graph"));
        };
        if job >= count || after >= count {
            let text = format!("name job number {}, the graph has {count}", job.max(after));
            return Err(bad("edges", &text));
        }
        blockers[job] += 1;
        followers[after].push(job);
    }
    let mut free: Vec<usize> = (0..count).filter(|job| blockers[*job] == 0).collect();
    let mut placed = 0;
    while let Some(job) = free.pop() {
        placed += 1;
        for &follower in &followers[job] {
            blockers[follower] -= 1;
            if blockers[follower] == 0 {
                free.push(follower);
            }
        }
    }
    if placed == count {
        return Ok(());
    }
    let names: Vec<String> = graph
        .jobs
        .iter()
        .enumerate()
        .filter(|(job, _)| blockers[*job] > 0)
        .map(|(job, spec)| format!("`{}` (number {job})", spec.name))
        .take(16)
        .collect();
    Err(Rejected::Cycle { names: names.join(", ") })
}

pub(super) fn bad(field: &str, problem: &str) -> Rejected {
    Rejected::BadField { field: field.to_owned(), problem: problem.to_owned() }
}

pub(super) fn limit(what: &str, count: usize, limit: usize) -> Result<(), Rejected> {
    if count <= limit {
        return Ok(());
    }
    Err(Rejected::TooLarge {
        what: what.to_owned(),
        count: u64::try_from(count).unwrap_or(u64::MAX),
        limit: u64::try_from(limit).unwrap_or(u64::MAX),
    })
}
