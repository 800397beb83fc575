//! **Purpose**: jobs and their tasks, as commands print them.

use std::collections::BTreeMap;
use std::time::Duration;

use hesper_protos::job;
use serde::Serialize;

use super::{Resources, or_dash, pairs, span};
use crate::output::Align::{Left, Right};
use crate::output::{Show, Table};
use crate::values::{format_duration, format_miner, format_size, format_time};

/// How many tasks of a job are where.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TaskCounts {
    /// All.
    pub total: u32,
    /// Not started.
    pub pending: u32,
    /// Started.
    pub running: u32,
    /// Ended well.
    pub succeeded: u32,
    /// Ended badly, for good.
    pub failed: u32,
    /// Stopped on request.
    pub cancelled: u32,
}

/// A job.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Its number.
    pub job: u64,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// `command`, `seal`, `proof` or `unseal`.
    pub kind: String,
    /// `pending`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// Why it waits, or why it failed.
    pub reason: String,
    /// When it came.
    pub submitted_at_ms: u64,
    /// When its first task began.
    pub started_at_ms: u64,
    /// When its last task ended.
    pub ended_at_ms: u64,
    /// Larger goes first.
    pub priority: i32,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// What each task asks for.
    pub resources: Resources,
    /// The program and its arguments.
    pub command: String,
    /// Sealing and proofs: the miner's number.
    pub miner: u64,
    /// Sealing: the sector's number.
    pub sector: u64,
}

impl From<job::Job> for Job {
    fn from(wire: job::Job) -> Self {
        let tasks = wire.tasks.unwrap_or_default();
        Job {
            job: wire.job,
            name: wire.name,
            owner: wire.owner,
            kind: wire.kind,
            state: wire.state,
            reason: wire.reason,
            submitted_at_ms: wire.submitted_at_ms,
            started_at_ms: wire.started_at_ms,
            ended_at_ms: wire.ended_at_ms,
            priority: wire.priority,
            tasks: TaskCounts {
                total: tasks.total,
                pending: tasks.pending,
                running: tasks.running,
                succeeded: tasks.succeeded,
                failed: tasks.failed,
                cancelled: tasks.cancelled,
            },
            resources: wire.resources.into(),
            command: wire.command,
            miner: wire.miner,
            sector: wire.sector,
        }
    }
}

impl Show for Job {
    fn text(&self) -> String {
        let tasks = self.tasks;
        let mut rows = vec![
            ("job", format!("{} `{}`", self.job, self.name)),
            ("state", self.state.clone()),
            ("kind", self.kind.clone()),
            ("owner", self.owner.clone()),
            ("priority", self.priority.to_string()),
            (
                "tasks",
                format!(
                    "{} ({} pending, {} running, {} succeeded, {} failed, {} cancelled)",
                    tasks.total,
                    tasks.pending,
                    tasks.running,
                    tasks.succeeded,
                    tasks.failed,
                    tasks.cancelled
                ),
            ),
            ("each asks for", self.resources.text()),
            ("submitted", format_time(self.submitted_at_ms)),
            ("started", format_time(self.started_at_ms)),
            ("ended", format_time(self.ended_at_ms)),
        ];
        if self.started_at_ms > 0 && self.ended_at_ms > 0 {
            rows.push(("took", span(self.started_at_ms, self.ended_at_ms)));
        }
        if self.kind != "command" {
            rows.push(("sector", format!("{} / {}", format_miner(self.miner), self.sector)));
        }
        if !self.command.is_empty() {
            rows.push(("command", self.command.clone()));
        }
        if !self.reason.is_empty() {
            rows.push(("reason", self.reason.clone()));
        }
        pairs(&rows)
    }
}

/// Several jobs.
#[derive(Clone, Debug, Serialize)]
pub struct Jobs {
    /// The newest first.
    pub jobs: Vec<Job>,
    /// Whether older ones were left off.
    pub more: bool,
}

impl Show for Jobs {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("JOB", Right),
            ("NAME", Left),
            ("KIND", Left),
            ("STATE", Left),
            ("DONE", Right),
            ("FAILED", Right),
            ("SUBMITTED", Left),
            ("REASON", Left),
        ]);
        for job in &self.jobs {
            table.row([
                job.job.to_string(),
                job.name.clone(),
                job.kind.clone(),
                job.state.clone(),
                format!("{}/{}", job.tasks.succeeded, job.tasks.total),
                job.tasks.failed.to_string(),
                format_time(job.submitted_at_ms),
                job.reason.clone(),
            ]);
        }
        let more =
            if self.more { "older jobs were left off; use --before or --limit\n" } else { "" };
        table.render() + more
    }
}

/// A task.
#[derive(Clone, Debug, Serialize)]
pub struct Task {
    /// Its job.
    pub job: u64,
    /// Its index.
    pub task: u32,
    /// `command` or the stage.
    pub stage: String,
    /// `waiting`, `ready`, `leased`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: String,
    /// How often it was tried.
    pub attempt: u32,
    /// The last attempt's fencing token.
    pub token: u64,
    /// Where the last attempt ran.
    pub executor: String,
    /// When that began.
    pub started_at_ms: u64,
    /// When that ended.
    pub ended_at_ms: u64,
    /// Its exit code.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// What went wrong.
    pub message: String,
    /// CPU time in the program.
    pub user_us: u64,
    /// CPU time in the kernel.
    pub system_us: u64,
    /// Largest resident memory.
    pub rss_max_bytes: u64,
    /// Input fetched from other executors.
    pub bytes_fetched: u64,
    /// PC1 layers that were taken over from an earlier attempt.
    pub reused_layers: u32,
    /// Why it waits.
    pub reason: String,
    /// Results of a stage.
    pub values: BTreeMap<String, String>,
    /// What it is doing.
    pub progress: String,
}

impl From<job::Task> for Task {
    fn from(wire: job::Task) -> Self {
        Task {
            job: wire.job,
            task: wire.task,
            stage: wire.stage,
            state: wire.state,
            attempt: wire.attempt,
            token: wire.token,
            executor: wire.executor,
            started_at_ms: wire.started_at_ms,
            ended_at_ms: wire.ended_at_ms,
            exit_code: wire.exit_code,
            signal: wire.signal,
            message: wire.message,
            user_us: wire.user_us,
            system_us: wire.system_us,
            rss_max_bytes: wire.rss_max_bytes,
            bytes_fetched: wire.bytes_fetched,
            reused_layers: wire.reused_layers,
            reason: wire.reason,
            values: wire.values.into_iter().collect(),
            progress: wire.progress,
        }
    }
}

impl Task {
    fn note(&self) -> String {
        [&self.message, &self.progress, &self.reason]
            .into_iter()
            .find(|text| !text.is_empty())
            .cloned()
            .unwrap_or_default()
    }

    fn exit(&self) -> String {
        match (self.state.as_str(), self.signal) {
            ("succeeded" | "failed", 0) => self.exit_code.to_string(),
            ("succeeded" | "failed" | "cancelled", signal) if signal != 0 => {
                format!("signal {signal}")
            }
            _ => "-".to_owned(),
        }
    }
}

/// Several tasks.
#[derive(Clone, Debug, Serialize)]
pub struct Tasks {
    /// By index.
    pub tasks: Vec<Task>,
    /// Whether some were left off.
    pub more: bool,
}

impl Show for Tasks {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("TASK", Right),
            ("STAGE", Left),
            ("STATE", Left),
            ("EXECUTOR", Left),
            ("ATTEMPT", Right),
            ("TOOK", Right),
            ("CPU", Right),
            ("MEMORY", Right),
            ("MOVED", Right),
            ("EXIT", Right),
            ("NOTE", Left),
        ]);
        for task in &self.tasks {
            table.row([
                task.task.to_string(),
                task.stage.clone(),
                task.state.clone(),
                or_dash(&task.executor),
                task.attempt.to_string(),
                span(task.started_at_ms, task.ended_at_ms),
                format_duration(Duration::from_micros(task.user_us.saturating_add(task.system_us))),
                format_size(task.rss_max_bytes),
                format_size(task.bytes_fetched),
                task.exit(),
                task.note(),
            ]);
        }
        let more =
            if self.more { "further tasks were left off; use --from or --limit\n" } else { "" };
        table.render() + more
    }
}

/// A job that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Submitted {
    /// Its number.
    pub job: u64,
    /// Where in the log it stands; durable.
    pub log_index: u64,
}

impl Show for Submitted {
    fn text(&self) -> String {
        format!("submitted job {}\n", self.job)
    }
}

/// A job that was asked to stop.
#[derive(Clone, Debug, Serialize)]
pub struct Cancelled {
    /// Its number.
    pub job: u64,
    /// Whether it had ended before.
    pub already_ended: bool,
}

/// Jobs that were asked to stop.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct AllCancelled(pub Vec<Cancelled>);

impl Show for AllCancelled {
    fn text(&self) -> String {
        self.0
            .iter()
            .map(|one| match one.already_ended {
                true => format!("job {} had ended already\n", one.job),
                false => format!("job {} is cancelled\n", one.job),
            })
            .collect()
    }
}

/// Why a task waits.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Its job.
    pub job: u64,
    /// Its index.
    pub task: u32,
    /// In one line.
    pub reason: String,
    /// What each executor says.
    pub executors: Vec<ExecutorReason>,
}

/// Why a task does not run on an executor.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutorReason {
    /// The executor's name.
    pub executor: String,
    /// Why not there.
    pub reason: String,
}

impl Show for Explanation {
    fn text(&self) -> String {
        let mut text = format!("task {}.{}: {}\n", self.job, self.task, self.reason);
        if !self.executors.is_empty() {
            let mut table = Table::new(&[("EXECUTOR", Left), ("REASON", Left)]);
            for row in &self.executors {
                table.row([row.executor.clone(), row.reason.clone()]);
            }
            text += &table.render();
        }
        text
    }
}
