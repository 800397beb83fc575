//! **Purpose**: what the supervisor says: its state when it is met, starts, ends.
//!
//! **Invariants**
//! - Whatever the supervisor holds is adopted; what it was given and does not know is lost.
//! - The supervisor is told to forget an attempt only when its end is in the outbox.

use std::sync::Arc;

use hesper_protos::executor as wire;
use hesper_protos::executor::exit::Kind;
use hesper_protos::executor::report;
use tokio::time::Instant;

use super::{Agent, Event, Phase, STARTED_HELD, known};
use crate::link;
use crate::metrics::Metrics;
use crate::protocol::{Ended, Live, Notice, Request, State};
use crate::supervisor::slot::now_ms;
use crate::{attempt, stage};

impl Agent {
    pub(super) fn link_up(&mut self, opened: link::Opened) {
        let link::Opened { link, mut notices, state, first, .. } = opened;
        let events = self.events.clone();
        self.tasks.spawn(async move {
            while let Some(notices) = notices.next().await {
                if events.send(Event::Supervisor(notices)).await.is_err() {
                    return;
                }
            }
            let _ = events.send(Event::SupervisorGone).await;
        });
        self.link = Some(link);
        self.adopt(state);
        first.into_iter().for_each(|notice| self.noticed(notice));
    }

    /// Takes over what the supervisor runs; what it was given and does not know is lost.
    pub(super) fn adopt(&mut self, state: State) {
        self.supervisor_boot_id = state.boot_id.clone();
        self.notes = state.notes.clone();
        self.has_lockstep = state.lockstep == Some(true);
        let held = known(&state);
        let to_send: Vec<u64> = self
            .requests
            .iter()
            .flat_map(|request| match request {
                Request::Start(lease) => {
                    lease.attempts.iter().map(|attempt| attempt.token).collect()
                }
                Request::Cancel { .. } | Request::Confirm(_) | Request::Stop => Vec::new(),
            })
            .collect();
        let lost: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(token, phase)| {
                matches!(phase, Phase::Queued | Phase::Running(_))
                    && !held.contains(token)
                    && !to_send.contains(token)
            })
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            self.context.storage.settle(token, 0);
            let message =
                "the supervisor ended while it held this attempt; its exit status is not known";
            self.report_finished(attempt::not_run(token, now_ms(), Kind::Lost, message.to_owned()));
        }
        for live in state.queued {
            self.recent.insert(live.token);
            self.note_adopted(&live);
            if let Some(member) = stage::Member::of_tag(&live.tag) {
                self.members.insert(live.token, member);
            }
            self.attempts.insert(live.token, Phase::Queued);
        }
        for live in state.running {
            self.recent.insert(live.token);
            if self.is_end_pending(live.token) {
                // It ended before its process, and the supervisor has not heard that.
                self.confirms.push(live.token);
                continue;
            }
            if matches!(self.attempts.get(&live.token), Some(Phase::Settling)) {
                // The same, and its report is being read.
                continue;
            }
            self.note_adopted(&live);
            if let Some(member) = stage::Member::of_tag(&live.tag) {
                self.members.insert(live.token, member);
            }
            self.note_start(live.token, live.pid, live.started_at_ms);
            self.running(live.token, &live.tag);
        }
        for ended in state.ended {
            // One that is known no more was reported, but the supervisor was not told of that.
            let is_new = self.recent.insert(ended.token) && !self.is_end_pending(ended.token);
            if is_new {
                self.attempts.insert(ended.token, Phase::Queued);
            }
            self.ended(ended);
        }
    }

    pub(super) fn note_adopted(&self, live: &Live) {
        if live.tag.is_empty() {
            self.context.storage.note_lease(live.lease, std::iter::once(live.token));
        }
    }

    pub(super) fn relink(&mut self) {
        if self.is_linking {
            return;
        }
        self.is_linking = true;
        let (context, events) = (Arc::clone(&self.context), self.events.clone());
        self.tasks.spawn(async move {
            let event = match link::open(&context.config).await {
                Ok(opened) => Event::SupervisorUp(Box::new(opened)),
                Err(error) => Event::SupervisorFailed(error),
            };
            let _ = events.send(event).await;
        });
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::State(state) => self.adopt(state),
            // Not known: its end was reported already.
            Notice::Started { token, .. } if !self.attempts.contains_key(&token) => {}
            Notice::Started { token, pid, at_ms } => {
                self.note_start(token, pid, at_ms);
                self.running(token, "");
                let started = wire::Started { token, at_ms, pid };
                self.started_held.insert(token, (Instant::now() + STARTED_HELD, started));
            }
            Notice::Ended(ended) => self.ended(ended),
        }
    }

    fn note_start(&mut self, token: u64, pid: u32, at_ms: u64) {
        if let Some(member) = self.members.get_mut(&token) {
            (member.pid, member.started_at_ms) = (pid, at_ms);
        }
    }

    pub(super) fn running(&mut self, token: u64, tag: &str) {
        let dir = if tag.is_empty() {
            self.context.storage.attempt_dir(token)
        } else {
            stage::dir_of(tag)
        };
        let place = self.members.get(&token).map(|member| member.place.clone());
        let follower =
            dir.map(|dir| self.tasks.spawn(stage::follow(token, dir, place, self.events.clone())));
        let before = self.attempts.insert(token, Phase::Running(follower));
        if let Some(Phase::Running(Some(follower))) = before {
            // The link to a supervisor that lives was made anew.
            follower.abort();
        }
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        let token = ended.token;
        self.started_held.remove(&token);
        match self.attempts.get_mut(&token) {
            None => {
                // Its end is in the outbox already: the supervisor has not heard that yet.
                self.confirms.push(token);
                return;
            }
            Some(Phase::Settling) => return,
            Some(phase) => {
                if let Phase::Running(Some(follower)) = phase {
                    follower.abort();
                }
                *phase = Phase::Settling;
            }
        }
        if ended.tag.is_empty() {
            self.report_finished(attempt::finished(ended));
            return;
        }
        let (context, events) = (Arc::clone(&self.context), self.events.clone());
        self.tasks.spawn(async move {
            let settled = tokio::task::spawn_blocking(move || stage::settle(&context, ended)).await;
            match settled {
                Ok(finished) => {
                    let _ = events.send(Event::Settled(Box::new(finished))).await;
                }
                Err(error) => tracing::error!(%error, token, "reading a stage's result failed"),
            }
        });
    }

    /// An attempt is over: into the outbox with it at the end of the turn.
    pub(super) fn report_finished(&mut self, finished: wire::Finished) {
        let token = finished.token;
        self.attempts.remove(&token);
        self.started_held.remove(&token);
        self.members.remove(&token);
        self.leave_forming(token);
        self.confirms.push(token);
        self.reports.push(report::Report::Finished(finished));
        Metrics::add(&self.context.metrics.attempts_ended, 1);
    }
}
