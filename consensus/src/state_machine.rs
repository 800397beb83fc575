//! **Purpose**: the applied state behind openraft's storage traits.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

use crate::state::{ApplyError, SnapshotDir, SnapshotStore, State};
use crate::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, Types};

/// Entries that are applied and written together at most.
const APPLY_ENTRIES_MAX: usize = 64;

/// The state as openraft sees it.
#[derive(Clone)]
pub struct StateMachine {
    state: Arc<State>,
    snapshots: Arc<SnapshotStore>,
}

impl StateMachine {
    pub fn new(state: Arc<State>, snapshots: Arc<SnapshotStore>) -> Self {
        Self { state, snapshots }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApplyError> + Send + 'static,
) -> Result<T, io::Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(io::Error::other(error)),
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = SnapshotDir;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.state.read(|live| (live.applied.last, live.applied.membership.clone())))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(APPLY_ENTRIES_MAX);
        while let Some(chunk) = chunks.next().await {
            let mut batch = Vec::with_capacity(chunk.len());
            let mut responders = Vec::with_capacity(chunk.len());
            for item in chunk {
                let (entry, responder) = item?;
                batch.push(entry);
                responders.push(responder);
            }
            let replies = self.state.apply(&batch)?;
            for (responder, reply) in responders.into_iter().zip(replies) {
                if let Some(responder) = responder {
                    responder.send(reply);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotDir,
    ) -> Result<(), io::Error> {
        let (state, snapshots, meta) = (self.state.clone(), self.snapshots.clone(), meta.clone());
        blocking(move || snapshots.install(&state, &meta, snapshot)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshots = self.snapshots.clone();
        blocking(move || snapshots.current()).await
    }
}

impl RaftSnapshotBuilder<Types> for StateMachine {
    type SnapshotData = SnapshotDir;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (state, snapshots) = (self.state.clone(), self.snapshots.clone());
        blocking(move || snapshots.build(&state)).await
    }
}
