//! **Purpose**: the closed-loop load generator, the same for ours and for a peer.
//!
//! Each client has one request in flight and sends the next when the last was acknowledged. What is
//! acknowledged in the window after the warm-up makes the rate; everything that was acknowledged at
//! all is given back, to be read back.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

/// Connections that the clients of one run share.
pub const CONNECTIONS_MAX: usize = 4;

/// One client of a closed loop.
pub trait Commit: Send + 'static {
    /// Sends one command and waits for its acknowledgement, which names what was made.
    fn commit(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

pub struct Run {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// What every acknowledgement named, warm-up included.
    pub acknowledged: Vec<u64>,
}

/// The time of a run.
#[derive(Clone, Copy)]
pub struct Window {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// Runs all clients to the end of the window.
///
/// # Errors
/// The first refused or failed command: a rate with errors in it compares nothing.
pub async fn closed_loop<C: Commit>(clients: Vec<C>, window: Window) -> Result<Run> {
    let begin = Instant::now() + window.warm_up;
    let end = begin + window.measured;
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(one_client(client, begin, end));
    }
    let mut acknowledged = Vec::new();
    let mut latencies_ms = Vec::new();
    while let Some(joined) = running.join_next().await {
        let (named, latencies) = joined.context("a load client stopped")??;
        acknowledged.extend(named);
        latencies_ms.extend(latencies);
    }
    let percentile = |percent| crate::stats::percentile(&latencies_ms, percent).unwrap_or(0.0);
    Ok(Run {
        per_second: latencies_ms.len() as f64 / window.measured.as_secs_f64(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        acknowledged,
    })
}

async fn one_client<C: Commit>(
    mut client: C,
    begin: Instant,
    end: Instant,
) -> Result<(Vec<u64>, Vec<f64>)> {
    let mut named = Vec::new();
    let mut latencies_ms = Vec::new();
    loop {
        let sent = Instant::now();
        named.push(client.commit().await?);
        let done = Instant::now();
        if done >= end {
            return Ok((named, latencies_ms));
        }
        if done >= begin {
            latencies_ms.push((done - sent).as_secs_f64() * 1000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(u64);

    impl Commit for Counter {
        async fn commit(&mut self) -> Result<u64> {
            tokio::task::yield_now().await;
            self.0 += 1;
            Ok(self.0)
        }
    }

    struct Broken;

    impl Commit for Broken {
        async fn commit(&mut self) -> Result<u64> {
            anyhow::bail!("no leader")
        }
    }

    const WINDOW: Window =
        Window { warm_up: Duration::from_millis(5), measured: Duration::from_millis(20) };

    #[tokio::test]
    async fn every_acknowledgement_is_given_back() {
        let run = closed_loop(vec![Counter(0), Counter(1 << 32)], WINDOW).await.expect("run");
        let first: Vec<u64> = run.acknowledged.iter().copied().filter(|id| *id < 1 << 32).collect();
        assert_eq!(first.iter().copied().max(), Some(first.len() as u64));
        assert!(run.acknowledged.len() as f64 >= run.per_second * WINDOW.measured.as_secs_f64());
        assert!(run.p50_ms <= run.p99_ms);
    }

    #[tokio::test]
    async fn a_failed_command_fails_the_run() {
        assert!(closed_loop(vec![Broken], WINDOW).await.is_err());
    }
}
