//! **Purpose**: waiting for a job and reading its output, over connections that may break.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hesper_protos::job::{Job, LogChunk, LogsRequest, ShowRequest};

use super::calls::jobs;
use super::error::{Verdict, judge};
use super::{Client, Error, PAUSE_MAX};

/// Whether a job in this state changes no more.
pub fn has_ended(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled")
}

impl Client {
    /// Waits until a job has ended; `on_change` sees each state on the way, the last one included.
    ///
    /// # Errors
    /// When there is no such job, or the cluster is away for longer than the time of a request.
    pub async fn wait(&self, job: u64, mut on_change: impl FnMut(&Job)) -> Result<Job, Error> {
        let mut silence = Silence::new(self.shared.request_timeout);
        loop {
            let open = |link| async move { jobs(link).wait(ShowRequest { job }).await };
            let mut stream = self.call(open).await?;
            loop {
                match stream.message().await {
                    Ok(Some(job)) => {
                        silence.heard();
                        on_change(&job);
                        if has_ended(&job.state) {
                            return Ok(job);
                        }
                    }
                    Ok(None) => break silence.pause("the node ended the stream").await?,
                    Err(status) => match judge(status, "the answering node") {
                        Verdict::Final(error) => return Err(error),
                        Verdict::Again(failure) => break silence.pause(&failure.cause).await?,
                    },
                }
            }
        }
    }

    /// Reads the output of a job's tasks; after a broken connection it goes on where it was.
    ///
    /// # Errors
    /// When there is no such job or task, its output is gone, `sink` fails, or the cluster is away
    /// for longer than the time of a request.
    pub async fn logs<E: From<Error>>(
        &self,
        request: LogsRequest,
        mut sink: impl FnMut(&LogChunk) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut silence = Silence::new(self.shared.request_timeout);
        // What has been passed on of each stream.
        let mut passed: BTreeMap<(u32, bool), usize> = BTreeMap::new();
        loop {
            let open = |link| async move { jobs(link).logs(request).await };
            let mut stream = self.call(open).await?;
            let mut skip = passed.clone();
            loop {
                match stream.message().await {
                    Ok(Some(mut chunk)) => {
                        silence.heard();
                        let key = (chunk.task, chunk.stderr);
                        let known = skip.entry(key).or_default();
                        let repeated = chunk.data.len().min(*known);
                        *known -= repeated;
                        chunk.data = chunk.data.slice(repeated..);
                        *passed.entry(key).or_default() += chunk.data.len();
                        if !chunk.data.is_empty() {
                            sink(&chunk)?;
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(status) => match judge(status, "the answering node") {
                        Verdict::Final(error) => return Err(error.into()),
                        Verdict::Again(failure) => break silence.pause(&failure.cause).await?,
                    },
                }
            }
        }
    }
}

/// How long nothing was heard over a stream that is opened again and again.
struct Silence {
    since: Instant,
    patience: Duration,
}

impl Silence {
    fn new(patience: Duration) -> Self {
        Silence { since: Instant::now(), patience }
    }

    fn heard(&mut self) {
        self.since = Instant::now();
    }

    async fn pause(&self, cause: &str) -> Result<(), Error> {
        let waited = self.since.elapsed();
        if waited >= self.patience {
            return Err(Error::TimedOut { tried: vec![cause.to_owned()], waited });
        }
        tokio::time::sleep(PAUSE_MAX).await;
        Ok(())
    }
}
