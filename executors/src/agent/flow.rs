//! **Purpose**: what leaves the agent, and when: reports, confirmations, heartbeats, syncs.
//!
//! **Invariants**: a turn starts work, writes reports, confirms, sends, in this order.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hesper_protos::executor as wire;
use hesper_protos::executor::{executor_message, report};
use tokio::time::Instant;

use super::{Agent, BATCH_MAX, Event, IN_FLIGHT_MAX, PATHS_EVERY, SYNC_AFTER, message};
use crate::error::AgentError;
use crate::protocol::Request;

/// How often a write to a full disc is tried again.
const RETRY_DISC_AFTER: Duration = Duration::from_secs(1);

impl Agent {
    pub(super) fn next_wake(&self) -> Instant {
        let held = self.started_held.values().map(|(at, _)| *at).min();
        [held, self.heartbeat_at, self.sync_at, self.retry_at, Some(self.paths_at)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.paths_at)
    }

    pub(super) fn pass_time(&mut self) {
        let now = Instant::now();
        while self.tasks.try_join_next().is_some() {}
        let due: Vec<u64> = self
            .started_held
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(token, _)| *token)
            .collect();
        for token in due {
            if let Some((_, started)) = self.started_held.remove(&token) {
                self.reports.push(report::Report::Started(started));
            }
        }
        if self.paths_at <= now {
            self.paths_at = now + PATHS_EVERY;
            self.report_paths();
        }
        if self.heartbeat_at.is_some_and(|at| at <= now)
            && let Some(session) = &self.session
        {
            self.heartbeats += 1;
            let beat = wire::Heartbeat { sequence: self.heartbeats };
            // A full queue carries something else, which serves as well.
            let _ = session.out.try_send(message(executor_message::Message::Heartbeat(beat)));
            let every =
                Duration::from_millis(u64::from(session.welcome.heartbeat_ms.clamp(20, 60_000)));
            self.heartbeat_at = Some(now + every);
        }
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync_at = None;
            self.sync();
        }
    }

    /// Tells the nodes of a path whose room changed by more than a twentieth.
    pub(super) fn report_paths(&mut self) {
        for path in self.context.storage.report() {
            let told = self.paths_told.iter_mut().find(|told| told.id == path.id);
            if let Some(told) = told
                && told.free_bytes.abs_diff(path.free_bytes) > told.free_bytes / 20
            {
                *told = path.clone();
                self.reports.push(report::Report::Path(wire::PathChanged { path: Some(path) }));
            }
        }
    }

    pub(super) fn sync(&mut self) {
        if self.is_syncing {
            self.sync_at = Some(Instant::now() + SYNC_AFTER);
            return;
        }
        let Some(file) = self.outbox.take_dirty() else {
            return;
        };
        self.is_syncing = true;
        let events = self.events.clone();
        self.tasks.spawn(async move {
            let synced =
                tokio::task::spawn_blocking(move || file.and_then(|file| file.sync_data())).await;
            let _ =
                events.send(Event::Synced(synced.unwrap_or_else(|error| Err(error.into())))).await;
        });
    }

    /// The end of a turn: start, write, confirm, send, in this order.
    pub(super) fn flush(&mut self) -> Result<(), AgentError> {
        if let Some(link) = &self.link
            && !self.requests.is_empty()
        {
            link.send(&std::mem::take(&mut self.requests));
        }
        self.write_reports()?;
        if !self.confirms.is_empty() && self.reports.is_empty() {
            let confirms = std::mem::take(&mut self.confirms);
            if let Some(link) = &self.link {
                link.send(&[Request::Confirm(confirms)]);
            }
        }
        self.send_reports();
        let set = |gauge: &AtomicU64, value: usize| gauge.store(value as u64, Relaxed);
        set(&self.context.metrics.attempts_held, self.attempts.len());
        set(&self.context.metrics.reports_pending, self.outbox.pending_count());
        Ok(())
    }

    /// On a full disc reports wait in memory, and the supervisor keeps the ends: what runs goes on.
    fn write_reports(&mut self) -> Result<(), AgentError> {
        if self.reports.is_empty() {
            return Ok(());
        }
        match self.outbox.append(&mut self.reports) {
            Ok(()) => {
                self.sync_at.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
                self.retry_at = None;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                if self.retry_at.is_none() {
                    let path = self.outbox.path();
                    tracing::error!(%path, "no space left for reports; free some, nothing is lost");
                }
                self.retry_at = Some(Instant::now() + RETRY_DISC_AFTER);
                Ok(())
            }
            Err(source) => Err(AgentError::Outbox { path: self.outbox.path().to_owned(), source }),
        }
    }

    pub(super) fn send_reports(&mut self) {
        let Some(session) = &self.session else { return };
        let last = self.outbox.last();
        let acknowledged = last - self.outbox.pending_count() as u64;
        self.sent_through = self.sent_through.max(acknowledged);
        while self.sent_through < last && self.sent_through - acknowledged < IN_FLIGHT_MAX {
            let reports = self.outbox.after(self.sent_through, BATCH_MAX);
            let Some(through) = reports.last().map(|report| report.sequence) else {
                return;
            };
            let batch = wire::ReportBatch { reports };
            if session.out.try_send(message(executor_message::Message::Reports(batch))).is_err() {
                return; // full or closed: the next turn, or the next session
            }
            self.sent_through = through;
        }
    }
}
