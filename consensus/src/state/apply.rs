//! **Purpose**: applies entries to memory, store and subscribers, in that order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hesper_protos::raft as pb;
use prost::Message;
use rocksdb::WriteBatch;

use super::session::RowChange;
use super::{ApplyError, HASHES_KEPT, LeaderMark, Live, Published, State, StateHash};
use crate::machine::{ApplyContext, Changes, Event, Output};
use crate::stop::{StopReason, StopSignal};
use crate::types::{Entry, ItemOutcome, LogIndex, Payload, Replies, StoredMembership};

/// Stops the node when applying ends by a panic: memory may then be half changed.
struct PanicGuard<'a>(&'a StopSignal);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(StopReason::State(
                "applying an entry panicked; report this with the log".into(),
            ));
        }
    }
}

impl State {
    /// Applies entries in order and returns what to answer for each.
    pub fn apply(&self, entries: &[Entry]) -> Result<Vec<Replies>, ApplyError> {
        let mut replies = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while !rest.is_empty() {
            // The hash must be taken exactly at a checkpoint's index.
            let at = rest.iter().position(|e| e.log_id.index % self.checkpoint_entries == 0);
            let (now, later) = rest.split_at(at.map_or(rest.len(), |at| at + 1));
            let result = self.apply_batch(now, &mut replies);
            if let Err(error) = &result {
                self.stop.stop(match error {
                    ApplyError::Stopped(reason) => reason.clone(),
                    other => StopReason::State(other.to_string()),
                });
            }
            result?;
            rest = later;
        }
        Ok(replies)
    }

    fn apply_batch(&self, entries: &[Entry], replies: &mut Vec<Replies>) -> Result<(), ApplyError> {
        let mut guard = self.live.write();
        let _panic = PanicGuard(&self.stop);
        if let Some(reason) = self.stop.reason()
            && reason != StopReason::Shutdown
        {
            return Err(ApplyError::Stopped(reason));
        }
        let live = &mut *guard;
        let mut step = Step::default();
        for entry in entries {
            let answered = self.apply_entry(live, entry, &mut step)?;
            replies.push(Replies(answered));
        }
        let batch = step.fold(live)?;
        live.db.write(batch, &live.applied)?;
        let last = live.applied.last.map(|id| id.index);
        let hash = live.applied.hash;
        drop(guard);
        if let Some(index) = last
            && index % self.checkpoint_entries == 0
        {
            let mut hashes = self.hashes.lock();
            hashes.push_back((index, hash));
            if hashes.len() > HASHES_KEPT {
                hashes.pop_front();
            }
        }
        self.commands.fetch_add(step.commands, Ordering::Relaxed);
        self.publish(last, step.published, step.mark);
        Ok(())
    }

    pub(super) fn publish(
        &self,
        last: Option<LogIndex>,
        published: Vec<Published>,
        mark: Option<LeaderMark>,
    ) {
        self.applied_index.send_replace(last);
        for one in published {
            // No subscriber is no error.
            let _ = self.published.send(Arc::new(one));
        }
        if let Some(mark) = mark {
            self.leader_mark.send_replace(Some(mark));
        }
    }

    fn apply_entry(
        &self,
        live: &mut Live,
        entry: &Entry,
        step: &mut Step,
    ) -> Result<Vec<ItemOutcome>, ApplyError> {
        let index = entry.log_id.index;
        live.applied.last = Some(entry.log_id);
        let batch = match &entry.payload {
            Payload::Blank => return Ok(Vec::new()),
            Payload::Membership(membership) => {
                live.applied.membership =
                    StoredMembership::new(Some(entry.log_id), membership.clone());
                return Ok(Vec::new());
            }
            Payload::Normal(batch) => batch,
        };
        let unreadable = |reason: String| ApplyError::Entry { index, reason };
        let batch = pb::Batch::decode(batch.0.clone()).map_err(|e| unreadable(e.to_string()))?;
        live.applied.now_ms = live.applied.now_ms.max(batch.stamp_ms);
        let mut outcomes = Vec::with_capacity(batch.items.len());
        let mut events = Vec::new();
        for (position, item) in (0u32..).zip(batch.items) {
            let kind = item.kind.ok_or_else(|| unreadable("an item of an unknown kind".into()))?;
            let at = At {
                index,
                position,
                term: entry.log_id.leader_id.term,
                now_ms: live.applied.now_ms,
            };
            outcomes.push(self.apply_item(live, at, kind, step, &mut events)?);
        }
        if !events.is_empty() {
            step.published.push(Published { index, events, reloaded: false });
        }
        Ok(outcomes)
    }

    fn apply_item(
        &self,
        live: &mut Live,
        at: At,
        kind: pb::item::Kind,
        step: &mut Step,
        events: &mut Vec<Event>,
    ) -> Result<ItemOutcome, ApplyError> {
        use pb::item::Kind;
        let Live { machine, sessions, db, .. } = live;
        let mut out =
            Output { reply: Vec::new(), changes: &mut step.changes, events, store: db.as_ref() };
        match kind {
            Kind::Request(request) => {
                let (session, sequence) = (request.session, request.sequence);
                if session != 0
                    && let Some(answer) = sessions.answer(session, sequence, &request.principal)
                {
                    return Ok(answer);
                }
                machine.apply(&at.context(&request.principal), &request.command, &mut out);
                let reply = Bytes::from(std::mem::take(&mut out.reply));
                step.commands += 1;
                if session != 0 {
                    sessions.keep(
                        session,
                        sequence,
                        (at.index, at.now_ms),
                        &reply,
                        &mut step.own_rows,
                    );
                }
                return Ok(ItemOutcome::Applied { index: at.index, reply });
            }
            Kind::OpenSession(request) => {
                let id = at.index << 16 | u64::from(at.position);
                return Ok(sessions.open(id, &request, at.now_ms, at.index, &mut step.own_rows));
            }
            Kind::Tick(_) => {
                sessions.expire(at.now_ms, &mut step.own_rows);
                machine.tick(&at.context(""), &mut out);
            }
            Kind::LeaderStarted(started) => {
                machine.leader_started(&at.context(""), started.node_id, &mut out);
                step.mark = Some(LeaderMark {
                    node_id: started.node_id,
                    boot_id: started.boot_id,
                    term: at.term,
                    index: at.index,
                });
            }
            Kind::Checkpoint(checkpoint) => self.compare(&checkpoint)?,
        }
        Ok(ItemOutcome::Applied { index: at.index, reply: Bytes::new() })
    }

    fn compare(&self, checkpoint: &pb::Checkpoint) -> Result<(), ApplyError> {
        let hashes = self.hashes.lock();
        let Some((index, own)) = hashes.iter().find(|(index, _)| *index == checkpoint.index) else {
            return Ok(());
        };
        if own.to_bytes()[..] == checkpoint.hash[..] {
            return Ok(());
        }
        let leader = StateHash::from_bytes(&checkpoint.hash)
            .map_or_else(|| "unreadable".into(), |h| h.to_string());
        Err(ApplyError::Stopped(StopReason::Diverged {
            index: *index,
            own: own.to_string(),
            leader,
        }))
    }
}

#[derive(Clone, Copy)]
struct At {
    index: LogIndex,
    position: u32,
    term: u64,
    now_ms: u64,
}

impl At {
    fn context<'a>(&self, principal: &'a str) -> ApplyContext<'a> {
        let At { index, position, term, now_ms } = *self;
        ApplyContext { index, position, term, now_ms, principal }
    }
}

/// What a batch of entries has gathered so far.
#[derive(Default)]
struct Step {
    changes: Changes,
    own_rows: Vec<RowChange>,
    published: Vec<Published>,
    mark: Option<LeaderMark>,
    commands: u64,
}

impl Step {
    /// Turns the changes into one write and brings the hash up to date.
    fn fold(&mut self, live: &mut Live) -> Result<WriteBatch, ApplyError> {
        if let Some(error) = self.changes.read_error.take() {
            return Err(ApplyError::Read(error));
        }
        let mut batch = WriteBatch::default();
        let hash = &mut live.applied.hash;
        for (key, row) in self.changes.rows.drain() {
            let existed = live.db.unhash_old(&key, hash)?;
            match row {
                Some(row) => {
                    hash.add(&key, &row);
                    batch.put(&key, &row);
                }
                None if existed => batch.delete(&key),
                None => {}
            }
        }
        for change in self.own_rows.drain(..) {
            if let Some(old) = &change.old {
                hash.remove(&change.key, old);
            }
            match &change.new {
                Some(row) => {
                    hash.add(&change.key, row);
                    batch.put(&change.key, row);
                }
                None => batch.delete(&change.key),
            }
        }
        Ok(batch)
    }
}
