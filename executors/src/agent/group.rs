//! **Purpose**: attempts that are to share a process, from their order to their ends.
//!
//! **Invariants**
//! - A group starts when the inputs of each of its attempts have been brought or have failed to be;
//!   it starts with those that are ready.
//! - An attempt that leaves its report early is settled at once while others of its process go on;
//!   the last one ends with the process, so that its lease is not free before the memory is.

use std::collections::BTreeSet;

use super::{Agent, Phase};
use crate::protocol::{AttemptSpec, LeaseSpec, Request};
use crate::stage;

/// A group that is not complete yet.
pub(super) struct Forming {
    lease: LeaseSpec,
    waiting: BTreeSet<u64>,
    ready: Vec<AttemptSpec>,
}

impl Forming {
    pub(super) fn new(lease: LeaseSpec, waiting: BTreeSet<u64>) -> Forming {
        Forming { lease, waiting, ready: Vec::new() }
    }
}

impl Agent {
    /// A stage has its inputs: it goes to the supervisor, or waits for the others of its group.
    pub(super) fn prepared(&mut self, token: u64, mut lease: LeaseSpec) {
        let found = self.forming.iter_mut().find(|(_, group)| group.waiting.contains(&token));
        if let Some((&key, group)) = found {
            group.waiting.remove(&token);
            group.ready.append(&mut lease.attempts);
            self.start_when_complete(key);
            return;
        }
        self.attempts.insert(token, Phase::Queued);
        self.requests.push(Request::Start(lease));
    }

    /// An attempt has ended before its process was started.
    pub(super) fn leave_forming(&mut self, token: u64) {
        let found = self.forming.iter_mut().find(|(_, group)| {
            group.waiting.contains(&token) || group.ready.iter().any(|spec| spec.token == token)
        });
        let Some((&key, group)) = found else { return };
        group.waiting.remove(&token);
        group.ready.retain(|spec| spec.token != token);
        self.start_when_complete(key);
    }

    fn start_when_complete(&mut self, key: u64) {
        if self.forming.get(&key).is_none_or(|group| !group.waiting.is_empty()) {
            return;
        }
        let Some(Forming { mut lease, mut ready, .. }) = self.forming.remove(&key) else { return };
        if ready.is_empty() {
            return;
        }
        // In the order of the lease, whichever was prepared first.
        ready.sort_by_key(|spec| spec.token);
        if ready.len() > 1 {
            stage::join(&mut ready);
            lease.lockstep = Some(true);
        }
        for spec in &ready {
            self.attempts.insert(spec.token, Phase::Queued);
            if let Some(member) = stage::Member::of_tag(&spec.tag) {
                self.members.insert(spec.token, member);
            }
        }
        lease.attempts = ready;
        self.requests.push(Request::Start(lease));
    }

    /// Whether an attempt that shares a process with this one has not ended.
    fn has_others(&self, token: u64) -> bool {
        let Some(leader) = self.members.get(&token).map(|member| member.place.leader) else {
            return false;
        };
        self.members
            .iter()
            .filter(|(other, member)| **other != token && member.place.leader == leader)
            .any(|(other, _)| {
                matches!(self.attempts.get(other), Some(Phase::Queued | Phase::Running(_)))
            })
    }

    /// One of several attempts in a process has left its report.
    pub(super) fn member_ended(&mut self, token: u64) {
        let Some(member) = self.members.get(&token) else { return };
        if !self.has_others(token) || !matches!(self.attempts.get(&token), Some(Phase::Running(_)))
        {
            return;
        }
        let ended = member.ended(token);
        self.ended(ended);
    }
}
