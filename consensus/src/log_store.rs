//! **Purpose**: the log behind openraft's storage traits.
//!
//! **Invariants**
//! - `save_vote` returns when the vote is durable; `append` returns when the entries can be read.
//! - The log is never purged beyond what the state store has flushed: the log *is* the state store's
//!   write-ahead log.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::sync::oneshot;

use crate::types::{Entry, LogId, Types, Vote};
use crate::wal::Wal;

/// Bytes of entries that one replication request carries at most, unless one entry is larger.
const READ_BYTES_MAX: u64 = 1 << 20;

/// Says up to which index the state is flushed to disc, flushing it if need be.
pub type FlushedTo = Arc<dyn Fn(u64) -> io::Result<Option<u64>> + Send + Sync>;

/// The log as openraft sees it.
#[derive(Clone)]
pub struct LogStore {
    wal: Wal,
    flushed: Option<FlushedTo>,
}

impl LogStore {
    /// `flushed` is asked before every purge; without it (in tests of the log alone) purging is free.
    pub fn new(wal: Wal, flushed: Option<FlushedTo>) -> Self {
        Self { wal, flushed }
    }
}

/// The entries of a range, read piece by piece.
struct Pieces {
    wal: Wal,
    start: u64,
    end: u64,
    piece: std::vec::IntoIter<Entry>,
}

impl Iterator for Pieces {
    type Item = Result<Entry, io::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.piece.next() {
            return Some(Ok(entry));
        }
        if self.start >= self.end {
            return None;
        }
        match self.wal.entries(self.start..self.end, READ_BYTES_MAX) {
            Ok(piece) => {
                self.start = piece.last().map_or(self.end, |e| e.log_id.index + 1);
                self.piece = piece.into_iter();
                self.piece.next().map(Ok)
            }
            Err(error) => {
                self.start = self.end;
                Some(Err(error))
            }
        }
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.wal.entries(range, u64::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.wal.vote())
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        // Read in bounded pieces: a range to catch up with may be larger than the memory.
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let wal = self.wal.clone();
        stream::iter(Pieces { wal, start, end, piece: Vec::new().into_iter() })
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.wal.entries(start..end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let (last_purged_log_id, last_log_id) = self.wal.bounds();
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        self.wal.save_vote(*vote, Box::new(move |result| drop(done.send(result))));
        durable.await.map_err(|_| io::Error::other("the log's thread ended"))?
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.wal.save_committed(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.wal.committed())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.wal.append(entries, Box::new(move |result| callback.io_completed(result)))
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.wal.truncate_after(last_log_id);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        if let Some(flushed) = &self.flushed {
            let flushed = flushed(log_id.index)?;
            if flushed < Some(log_id.index) {
                return Err(io::Error::other(format!(
                    "will not purge the log up to {}: the state is flushed only up to {flushed:?}",
                    log_id.index
                )));
            }
        }
        let (done, durable) = oneshot::channel();
        self.wal.purge(log_id, Box::new(move |result| drop(done.send(result))));
        durable.await.map_err(|_| io::Error::other("the log's thread ended"))?
    }
}
