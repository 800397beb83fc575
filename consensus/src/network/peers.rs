//! **Purpose**: the connections to the other nodes, and how long they take to answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hesper_protos::raft::raft_client::RaftClient;
use parking_lot::{Mutex, RwLock};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use crate::config::ClusterId;
use crate::types::NodeId;

/// Messages may carry some entries of the largest size.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// Weight of a new measurement in the smoothed round trip: 1 / 8.
const SMOOTHING: u32 = 8;

pub const CLUSTER_KEY: &str = "hesper-cluster";

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("`{address}` is not an address of a node: {reason}")]
    Address { address: String, reason: String },
    #[error("could not prepare the connection to `{address}`: {reason}")]
    Prepare { address: String, reason: String },
}

/// Makes connections to nodes. The binary adds its certificates here.
pub trait Connector: Send + Sync + 'static {
    /// A lazy channel: it connects when it is first used, and again when the connection breaks.
    ///
    /// # Errors
    /// The address makes no sense.
    fn connect(&self, address: &str) -> Result<Channel, ConnectError>;
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    Replication,
    Control,
    Snapshot,
    Forward,
}

/// The connections of a node.
pub struct Peers {
    connector: Arc<dyn Connector>,
    channels: Mutex<HashMap<(NodeId, Lane), (String, Channel)>>,
    round_trips: Mutex<HashMap<NodeId, Duration>>,
    cluster: RwLock<Option<ClusterId>>,
}

impl Peers {
    pub fn new(connector: Arc<dyn Connector>, cluster: Option<ClusterId>) -> Self {
        Self {
            connector,
            channels: Mutex::default(),
            round_trips: Mutex::default(),
            cluster: RwLock::new(cluster),
        }
    }

    pub fn set_cluster(&self, cluster: ClusterId) {
        *self.cluster.write() = Some(cluster);
    }

    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster.read().clone()
    }

    /// A client for `node` at `address`; the channel is kept until the address changes.
    pub fn client(
        &self,
        node: NodeId,
        address: &str,
        lane: Lane,
    ) -> Result<RaftClient<Channel>, ConnectError> {
        let mut channels = self.channels.lock();
        let known = channels.get(&(node, lane)).filter(|(known, _)| known == address);
        let channel = match known {
            Some((_, channel)) => channel.clone(),
            None => {
                let channel = self.connector.connect(address)?;
                channels.insert((node, lane), (address.to_owned(), channel.clone()));
                channel
            }
        };
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A request that names the cluster.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let name: Option<MetadataValue<Ascii>> =
            self.cluster.read().as_ref().and_then(|cluster| cluster.0.parse().ok());
        if let Some(name) = name {
            request.metadata_mut().insert(CLUSTER_KEY, name);
        }
        request
    }

    pub fn note_round_trip(&self, node: NodeId, taken: Duration) {
        let mut round_trips = self.round_trips.lock();
        let smoothed = round_trips.entry(node).or_insert(taken);
        *smoothed = (*smoothed * (SMOOTHING - 1) + taken) / SMOOTHING;
    }

    pub fn round_trips(&self) -> Vec<(NodeId, Duration)> {
        let mut all: Vec<_> = self.round_trips.lock().iter().map(|(id, rtt)| (*id, *rtt)).collect();
        all.sort_unstable();
        all
    }
}
