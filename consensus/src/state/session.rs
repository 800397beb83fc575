//! **Purpose**: client sessions: a request that is sent again is answered again, not executed again.
//!
//! **Invariants**
//! - Of the last `WINDOW` sequence numbers of a session it is known which were executed; lower ones
//!   are refused. A reply may be dropped for its size, the fact of its execution is not.
//! - Sessions expire by state time only; a request of an expired session is never executed.
//! - The rows determine the sessions in memory.
//!
//! **Source**: Ongaro (2014), section 6.3.

use std::collections::BTreeMap;

use bytes::Bytes;
use hesper_protos::raft as pb;
use prost::Message;

use crate::machine::{LoadError, RowSource, store_key};
use crate::types::{ItemOutcome, LogIndex};

pub const TABLE_REPLIES: u8 = 253;
pub const TABLE_SESSIONS: u8 = 254;

/// Sequence numbers of one session that are remembered.
pub const WINDOW: u64 = 64;
const REPLY_BYTES_MAX: usize = 16 << 10;
const SESSION_BYTES_MAX: usize = 256 << 10;
const SESSIONS_MAX: usize = 65_536;

/// A row of this module that changes; the old row is known here and need not be read.
pub struct RowChange {
    pub key: Vec<u8>,
    pub old: Option<Vec<u8>>,
    pub new: Option<Vec<u8>>,
}

struct Kept {
    index: LogIndex,
    stamp_ms: u64,
    /// `None`: too large to keep.
    reply: Option<Bytes>,
}

impl Kept {
    fn row(&self) -> Vec<u8> {
        pb::ReplyRow {
            index: self.index,
            stamp_ms: self.stamp_ms,
            reply: self.reply.clone().unwrap_or_default(),
            dropped: self.reply.is_none(),
        }
        .encode_to_vec()
    }

    fn bytes(&self) -> usize {
        self.reply.as_ref().map_or(0, Bytes::len)
    }
}

struct Session {
    opened: pb::SessionRow,
    last_used_ms: u64,
    bytes: usize,
    replies: BTreeMap<u64, Kept>,
}

impl Session {
    fn measure_use(&mut self) {
        let newest = self.replies.values().map(|kept| kept.stamp_ms).max();
        self.last_used_ms = newest.unwrap_or(0).max(self.opened.opened_ms);
    }
}

/// All open sessions.
#[derive(Default)]
pub struct Sessions {
    by_id: BTreeMap<u64, Session>,
}

fn session_key(id: u64) -> Vec<u8> {
    store_key(TABLE_SESSIONS, &id.to_be_bytes())
}

fn reply_key(id: u64, sequence: u64) -> Vec<u8> {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&id.to_be_bytes());
    key[8..].copy_from_slice(&sequence.to_be_bytes());
    store_key(TABLE_REPLIES, &key)
}

fn unreadable(table: u8, reason: impl ToString) -> LoadError {
    LoadError::Row { table, reason: reason.to_string() }
}

impl Sessions {
    pub fn load(rows: &mut dyn RowSource) -> Result<Self, LoadError> {
        let mut sessions = Self::default();
        let mut failure = None;
        rows.for_each(TABLE_SESSIONS, &mut |key, row| {
            let read = key.try_into().map(u64::from_be_bytes).map_err(|_| "key length".to_string());
            match read
                .and_then(|id| Ok((id, pb::SessionRow::decode(row).map_err(|e| e.to_string())?)))
            {
                Ok((id, opened)) => {
                    let last_used_ms = opened.opened_ms;
                    let session =
                        Session { opened, last_used_ms, bytes: 0, replies: BTreeMap::new() };
                    sessions.by_id.insert(id, session);
                }
                Err(reason) => failure = Some(unreadable(TABLE_SESSIONS, reason)),
            }
        })?;
        rows.for_each(TABLE_REPLIES, &mut |key, row| {
            if let Err(reason) = sessions.load_reply(key, row) {
                failure = Some(unreadable(TABLE_REPLIES, reason));
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        for session in sessions.by_id.values_mut() {
            session.measure_use();
        }
        Ok(sessions)
    }

    fn load_reply(&mut self, key: &[u8], row: &[u8]) -> Result<(), String> {
        let key: [u8; 16] = key.try_into().map_err(|_| "key length".to_string())?;
        let (id, sequence) = key.split_at(8);
        let number = |half: &[u8]| {
            half.try_into().map(u64::from_be_bytes).map_err(|_| "key length".to_string())
        };
        let row = pb::ReplyRow::decode(row).map_err(|e| e.to_string())?;
        let session = self.by_id.get_mut(&number(id)?).ok_or("a reply without its session")?;
        let reply = (!row.dropped).then_some(row.reply);
        let kept = Kept { index: row.index, stamp_ms: row.stamp_ms, reply };
        session.bytes += kept.bytes();
        session.replies.insert(number(sequence)?, kept);
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Opens session `id`. The answer is the id, eight bytes little-endian.
    pub fn open(
        &mut self,
        id: u64,
        request: &pb::OpenSession,
        now_ms: u64,
        index: LogIndex,
        rows: &mut Vec<RowChange>,
    ) -> ItemOutcome {
        if self.by_id.len() >= SESSIONS_MAX {
            return ItemOutcome::TooManySessions;
        }
        let opened = pb::SessionRow {
            principal: request.principal.clone(),
            opened_ms: now_ms,
            idle_ms_max: request.idle_ms_max,
        };
        rows.push(RowChange { key: session_key(id), old: None, new: Some(opened.encode_to_vec()) });
        let session = Session { opened, last_used_ms: now_ms, bytes: 0, replies: BTreeMap::new() };
        self.by_id.insert(id, session);
        ItemOutcome::Applied { index, reply: Bytes::copy_from_slice(&id.to_le_bytes()) }
    }

    /// What to answer without executing, or `None`: execute and `keep` the reply.
    pub fn answer(&self, id: u64, sequence: u64, principal: &str) -> Option<ItemOutcome> {
        let Some(session) = self.by_id.get(&id) else {
            return Some(ItemOutcome::SessionExpired);
        };
        if session.opened.principal != principal {
            return Some(ItemOutcome::SessionExpired);
        }
        if let Some(kept) = session.replies.get(&sequence) {
            return Some(match &kept.reply {
                Some(reply) => ItemOutcome::Applied { index: kept.index, reply: reply.clone() },
                None => ItemOutcome::ReplyNotKept,
            });
        }
        let newest = session.replies.keys().next_back().copied().unwrap_or(0);
        (sequence.saturating_add(WINDOW) <= newest).then_some(ItemOutcome::SequenceTooOld)
    }

    pub fn keep(
        &mut self,
        id: u64,
        sequence: u64,
        (index, now_ms): (LogIndex, u64),
        reply: &Bytes,
        rows: &mut Vec<RowChange>,
    ) {
        let Some(session) = self.by_id.get_mut(&id) else {
            return;
        };
        let fits =
            reply.len() <= REPLY_BYTES_MAX && session.bytes + reply.len() <= SESSION_BYTES_MAX;
        let kept = Kept { index, stamp_ms: now_ms, reply: fits.then(|| reply.clone()) };
        rows.push(RowChange { key: reply_key(id, sequence), old: None, new: Some(kept.row()) });
        session.bytes += kept.bytes();
        session.last_used_ms = session.last_used_ms.max(now_ms);
        session.replies.insert(sequence, kept);
        let newest = session.replies.keys().next_back().copied().unwrap_or(0);
        while let Some(oldest) = session.replies.first_entry() {
            if newest - oldest.key() < WINDOW {
                break;
            }
            let (sequence, gone) = oldest.remove_entry();
            session.bytes -= gone.bytes();
            rows.push(RowChange { key: reply_key(id, sequence), old: Some(gone.row()), new: None });
            if gone.stamp_ms == session.last_used_ms {
                session.measure_use();
            }
        }
    }

    /// Closes the sessions that were idle for too long.
    pub fn expire(&mut self, now_ms: u64, rows: &mut Vec<RowChange>) {
        let idle = |session: &Session| {
            now_ms.saturating_sub(session.last_used_ms) > session.opened.idle_ms_max
        };
        let expired: Vec<u64> =
            self.by_id.iter().filter(|(_, s)| idle(s)).map(|(id, _)| *id).collect();
        for id in expired {
            let Some(session) = self.by_id.remove(&id) else {
                continue;
            };
            for (sequence, kept) in &session.replies {
                rows.push(RowChange {
                    key: reply_key(id, *sequence),
                    old: Some(kept.row()),
                    new: None,
                });
            }
            let old = Some(session.opened.encode_to_vec());
            rows.push(RowChange { key: session_key(id), old, new: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(sessions: &mut Sessions) -> Vec<RowChange> {
        let mut rows = Vec::new();
        let request = pb::OpenSession { principal: "a".into(), idle_ms_max: 100 };
        sessions.open(7, &request, 1000, 1, &mut rows);
        rows
    }

    #[test]
    fn a_repeated_request_is_answered_as_before() {
        let mut sessions = Sessions::default();
        let mut rows = opened(&mut sessions);
        assert_eq!(sessions.answer(7, 1, "a"), None);
        sessions.keep(7, 1, (5, 1001), &Bytes::from_static(b"x"), &mut rows);
        let again = ItemOutcome::Applied { index: 5, reply: Bytes::from_static(b"x") };
        assert_eq!(sessions.answer(7, 1, "a"), Some(again));
        assert_eq!(sessions.answer(7, 1, "other"), Some(ItemOutcome::SessionExpired));
    }

    #[test]
    fn a_number_below_the_window_is_refused_and_one_inside_is_new() {
        let mut sessions = Sessions::default();
        let mut rows = opened(&mut sessions);
        sessions.keep(7, 2, (5, 1001), &Bytes::new(), &mut rows);
        sessions.keep(7, 100, (6, 1002), &Bytes::new(), &mut rows);
        assert_eq!(sessions.answer(7, 36, "a"), Some(ItemOutcome::SequenceTooOld));
        assert_eq!(sessions.answer(7, 37, "a"), None);
        assert_eq!(sessions.answer(7, 2, "a"), Some(ItemOutcome::SequenceTooOld));
    }

    #[test]
    fn a_reply_too_large_to_keep_is_still_known_as_executed() {
        let mut sessions = Sessions::default();
        let mut rows = opened(&mut sessions);
        sessions.keep(7, 1, (5, 1001), &Bytes::from(vec![0; REPLY_BYTES_MAX + 1]), &mut rows);
        assert_eq!(sessions.answer(7, 1, "a"), Some(ItemOutcome::ReplyNotKept));
    }

    #[test]
    fn an_idle_session_expires_with_all_its_rows() {
        let mut sessions = Sessions::default();
        let mut rows = opened(&mut sessions);
        sessions.keep(7, 1, (5, 1050), &Bytes::new(), &mut rows);
        sessions.expire(1150, &mut rows);
        assert_eq!(sessions.count(), 1);
        let before = rows.len();
        sessions.expire(1151, &mut rows);
        assert_eq!(sessions.count(), 0);
        assert_eq!(rows.len() - before, 2);
        assert_eq!(sessions.answer(7, 2, "a"), Some(ItemOutcome::SessionExpired));
    }
}
