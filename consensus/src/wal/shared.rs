//! **Purpose**: what the callers of the log and its thread do to their shared memory.

use std::io;

use super::{Location, Operation, Segment, Shared, State, entry_bytes};
use crate::types::{CommittedLeaderId, LogId};

impl Operation {
    pub(super) fn refuse(self, message: &str) {
        match self {
            Operation::Vote { acknowledge, .. }
            | Operation::Append { acknowledge, .. }
            | Operation::Purge { acknowledge, .. } => {
                acknowledge(Err(io::Error::other(message.to_owned())))
            }
            Operation::Truncate { .. } => {}
        }
    }
}

impl State {
    pub(super) fn next_index(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    pub(super) fn last(&self) -> Option<LogId> {
        match self.slots.back() {
            Some(slot) => {
                Some(LogId::new(CommittedLeaderId::new(slot.term), self.next_index() - 1))
            }
            None => self.purged,
        }
    }

    /// Forgets the oldest cached entries that are on disc already.
    pub(super) fn evict(&mut self, limit: u64) {
        while self.cached_bytes > limit && self.cached_from < self.next_index() {
            let at = self.cached_from.saturating_sub(self.first) as usize;
            let Some(slot) = self.slots.get_mut(at) else {
                return;
            };
            if slot.location.is_none() {
                return;
            }
            if let Some(entry) = slot.entry.take() {
                self.cached_bytes = self.cached_bytes.saturating_sub(entry_bytes(&entry) as u64);
            }
            self.cached_from += 1;
        }
    }
}

impl Shared {
    /// Waits for work. The third value asks to close once nothing is left.
    pub(super) fn take_queued(&self, bytes_max: usize) -> (Vec<Operation>, Option<LogId>, bool) {
        let mut state = self.state.lock();
        while state.queue.is_empty() && !state.closing {
            self.wake_writer.wait(&mut state);
        }
        let mut operations = Vec::with_capacity(state.queue.len().min(64));
        let mut bytes = 0;
        while let Some(operation) = state.queue.front() {
            bytes += operation.weight();
            if bytes > bytes_max && !operations.is_empty() {
                break;
            }
            operations.extend(state.queue.pop_front());
        }
        // Not ahead of entries that still wait here: a crash would leave a commit index without them.
        let committed = (state.queue.is_empty() && state.committed != state.committed_written)
            .then_some(state.committed)
            .flatten();
        if committed.is_some() {
            state.committed_written = committed;
        }
        (operations, committed, state.closing)
    }

    pub(super) fn add_segment(&self, segment: Segment) {
        self.state.lock().segments.push_back(segment);
    }

    pub(super) fn written(&self, written: &[(u64, u64, Location)], entry_last: Option<u64>) {
        let mut state = self.state.lock();
        let first = state.first;
        for (index, serial, location) in written {
            let Some(at) = index.checked_sub(first) else {
                continue;
            };
            if let Some(slot) = state.slots.get_mut(at as usize)
                && slot.serial == *serial
            {
                slot.location = Some(*location);
            }
        }
        if let Some(segment) = state.segments.back_mut() {
            segment.entry_last = segment.entry_last.max(entry_last);
        }
        state.evict(self.cache_bytes);
    }

    /// Segments from the oldest on that hold nothing but purged entries.
    pub(super) fn superfluous(&self, purged: u64, active: u64) -> Vec<u64> {
        let state = self.state.lock();
        let old = state
            .segments
            .iter()
            .take_while(|s| s.sequence != active && s.entry_last.is_none_or(|last| last <= purged));
        old.map(|s| s.sequence).collect()
    }

    pub(super) fn forget_segment(&self, sequence: u64) {
        self.state.lock().segments.retain(|s| s.sequence != sequence);
    }

    pub(super) fn fail(&self, file: &str, error: &io::Error) {
        let message = format!(
            "could not write log file `{file}`: {error}; free or repair the disc, then start the node again"
        );
        self.state.lock().failure = Some(message.clone());
        (self.on_failure)(message);
    }

    pub(super) fn closed(&self, failed: bool) {
        let mut state = self.state.lock();
        state.closed = true;
        if !failed {
            state.failure.get_or_insert_with(|| "the log is closed".into());
        }
    }

    pub(super) fn refuse_rest(&self) {
        let (rest, message) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.queue), state.failure.clone().unwrap_or_default())
        };
        for operation in rest {
            operation.refuse(&message);
        }
    }
}
