//! **Purpose**: a client of the job service: one session, one connection, as a user's program has it.

use anyhow::{Context, Result, bail, ensure};
use hesper_protos::job::jobs_client::JobsClient;
use hesper_protos::job::{
    Array, CancelRequest, Job, JobSpec, ListRequest, OpenSessionRequest, Range, RequestId,
    Resources, ShowRequest, SubmitRequest, Task, TasksRequest,
};
use tonic::transport::Channel;

/// A resource that no executor has: jobs that ask for it stay pending.
const NOBODYS: &str = "bench";
const PAGE: u32 = 1000;

pub struct Jobs {
    client: JobsClient<Channel>,
    session: u64,
    sequence: u64,
}

impl Jobs {
    pub async fn open(channel: Channel) -> Result<Jobs> {
        let mut client = JobsClient::new(channel);
        let reply =
            client.open_session(OpenSessionRequest {}).await.context("could not open a session")?;
        Ok(Jobs { client, session: reply.into_inner().session, sequence: 0 })
    }

    fn next_id(&mut self) -> RequestId {
        self.sequence += 1;
        RequestId { session: self.session, sequence: self.sequence }
    }

    pub async fn submit(&mut self, spec: JobSpec) -> Result<u64> {
        let id = self.next_id();
        self.send(SubmitRequest { id: Some(id), spec: Some(spec) }).await
    }

    /// Submits a command that is exactly `bytes` long as an encoded request.
    pub async fn submit_padded(&mut self, bytes: usize) -> Result<u64> {
        let id = self.next_id();
        let request = padded(id, bytes)?;
        self.send(request).await
    }

    async fn send(&mut self, request: SubmitRequest) -> Result<u64> {
        let reply = self.client.submit(request).await.context("a submit was refused")?;
        Ok(reply.into_inner().job)
    }

    pub async fn show(&mut self, job: u64) -> Result<Job> {
        Ok(self
            .client
            .show(ShowRequest { job })
            .await
            .with_context(|| format!("could not show job {job}"))?
            .into_inner())
    }

    /// Waits for the end of a job without asking again and again.
    pub async fn ended(&mut self, job: u64) -> Result<Job> {
        let mut updates = self
            .client
            .wait(ShowRequest { job })
            .await
            .with_context(|| format!("could not wait for job {job}"))?
            .into_inner();
        while let Some(update) =
            updates.message().await.with_context(|| format!("lost sight of job {job}"))?
        {
            if has_ended(&update) {
                return Ok(update);
            }
        }
        bail!("the updates of job {job} stopped before its end")
    }

    /// Waits for the end and insists that every task succeeded.
    pub async fn succeeded(&mut self, job: u64, tasks: usize) -> Result<Job> {
        let ended = self.ended(job).await?;
        let counts = ended.tasks.unwrap_or_default();
        ensure!(
            ended.state == "succeeded" && counts.succeeded as usize == tasks,
            "job {job} ended as {} with {} of {tasks} tasks succeeded: {}",
            ended.state,
            counts.succeeded,
            ended.reason
        );
        Ok(ended)
    }

    pub async fn cancel(&mut self, job: u64) -> Result<()> {
        let id = self.next_id();
        let request = CancelRequest { id: Some(id), job };
        self.client.cancel(request).await.with_context(|| format!("could not cancel job {job}"))?;
        Ok(())
    }

    /// Every job that has not ended, newest first.
    pub async fn active(&mut self) -> Result<Vec<u64>> {
        let mut found: Vec<u64> = Vec::new();
        loop {
            let before = found.last().copied().unwrap_or(0);
            let request =
                ListRequest { limit: PAGE, before, active_only: true, state: String::new() };
            let reply =
                self.client.list(request).await.context("could not list jobs")?.into_inner();
            found.extend(reply.jobs.iter().map(|job| job.job));
            if !reply.more || reply.jobs.is_empty() {
                return Ok(found);
            }
        }
    }

    /// Every task of a job.
    pub async fn tasks(&mut self, job: u64) -> Result<Vec<Task>> {
        let mut found: Vec<Task> = Vec::new();
        loop {
            let from = found.last().map_or(0, |task| task.task + 1);
            let request = TasksRequest { job, from, limit: PAGE, state: String::new() };
            let reply =
                self.client.tasks(request).await.context("could not list tasks")?.into_inner();
            let empty = reply.tasks.is_empty();
            found.extend(reply.tasks);
            if !reply.more || empty {
                return Ok(found);
            }
        }
    }
}

fn has_ended(job: &Job) -> bool {
    matches!(job.state.as_str(), "succeeded" | "failed" | "cancelled")
}

/// A job of `tasks` equal tasks that run one program on one core each.
pub fn array(name: &str, program: &str, args: &[&str], tasks: usize) -> Result<JobSpec> {
    let last = u32::try_from(tasks).context("too many tasks for one array")?;
    Ok(JobSpec {
        array: Some(Array { ranges: vec![Range { first: 1, last, step: 1 }], running_max: 0 }),
        ..single(name, program, args)
    })
}

/// A job of one task.
pub fn single(name: &str, program: &str, args: &[&str]) -> JobSpec {
    JobSpec {
        name: name.to_owned(),
        program: program.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        resources: Some(Resources { cores: 1, ..Resources::default() }),
        ..JobSpec::default()
    }
}

/// The same job, but for a resource that nobody has.
pub fn stays_pending(mut spec: JobSpec) -> JobSpec {
    let resources = spec.resources.get_or_insert_default();
    resources.named.insert(NOBODYS.to_owned(), 1);
    spec
}

fn padded(id: RequestId, bytes: usize) -> Result<SubmitRequest> {
    use prost::Message;
    let with = |padding: usize| SubmitRequest {
        id: Some(id),
        spec: Some(stays_pending(single("c", "/bin/true", &[&"x".repeat(padding)]))),
    };
    // Lengths are varints, so the size is not simply a sum: at most two steps correct it.
    let mut padding = 0;
    for _ in 0..4 {
        let request = with(padding);
        let length = request.encoded_len();
        if length == bytes {
            return Ok(request);
        }
        padding = (padding + bytes).checked_sub(length).context("the padding does not fit")?;
    }
    bail!("a request of exactly {bytes} bytes cannot be made")
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn padded_requests_have_exactly_their_size() {
        for sequence in [1, 127, 128, 16_383, 16_384, 5_000_000] {
            for session in [1, 300, 1 << 40] {
                let request = padded(RequestId { session, sequence }, 256).expect("padded");
                assert_eq!(request.encode_to_vec().len(), 256);
            }
        }
        assert!(padded(RequestId::default(), 10).is_err());
    }

    #[test]
    fn an_array_counts_from_one_to_its_size() {
        let spec = array("a", "/bin/true", &[], 10_000).expect("spec");
        let ranges = spec.array.expect("array").ranges;
        assert_eq!((ranges[0].first, ranges[0].last, ranges[0].step), (1, 10_000, 1));
    }

    #[test]
    fn ends_are_told_from_other_states() {
        let job = |state: &str| Job { state: state.to_owned(), ..Job::default() };
        assert!(
            has_ended(&job("failed"))
                && has_ended(&job("cancelled"))
                && has_ended(&job("succeeded"))
        );
        assert!(!has_ended(&job("pending")) && !has_ended(&job("running")));
    }
}
