//! Read views for the shell: jobs, tasks, executors, sectors and counters.

mod order;

pub use order::{
    AttemptOrder, CancelOrder, InputFile, LeaseOrder, LocatedFile, Source, StageOrder, WorkOrder,
};

use crate::model::{
    AttemptRow, AttemptToken, Configuration, Demand, Dependency, DependencyKind, ExecutorId,
    ExecutorRow, JobId, JobKind, JobRow, JobState, Liveness, Outcome, OwnerLimits, OwnerUsage,
    SectorId, SectorRow, SpecRow, StageNode, StageWork, TaskId, TaskRow, TaskState, UnixMillis,
    Usage, Work,
};
use crate::sealing;
use crate::state::State;

/// A job with its immutable part; also of archived jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobView<'a> {
    pub id: JobId,
    pub row: &'a JobRow,
    pub spec: &'a SpecRow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobStatus {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    pub total: u32,
    pub pending: u32,
    pub running: u32,
    pub succeeded: u32,
    pub failed: u32,
    pub cancelled: u32,
}

impl<'a> JobView<'a> {
    pub fn of(id: JobId, row: &'a JobRow, spec: &'a SpecRow) -> Self {
        Self { id, row, spec }
    }

    pub fn status(&self) -> JobStatus {
        match self.row.state {
            JobState::Ended { outcome: Outcome::Succeeded, .. } => JobStatus::Succeeded,
            JobState::Ended { outcome: Outcome::Failed, .. } => JobStatus::Failed,
            JobState::Ended { outcome: Outcome::Cancelled, .. } => JobStatus::Cancelled,
            JobState::Active | JobState::Stopping { .. } => {
                if self.row.started_at.is_some() {
                    JobStatus::Running
                } else {
                    JobStatus::Pending
                }
            }
        }
    }

    pub fn kind(&self) -> JobKind {
        self.spec.kind()
    }

    pub fn ended_at(&self) -> Option<UnixMillis> {
        match self.row.state {
            JobState::Ended { at, .. } => Some(at),
            JobState::Active | JobState::Stopping { .. } => None,
        }
    }

    /// Why it failed, when it did.
    pub fn reason(&self) -> Option<String> {
        self.row.reason.clone()
    }

    /// Program and arguments, or the stages.
    pub fn command(&self) -> String {
        match &self.spec.work {
            Work::Command(command) => std::iter::once(command.program.as_str())
                .chain(command.args.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(" "),
            Work::Stages(stages) => {
                let mut names: Vec<&str> =
                    stages.nodes.iter().map(|node| node.stage.name()).collect();
                names.dedup();
                names.join(" > ")
            }
        }
    }

    /// Of each task; stages differ and answer the largest of each resource.
    pub fn demand(&self) -> Demand {
        match &self.spec.work {
            Work::Command(_) => self.spec.demand.clone(),
            Work::Stages(stages) => {
                stages.nodes.iter().fold(Demand::default(), |mut most, node| {
                    let demand = sealing::demand_of(node.stage, stages.proof, stages.kernels());
                    most.cores = most.cores.max(demand.cores);
                    most.memory_bytes = most.memory_bytes.max(demand.memory_bytes);
                    most.disc_bytes = most.disc_bytes.max(demand.disc_bytes);
                    most
                })
            }
        }
    }

    /// Miner and sector of a seal or unseal job.
    pub fn sector(&self) -> Option<SectorId> {
        match &self.spec.work {
            Work::Stages(stages) if stages.sector != 0 || stages.kind == JobKind::Seal => {
                Some(SectorId::new(stages.miner, stages.sector))
            }
            Work::Stages(_) | Work::Command(_) => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskStatus {
    /// For earlier stages or for the job's dependencies.
    Waiting,
    Ready,
    /// Granted, not yet reported as started.
    Leased,
    Running,
    /// Its result is the archive row.
    Ended,
    /// Cancelled before anything happened to it: no archive row.
    Cancelled,
}

impl TaskStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    pub id: TaskId,
    /// The stage's name or "command".
    pub stage: &'static str,
    pub status: TaskStatus,
    /// Attempts so far.
    pub number: u32,
    pub token: Option<AttemptToken>,
    pub executor: Option<ExecutorId>,
    pub started_at: Option<UnixMillis>,
    pub last_failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub jobs_pending: u64,
    pub jobs_running: u64,
    pub tasks_pending: u64,
    pub tasks_running: u64,
    pub tasks_succeeded: u64,
    pub tasks_failed: u64,
    pub tasks_cancelled: u64,
    pub executors: u64,
    pub executors_connected: u64,
}

impl State {
    /// Jobs in memory, oldest first.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = JobView<'_>> {
        self.jobs
            .iter()
            .filter_map(|(&id, row)| self.specs.get(id).map(|spec| JobView::of(id, row, spec)))
    }

    /// Jobs in memory below `before`, newest first.
    pub fn jobs_before(&self, before: JobId) -> impl Iterator<Item = JobView<'_>> {
        self.jobs
            .range(..before)
            .rev()
            .filter_map(|(&id, row)| self.specs.get(id).map(|spec| JobView::of(id, row, spec)))
    }

    /// A job in memory; others are in the archive or unknown.
    pub fn job(&self, id: JobId) -> Option<JobView<'_>> {
        Some(JobView::of(id, self.jobs.get(id)?, self.specs.get(id)?))
    }

    pub fn job_counts(&self, id: JobId) -> TaskCounts {
        let Some(row) = self.jobs.get(id) else {
            return TaskCounts::default();
        };
        let running = self.index.jobs.get(&id).map_or(0, |job| job.leased);
        TaskCounts {
            total: row.total,
            pending: row.total.saturating_sub(row.ended()).saturating_sub(running),
            running,
            succeeded: row.succeeded,
            failed: row.failed,
            cancelled: row.cancelled,
        }
    }

    /// Tasks of a job in memory, from `from_index` on, in order.
    pub fn tasks(&self, job: JobId, from_index: u32, limit: usize) -> Vec<TaskView> {
        let (Some(row), Some(spec)) = (self.jobs.get(job), self.specs.get(job)) else {
            return Vec::new();
        };
        // The first position whose index is not below `from_index`: indexes ascend.
        let mut low = 0;
        let mut high = row.total;
        while low < high {
            let middle = low + (high - low) / 2;
            if spec.index_at(middle).is_some_and(|index| index < from_index) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low..row.total)
            .filter_map(|position| spec.index_at(position))
            .take(limit)
            .filter_map(|index| self.task(TaskId::new(job, index)))
            .collect()
    }

    /// A task of a job in memory.
    pub fn task(&self, id: TaskId) -> Option<TaskView> {
        let job = self.jobs.get(id.job)?;
        let spec = self.specs.get(id.job)?;
        let position = spec.position_of(id.index).filter(|position| *position < job.total)?;
        let stage = match &spec.work {
            Work::Command(_) => "command",
            Work::Stages(stages) => node_of(stages, id.index)?.stage.name(),
        };
        let mut view = TaskView {
            id,
            stage,
            status: TaskStatus::Ended,
            number: 0,
            token: None,
            executor: None,
            started_at: None,
            last_failure: None,
        };
        let Some(row) = self.tasks.get(id) else {
            if position >= job.next {
                view.status = match job.state {
                    JobState::Active if job.waiting_for.is_empty() => TaskStatus::Ready,
                    JobState::Active => TaskStatus::Waiting,
                    JobState::Stopping { .. } | JobState::Ended { .. } => TaskStatus::Cancelled,
                };
            }
            return Some(view);
        };
        self.fill(&mut view, job, row);
        Some(view)
    }

    fn fill(&self, view: &mut TaskView, job: &JobRow, row: &TaskRow) {
        view.number = row.number;
        view.last_failure.clone_from(&row.last_failure);
        view.status = match row.state {
            TaskState::Waiting | TaskState::BackOff { .. } => TaskStatus::Waiting,
            TaskState::Ready if job.waiting_for.is_empty() => TaskStatus::Ready,
            TaskState::Ready => TaskStatus::Waiting,
            TaskState::Leased { token } => {
                let attempt = self.attempts.get(token);
                view.token = Some(token);
                view.executor = attempt.map(|attempt| attempt.executor);
                view.started_at = attempt.and_then(|attempt| attempt.started_at);
                if view.started_at.is_some() { TaskStatus::Running } else { TaskStatus::Leased }
            }
        };
    }

    pub fn executors(&self) -> impl DoubleEndedIterator<Item = (ExecutorId, &ExecutorRow)> {
        self.executors.iter().map(|(&id, row)| (id, row))
    }

    pub fn executor(&self, id: ExecutorId) -> Option<&ExecutorRow> {
        self.executors.get(id)
    }

    pub fn executor_by_name(&self, name: &str) -> Option<(ExecutorId, &ExecutorRow)> {
        let id = *self.index.names.get(name)?;
        Some((id, self.executors.get(id)?))
    }

    /// What the leases of an executor hold.
    pub fn usage(&self, executor: ExecutorId) -> Usage {
        self.index.usage.get(&executor).cloned().unwrap_or_default()
    }

    /// Attempts on an executor whose process is not known dead.
    pub fn running(&self, executor: ExecutorId) -> usize {
        self.attempts_of(executor).count()
    }

    pub(crate) fn attempts_of(
        &self,
        executor: ExecutorId,
    ) -> impl Iterator<Item = (AttemptToken, &AttemptRow)> {
        self.index
            .attempts
            .range((executor, AttemptToken(0))..=(executor, AttemptToken(u64::MAX)))
            .filter_map(|&(_, token)| self.attempts.get(token).map(|row| (token, row)))
    }

    pub fn attempt(&self, token: AttemptToken) -> Option<&AttemptRow> {
        self.attempts.get(token)
    }

    /// Sectors of one miner or of all, in order.
    pub fn sectors(
        &self,
        miner: Option<u64>,
    ) -> impl DoubleEndedIterator<Item = (SectorId, &SectorRow)> {
        let first = SectorId::new(miner.unwrap_or(0), 0);
        let last = SectorId::new(miner.unwrap_or(u64::MAX), u64::MAX);
        self.sectors.range(first..=last).map(|(&id, row)| (id, row))
    }

    pub fn sector(&self, id: SectorId) -> Option<&SectorRow> {
        self.sectors.get(id)
    }

    /// The limits of an owner; the default bounds nothing.
    pub fn owner_limits(&self, owner: &str) -> OwnerLimits {
        self.owners.find(owner).cloned().unwrap_or_default()
    }

    /// What an owner holds.
    pub fn owner_usage(&self, owner: &str) -> OwnerUsage {
        self.index.owners.get(owner).cloned().unwrap_or_default()
    }

    pub fn configuration(&self) -> &Configuration {
        &self.meta.configuration
    }

    /// Jobs below this id have been deleted from the history.
    pub fn history_floor(&self) -> JobId {
        self.meta.history_floor
    }

    /// The latest state time.
    pub fn now(&self) -> UnixMillis {
        self.meta.now
    }

    pub fn counters(&self) -> Counters {
        let running = self
            .index
            .jobs
            .keys()
            .filter(|id| self.jobs.get(**id).is_some_and(|row| row.started_at.is_some()))
            .count();
        let connected = self
            .executors
            .iter()
            .filter(|(_, row)| matches!(row.liveness, Liveness::Connected { .. }))
            .count();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Counters {
            jobs_pending: count(self.index.jobs.len() - running),
            jobs_running: count(running),
            tasks_pending: self.index.queued_tasks.saturating_sub(self.index.leased_tasks),
            tasks_running: self.index.leased_tasks,
            tasks_succeeded: self.meta.tasks_succeeded,
            tasks_failed: self.meta.tasks_failed,
            tasks_cancelled: self.meta.tasks_cancelled,
            executors: count(self.executors.len()),
            executors_connected: count(connected),
        }
    }
}

pub(crate) fn node_of(stages: &StageWork, index: u32) -> Option<&StageNode> {
    stages.nodes.get(usize::try_from(index).ok()?)
}

/// "job 7 has succeeded" in words for people.
pub(crate) fn dependency_text(dependency: &Dependency) -> String {
    let when = match dependency.kind {
        DependencyKind::AfterOk => "has succeeded",
        DependencyKind::AfterAny => "has ended",
        DependencyKind::AfterNotOk => "has failed",
    };
    format!("job {} {when}", dependency.job)
}
