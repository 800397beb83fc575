//! Carrying out commands. One file per command family; this file is the table.
//!
//! Invariants: total (a refused command changes nothing but the state's time and what had become
//! due by then); all changed rows are in the store when `apply` returns; events only describe what
//! the state already says.

mod cancel;
mod executor;
mod finish;
mod lease;
mod outcome;
mod owner;
mod report;
mod sector;
mod submit;
mod tick;

pub(crate) use lease::{holds_more_than, is_available, serves};

use std::collections::BTreeSet;

use crate::command::Command;
use crate::event::Event;
use crate::model::{ExecutorId, JobId, LeaseId, TaskId, TaskState, UnixMillis};
use crate::reply::{Rejected, Reply};
use crate::state::{Context, Principal, Role, State};
use crate::table::Store;

/// One command being applied.
pub(crate) struct Run<'a> {
    pub now: UnixMillis,
    pub principal: &'a Principal,
    pub store: &'a mut dyn Store,
    pub events: &'a mut Vec<Event>,
    pub changed_jobs: BTreeSet<JobId>,
    pub changed_executors: BTreeSet<ExecutorId>,
    /// Jobs that ended and whose dependents have not been told.
    pub ended_jobs: Vec<JobId>,
    /// Jobs whose queue entries may be out of date.
    pub requeue: BTreeSet<JobId>,
    pub ready_work: bool,
}

impl Run<'_> {
    pub fn require(&self, roles: &[Role], action: &str) -> Result<(), Rejected> {
        if roles.contains(&self.principal.role) {
            return Ok(());
        }
        Err(self.not_allowed(action))
    }

    pub fn require_owner(&self, owner: &str, action: &str) -> Result<(), Rejected> {
        if self.principal.may_touch(owner) {
            return Ok(());
        }
        Err(self.not_allowed(action))
    }

    fn not_allowed(&self, action: &str) -> Rejected {
        Rejected::NotAllowed { principal: self.principal.name.clone(), action: action.to_owned() }
    }
}

const USERS: &[Role] = &[Role::Client, Role::Admin, Role::Node];
const SESSIONS: &[Role] = &[Role::Executor, Role::Node];

impl State {
    /// Applies one committed command. Total; writes its row changes before it returns.
    pub fn apply(
        &mut self,
        context: &Context<'_>,
        command: Command,
        store: &mut dyn Store,
        events: &mut Vec<Event>,
    ) -> Reply {
        self.run(context, store, events, |state, run| {
            state.dispatch(command, run).unwrap_or_else(Reply::Rejected)
        })
    }

    /// The leader's clock: once a second.
    pub fn tick(&mut self, context: &Context<'_>, store: &mut dyn Store, events: &mut Vec<Event>) {
        self.run(context, store, events, |state, run| state.pass_time(run));
    }

    /// A new leader began: executors get a full period to open their sessions again.
    pub fn leader_started(
        &mut self,
        context: &Context<'_>,
        _node: u64,
        store: &mut dyn Store,
        events: &mut Vec<Event>,
    ) {
        self.run(context, store, events, |state, run| state.rearm_liveness(run));
    }

    fn run<R>(
        &mut self,
        context: &Context<'_>,
        store: &mut dyn Store,
        events: &mut Vec<Event>,
        body: impl FnOnce(&mut Self, &mut Run<'_>) -> R,
    ) -> R {
        self.meta.now = self.meta.now.max(context.now);
        let mut run = Run {
            now: self.meta.now,
            principal: context.principal,
            store,
            events,
            changed_jobs: BTreeSet::new(),
            changed_executors: BTreeSet::new(),
            ended_jobs: Vec::new(),
            requeue: BTreeSet::new(),
            ready_work: false,
        };
        self.wake(&mut run);
        let result = body(self, &mut run);
        self.settle(&mut run);
        for job in std::mem::take(&mut run.changed_jobs) {
            run.events.push(Event::JobChanged { job });
        }
        for executor in std::mem::take(&mut run.changed_executors) {
            run.events.push(Event::ExecutorChanged { executor });
        }
        if run.ready_work {
            run.events.push(Event::ReadyWork);
        }
        self.flush(store);
        debug_assert!(
            self.jobs.len() + self.tasks.len() > 200 || self.validate().is_ok(),
            "{:?}",
            self.validate()
        );
        result
    }

    fn dispatch(&mut self, command: Command, run: &mut Run<'_>) -> Result<Reply, Rejected> {
        match command {
            Command::SubmitJob(spec) => {
                run.require(USERS, "submit jobs")?;
                self.submit_job(spec, run)
            }
            Command::SubmitGraph(graph) => {
                run.require(USERS, "submit jobs")?;
                self.submit_graph(graph, run)
            }
            Command::SealSector(seal) => {
                run.require(USERS, "seal sectors")?;
                self.seal_sector(seal, run)
            }
            Command::Prove(prove) => {
                run.require(USERS, "prove sectors")?;
                self.prove(prove, run)
            }
            Command::Unseal(sector) => {
                run.require(USERS, "unseal sectors")?;
                self.unseal(sector, run)
            }
            Command::CancelJob(job) => {
                run.require(USERS, "cancel jobs")?;
                self.cancel_job(job, run)
            }
            Command::RegisterExecutor(register) => {
                run.require(SESSIONS, "register an executor")?;
                self.register_executor(register, run)
            }
            Command::ExecutorDisconnected(gone) => {
                run.require(SESSIONS, "disconnect an executor")?;
                self.executor_disconnected(gone, run)
            }
            Command::SetAdmission(set) => self.set_admission(set, run),
            Command::Grant(grants) => {
                run.require(&[Role::Node], "grant leases")?;
                self.grant(grants, run)
            }
            Command::Report(batch) => {
                run.require(SESSIONS, "report for an executor")?;
                self.report(batch, run)
            }
            Command::Configure(change) => {
                run.require(&[Role::Admin, Role::Node], "change the configuration")?;
                self.meta.configuration.change(change);
                run.ready_work = true;
                Ok(Reply::Done)
            }
            Command::SetOwnerLimits(set) => {
                run.require(&[Role::Admin, Role::Node], "set the limits of an owner")?;
                self.set_owner_limits(set, run)
            }
        }
    }

    /// Everything that follows from what the command did: dependents, queue entries, memory.
    fn settle(&mut self, run: &mut Run<'_>) {
        while let Some(job) = run.ended_jobs.pop() {
            self.resolve_dependents(job, run);
        }
        for job in std::mem::take(&mut run.requeue) {
            if let (Some(row), Some(spec)) = (self.jobs.get(job), self.specs.get(job)) {
                self.index.requeue(job, row, spec);
            }
        }
        self.archive_old_jobs(run);
    }

    /// Changes the state of a task that has a row; the one place that keeps the indexes right.
    pub(crate) fn set_task_state(&mut self, task: TaskId, new: TaskState, run: &mut Run<'_>) {
        let Some(row) = self.tasks.get_mut(task) else {
            return;
        };
        let old = std::mem::replace(&mut row.state, new);
        if new == TaskState::Ready {
            row.ready_since = run.now;
            run.ready_work = true;
        }
        let lease = self.lease_of(old);
        self.index.leave(task, old, lease);
        let lease = self.lease_of(new);
        self.index.enter(task, new, lease);
        run.requeue.insert(task.job);
    }

    /// Removes a task's row.
    pub(crate) fn remove_task(&mut self, task: TaskId, run: &mut Run<'_>) {
        let Some(row) = self.tasks.remove(task) else {
            return;
        };
        let lease = self.lease_of(row.state);
        self.index.leave(task, row.state, lease);
        if let Some(job) = self.index.jobs.get_mut(&task.job) {
            job.rows = job.rows.saturating_sub(1);
        }
        run.requeue.insert(task.job);
    }

    pub(crate) fn lease_of(&self, state: TaskState) -> Option<LeaseId> {
        match state {
            TaskState::Leased { token } => self.attempts.get(token).map(|row| row.lease),
            TaskState::Waiting | TaskState::Ready | TaskState::BackOff { .. } => None,
        }
    }

    /// Tasks whose back-off is over become ready.
    fn wake(&mut self, run: &mut Run<'_>) {
        while let Some(&(until, task)) = self.index.back_off.first() {
            if until > run.now {
                break;
            }
            self.set_task_state(task, TaskState::Ready, run);
        }
    }
}
