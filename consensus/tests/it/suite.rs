//! openraft's own suite over the log and state store of this crate.

use std::sync::Arc;

use hesper_consensus::testing::{
    FileDevice, LogStore, SnapshotStore, State, StateMachine, StopSignal, Types, Wal, WalOptions,
};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::common::StoreFactory;

struct Builder;

impl StoreBuilder<Types, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let device = FileDevice::open(&dir.path().join("log")).unwrap();
        let options = WalOptions {
            segment_bytes: 4096,
            cache_bytes: 256,
            prepare_ahead: false,
            ..WalOptions::default()
        };
        let wal =
            Wal::open(Arc::new(device), options, Box::new(|message| panic!("{message}"))).unwrap();
        let (snapshots, db) = SnapshotStore::open(dir.path()).unwrap();
        let state = State::open(db, Arc::new(StoreFactory), StopSignal::default(), 16).unwrap();
        let machine = StateMachine::new(Arc::new(state), Arc::new(snapshots));
        Ok((dir, LogStore::new(wal, None), machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_keep_openrafts_contract() {
    Suite::test_all(Builder).await.unwrap();
}
