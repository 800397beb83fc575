//! Rows of the tables: what is stored, numbered fields, append-only.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::{
    AttemptToken, Dependency, ExecutorId, Exit, Holding, JobId, JobKind, LeaseId, ProcessUsage,
    Range, TaskId, UnixMillis, WidthBound, Work,
};
use super::{Configuration, Demand};

/// Counters and configuration: one row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct MetaRow {
    /// The last numbers given out.
    #[n(0)]
    pub last_job: JobId,
    #[n(1)]
    pub last_token: AttemptToken,
    #[n(2)]
    pub last_executor: ExecutorId,
    /// Jobs below this id are gone for good; they are refused, never taken for new.
    #[n(3)]
    pub history_floor: JobId,
    /// Array position from which the history of `history_floor` is still to be deleted.
    #[n(4)]
    pub prune_position: u32,
    #[n(5)]
    pub configuration: Configuration,
    #[n(6)]
    pub tasks_succeeded: u64,
    #[n(7)]
    pub tasks_failed: u64,
    #[n(8)]
    pub tasks_cancelled: u64,
    /// The latest state time seen.
    #[n(9)]
    pub now: UnixMillis,
    #[n(10)]
    pub jobs_archived: u64,
}

/// The mutable part of a job; small, because it changes with every batch of reports.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JobRow {
    #[n(0)]
    pub owner: String,
    #[n(1)]
    pub priority: i32,
    #[n(2)]
    pub submitted_at: UnixMillis,
    #[n(3)]
    pub started_at: Option<UnixMillis>,
    /// Dependencies not yet satisfied.
    #[n(4)]
    pub waiting_for: Vec<Dependency>,
    #[n(5)]
    pub total: u32,
    /// Positions from here on have no row yet: nothing has happened to them. A position below
    /// without a live task row has ended.
    #[n(6)]
    pub next: u32,
    #[n(7)]
    pub succeeded: u32,
    #[n(8)]
    pub failed: u32,
    #[n(9)]
    pub cancelled: u32,
    #[n(10)]
    pub state: JobState,
    /// Running mean of the time of succeeded tasks.
    #[n(11)]
    pub mean_us: Option<u64>,
    /// Nodes of a stage job that have succeeded.
    #[n(12)]
    pub done: Vec<u32>,
    /// The first failure, for people.
    #[n(13)]
    pub reason: Option<String>,
}

impl JobRow {
    pub fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.cancelled
    }

    pub fn is_ended(&self) -> bool {
        matches!(self.state, JobState::Ended { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum JobState {
    #[n(0)]
    Active,
    /// No task starts any more; running ones are being stopped. The job then ends as `outcome`.
    #[n(1)]
    Stopping {
        #[n(0)]
        outcome: Outcome,
    },
    #[n(2)]
    Ended {
        #[n(0)]
        outcome: Outcome,
        #[n(1)]
        at: UnixMillis,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Outcome {
    #[n(0)]
    Succeeded,
    #[n(1)]
    Failed,
    #[n(2)]
    Cancelled,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The immutable part of a job.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SpecRow {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub work: Work,
    /// Of each task of a command job; stages take theirs from the demand table.
    #[n(2)]
    pub demand: Demand,
    /// Empty: one task with index 0, or the nodes of a stage job.
    #[n(3)]
    pub ranges: Vec<Range>,
    #[n(4)]
    pub running_max: u32,
    #[n(5)]
    pub after: Vec<Dependency>,
    #[n(6)]
    pub time_limit_ms: u64,
    /// At least 1.
    #[n(7)]
    pub attempts_max: u32,
    #[n(8)]
    pub at_most_once: bool,
}

impl SpecRow {
    pub fn kind(&self) -> JobKind {
        match &self.work {
            Work::Command(_) => JobKind::Command,
            Work::Stages(stages) => stages.kind,
        }
    }

    /// The task index at a position of the job (positions count from 0 without gaps).
    pub fn index_at(&self, position: u32) -> Option<u32> {
        if self.ranges.is_empty() {
            return Some(position);
        }
        let mut left = u64::from(position);
        for range in &self.ranges {
            if left < range.count() {
                let index = u64::from(range.first) + left * u64::from(range.step);
                return u32::try_from(index).ok();
            }
            left -= range.count();
        }
        None
    }

    /// The position of a task index; the opposite of `index_at`.
    pub fn position_of(&self, index: u32) -> Option<u32> {
        if self.ranges.is_empty() {
            return Some(index);
        }
        let mut before = 0u64;
        for range in &self.ranges {
            if (range.first..=range.last).contains(&index) {
                let offset = index - range.first;
                return offset
                    .is_multiple_of(range.step)
                    .then(|| u32::try_from(before + u64::from(offset / range.step)).ok())
                    .flatten();
            }
            before += range.count();
        }
        None
    }
}

/// A task that has begun to differ from its job: leased, to be retried, or a stage.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TaskRow {
    /// Attempts granted so far.
    #[n(0)]
    pub number: u32,
    /// Attempts that failed by their own doing; `attempts_max` bounds them.
    #[n(1)]
    pub failures: u32,
    /// Attempts lost with their executor or superseded; bounded apart.
    #[n(2)]
    pub losses: u32,
    #[n(3)]
    pub state: TaskState,
    #[n(4)]
    pub ready_since: UnixMillis,
    /// Executors on which it failed, the latest last; others are preferred.
    #[n(5)]
    pub avoid: Vec<ExecutorId>,
    /// Earlier attempts whose directories may still exist.
    #[n(6)]
    pub past: Vec<PastAttempt>,
    /// How the last attempt ended.
    #[n(7)]
    pub last_failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct PastAttempt {
    #[n(0)]
    pub token: AttemptToken,
    #[n(1)]
    pub executor: ExecutorId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum TaskState {
    /// Earlier stages have not succeeded yet.
    #[n(0)]
    Waiting,
    #[n(1)]
    Ready,
    #[n(2)]
    BackOff {
        #[n(0)]
        until: UnixMillis,
    },
    /// Exactly one attempt is current.
    #[n(3)]
    Leased {
        #[n(0)]
        token: AttemptToken,
    },
}

/// An attempt whose process is not yet known dead. It is charged until this row goes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct AttemptRow {
    #[n(0)]
    pub task: TaskId,
    #[n(1)]
    pub lease: LeaseId,
    #[n(2)]
    pub executor: ExecutorId,
    /// 1 for the first attempt of the task.
    #[n(3)]
    pub number: u32,
    #[n(4)]
    pub granted_at: UnixMillis,
    #[n(5)]
    pub started_at: Option<UnixMillis>,
    /// Set when the executor was told to stop it; it is then no longer current, or its job stops.
    #[n(6)]
    pub stop: Option<StopCause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum StopCause {
    /// The job was cancelled or failed.
    #[n(0)]
    Cancelled,
    /// Its executor was away for too long; another attempt may run.
    #[n(1)]
    Superseded,
    /// The result of an older attempt was taken instead.
    #[n(2)]
    Adopted,
    /// The supervisor restarted and does not know it.
    #[n(3)]
    Forgotten,
}

impl StopCause {
    pub fn message(self) -> &'static str {
        match self {
            Self::Cancelled => "the job was cancelled",
            Self::Superseded => "superseded: its executor was disconnected for too long",
            Self::Adopted => "the result of an earlier attempt was adopted",
            Self::Forgotten => "the supervisor restarted and does not know this attempt",
        }
    }
}

/// A resource grant to an attempt group.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct LeaseRow {
    /// One executor now; a gang names several.
    #[n(0)]
    pub executors: Vec<ExecutorId>,
    #[n(1)]
    pub holding: Holding,
    /// The group's tokens are `first .. first + count`.
    #[n(2)]
    pub first: AttemptToken,
    #[n(3)]
    pub count: u32,
    /// Attempts not yet ended.
    #[n(4)]
    pub open: u32,
    /// Whose quota it is charged to; absent in leases from before there were quotas.
    #[n(5)]
    pub owner: Option<String>,
    /// The attempts label in lockstep in one process, and this bounded how many there are.
    #[n(6)]
    pub width: Option<WidthBound>,
}

/// The result of a task, in the archive: how its last attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct EndedTaskRow {
    #[n(0)]
    pub outcome: Outcome,
    /// Attempts made; 0 when it was cancelled before the first.
    #[n(1)]
    pub number: u32,
    #[n(2)]
    pub ended_at: UnixMillis,
    #[n(3)]
    pub token: Option<AttemptToken>,
    #[n(4)]
    pub executor: Option<ExecutorId>,
    #[n(5)]
    pub started_at: Option<UnixMillis>,
    #[n(6)]
    pub exit: Option<Exit>,
    #[n(7)]
    pub usage: Option<ProcessUsage>,
    #[n(8)]
    pub bytes_fetched: Option<u64>,
    #[n(9)]
    pub reused_layers: Option<u32>,
    #[n(10)]
    pub stdout_bytes: Option<u64>,
    #[n(11)]
    pub stderr_bytes: Option<u64>,
    #[n(12)]
    pub values: Option<BTreeMap<String, String>>,
}

/// A job that left memory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OldJobRow {
    #[n(0)]
    pub job: JobRow,
    #[n(1)]
    pub spec: SpecRow,
}
