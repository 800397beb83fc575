//! **Purpose**: waits for a job and shows how far it is.

use std::cell::RefCell;
use std::time::Duration;

use hesper_protos::job::{Job, TasksRequest};

use super::Error;
use crate::client::Client;
use crate::output::Output;
use crate::output::progress::{JobProgress, Step};
use crate::output::views;

/// Stages report progress that is not in the log, so it is asked for now and then.
const ASK_EVERY: Duration = Duration::from_millis(700);
/// More tasks than any sealing has.
const STAGES_MAX: u32 = 64;

/// Waits until a job has ended and shows it on the way.
pub(super) async fn until_ended(client: &Client, job: u64, out: Output) -> Result<Job, Error> {
    let progress = RefCell::new(JobProgress::new(out));
    let latest = RefCell::new(Step { job, ..Step::default() });
    let is_staged = RefCell::new(false);
    let waiting = client.wait(job, |job| {
        *is_staged.borrow_mut() = job.kind != "command";
        let note = latest.borrow().note.clone();
        let step = step_of(job, note);
        *latest.borrow_mut() = step.clone();
        progress.borrow_mut().show(step);
    });
    let asking = async {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            if !*is_staged.borrow() {
                continue;
            }
            // Progress is a courtesy: the wait itself notices what is wrong.
            let Ok(note) = running_stage(client, job).await else {
                continue;
            };
            let step = Step { note, ..latest.borrow().clone() };
            *latest.borrow_mut() = step.clone();
            progress.borrow_mut().show(step);
        }
    };
    tokio::select! {
        ended = waiting => Ok(ended?),
        () = asking => Err(Error::usage("waiting ended")),
    }
}

/// The same, and a bad end is an error.
pub(super) async fn until_succeeded(client: &Client, job: u64, out: Output) -> Result<Job, Error> {
    let ended = until_ended(client, job, out).await?;
    if ended.state == "succeeded" { Ok(ended) } else { Err(bad_end(&ended)) }
}

pub(super) fn bad_end(job: &Job) -> Error {
    Error::JobEnded { job: job.job, state: job.state.clone(), reason: job.reason.clone() }
}

/// All tasks of a job with stages, which are few.
pub(super) async fn stages(client: &Client, job: u64) -> Result<Vec<views::Task>, Error> {
    let request = TasksRequest { job, from: 0, limit: STAGES_MAX, state: String::new() };
    let reply = client.tasks(request).await?;
    Ok(reply.tasks.into_iter().map(views::Task::from).collect())
}

async fn running_stage(client: &Client, job: u64) -> Result<String, Error> {
    let tasks = stages(client, job).await?;
    let running = tasks.iter().find(|task| matches!(task.state.as_str(), "running" | "leased"));
    Ok(running.map_or(String::new(), |task| {
        let attempt =
            if task.attempt > 1 { format!(", attempt {}", task.attempt) } else { String::new() };
        let progress =
            if task.progress.is_empty() { String::new() } else { format!(" ({})", task.progress) };
        format!("{}{progress} on {}{attempt}", task.stage, task.executor)
    }))
}

fn step_of(job: &Job, note: String) -> Step {
    let tasks = job.tasks.unwrap_or_default();
    let note = if job.reason.is_empty() { note } else { job.reason.clone() };
    Step {
        job: job.job,
        state: job.state.clone(),
        done: tasks.succeeded + tasks.failed + tasks.cancelled,
        failed: tasks.failed,
        total: tasks.total,
        note,
    }
}
