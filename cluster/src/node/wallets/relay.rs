//! **Purpose**: what nodes tell each other about wallet streams, and requests that go to a stream on
//! another node.
//!
//! **Invariants**
//! - Only nodes reach this service.
//! - A node that is silent for [`SILENCE`] loses its streams in our table, until it speaks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hesper_protos::wallet::wallet_relay_client::WalletRelayClient;
use hesper_protos::wallet::wallet_relay_server::WalletRelay;
use hesper_protos::wallet::{Answer, RelayRequest, SessionTable, WatchRequest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::identity::{Expect, client_tls, endpoint};
use crate::node::{Node, Shared};
use crate::shutdown::{self, Shutdown};

/// A table is told at least so often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A node that was silent for so long is dialled anew.
const SILENCE: Duration = Duration::from_secs(2);
/// Pause before a node is dialled anew.
const REDIAL: Duration = Duration::from_millis(200);
/// How often the members are looked at.
const MEMBERS_EVERY: Duration = Duration::from_millis(250);
/// Longest time that a relayed request may ask for.
const DEADLINE_MAX: Duration = Duration::from_secs(120);

pub struct Service(pub Shared);

#[tonic::async_trait]
impl WalletRelay for Service {
    type WatchStream = ReceiverStream<Result<SessionTable, Status>>;

    async fn watch(
        &self,
        _request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let node = Arc::clone(&self.0);
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut changes = node.wallets.table.changes();
            let mut stopping = node.wallets.stopping.subscribe();
            while !*stopping.borrow_and_update() {
                changes.borrow_and_update();
                let table = SessionTable { sessions: node.wallets.table.local() };
                if sender.send(Ok(table)).await.is_err() {
                    return;
                }
                tokio::select! {
                    _ = changes.changed() => {}
                    _ = stopping.changed() => {}
                    () = tokio::time::sleep(TELL_EVERY) => {}
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn relay(&self, request: Request<RelayRequest>) -> Result<Response<Answer>, Status> {
        let RelayRequest { session, ask } = request.into_inner();
        let ask = ask.ok_or_else(|| Status::invalid_argument("the request holds no question"))?;
        let limit = Duration::from_millis(ask.deadline_ms).min(DEADLINE_MAX);
        let ended = || Status::not_found("the wallet's stream has ended");
        let answer = self.0.wallets.table.ask(session, ask).ok_or_else(ended)?;
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(Response::new(answer)),
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(Status::deadline_exceeded("the wallet gave no answer in time")),
        }
    }
}

/// The channel to a node that was dialled to watch it.
pub fn link(node: &Node, id: u64) -> Option<Channel> {
    node.wallets.links.lock().get(&id).map(|(_, channel)| channel.clone())
}

/// Watches every other member until shutdown.
pub async fn watch_peers(node: Shared, mut stop: Shutdown) {
    let mut watchers: BTreeMap<u64, (String, JoinHandle<()>)> = BTreeMap::new();
    let mut every = tokio::time::interval(MEMBERS_EVERY);
    loop {
        tokio::select! {
            biased;
            () = shutdown::requested(&mut stop) => break,
            _ = every.tick() => {}
        }
        let members: BTreeMap<u64, String> = node
            .consensus
            .members()
            .into_iter()
            .filter(|member| member.id != node.settings.node_id)
            .map(|member| (member.id, member.address))
            .collect();
        watchers.retain(|id, (address, watcher)| {
            let stays = members.get(id) == Some(address);
            if !stays {
                watcher.abort();
                node.wallets.links.lock().remove(id);
                node.wallets.table.forget_remote(*id);
            }
            stays
        });
        for (id, address) in members {
            watchers.entry(id).or_insert_with(|| {
                let task = tokio::spawn(watch_peer(Arc::clone(&node), id, address.clone()));
                (address, task)
            });
        }
    }
    for (_, watcher) in watchers.into_values() {
        watcher.abort();
    }
}

/// A node's whole table: its streams with all their addresses.
const TABLE_BYTES_MAX: usize = 64 << 20;

async fn watch_peer(node: Shared, id: u64, address: String) {
    loop {
        match dial(&node, id, &address) {
            Ok(channel) => {
                let why = watch_once(&node, id, channel).await;
                tracing::debug!(peer = id, why, "wallet streams of a node are unknown");
            }
            Err(error) => {
                tracing::warn!(peer = id, address, %error, "a node cannot be dialled");
            }
        }
        node.wallets.table.forget_remote(id);
        tokio::time::sleep(REDIAL).await;
    }
}

fn dial(node: &Node, id: u64, address: &str) -> Result<Channel, crate::identity::IdentityError> {
    let tls = client_tls(&node.identity, Expect::Node);
    let channel = endpoint(address, &tls)?.connect_lazy();
    node.wallets.links.lock().insert(id, (address.to_owned(), channel.clone()));
    Ok(channel)
}

/// Takes what the node says until it falls silent; says why.
async fn watch_once(node: &Node, id: u64, channel: Channel) -> String {
    let watch = async {
        WalletRelayClient::new(channel)
            .max_decoding_message_size(TABLE_BYTES_MAX)
            .watch(WatchRequest {})
            .await
            .map(Response::into_inner)
    };
    let mut stream = match tokio::time::timeout(SILENCE, watch).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(status)) => return status.message().to_owned(),
        Err(_) => return "it did not answer in time".to_owned(),
    };
    loop {
        match tokio::time::timeout(SILENCE, stream.message()).await {
            Ok(Ok(Some(table))) => {
                let own = |session: &hesper_protos::wallet::WalletSession| session.node_id == id;
                let sessions = table.sessions.into_iter().filter(own).collect();
                node.wallets.table.set_remote(id, sessions);
            }
            Ok(Ok(None)) => return "it ended the stream".to_owned(),
            Ok(Err(status)) => return status.message().to_owned(),
            Err(_) => return "it fell silent".to_owned(),
        }
    }
}
