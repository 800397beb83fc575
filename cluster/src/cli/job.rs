//! **Purpose**: `hesper job`: submit, look at, wait for, cancel and read jobs.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use hesper_protos::job::{ListRequest, LogsRequest, TasksRequest};

use super::Error;
use super::connection::Connection;
use super::submit::Submit;
use super::watch::{bad_end, until_ended};
use crate::client::Client;
use crate::output::{Format, Output, views};
use crate::values::{JobRef, parse_job, parse_job_ref};

/// Jobs.
#[derive(Debug, clap::Args)]
pub struct Job {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Submit a program or a job script.
    Submit(Box<Submit>),
    /// List jobs, the newest first.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one job.
    Show(OneJob),
    /// List the tasks of a job.
    Tasks(Tasks),
    /// Wait until a job has ended.
    #[command(after_help = "The exit code is 0 when the job succeeded and 1 when it did not.")]
    Wait(OneJob),
    /// Cancel jobs.
    Cancel(ManyJobs),
    /// Print what the tasks of a job wrote.
    Logs(Logs),
    /// Say why a job or task waits.
    Explain(OneTask),
}

#[derive(Debug, clap::Args)]
struct OneJob {
    /// The job's number.
    #[arg(value_parser = parse_job)]
    job: u64,
}

#[derive(Debug, clap::Args)]
struct ManyJobs {
    /// The jobs' numbers.
    #[arg(value_parser = parse_job, required = true)]
    jobs: Vec<u64>,
}

#[derive(Debug, clap::Args)]
struct OneTask {
    /// The job's number, or job.task.
    #[arg(value_name = "JOB[.TASK]", value_parser = parse_job_ref)]
    job: JobRef,
}

#[derive(Debug, clap::Args)]
struct List {
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only jobs older than this one.
    #[arg(long, value_name = "JOB", value_parser = parse_job)]
    before: Option<u64>,
    /// Only jobs that have not ended.
    #[arg(long)]
    active: bool,
    /// Only jobs in this state.
    #[arg(long, value_enum)]
    state: Option<JobState>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum JobState {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            JobState::Pending => "pending",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, clap::Args)]
struct Tasks {
    /// The job's number.
    #[arg(value_parser = parse_job)]
    job: u64,
    /// From this index on.
    #[arg(long, default_value_t = 0)]
    from: u32,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Only tasks in this state.
    #[arg(long, value_enum)]
    state: Option<TaskState>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum TaskState {
    Waiting,
    Ready,
    Leased,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl TaskState {
    fn as_str(self) -> &'static str {
        match self {
            TaskState::Waiting => "waiting",
            TaskState::Ready => "ready",
            TaskState::Leased => "leased",
            TaskState::Running => "running",
            TaskState::Succeeded => "succeeded",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
        }
    }
}

#[derive(Debug, clap::Args)]
struct Logs {
    /// The job's number, or job.task.
    #[arg(value_name = "JOB[.TASK]", value_parser = parse_job_ref)]
    job: JobRef,
    /// Print standard error instead of standard output.
    #[arg(long)]
    stderr: bool,
    /// Go on until the task has ended.
    #[arg(long, short)]
    follow: bool,
}

impl Job {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        let client = self.connection.client()?;
        match self.command {
            Command::Submit(submit) => submit.ask(&client, out).await?,
            Command::List(list) => list.ask(&client, out).await?,
            Command::Show(OneJob { job }) => {
                out.show(&views::Job::from(client.job(job).await?))?;
            }
            Command::Tasks(tasks) => tasks.ask(&client, out).await?,
            Command::Wait(OneJob { job }) => {
                let ended = until_ended(&client, job, out).await?;
                out.show(&views::Job::from(ended.clone()))?;
                if ended.state != "succeeded" {
                    return Err(bad_end(&ended));
                }
            }
            Command::Cancel(ManyJobs { jobs }) => {
                let mut all = Vec::with_capacity(jobs.len());
                for job in jobs {
                    let already_ended = !client.cancel(job).await?;
                    all.push(views::Cancelled { job, already_ended });
                }
                out.show(&views::AllCancelled(all))?;
            }
            Command::Logs(logs) => logs.ask(&client, out).await?,
            Command::Explain(OneTask { job: JobRef { job, task } }) => {
                let reply = client.explain(job, task.unwrap_or(0)).await?;
                let executors = reply.executors.into_iter();
                out.show(&views::Explanation {
                    job,
                    task: task.unwrap_or(0),
                    reason: reply.reason,
                    executors: executors
                        .map(|row| views::ExecutorReason {
                            executor: row.executor,
                            reason: row.reason,
                        })
                        .collect(),
                })?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn ask(&self, client: &Client, out: Output) -> Result<(), Error> {
        let request = ListRequest {
            limit: self.limit,
            before: self.before.unwrap_or(0),
            active_only: self.active,
            state: self.state.map_or(String::new(), |state| state.as_str().to_owned()),
        };
        let reply = client.jobs(request).await?;
        let jobs = reply.jobs.into_iter().map(views::Job::from).collect();
        Ok(out.show(&views::Jobs { jobs, more: reply.more })?)
    }
}

impl Tasks {
    async fn ask(&self, client: &Client, out: Output) -> Result<(), Error> {
        let request = TasksRequest {
            job: self.job,
            from: self.from,
            limit: self.limit,
            state: self.state.map_or(String::new(), |state| state.as_str().to_owned()),
        };
        let reply = client.tasks(request).await?;
        let tasks = reply.tasks.into_iter().map(views::Task::from).collect();
        Ok(out.show(&views::Tasks { tasks, more: reply.more })?)
    }
}

/// A piece of output, as JSON: one object per line.
#[derive(serde::Serialize)]
struct LogLine<'a> {
    task: u32,
    stderr: bool,
    text: std::borrow::Cow<'a, str>,
}

impl Logs {
    async fn ask(&self, client: &Client, out: Output) -> Result<(), Error> {
        let request = LogsRequest {
            job: self.job.job,
            task: self.job.task.unwrap_or(0),
            stderr: self.stderr,
            follow: self.follow,
            all_tasks: self.job.task.is_none(),
        };
        let mut stdout = std::io::stdout().lock();
        client
            .logs(request, |chunk| -> Result<(), Error> {
                match out.format {
                    Format::Text => stdout.write_all(&chunk.data)?,
                    Format::Json => {
                        let text = String::from_utf8_lossy(&chunk.data);
                        let line = LogLine { task: chunk.task, stderr: chunk.stderr, text };
                        serde_json::to_writer(&mut stdout, &line).map_err(std::io::Error::from)?;
                        stdout.write_all(b"\n")?;
                    }
                }
                Ok(stdout.flush()?)
            })
            .await
    }
}
