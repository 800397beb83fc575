//! **Purpose**: starts a node, keeps it until shutdown or a fatal error, and stops it in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use hesper_consensus::{ClusterId, ConnectError, Connector, Consensus};
use hesper_protos::auth::auth_server::AuthServer;
use hesper_protos::cluster::cluster_server::ClusterServer;
use hesper_protos::cluster::enrolment_server::EnrolmentServer;
use hesper_protos::executor::executors_server::ExecutorsServer;
use hesper_protos::job::jobs_server::JobsServer;
use hesper_protos::sector::sectors_server::SectorsServer;
use hesper_protos::wallet::signing_server::SigningServer;
use hesper_protos::wallet::wallet_relay_server::WalletRelayServer;
use hesper_protos::wallet::wallet_sessions_server::WalletSessionsServer;
use tonic::service::Routes;
use tonic::transport::{Channel, Server};

use super::enrolment::Command;
use super::machine::{Factory, Proposer};
use super::sessions::Sessions;
use super::{
    Node, Settings, Shared, auth, cluster, executors, jobs, leader, local, metrics, rest, sectors,
    wallets,
};
use crate::client::Client;
use crate::config;
use crate::http;
use crate::identity::{
    Authority, Expect, Identity, NodeCard, client_tls, dirs, endpoint, server_tls,
};
use crate::shutdown::{self, Shutdown};

/// Time that open requests get when the node stops.
const DRAIN: Duration = Duration::from_secs(3);
/// Pause between tries to be taken into the cluster.
const JOIN_RETRY: Duration = Duration::from_millis(500);
/// Messages larger than this are refused: an entry holds at most 1 MiB, a stream's batch a little more.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Dials other nodes with this node's certificate.
struct Dialler {
    identity: Identity,
}

impl Connector for Dialler {
    fn connect(&self, address: &str) -> Result<Channel, ConnectError> {
        let tls = client_tls(&self.identity, Expect::Node);
        endpoint(address, &tls).map(|endpoint| endpoint.connect_lazy()).map_err(|error| {
            ConnectError::Address { address: address.to_owned(), reason: error.to_string() }
        })
    }
}

/// Runs a pool node until `stop`.
///
/// # Errors
/// When it cannot start, or an error of log or state stopped it.
pub async fn run(config: config::Node, stop: Shutdown) -> anyhow::Result<()> {
    let card = NodeCard::load(&config.data_dir)?;
    let identity = Identity::load(&dirs::identity(&config.data_dir))?;
    let authority = Authority::load(&dirs::authority(&config.data_dir))?;
    let listener = tokio::net::TcpListener::bind(config.listen).await.with_context(|| {
        format!("could not listen on {}; is another node running there?", config.listen)
    })?;
    let consensus = Consensus::start(
        consensus_config(&config, &card),
        Arc::new(Factory),
        Arc::new(Dialler { identity: identity.clone() }),
    )
    .await
    .with_context(|| format!("could not start the node in `{}`", config.data_dir))?;
    let sealing_key = authority.sealing_key(auth::PURPOSE)?;
    let node = Arc::new(Node {
        consensus: consensus.clone(),
        sessions: Sessions::default(),
        planner: tokio::sync::Notify::new(),
        settings: Settings {
            name: card.name.clone(),
            node_id: card.node_id,
            cluster_id: card.cluster_id.clone(),
            executor_silence: config.executor_silence,
            configuration: configuration(&config),
        },
        identity,
        authority,
        leader_link: parking_lot::Mutex::default(),
        auth: auth::Auth::new(card.node_id, sealing_key),
        wallets: wallets::Wallets::default(),
    });
    let (end, ended) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(serve(Arc::clone(&node), listener, ended.clone()));
    tokio::spawn(auth::watch(Arc::clone(&node), ended.clone()));
    tokio::spawn(auth::confirm(Arc::clone(&node), ended.clone()));
    tokio::spawn(auth::run_limits(Arc::clone(&node), ended.clone()));
    tokio::spawn(wallets::relay::watch_peers(Arc::clone(&node), ended.clone()));
    let leading = tokio::spawn(leader::run(Arc::clone(&node), ended.clone()));
    let http = serve_http(Arc::clone(&node), config.http, ended.clone()).await?;
    let rest = rest::serve(Arc::clone(&node), config.auth_http, ended.clone()).await?;
    let local = serve_local(&node, &config.data_dir, ended.clone())?;
    let joining = tokio::spawn(enter(Arc::clone(&node), card, config.clone()));
    tracing::info!(
        node_id = node.settings.node_id,
        cluster_id = node.settings.cluster_id,
        listen = %config.listen,
        "node is up"
    );

    let fatal = wait(&node, stop, joining).await;
    if fatal.is_ok() {
        hand_over(&node).await;
    }
    end.send_replace(true);
    let _ = leading.await;
    // Streams of executors and of other nodes would keep the server up; both dial elsewhere.
    node.sessions.close_all();
    node.wallets.stop();
    consensus.shutdown().await;
    let _ = tokio::time::timeout(DRAIN, server).await;
    if let Some(local) = local {
        let _ = tokio::time::timeout(DRAIN, local).await;
    }
    if let Some(http) = http {
        http.abort();
    }
    if let Some(rest) = rest {
        rest.abort();
    }
    tracing::info!(node_id = node.settings.node_id, "node has stopped");
    fatal
}

/// Until shutdown, or until the core stops by itself.
async fn wait(
    node: &Node,
    mut stop: Shutdown,
    joining: tokio::task::JoinHandle<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut stopped = node.consensus.stopped();
    let core = async {
        loop {
            if let Some(reason) = stopped.borrow_and_update().clone() {
                return reason;
            }
            if stopped.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let joined = async {
        match joining.await {
            Ok(Ok(())) => std::future::pending().await,
            Ok(Err(error)) => error,
            Err(error) => anyhow::anyhow!("entering the cluster broke off: {error}"),
        }
    };
    tokio::select! {
        () = shutdown::requested(&mut stop) => Ok(()),
        reason = core => bail!("the node stopped itself: {reason}"),
        error = joined => Err(error),
    }
}

/// A leader that stops hands its leadership to another voter first, so that nobody waits for an
/// election.
async fn hand_over(node: &Node) {
    if node.leading().is_none() {
        return;
    }
    let next = node
        .consensus
        .members()
        .into_iter()
        .find(|member| member.is_voter && member.id != node.settings.node_id);
    if let Some(next) = next {
        let transfer = node.consensus.transfer_leader(next.id);
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(1), transfer).await {
            tracing::debug!(%error, "the leadership was not handed over");
        }
    }
}

fn consensus_config(config: &config::Node, card: &NodeCard) -> hesper_consensus::Config {
    let mut settings =
        hesper_consensus::Config::new(config.data_dir.join("consensus"), card.node_id);
    settings.cluster_id = Some(ClusterId(card.cluster_id.clone()));
    settings.heartbeat = config.heartbeat;
    settings.election_min = config.election_min;
    settings.election_max = config.election_max;
    settings.snapshot_bytes = config.snapshot_every;
    settings.retain_bytes = config.log_retention;
    settings
}

/// The part of the configuration that is replicated; the leader's counts.
fn configuration(config: &config::Node) -> hesper_scheduler::ConfigurationChange {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let supersede = hesper_scheduler::SupersedeAfter {
        command_ms: millis(config.supersede_command),
        post_ms: millis(config.supersede_post),
        pc1_ms: millis(config.supersede_pc1),
        c2_ms: millis(config.supersede_c2),
        ..hesper_scheduler::SupersedeAfter::default()
    };
    hesper_scheduler::ConfigurationChange {
        queued_jobs_max: Some(config.queue_limit),
        ended_jobs_in_memory: Some(u32::try_from(config.history_jobs).unwrap_or(u32::MAX)),
        supersede_after: Some(supersede),
        pc1_group_wait_ms: Some(millis(config.pc1_group_wait)),
        pc1_group_max: Some(config.pc1_group_max),
        ..hesper_scheduler::ConfigurationChange::default()
    }
}

/// The founder initialises an empty cluster; any other node asks to be taken in.
async fn enter(node: Shared, card: NodeCard, config: config::Node) -> anyhow::Result<()> {
    if card.founder {
        return found(&node, &card, &config).await;
    }
    let client = Client::new(
        &card.nodes,
        node.identity.clone(),
        Duration::from_secs(3),
        Duration::from_secs(30),
    )?;
    loop {
        let is_voter = node
            .consensus
            .members()
            .iter()
            .any(|member| member.id == card.node_id && member.is_voter);
        if is_voter {
            return Ok(());
        }
        match client.add_node(card.node_id, &config.advertise).await {
            Ok(_) => {
                tracing::info!(node_id = card.node_id, "taken into the cluster");
                return Ok(());
            }
            Err(error) => tracing::warn!(%error, "not taken into the cluster yet"),
        }
        tokio::time::sleep(JOIN_RETRY).await;
    }
}

async fn found(node: &Node, card: &NodeCard, config: &config::Node) -> anyhow::Result<()> {
    if node.consensus.members().is_empty() {
        node.consensus
            .initialize(
                ClusterId(card.cluster_id.clone()),
                [(card.node_id, config.advertise.clone())],
            )
            .await
            .context("could not initialise the cluster")?;
    }
    loop {
        if !node.read(|machine| machine.enrolment.constants().cluster_id.is_empty()) {
            return Ok(());
        }
        let mut transfer_key = vec![0; 32];
        getrandom::fill(&mut transfer_key).context("the system gives no random bytes")?;
        let command = Command::Found { cluster_id: card.cluster_id.clone(), transfer_key };
        let by = Proposer::node(&card.name);
        if let Err(error) = node.propose_enrolment(&by, None, command).await {
            tracing::debug!(%error, "the cluster is not founded yet");
            tokio::time::sleep(JOIN_RETRY).await;
        }
    }
}

async fn serve(
    node: Shared,
    listener: tokio::net::TcpListener,
    mut ended: Shutdown,
) -> anyhow::Result<()> {
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    // Small messages must not wait for the next packet.
    let incoming = tokio_stream::StreamExt::map(incoming, |stream| {
        stream.inspect(|stream| {
            let _ = stream.set_nodelay(true);
        })
    });
    let raft = super::guard::nodes_only(node.consensus.raft_service());
    let relay = WalletRelayServer::new(wallets::relay::Service(Arc::clone(&node)));
    let relay = super::guard::nodes_only(relay);
    Server::builder()
        .tls_config(server_tls(&node.identity))?
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        .add_routes(user_services(&node)?)
        .add_service(raft)
        .add_service(relay)
        .add_service(WalletSessionsServer::new(wallets::session::Service(Arc::clone(&node))))
        .add_service(EnrolmentServer::new(cluster::EnrolmentService(Arc::clone(&node))))
        .add_service(
            ExecutorsServer::new(executors::Service(Arc::clone(&node)))
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .serve_with_incoming_shutdown(incoming, async move {
            shutdown::requested(&mut ended).await;
        })
        .await?;
    Ok(())
}

/// What users and administrators call, over the network and on the local socket.
fn user_services(node: &Shared) -> anyhow::Result<Routes> {
    let parameters = crate::roles::parameter_cache()?;
    let mut routes = Routes::builder();
    routes
        .add_service(
            JobsServer::new(jobs::Service(Arc::clone(node)))
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(SectorsServer::new(sectors::Service { node: Arc::clone(node), parameters }))
        .add_service(ClusterServer::new(cluster::Service(Arc::clone(node))))
        .add_service(AuthServer::new(auth::Service(Arc::clone(node))))
        .add_service(SigningServer::new(wallets::signing::Service(Arc::clone(node))));
    Ok(routes.routes())
}

/// Serves administration on this machine. A node whose directory cannot hold a socket does without.
fn serve_local(
    node: &Shared,
    data_dir: &Utf8Path,
    mut ended: Shutdown,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let (listener, path) = match local::bind(data_dir) {
        Ok(bound) => bound,
        Err(error) => {
            tracing::warn!(
                error = format!("{error:#}"),
                "there is no local administration; `--socket` will not work"
            );
            return Ok(None);
        }
    };
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    let server = Server::builder().add_routes(user_services(node)?);
    Ok(Some(tokio::spawn(async move {
        let served = server
            .serve_with_incoming_shutdown(incoming, async move {
                shutdown::requested(&mut ended).await;
            })
            .await;
        local::remove_socket(&path);
        if let Err(error) = served {
            tracing::warn!(%error, "local administration is no longer served");
        }
    })))
}

async fn serve_http(
    node: Shared,
    listen: Option<SocketAddr>,
    ended: Shutdown,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(listen) = listen else { return Ok(None) };
    let health_node = Arc::clone(&node);
    let health = Arc::new(move || metrics::health(&health_node));
    let text = Arc::new(move || metrics::text(&node));
    let server = http::Server::bind(listen)
        .await
        .with_context(|| format!("could not serve metrics on {listen}"))?;
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = server.run(health, text, ended).await {
            tracing::warn!(%error, "metrics are no longer served");
        }
    })))
}
