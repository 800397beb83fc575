//! **Purpose**: the jobs service: submit, list, show, wait, cancel, explain, logs.
//!
//! **Invariants**
//! - Any node answers; a read shows everything that was acknowledged before it was asked.
//! - Who may not touch a job is told that it does not exist for them, by owner.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hesper_protos::job::jobs_client::JobsClient;
use hesper_protos::job::jobs_server::Jobs;
use hesper_protos::job::{
    CancelReply, CancelRequest, ExecutorReason, ExplainReply, ExplainRequest, Job, ListReply,
    ListRequest, LogChunk, LogsRequest, OpenSessionReply, OpenSessionRequest, ShowRequest,
    SubmitReply, SubmitRequest, Task, TasksReply, TasksRequest,
};
use hesper_scheduler as scheduler;
use hesper_scheduler::{
    Command, EndedTaskRow, ExecutorId, JobId, JobStatus, JobView, OldJobRow, Reply, Row as _,
    TableId, TaskId, TaskStatus, TaskView,
};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::auth::Access;
use super::caller::{Caller, forward, is_forwarded};
use super::machine::{ClusterMachine, Events};
use super::{Node, Shared, convert};

/// Rows of one answer.
const PAGE_MAX: u32 = 1_000;
/// Even without an event a waiting client hears of the job this often.
const WAIT_REFRESH: Duration = Duration::from_secs(1);
/// Bytes of one piece of output.
const LOG_CHUNK_BYTES: u32 = 256 * 1024;
/// How often the output of a running task is looked at when it is followed.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// A session that was not used for so long is forgotten.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(3_600);

// What each method needs.
/// Never limited: a proof may need a session first. The table of sessions is bounded.
const OPEN_SESSION: Access = Access::proof("jobs", "OpenSession", "change anything");
const SUBMIT: Access = Access::change("jobs", "Submit", "submit jobs");
const LIST: Access = Access::read("jobs", "List", "look at jobs");
const SHOW: Access = Access::read("jobs", "Show", "look at jobs");
const TASKS: Access = Access::read("jobs", "Tasks", "look at tasks");
const WAIT: Access = Access::read("jobs", "Wait", "wait for jobs");
const CANCEL: Access = Access::change("jobs", "Cancel", "cancel jobs");
const EXPLAIN: Access = Access::read("jobs", "Explain", "ask why a job waits");
const LOGS: Access = Access::read("jobs", "Logs", "read output");

pub struct Service(pub Shared);

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Jobs for Service {
    type WaitStream = Streamed<Job>;
    type LogsStream = Streamed<LogChunk>;

    async fn open_session(
        &self,
        request: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionReply>, Status> {
        let caller = self.0.admit(&request, &OPEN_SESSION).await?;
        let session = self
            .0
            .consensus
            .open_session(&caller.proposer().encode(), SESSION_IDLE_MAX, super::PROPOSE_DEADLINE)
            .await
            .map_err(super::propose_status)?;
        Ok(Response::new(OpenSessionReply { session }))
    }

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitReply>, Status> {
        let caller = self.0.admit(&request, &SUBMIT).await?;
        caller.require_user("submit a job")?;
        let SubmitRequest { id, spec } = request.into_inner();
        let spec = spec.ok_or_else(|| Status::invalid_argument("`spec` is missing"))?;
        let command = Command::SubmitJob(convert::job_spec(spec)?);
        match self.0.propose(&caller, id, command).await? {
            (index, Reply::Submitted { job }) => {
                Ok(Response::new(SubmitReply { job: job.0, index }))
            }
            (_, other) => Err(super::unexpected(&other)),
        }
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let caller = self.0.admit(&request, &LIST).await?;
        let request = request.into_inner();
        self.0.barrier().await?;
        Ok(Response::new(list(&self.0, &caller, &request)))
    }

    async fn show(&self, request: Request<ShowRequest>) -> Result<Response<Job>, Status> {
        let caller = self.0.admit(&request, &SHOW).await?;
        let job = job_id(request.get_ref().job)?;
        self.0.barrier().await?;
        Ok(Response::new(show(&self.0, &caller, job)?))
    }

    async fn tasks(&self, request: Request<TasksRequest>) -> Result<Response<TasksReply>, Status> {
        let caller = self.0.admit(&request, &TASKS).await?;
        // Only the leader hears of progress.
        if !is_forwarded(&request)
            && let Some(channel) = self.0.leader_channel()?
        {
            let request = forward(&caller, request.into_inner())?;
            return JobsClient::new(channel).tasks(request).await;
        }
        let request = request.into_inner();
        self.0.barrier().await?;
        tasks(&self.0, &caller, &request).map(Response::new)
    }

    async fn wait(&self, request: Request<ShowRequest>) -> Result<Response<Streamed<Job>>, Status> {
        let caller = self.0.admit(&request, &WAIT).await?;
        let job = job_id(request.get_ref().job)?;
        self.0.barrier().await?;
        let first = show(&self.0, &caller, job)?;
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(watch(Arc::clone(&self.0), caller, job, first, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelReply>, Status> {
        let caller = self.0.admit(&request, &CANCEL).await?;
        let CancelRequest { id, job } = request.into_inner();
        match self.0.propose(&caller, id, Command::CancelJob(job_id(job)?)).await? {
            (_, Reply::Cancelled { already_ended }) => {
                Ok(Response::new(CancelReply { already_ended }))
            }
            (_, other) => Err(super::unexpected(&other)),
        }
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainReply>, Status> {
        let caller = self.0.admit(&request, &EXPLAIN).await?;
        let ExplainRequest { job, task } = request.into_inner();
        let job = job_id(job)?;
        self.0.barrier().await?;
        let shown = show(&self.0, &caller, job)?;
        if shown.ended_at_ms > 0 {
            let reason = match shown.reason.as_str() {
                "" => format!("job {job} has {}", shown.state),
                reason => format!("job {job} has {}: {reason}", shown.state),
            };
            return Ok(Response::new(ExplainReply { reason, executors: Vec::new() }));
        }
        // An executor that serves its owner alone is no other's business.
        let is_shown = |machine: &ClusterMachine, name: &str| {
            machine
                .scheduler
                .executor_by_name(name)
                .is_some_and(|(_, row)| !row.owner_only || caller.may_touch(&row.owner))
        };
        let mut explanation = self
            .0
            .read(|machine| {
                machine.scheduler.explain(TaskId::new(job, task)).map(|mut explanation| {
                    explanation.executors.retain(|(name, _)| is_shown(machine, name));
                    explanation
                })
            })
            .map_err(|rejected| super::rejected_status(&rejected))?;
        let executors = std::mem::take(&mut explanation.executors)
            .into_iter()
            .map(|(executor, reason)| ExecutorReason { executor, reason })
            .collect();
        Ok(Response::new(ExplainReply { reason: explanation.reason, executors }))
    }

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Streamed<LogChunk>>, Status> {
        let caller = self.0.admit(&request, &LOGS).await?;
        // Executors talk to the leader alone.
        if !is_forwarded(&request)
            && let Some(channel) = self.0.leader_channel()?
        {
            let request = forward(&caller, request.into_inner())?;
            let stream = JobsClient::new(channel).logs(request).await?.into_inner();
            return Ok(Response::new(Box::pin(stream)));
        }
        let request = request.into_inner();
        let job = job_id(request.job)?;
        self.0.barrier().await?;
        show(&self.0, &caller, job)?;
        let (sender, receiver) = mpsc::channel(16);
        let node = Arc::clone(&self.0);
        tokio::spawn(async move {
            let sent = tokio::select! {
                sent = send_logs(&node, job, &request, &sender) => sent,
                status = node.until_refused(&caller) => Err(status),
            };
            if let Err(status) = sent {
                // A reader that went away needs no error.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

pub fn job_id(job: u64) -> Result<JobId, Status> {
    if job == 0 {
        return Err(Status::invalid_argument("`job` is 0; job numbers begin at 1"));
    }
    Ok(JobId(job))
}

/// A job that has left memory.
fn old_job(node: &Node, job: JobId) -> Option<OldJobRow> {
    let row = node.consensus.get_row(TableId::OLD_JOBS.0, &job.key()).ok().flatten()?;
    OldJobRow::from_row(&row).ok()
}

/// One job, if `caller` may see it.
pub fn show(node: &Node, caller: &Caller, job: JobId) -> Result<Job, Status> {
    let live = node.read(|machine| {
        machine.scheduler.job(job).map(|view| {
            let reason = view.ended_at().is_none().then(|| machine.scheduler.job_reason(job));
            let counts = machine.scheduler.job_counts(job);
            (view.row.owner.clone(), convert::shown_job(&view, counts, reason))
        })
    });
    let found = live.or_else(|| {
        old_job(node, job).map(|old| {
            let view = JobView::of(job, &old.job, &old.spec);
            let counts = convert::ended_counts(&old.job);
            (old.job.owner.clone(), convert::shown_job(&view, counts, None))
        })
    });
    match found {
        Some((owner, shown)) if caller.may_touch(&owner) => Ok(shown),
        Some((owner, _)) => Err(Status::permission_denied(format!(
            "job {job} belongs to `{owner}`; only its owner and administrators see it"
        ))),
        None => {
            let floor = node.read(|machine| machine.scheduler.history_floor());
            let rejected = if job < floor {
                scheduler::Rejected::JobExpired { job, floor }
            } else {
                scheduler::Rejected::UnknownJob { job }
            };
            Err(super::rejected_status(&rejected))
        }
    }
}

/// Newest first.
fn list(node: &Node, caller: &Caller, request: &ListRequest) -> ListReply {
    let limit = page(request.limit);
    let before = if request.before == 0 { u64::MAX } else { request.before };
    let is_wanted = |view: &JobView<'_>| {
        let status = view.status();
        caller.may_touch(&view.row.owner)
            && (!request.active_only || matches!(status, JobStatus::Pending | JobStatus::Running))
            && (request.state.is_empty() || request.state == status.name())
    };
    let mut jobs: Vec<Job> = node.read(|machine| {
        let state = &machine.scheduler;
        state
            .jobs_before(JobId(before))
            .filter(is_wanted)
            .take(limit + 1)
            .map(|view| {
                let reason = view.ended_at().is_none().then(|| state.job_reason(view.id));
                convert::shown_job(&view, state.job_counts(view.id), reason)
            })
            .collect()
    });
    if !request.active_only && jobs.len() <= limit {
        list_old(node, before, limit + 1, &is_wanted, &mut jobs);
    }
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    ListReply { jobs, more }
}

/// Adds jobs that left memory; the store is read in ascending order, so the newest page is kept.
fn list_old(
    node: &Node,
    before: u64,
    limit: usize,
    is_wanted: &dyn Fn(&JobView<'_>) -> bool,
    jobs: &mut Vec<Job>,
) {
    // The newest jobs are always in memory, and below the floor there are none.
    let (newest, floor) = node.read(|machine| {
        let state = &machine.scheduler;
        (state.jobs().next_back().map_or(0, |view| view.id.0), state.history_floor().0)
    });
    let mut upper = before.min(newest.saturating_add(1));
    while jobs.len() < limit && upper > floor.max(1) {
        // Job numbers are dense, so a window of numbers is a page of rows.
        let lower = upper.saturating_sub(2 * u64::from(PAGE_MAX)).max(1);
        let rows = node
            .consensus
            .scan_rows(
                TableId::OLD_JOBS.0,
                &JobId(lower).key(),
                &[],
                usize::try_from(upper - lower).unwrap_or(usize::MAX),
            )
            .unwrap_or_default();
        for (key, row) in rows.into_iter().rev() {
            let Ok(key) = <[u8; 8]>::try_from(key.as_slice()) else { continue };
            let id = JobId(u64::from_be_bytes(key));
            if id.0 >= upper || jobs.iter().any(|job| job.job == id.0) {
                continue;
            }
            let Ok(old) = OldJobRow::from_row(&row) else { continue };
            let view = JobView::of(id, &old.job, &old.spec);
            if is_wanted(&view) && jobs.len() < limit {
                jobs.push(convert::shown_job(&view, convert::ended_counts(&old.job), None));
            }
        }
        upper = lower;
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.job));
}

fn page(limit: u32) -> usize {
    let limit = if limit == 0 { 100 } else { limit.min(PAGE_MAX) };
    usize::try_from(limit).unwrap_or(100)
}

fn tasks(node: &Node, caller: &Caller, request: &TasksRequest) -> Result<TasksReply, Status> {
    let job = job_id(request.job)?;
    show(node, caller, job)?;
    let limit = page(request.limit);
    let views = node.read(|machine| machine.scheduler.tasks(job, request.from, limit + 1));
    let mut tasks = if views.is_empty() {
        archived_tasks(node, job, request.from, limit + 1)
    } else {
        views.into_iter().map(|view| shown_task(node, &view)).collect()
    };
    let more = tasks.len() > limit;
    tasks.truncate(limit);
    tasks.retain(|task: &Task| request.state.is_empty() || task.state == request.state);
    Ok(TasksReply { tasks, more })
}

/// Tasks of a job that left memory.
fn archived_tasks(node: &Node, job: JobId, from: u32, limit: usize) -> Vec<Task> {
    let old = old_job(node, job);
    let rows = node
        .consensus
        .scan_rows(TableId::ENDED_TASKS.0, &TaskId::new(job, from).key(), &job.key(), limit)
        .unwrap_or_default();
    rows.into_iter()
        .filter_map(|(key, row)| {
            let index = u32::from_be_bytes(key.get(8..12)?.try_into().ok()?);
            let row = EndedTaskRow::from_row(&row).ok()?;
            let stage = old.as_ref().map_or("command", |old| stage_name(&old.spec, index));
            let task = TaskId::new(job, index);
            Some(node.read(|machine| convert::ended_task(&machine.scheduler, task, stage, &row)))
        })
        .collect()
}

fn stage_name(spec: &scheduler::SpecRow, index: u32) -> &'static str {
    match &spec.work {
        scheduler::Work::Command(_) => "command",
        scheduler::Work::Stages(stages) => usize::try_from(index)
            .ok()
            .and_then(|index| stages.nodes.get(index))
            .map_or("command", |node| node.stage.name()),
    }
}

fn ended_row(node: &Node, task: TaskId) -> Option<EndedTaskRow> {
    let row = node.consensus.get_row(TableId::ENDED_TASKS.0, &task.key()).ok().flatten()?;
    EndedTaskRow::from_row(&row).ok()
}

fn shown_task(node: &Node, view: &TaskView) -> Task {
    if view.status == TaskStatus::Ended
        && let Some(row) = ended_row(node, view.id)
    {
        return node
            .read(|machine| convert::ended_task(&machine.scheduler, view.id, view.stage, &row));
    }
    let executor = view.executor.map(|id| {
        node.read(|machine| machine.scheduler.executor(id).map(|row| row.name.clone()))
            .unwrap_or_else(|| id.to_string())
    });
    let progress = match (view.executor, view.token) {
        (Some(executor), Some(token)) => node.sessions.progress(executor.0, token.0),
        _ => String::new(),
    };
    let is_waiting = matches!(view.status, TaskStatus::Waiting | TaskStatus::Ready);
    let reason = if is_waiting {
        node.read(|machine| machine.scheduler.explain(view.id))
            .map(|explanation| explanation.reason)
            .unwrap_or_default()
    } else {
        String::new()
    };
    Task {
        job: view.id.job.0,
        task: view.id.index,
        stage: view.stage.to_owned(),
        state: convert::task_state(view.status).to_owned(),
        attempt: view.number,
        token: view.token.map_or(0, |token| token.0),
        executor: executor.unwrap_or_default(),
        started_at_ms: view.started_at.map_or(0, |at| at.0),
        message: view.last_failure.clone().unwrap_or_default(),
        reason,
        progress,
        ..Task::default()
    }
}

/// Sends the job after each change until it has ended.
async fn watch(
    node: Shared,
    caller: Caller,
    job: JobId,
    first: Job,
    sender: mpsc::Sender<Result<Job, Status>>,
) {
    let mut published = node.consensus.subscribe();
    let mut last = first;
    if sender.send(Ok(last.clone())).await.is_err() {
        return;
    }
    // Between the first look and the subscription the job may have changed.
    let mut has_changed = true;
    let refused = node.until_refused(&caller);
    tokio::pin!(refused);
    loop {
        if has_changed {
            match show(&node, &caller, job) {
                Ok(shown) if shown != last => {
                    last = shown;
                    if sender.send(Ok(last.clone())).await.is_err() {
                        return;
                    }
                }
                Ok(_) => {}
                Err(status) => {
                    let _ = sender.send(Err(status)).await;
                    return;
                }
            }
        }
        if last.ended_at_ms > 0 {
            return;
        }
        has_changed = tokio::select! {
            event = published.recv() => match event {
                Ok(published) => concerns(&published, job),
                // Missed some: look again.
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => true,
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            },
            () = tokio::time::sleep(WAIT_REFRESH) => true,
            () = sender.closed() => return,
            status = &mut refused => {
                let _ = sender.send(Err(status)).await;
                return;
            }
        };
    }
}

fn concerns(published: &hesper_consensus::Published, job: JobId) -> bool {
    published.reloaded
        || published
        .events
        .iter()
        .filter_map(|event| event.downcast_ref::<Events>())
        .flatten()
        .any(|event| matches!(event, scheduler::Event::JobChanged { job: changed } if *changed == job))
}

/// Where the output of a task is: executor, token, and whether more may come.
fn output_of(node: &Node, task: TaskId) -> Option<(ExecutorId, u64, bool)> {
    let live = node.read(|machine| machine.scheduler.task(task));
    if let Some(view) = live
        && view.status != TaskStatus::Ended
    {
        return Some((view.executor?, view.token?.0, true));
    }
    let row = ended_row(node, task)?;
    Some((row.executor?, row.token?.0, false))
}

async fn send_logs(
    node: &Node,
    job: JobId,
    request: &LogsRequest,
    sender: &mpsc::Sender<Result<LogChunk, Status>>,
) -> Result<(), Status> {
    if !request.all_tasks {
        return send_task_log(node, TaskId::new(job, request.task), request, sender).await;
    }
    let mut from = 0;
    loop {
        let mut indexes: Vec<u32> = node.read(|machine| {
            let views = machine.scheduler.tasks(job, from, page(PAGE_MAX));
            views.into_iter().map(|view| view.id.index).collect()
        });
        if indexes.is_empty() {
            let rows = archived_tasks(node, job, from, page(PAGE_MAX));
            indexes = rows.into_iter().map(|task| task.task).collect();
        }
        let Some(last) = indexes.last().copied() else { return Ok(()) };
        for index in indexes {
            let task = TaskId::new(job, index);
            // Tasks that never ran have nothing to show.
            if request.follow || output_of(node, task).is_some() {
                send_task_log(node, task, request, sender).await?;
            }
        }
        let Some(next) = last.checked_add(1) else { return Ok(()) };
        from = next;
    }
}

async fn send_task_log(
    node: &Node,
    task: TaskId,
    request: &LogsRequest,
    sender: &mpsc::Sender<Result<LogChunk, Status>>,
) -> Result<(), Status> {
    let name = if request.stderr { "stderr" } else { "stdout" };
    let mut offset = 0;
    let mut read_token = None;
    loop {
        let Some((executor, token, may_grow)) = output_of(node, task) else {
            let is_waiting = node.read(|machine| {
                machine.scheduler.task(task).is_some_and(|view| view.status != TaskStatus::Ended)
            });
            if !request.follow || !is_waiting {
                return Err(Status::failed_precondition(format!(
                    "task {task} has not run yet, so there is no output; `hesper job explain {}` \
                     says why",
                    task.job
                )));
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
                () = sender.closed() => return Ok(()),
            }
            continue;
        };
        // A new attempt begins its output anew.
        if read_token != Some(token) {
            read_token = Some(token);
            offset = 0;
        }
        let chunk = node
            .sessions
            .read_output(executor.0, token, name, offset, LOG_CHUNK_BYTES)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let is_end = chunk.data.is_empty() || chunk.end;
        if !chunk.data.is_empty() {
            offset += u64::try_from(chunk.data.len()).unwrap_or(0);
            let chunk = LogChunk { task: task.index, data: chunk.data, stderr: request.stderr };
            if sender.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
        if is_end {
            if !(request.follow && may_grow) {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
                () = sender.closed() => return Ok(()),
            }
        }
    }
}
