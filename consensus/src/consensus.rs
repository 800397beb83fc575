//! **Purpose**: the face of this crate: a running node.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hesper_protos::raft as pb;
use hesper_protos::raft::raft_server::RaftServer;
use openraft::BasicNode;
use openraft::async_runtime::watch::WatchReceiver;
use pb::item::Kind;
use pb::membership_request::Change;
use tokio::sync::{broadcast, watch};

use crate::config::{ClusterId, Config};
use crate::data_dir::DataDir;
use crate::error::{MembershipError, ProposeError, ReadError, StartError};
use crate::leader;
use crate::log_store::LogStore;
use crate::machine::{Machine, MachineFactory, Row};
use crate::members::{self, Member};
use crate::network::{Connector, NetworkFactory, Peers, RaftService};
use crate::node::{Applied, Leadership, LeadershipToken, Node, Parts};
use crate::start::{open_stores, raft_config};
use crate::state::{Published, StateHash};
use crate::state_machine::StateMachine;
use crate::status::Status;
use crate::stop::{StopReason, StopSignal};
use crate::types::{LogIndex, NodeId};

/// A command for the machine.
#[derive(Clone, Debug)]
pub struct Request {
    /// Session and sequence number: with them the request is executed at most once however often it
    /// is sent. Sequence numbers start at 1; the last 64 of a session are remembered.
    pub session: Option<(u64, u64)>,
    pub principal: String,
    pub command: Bytes,
}

/// A running node. Clones share it.
#[derive(Clone)]
pub struct Consensus {
    node: Arc<Node>,
}

impl Consensus {
    /// Opens the data directory and takes part in the cluster. A fresh directory waits for
    /// `initialize`, or for the cluster to add this node.
    ///
    /// # Errors
    /// The directory is in use, of another cluster or node, newer than this program, or damaged; the
    /// disc failed; the machine could not be made from its rows.
    pub async fn start(
        config: Config,
        factory: Arc<dyn MachineFactory>,
        connector: Arc<dyn Connector>,
    ) -> Result<Self, StartError> {
        let raft_config = raft_config(&config)?;
        let (data_dir, cluster) =
            DataDir::open(&config.data_dir, config.node_id, config.cluster_id.clone())?;
        let stop = StopSignal::default();
        let (wal, snapshots, state) = open_stores(&config, factory, &stop).await?;
        let for_purge = state.clone();
        let flushed =
            Arc::new(move |index| for_purge.flush_to(index).map_err(std::io::Error::other));
        let log = LogStore::new(wal.clone(), Some(flushed));
        let machine = StateMachine::new(state.clone(), snapshots.clone());
        let peers = Arc::new(Peers::new(connector, cluster));
        let network = NetworkFactory::new(peers.clone(), config.election_max, config.heartbeat * 2);
        let raft =
            openraft::Raft::new(config.node_id, Arc::new(raft_config), network, log, machine)
                .await
                .map_err(|fatal| StartError::Raft(fatal.to_string()))?;
        let boot_id = RandomState::new().hash_one(std::process::id());
        let parts = Parts { config, boot_id, raft, state, snapshots, wal, peers, stop, data_dir };
        let node = Arc::new(Node::new(parts));
        leader::start(&node);
        Ok(Self { node })
    }

    /// Makes a new cluster of the given nodes, this one among them. To be called on one node.
    ///
    /// # Errors
    /// This node already belongs to a cluster, or the list lacks it.
    pub async fn initialize(
        &self,
        cluster: ClusterId,
        members: impl IntoIterator<Item = (NodeId, String)>,
    ) -> Result<(), MembershipError> {
        let known = self.node.peers.cluster();
        if known.is_some_and(|known| known != cluster) {
            return Err(MembershipError::AlreadyInitialized);
        }
        let written = match &*self.node.data_dir.lock() {
            Some(directory) => directory.write(&cluster),
            None => return Err(MembershipError::Stopped("the node was shut down".into())),
        };
        written.map_err(|e| MembershipError::Identity(e.to_string()))?;
        self.node.peers.set_cluster(cluster);
        let members: std::collections::BTreeMap<NodeId, BasicNode> =
            members.into_iter().map(|(id, addr)| (id, BasicNode { addr })).collect();
        let result = self.node.raft.initialize(members).await;
        result.map_err(|error| MembershipError::Refused(error.to_string()))
    }

    /// Executes a command, on whatever node leads. With a session it is sent again over changes of
    /// the leader until the deadline; without one only if it surely was not appended.
    ///
    /// # Errors
    /// See `ProposeError`: only `Unknown` leaves open whether the command was executed.
    pub async fn propose(
        &self,
        request: Request,
        deadline: Duration,
    ) -> Result<Applied, ProposeError> {
        let repeatable = request.session.is_some();
        self.node.propose(request_kind(request), repeatable, deadline).await
    }

    /// Executes a command only if this process still is the leader that `boot` names.
    ///
    /// # Errors
    /// As `propose`; `NotLeader` if the leadership has ended.
    pub async fn propose_as_leader(
        &self,
        request: Request,
        boot: LeadershipToken,
    ) -> Result<Applied, ProposeError> {
        self.node.propose_as_leader(request_kind(request), boot).await
    }

    /// Opens a session for `principal`. It expires when it is idle for longer than `idle_max` of state
    /// time.
    ///
    /// # Errors
    /// As `propose`.
    pub async fn open_session(
        &self,
        principal: &str,
        idle_max: Duration,
        deadline: Duration,
    ) -> Result<u64, ProposeError> {
        let idle_ms_max = u64::try_from(idle_max.as_millis()).unwrap_or(u64::MAX);
        let kind =
            Kind::OpenSession(pb::OpenSession { principal: principal.to_owned(), idle_ms_max });
        // Opening twice leaves one session that expires by itself.
        let applied = self.node.propose(kind, true, deadline).await?;
        let id = applied.reply.as_ref().try_into().map(u64::from_le_bytes);
        id.map_err(|_| ProposeError::Unknown { reason: "the answer is no session id".into() })
    }

    /// Waits until this node's state includes everything that was answered anywhere before the call.
    ///
    /// # Errors
    /// The leader could not be confirmed, or the node stops.
    pub async fn read_barrier(&self) -> Result<LogIndex, ReadError> {
        self.node.read_barrier().await
    }

    /// Looks at the machine as applied here. For a linearizable read call `read_barrier` before.
    pub fn read<R>(&self, f: impl FnOnce(&dyn Machine) -> R) -> R {
        self.node.state.read(|live| f(live.machine.as_ref()))
    }

    /// An applied row.
    ///
    /// # Errors
    /// The disc failed.
    pub fn get_row(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        use crate::machine::{RowReader, store_key};
        self.node
            .state
            .read(|live| live.db.read_row(&store_key(table, key)))
            .map_err(ReadError::Store)
    }

    /// Applied rows of `table` in key order: keys from `from` on that start with `prefix`, at most
    /// `limit`.
    ///
    /// # Errors
    /// The disc failed.
    pub fn scan_rows(
        &self,
        table: u8,
        from: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let db = self.node.state.db();
        db.scan(table, from, prefix, limit).map_err(|error| ReadError::Store(error.to_string()))
    }

    /// Events of applied entries from now on. A subscriber that lags too far is told so by the channel;
    /// `reloaded` says that a snapshot replaced the state. Look at the state anew in both cases.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Published>> {
        self.node.state.published.subscribe()
    }

    /// The last applied index; `None` before the first entry.
    pub fn applied(&self) -> watch::Receiver<Option<LogIndex>> {
        self.node.state.applied_index.subscribe()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.node.leadership.subscribe()
    }

    /// Adds a node that receives the log but does not vote.
    ///
    /// # Errors
    /// See `MembershipError`.
    pub async fn add_learner(&self, id: NodeId, address: &str) -> Result<(), MembershipError> {
        let learner = pb::Node { id, address: address.to_owned() };
        members::change(&self.node, Change::AddLearner(learner)).await
    }

    /// Makes a learner a voter, once it has caught up; all other voters stay.
    ///
    /// # Errors
    /// See `MembershipError`.
    pub async fn add_voter(&self, id: NodeId) -> Result<(), MembershipError> {
        members::change(&self.node, Change::AddVoter(id)).await
    }

    /// Makes exactly these members the voters, once they have caught up; former voters stay learners.
    ///
    /// # Errors
    /// See `MembershipError`.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        let voters = pb::VoterSet { ids: voters.into_iter().collect() };
        members::change(&self.node, Change::ChangeVoters(voters)).await
    }

    /// Removes a voter or learner from the cluster.
    ///
    /// # Errors
    /// See `MembershipError`.
    pub async fn remove_node(&self, id: NodeId) -> Result<(), MembershipError> {
        members::change(&self.node, Change::RemoveNode(id)).await
    }

    /// Asks the leader to hand over to `to`.
    ///
    /// # Errors
    /// See `MembershipError`. Whether it happened is seen in `leadership`.
    pub async fn transfer_leader(&self, to: NodeId) -> Result<(), MembershipError> {
        members::change(&self.node, Change::TransferLeader(to)).await
    }

    pub fn members(&self) -> Vec<Member> {
        members::list(&self.node)
    }

    /// Builds a snapshot now and waits until it covers what is applied at the call.
    ///
    /// # Errors
    /// The node stops.
    pub async fn snapshot_now(&self) -> Result<Option<LogIndex>, ReadError> {
        let stopped =
            |reason: &dyn std::fmt::Display| ReadError::Unavailable { reason: reason.to_string() };
        let wanted = *self.node.state.applied_index.borrow();
        let mut metrics = self.node.raft.metrics();
        self.node.raft.trigger().snapshot().await.map_err(|e| stopped(&e))?;
        loop {
            let (snapshot, running) = {
                let now = metrics.borrow_watched();
                (now.snapshot.map(|id| id.index), now.running_state.clone())
            };
            if snapshot >= wanted {
                return Ok(snapshot);
            }
            running.map_err(|e| stopped(&e))?;
            metrics.changed().await.map_err(|e| stopped(&e))?;
        }
    }

    pub fn status(&self) -> Status {
        Status::of(&self.node)
    }

    /// State hash and machine made anew from the stored rows, to compare with the running ones.
    ///
    /// # Errors
    /// The rows could not be read.
    pub fn reload(&self) -> Result<(Box<dyn Machine>, StateHash), ReadError> {
        self.node.state.reload().map_err(|error| ReadError::Store(error.to_string()))
    }

    /// The gRPC service that other nodes call. The node's server must have authenticated them.
    pub fn raft_service(&self) -> RaftServer<RaftService> {
        RaftService::server(self.node.clone())
    }

    /// Set when the node cannot go on: the process must exit.
    pub fn stopped(&self) -> watch::Receiver<Option<StopReason>> {
        self.node.stop.watch()
    }

    /// Ends in order: nothing is lost and the next start is quick.
    pub async fn shutdown(self) {
        self.node.stop.stop(StopReason::Shutdown);
        if let Err(error) = self.node.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not end in order");
        }
        let node = self.node.clone();
        let ended = tokio::task::spawn_blocking(move || {
            if let Err(error) = node.state.flush() {
                tracing::warn!(%error, "could not flush the state; the log will replay it");
            }
            node.state.db().close();
            node.wal.close();
            node.data_dir.lock().take();
        });
        if let Err(error) = ended.await {
            tracing::warn!(%error, "the stores did not close in order");
        }
    }
}

fn request_kind(request: Request) -> Kind {
    let (session, sequence) = request.session.unwrap_or((0, 0));
    Kind::Request(pb::ClientRequest {
        session,
        sequence,
        principal: request.principal,
        command: request.command,
    })
}
