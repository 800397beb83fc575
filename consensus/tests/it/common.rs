//! A key-value machine, and nodes in this process that talk over loopback.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hesper_consensus::{
    ApplyContext, ClusterId, Config, ConnectError, Connector, Consensus, LoadError, Machine,
    MachineFactory, NodeId, Output, Request, RowSource, StartError,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

pub const TABLE: u8 = 1;
pub const ARCHIVE: u8 = 2;
pub const LIMIT: Duration = Duration::from_secs(30);

/// Keys to values. Commands: `put k v`, `add k v` (appends), `get k`, `file k v` (only in the archive),
/// `archived k`. Every command but the reads answers the new value.
#[derive(Default)]
pub struct Store {
    pub values: BTreeMap<String, String>,
}

impl Machine for Store {
    fn apply(&mut self, context: &ApplyContext<'_>, command: &[u8], out: &mut Output<'_>) {
        let text = String::from_utf8_lossy(command).into_owned();
        let words: Vec<&str> = text.splitn(3, ' ').collect();
        let reply = match words[..] {
            ["put", key, value] => {
                self.values.insert(key.into(), value.into());
                out.put(TABLE, key.into(), value.into());
                out.event(Arc::new(format!("{} put {key}", context.principal)));
                value.to_owned()
            }
            ["add", key, value] => {
                let now = self.values.entry(key.into()).or_default();
                now.push_str(value);
                out.put(TABLE, key.into(), now.clone().into_bytes());
                now.clone()
            }
            ["delete", key] => {
                out.delete(TABLE, key.into());
                self.values.remove(key).unwrap_or_default()
            }
            ["get", key] => self.values.get(key).cloned().unwrap_or_default(),
            ["file", key, value] => {
                out.put(ARCHIVE, key.into(), value.into());
                out.get(ARCHIVE, key.as_bytes())
                    .map(|v| String::from_utf8_lossy(&v).into_owned())
                    .unwrap_or_default()
            }
            ["archived", key] => out
                .get(ARCHIVE, key.as_bytes())
                .map(|v| String::from_utf8_lossy(&v).into_owned())
                .unwrap_or_default(),
            ["now"] => context.now_ms.to_string(),
            _ => "error: no such command".to_owned(),
        };
        out.reply = reply.into_bytes();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub struct StoreFactory;

impl MachineFactory for StoreFactory {
    fn load(&self, rows: &mut dyn RowSource) -> Result<Box<dyn Machine>, LoadError> {
        let mut store = Store::default();
        rows.for_each(TABLE, &mut |key, row| {
            let (key, row) = (String::from_utf8_lossy(key), String::from_utf8_lossy(row));
            store.values.insert(key.into_owned(), row.into_owned());
        })?;
        Ok(Box::new(store))
    }
}

/// Makes a machine that breaks the rules: its rows depend on the node.
pub struct LiarFactory;

struct Liar;

impl Machine for Liar {
    fn apply(&mut self, _: &ApplyContext<'_>, command: &[u8], out: &mut Output<'_>) {
        out.put(TABLE, b"lie".to_vec(), command.to_vec());
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl MachineFactory for LiarFactory {
    fn load(&self, _: &mut dyn RowSource) -> Result<Box<dyn Machine>, LoadError> {
        Ok(Box::new(Liar))
    }
}

pub struct Plain;

impl Connector for Plain {
    fn connect(&self, address: &str) -> Result<Channel, ConnectError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| {
            ConnectError::Address { address: address.into(), reason: e.to_string() }
        })?;
        Ok(endpoint.tcp_nodelay(true).connect_timeout(Duration::from_secs(1)).connect_lazy())
    }
}

pub fn config(dir: &Path, id: NodeId) -> Config {
    let mut config = Config::new(dir, id);
    config.segment_bytes = 256 << 10;
    config.election_min = Duration::from_millis(400);
    config.election_max = Duration::from_millis(800);
    config.checkpoint_entries = 16;
    config
}

pub fn cluster_id() -> ClusterId {
    ClusterId("test".into())
}

/// A node with its server.
pub struct TestNode {
    pub id: NodeId,
    pub dir: PathBuf,
    pub address: SocketAddr,
    pub consensus: Consensus,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl TestNode {
    pub async fn start_at(config: Config, address: SocketAddr) -> Result<Self, StartError> {
        Self::start_with(config, address, Arc::new(StoreFactory)).await
    }

    pub async fn start_with(
        config: Config,
        address: SocketAddr,
        factory: Arc<dyn MachineFactory>,
    ) -> Result<Self, StartError> {
        let (id, dir) = (config.node_id, config.data_dir.clone());
        let consensus = Consensus::start(config, factory, Arc::new(Plain)).await?;
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let service = consensus.raft_service();
        let served = tokio::spawn(async move {
            // Without this an answer waits up to 40 ms for the acknowledgement of the one before.
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let end = async {
                let _ = stopped.await;
            };
            let server = Server::builder().add_service(service);
            server.serve_with_incoming_shutdown(incoming, end).await.unwrap();
        });
        Ok(Self { id, dir, address, consensus, server: Some((stop, served)) })
    }

    pub async fn stop(mut self) -> (NodeId, PathBuf, SocketAddr) {
        let (stop, served) = self.server.take().unwrap();
        let _ = stop.send(());
        self.consensus.shutdown().await;
        within(served).await.unwrap();
        (self.id, self.dir, self.address)
    }

    pub async fn run(&self, command: &str) -> String {
        within(self.try_run(command)).await.unwrap()
    }

    pub async fn try_run(&self, command: &str) -> Result<String, hesper_consensus::ProposeError> {
        let request = Request {
            session: None,
            principal: "tester".into(),
            command: Bytes::from(command.to_owned()),
        };
        let applied = self.consensus.propose(request, LIMIT).await?;
        Ok(String::from_utf8_lossy(&applied.reply).into_owned())
    }

    pub async fn run_in(&self, session: u64, sequence: u64, command: &str) -> String {
        let request = Request {
            session: Some((session, sequence)),
            principal: "tester".into(),
            command: Bytes::from(command.to_owned()),
        };
        let applied = within(self.consensus.propose(request, LIMIT)).await.unwrap();
        String::from_utf8_lossy(&applied.reply).into_owned()
    }

    pub async fn open_session(&self) -> u64 {
        within(self.consensus.open_session("tester", Duration::from_secs(3600), LIMIT))
            .await
            .unwrap()
    }

    pub fn value(&self, key: &str) -> Option<String> {
        self.consensus.read(|machine| {
            let store = machine.as_any().downcast_ref::<Store>().unwrap();
            store.values.get(key).cloned()
        })
    }

    pub async fn established(&self) {
        let mut leadership = self.consensus.leadership();
        within(leadership.wait_for(|l| l.established.is_some())).await.unwrap();
    }

    pub async fn reached(&self, index: u64) {
        let mut applied = self.consensus.applied();
        within(applied.wait_for(|applied| *applied >= Some(index))).await.unwrap();
    }
}

/// A bound on how long anything may take, so that a hang is a failure.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT * 2, future).await.expect("took too long")
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// One node that is its own cluster.
pub async fn single(dir: &TempDir) -> TestNode {
    let node = TestNode::start_at(config(dir.path(), 1), loopback()).await.unwrap();
    within(node.consensus.initialize(cluster_id(), [(1, node.address.to_string())])).await.unwrap();
    node.established().await;
    node
}

pub struct Trio {
    pub nodes: Vec<TestNode>,
    /// Removed at the end of the test.
    _dirs: Vec<TempDir>,
}

impl Trio {
    /// Three voters: the first was initialised, the others joined.
    pub async fn start() -> Self {
        let dirs: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut nodes = vec![single(&dirs[0]).await];
        for id in 2..=3u64 {
            let node = joining(&dirs[id as usize - 1], id).await;
            within(nodes[0].consensus.add_learner(id, &node.address.to_string())).await.unwrap();
            nodes.push(node);
        }
        within(nodes[0].consensus.change_voters([1, 2, 3].into())).await.unwrap();
        Self { nodes, _dirs: dirs }
    }

    /// Index in `nodes` of the established leader.
    pub async fn leader(&self) -> usize {
        let waits = self.nodes.iter().enumerate().map(|(at, node)| {
            Box::pin(async move {
                node.established().await;
                at
            })
        });
        futures_util::future::select_all(waits).await.0
    }

    pub async fn converge(&self) {
        let last = self.nodes.iter().filter_map(|n| n.consensus.status().applied).max().unwrap();
        for node in &self.nodes {
            node.reached(last).await;
        }
    }
}

/// A node that waits to be added.
pub async fn joining(dir: &TempDir, id: NodeId) -> TestNode {
    let mut config = config(dir.path(), id);
    config.cluster_id = Some(cluster_id());
    TestNode::start_at(config, loopback()).await.unwrap()
}

pub async fn restart(id: NodeId, dir: &Path, address: SocketAddr) -> TestNode {
    TestNode::start_at(config(dir, id), address).await.unwrap()
}
