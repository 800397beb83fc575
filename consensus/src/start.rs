//! **Purpose**: from the configuration to openraft's settings and the open stores.

use std::sync::Arc;
use std::time::Duration;

use openraft::SnapshotPolicy;

use crate::config::Config;
use crate::device::FileDevice;
use crate::error::StartError;
use crate::machine::MachineFactory;
use crate::state::{SnapshotStore, State};
use crate::stop::{StopReason, StopSignal};
use crate::wal::{Wal, WalOptions};

pub fn raft_config(config: &Config) -> Result<openraft::Config, StartError> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let raft = openraft::Config {
        cluster_name: "hesper".into(),
        heartbeat_interval: ms(config.heartbeat),
        election_timeout_min: ms(config.election_min),
        election_timeout_max: ms(config.election_max),
        // Snapshots and purging go by bytes and are triggered by `leader::housekeeping`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: u64::MAX,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        broadcast_submitted_on_append: Some(config.replicate_early),
        install_snapshot_timeout: 600_000,
        ..openraft::Config::default()
    };
    raft.validate().map_err(|error| StartError::Config(error.to_string()))
}

pub type Stores = (Wal, Arc<SnapshotStore>, Arc<State>);

pub async fn open_stores(
    config: &Config,
    factory: Arc<dyn MachineFactory>,
    stop: &StopSignal,
) -> Result<Stores, StartError> {
    let (config, stop) = (config.clone(), stop.clone());
    let opened = tokio::task::spawn_blocking(move || -> Result<Stores, StartError> {
        let log_path = config.data_dir.join("log");
        let device = FileDevice::open(&log_path).map_err(|source| StartError::Files {
            action: "open",
            path: log_path.display().to_string(),
            source,
        })?;
        let options = WalOptions {
            segment_bytes: config.segment_bytes,
            cache_bytes: config.cache_bytes,
            acknowledge_before_sync: config.acknowledge_before_sync,
            ..WalOptions::default()
        };
        let for_log = stop.clone();
        let on_failure = Box::new(move |message| for_log.stop(StopReason::Log(message)));
        let wal = Wal::open(Arc::new(device), options, on_failure)?;
        let (snapshots, db) = SnapshotStore::open(&config.data_dir)?;
        let state = State::open(db, factory, stop, config.checkpoint_entries)?;
        if wal.vote().is_none() && state.applied_index.borrow().is_some() {
            return Err(StartError::Log(crate::wal::WalError::Damaged {
                file: log_path.display().to_string(),
                offset: 0,
                reason: "the state is there but the log and its vote are gone; remove this node \
                         from the cluster and join it anew",
            }));
        }
        Ok((wal, Arc::new(snapshots), Arc::new(state)))
    });
    opened.await.map_err(|error| StartError::Raft(error.to_string()))?
}
