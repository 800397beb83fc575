//! Why a task is not running: every pending task has an answer, from the planner's own decisions.

use crate::index::Shape;
use crate::model::{
    Demand, JobId, JobRow, JobState, LeaseId, QuotaShortage, SpecRow, TaskId, TaskState, Work,
};
use crate::reply::Rejected;
use crate::sealing;
use crate::state::State;
use crate::view::{dependency_text, node_of};

use super::fit::{Choice, never_fits};
use super::wish::Wish;
use super::{PlanBudget, granted};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One line.
    pub reason: String,
    /// What each executor says to it; empty when the executors are not what it waits for.
    pub executors: Vec<(String, String)>,
}

impl Explanation {
    fn plain(reason: String) -> Self {
        Self { reason, executors: Vec::new() }
    }
}

impl State {
    /// Why a task of a job in memory is not running.
    ///
    /// # Errors
    /// The job or the task does not exist, or the job has left memory.
    pub fn explain(&self, task: TaskId) -> Result<Explanation, Rejected> {
        let (Some(job), Some(spec)) = (self.jobs.get(task.job), self.specs.get(task.job)) else {
            let job = task.job;
            if job.0 > 0 && job <= self.meta.last_job {
                return Ok(Explanation::plain(format!("job {job} ended and is in the history")));
            }
            return Err(Rejected::UnknownJob { job });
        };
        let unknown = Rejected::UnknownTask { job: task.job, task: task.index };
        let Some(position) = spec.position_of(task.index).filter(|at| *at < job.total) else {
            return Err(unknown);
        };
        let row = self.tasks.get(task);
        if row.is_none() && position < job.next {
            return Ok(Explanation::plain("the task has ended".to_owned()));
        }
        if let Some(reason) = self.reason_of_state(task, job, spec) {
            return Ok(Explanation::plain(reason));
        }
        let shape = match &spec.work {
            Work::Command(_) => {
                let (owner, demand) = (job.owner.clone(), spec.demand.clone());
                Shape { owner, demand, lockstep: None }
            }
            Work::Stages(stages) => {
                sealing::shape_of(&job.owner, stages, task.index).ok_or(unknown)?
            }
        };
        if let Some(reason) = self.reason_of_quota(task.job, &shape) {
            return Ok(Explanation::plain(reason));
        }
        Ok(self.reason_of_room(task, spec, &shape))
    }

    /// Why a job waits, in one line: that of its first task that has not ended.
    pub fn job_reason(&self, id: JobId) -> String {
        let (Some(job), Some(spec)) = (self.jobs.get(id), self.specs.get(id)) else {
            return String::new();
        };
        if job.is_ended() {
            return job.reason.clone().unwrap_or_default();
        }
        let live = self
            .tasks
            .range(TaskId::new(id, 0)..=TaskId::new(id, u32::MAX))
            .min_by_key(|(_, row)| match row.state {
                TaskState::Ready => 0,
                TaskState::BackOff { .. } => 1,
                TaskState::Leased { .. } => 2,
                TaskState::Waiting => 3,
            })
            .map(|(&task, _)| task);
        let untouched = || spec.index_at(job.next).map(|index| TaskId::new(id, index));
        match live.or_else(untouched) {
            Some(task) => self.explain(task).map(|found| found.reason).unwrap_or_default(),
            None => String::new(),
        }
    }

    /// Reasons that lie in the job or the task itself.
    fn reason_of_state(&self, task: TaskId, job: &JobRow, spec: &SpecRow) -> Option<String> {
        match job.state {
            JobState::Ended { outcome, .. } => return Some(format!("the job {}", outcome.name())),
            JobState::Stopping { .. } => {
                return Some("the job is being stopped".to_owned());
            }
            JobState::Active => {}
        }
        let state = self.tasks.get(task).map_or(TaskState::Ready, |row| row.state);
        match state {
            TaskState::Leased { token } => {
                let attempt = self.attempts.get(token)?;
                let executor = self.executors.get(attempt.executor)?;
                let group = self.width_text(attempt.lease, &executor.name);
                return Some(match attempt.started_at {
                    Some(_) => format!("runs on {}{group}", executor.name),
                    None if group.is_empty() => {
                        format!("granted to {}, not yet started", executor.name)
                    }
                    None => format!("not yet started; granted{group}"),
                });
            }
            TaskState::BackOff { until } => {
                let row = self.tasks.get(task)?;
                let failure = row.last_failure.clone().unwrap_or_default();
                let seconds = until.since(self.meta.now).div_ceil(1000);
                return Some(format!(
                    "tries again in {seconds} s; attempt {} {failure}",
                    row.number
                ));
            }
            TaskState::Waiting => return self.reason_of_stage(task, job, spec),
            TaskState::Ready => {}
        }
        if !job.waiting_for.is_empty() {
            let jobs: Vec<String> = job.waiting_for.iter().take(5).map(dependency_text).collect();
            let more = match job.waiting_for.len().saturating_sub(5) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return Some(format!("waits until {}{more}", jobs.join(", ")));
        }
        let leases = self.index.jobs.get(&task.job).map_or(0, |derived| derived.leases);
        if spec.running_max > 0 && leases >= spec.running_max {
            return Some(format!("the job runs at most {} tasks at once", spec.running_max));
        }
        None
    }

    /// How many label in lockstep, and why so many; empty for other leases.
    fn width_text(&self, lease: LeaseId, executor: &str) -> String {
        let lease = self.leases.get(lease);
        let Some((count, bound)) = lease.and_then(|row| Some((row.count, row.width.as_ref()?)))
        else {
            return String::new();
        };
        let others = match count {
            0 | 1 => "alone".to_owned(),
            2 => "with 1 other".to_owned(),
            more => format!("with {} others", more - 1),
        };
        format!(" {others} (width {count}): {}", bound.reason(executor, count))
    }

    fn reason_of_stage(&self, task: TaskId, job: &JobRow, spec: &SpecRow) -> Option<String> {
        let Work::Stages(stages) = &spec.work else {
            return None;
        };
        let node = node_of(stages, task.index)?;
        let open = node.after.iter().filter(|before| !job.done.contains(before));
        let names: Vec<&str> = open
            .filter_map(|&index| node_of(stages, index))
            .map(|node| node.stage.name())
            .collect();
        Some(format!("waits for {}", names.join(", ")))
    }

    /// Reasons that lie in the limits of its owner.
    fn reason_of_quota(&self, job: JobId, shape: &Shape) -> Option<String> {
        let owner = &shape.owner;
        if self.is_held(owner) {
            return Some(format!("user {owner} is disabled"));
        }
        if self.is_proof(job) {
            return None;
        }
        let short = self.quota_short(owner, &shape.demand)?;
        let QuotaShortage { what, needed, used, max } = short;
        Some(if needed > max {
            format!("quota of user {owner}: it needs {needed} {what}, more than the {max} allowed")
        } else {
            format!("quota of user {owner}: {used} of {max} {what} in use, it needs {needed}")
        })
    }

    /// Reasons that lie with the executors.
    fn reason_of_room(&self, task: TaskId, spec: &SpecRow, shape: &Shape) -> Explanation {
        let budget = PlanBudget { grants_max: 256, ..PlanBudget::default() };
        let pass = self.plan_pass(self.meta.now, budget);
        let executors: Vec<(String, String)> = self
            .executors
            .iter()
            .map(|(&id, row)| (row.name.clone(), pass.rooms.reason(id, row, shape)))
            .collect();
        if granted(&pass).contains(&task) {
            return Explanation { reason: "will be started now".to_owned(), executors };
        }
        if let Some(until) = pass.gathering.get(&task) {
            let tenths = until.since(self.meta.now).div_ceil(100);
            let (seconds, tenths) = (tenths / 10, tenths % 10);
            let reason =
                format!("waits up to {seconds}.{tenths} s for others to label in lockstep");
            return Explanation { reason, executors };
        }
        if self.executors.len() == 0 {
            return Explanation::plain("no executor has joined the cluster yet".to_owned());
        }
        if self.executors.iter().all(|(_, row)| never_fits(row, &shape.demand).is_some()) {
            let reason =
                format!("no executor can ever run it; it needs {}", demand_text(&shape.demand));
            return Explanation { reason, executors };
        }
        if pass.rooms.is_empty() {
            let reason = "no executor is connected and open".to_owned();
            return Explanation { reason, executors };
        }
        let wish = match &spec.work {
            Work::Stages(_) => Some(Wish::of(self, task, self.meta.now)),
            Work::Command(_) => None,
        };
        if let Some((file, holder)) = wish.as_ref().and_then(Wish::unreachable) {
            let name = holder.and_then(|id| self.executors.get(id));
            let name = name.map_or("nobody", |row| row.name.as_str());
            let reason = format!("waits for {name}, which holds its input `{file}` and is away");
            return Explanation { reason, executors };
        }
        let reason = match pass.rooms.choose(shape, &[], wish.as_ref()) {
            Choice::Full => format!("waits for room: it needs {}", demand_text(&shape.demand)),
            Choice::Take(_) => "behind other work in the queue".to_owned(),
            Choice::WaitFor { executor, bytes } => {
                let name = self.executors.get(executor).map_or("", |row| row.name.as_str());
                format!("waits for {name}, which spares moving {bytes} bytes")
            }
        };
        Explanation { reason, executors }
    }
}

fn demand_text(demand: &Demand) -> String {
    let mut parts = vec![format!("{} cores", demand.cores)];
    for (amount, name) in [
        (demand.memory_bytes, "memory bytes"),
        (demand.gpus.into(), "gpus"),
        (demand.disc_bytes, "disc bytes"),
    ] {
        if amount > 0 {
            parts.push(format!("{amount} {name}"));
        }
    }
    parts.extend(demand.named.iter().map(|(name, amount)| format!("{amount} {name}")));
    parts.join(", ")
}
