//! **Purpose**: what a node is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use crate::types::NodeId;

/// Identity of a cluster, chosen when it is initialised. No node of another cluster is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(pub String);

impl std::fmt::Display for ClusterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node is told at its start. Times and sizes have defaults for a local network.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub node_id: NodeId,
    /// The cluster that this node joins. `None`: as the data directory says, or to be initialised.
    pub cluster_id: Option<ClusterId>,
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
    /// A snapshot is built when so many bytes of entries are newer than the last.
    pub snapshot_bytes: u64,
    /// So many bytes of entries stay behind a snapshot, for nodes that were away for a while.
    pub retain_bytes: u64,
    pub segment_bytes: u64,
    pub cache_bytes: u64,
    /// Bytes of requests that may wait; beyond that a request is refused with a time to retry.
    pub queue_bytes_max: usize,
    /// The largest command.
    pub command_bytes_max: usize,
    /// Entries between two comparisons of the state hash.
    pub checkpoint_entries: u64,
    /// Send entries to the other nodes while the own disc still syncs them.
    pub replicate_early: bool,
    /// A deliberate fault for tests.
    #[doc(hidden)]
    pub acknowledge_before_sync: bool,
}

impl Config {
    pub fn new(data_dir: impl Into<PathBuf>, node_id: NodeId) -> Self {
        Self {
            data_dir: data_dir.into(),
            node_id,
            cluster_id: None,
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
            snapshot_bytes: 64 << 20,
            retain_bytes: 32 << 20,
            segment_bytes: 16 << 20,
            cache_bytes: 8 << 20,
            queue_bytes_max: 64 << 20,
            command_bytes_max: 1 << 20,
            checkpoint_entries: 1024,
            replicate_early: true,
            acknowledge_before_sync: false,
        }
    }

    /// Sets the timeouts for the slowest measured round trip between two nodes: a heartbeat needs
    /// some round trips, an election timeout some heartbeats. Never below the defaults.
    pub fn with_round_trip(mut self, slowest: Duration) -> Self {
        self.heartbeat = self.heartbeat.max(slowest * 4);
        self.election_min = self.election_min.max(self.heartbeat * 5);
        self.election_max = self.election_max.max(self.election_min * 2);
        self
    }
}
