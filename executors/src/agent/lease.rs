//! **Purpose**: what a node orders: starting and cancelling attempts.
//!
//! **Invariants**: every token that was taken is answered by exactly one end; a token that was
//! cancelled before it came does not run any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use hesper_protos::executor as wire;
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::report;

use super::group::Forming;
use super::{Agent, Event, Phase};
use crate::config::Runner;
use crate::metrics::Metrics;
use crate::protocol::{Ended, LeaseSpec, Request};
use crate::supervisor::control;
use crate::supervisor::slot::now_ms;
use crate::{attempt, stage};

impl Agent {
    pub(super) fn start(&mut self, mut lease: wire::Lease) {
        let pending: Vec<u64> = lease.attempts.iter().map(|attempt| attempt.token).collect();
        lease.attempts.retain(|attempt| {
            !self.attempts.contains_key(&attempt.token) && self.recent.insert(attempt.token)
        });
        if lease.attempts.len() < pending.len() {
            tracing::debug!(
                lease = lease.lease,
                "a start was repeated; known attempts go on as they are"
            );
        }
        Metrics::add(&self.context.metrics.attempts_received, lease.attempts.len() as u64);
        if self.context.config.runner == Runner::NoOp {
            let now = now_ms();
            for attempt in lease.attempts {
                let ended = Ended {
                    token: attempt.token,
                    started_at_ms: now,
                    ended_at_ms: now,
                    kind: Kind::Exited as i32,
                    ..Ended::default()
                };
                self.report_finished(attempt::finished(ended));
            }
            return;
        }
        let env = attempt::lease_env(&self.context.config.name, &lease);
        let mut spec = LeaseSpec {
            lease: lease.lease,
            dir: control::lease_dir(&self.context.config.data_dir, lease.lease).into_string(),
            env,
            memory_bytes: lease.memory_bytes,
            attempts: Vec::new(),
            lockstep: None,
        };
        if lease.width > 0 && lease.attempts.len() > 1 && self.has_lockstep {
            let tokens: BTreeSet<u64> =
                lease.attempts.iter().map(|attempt| attempt.token).collect();
            if let Some(&first) = tokens.first() {
                self.forming.insert(first, Forming::new(spec.clone(), tokens));
            }
        }
        for attempt in std::mem::take(&mut lease.attempts) {
            match &attempt.work {
                Some(wire::attempt::Work::Command(command)) => {
                    self.attempts.insert(attempt.token, Phase::Queued);
                    spec.attempts.push(attempt::command_spec(&attempt, command));
                }
                Some(wire::attempt::Work::Stage(_)) => self.prepare(&lease, spec.clone(), attempt),
                None => {
                    let message = "the attempt says neither command nor stage; use nodes and executors of one release";
                    self.attempts.insert(attempt.token, Phase::Settling);
                    let finished = attempt::not_run(
                        attempt.token,
                        now_ms(),
                        Kind::NotStarted,
                        message.to_owned(),
                    );
                    self.report_finished(finished);
                }
            }
        }
        if !spec.attempts.is_empty() {
            self.context
                .storage
                .note_lease(lease.lease, spec.attempts.iter().map(|attempt| attempt.token));
            self.requests.push(Request::Start(spec));
        }
    }

    /// Has the inputs of a stage brought together; its end is an event.
    pub(super) fn prepare(
        &mut self,
        lease: &wire::Lease,
        mut spec: LeaseSpec,
        attempt: wire::Attempt,
    ) {
        spec.attempts.clear();
        let (context, events, lease) =
            (Arc::clone(&self.context), self.events.clone(), lease.clone());
        let token = attempt.token;
        let handle = self.tasks.spawn(async move {
            let event = match stage::prepare(&context, &lease, &attempt).await {
                Ok(prepared) => {
                    spec.attempts.push(prepared);
                    Event::Prepared { token, lease: Box::new(spec) }
                }
                Err(failed) => {
                    context.storage.settle(token, 0);
                    let mut finished =
                        attempt::not_run(token, now_ms(), failed.kind, failed.message);
                    if let Some(exit) = &mut finished.exit {
                        exit.retryable = failed.retryable;
                    }
                    finished.bytes_fetched = failed.bytes_fetched;
                    Event::Settled(Box::new(finished))
                }
            };
            // A closed channel means that the agent has stopped; the node will ask again.
            let _ = events.send(event).await;
        });
        self.attempts.insert(token, Phase::Preparing(handle));
    }

    pub(super) fn cancel(&mut self, cancel: &wire::Cancel) {
        let token = cancel.token;
        match self.attempts.get(&token) {
            Some(Phase::Preparing(task)) => {
                task.abort();
                self.context.storage.settle(token, 0);
                let message = format!("cancelled while its inputs were fetched: {}", cancel.reason);
                self.report_finished(attempt::not_run(token, now_ms(), Kind::Cancelled, message));
            }
            Some(Phase::Queued | Phase::Running(_)) => {
                self.requests.push(Request::Cancel { token, kill_now: cancel.kill_now });
            }
            Some(Phase::Settling) => {}
            None if self.is_end_pending(token) => {}
            None => {
                // Should its start still be on its way on an older stream, it must not run any more.
                self.recent.insert(token);
                self.reports.push(report::Report::Gone(wire::Gone { token }));
            }
        }
    }

    pub(super) fn is_end_pending(&self, token: u64) -> bool {
        let is_it = |found: &report::Report| matches!(found, report::Report::Finished(end) if end.token == token);
        self.reports.iter().any(is_it)
            || self.outbox.pending().any(|pending| pending.report.as_ref().is_some_and(is_it))
    }
}
