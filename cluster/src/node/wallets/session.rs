//! **Purpose**: the service that wallets dial into.
//!
//! **Invariants**
//! - A stream belongs to the user of its certificate and token, and ends when that user is disabled
//!   or the token revoked.
//! - Keys are challenged before anything is routed to them; removed keys get nothing more at once.
//! - Silence of [`SILENCE`] ends a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hesper_protos::wallet::wallet_sessions_server::WalletSessions;
use hesper_protos::wallet::{
    Accepted, FromWallet, Goodbye, Hello, Ping, ToWallet, WalletSession, Welcome, from_wallet,
    to_wallet::Message,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::access;
use super::proof::{self, Open};
use super::table::{self, ToStream};
use crate::node::caller::Caller;
use crate::node::{Node, Shared, leader};

/// The protocol that this node speaks.
const PROTOCOL: u32 = 1;
/// How long a wallet may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between pings.
const PING_EVERY: Duration = Duration::from_millis(500);
/// A wallet that was silent for so long is taken for dead.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Changes of keys that may wait for their challenge.
const WAITING_MAX: usize = 64;

pub struct Service(pub Shared);

type Outgoing = ReceiverStream<Result<ToWallet, Status>>;

#[tonic::async_trait]
impl WalletSessions for Service {
    type OpenStream = Outgoing;

    async fn open(
        &self,
        request: Request<Streaming<FromWallet>>,
    ) -> Result<Response<Outgoing>, Status> {
        let owner = access::wallet(&self.0, &request)?;
        if *self.0.wallets.stopping.borrow() {
            return Err(Status::unavailable("this node is stopping; dial another one"));
        }
        let mut incoming = request.into_inner();
        let hello = first_message(&mut incoming).await?;
        check_hello(&hello)?;
        let first = Open::new(hello.addresses.clone(), hello.wallet_random.to_vec())?;
        let session = random_number()?;
        let shown = WalletSession {
            // One spelling: keys are pinned to it.
            wallet_id: hello.wallet_id.to_ascii_lowercase(),
            name: hello.name,
            user: owner.user.clone(),
            node_id: self.0.settings.node_id,
            session,
            addresses: Vec::new(),
            connected_at_ms: leader::unix_millis(),
        };
        tracing::info!(
            wallet = shown.name,
            wallet_id = shown.wallet_id,
            user = shown.user,
            version = hello.version,
            session,
            "wallet connected"
        );
        if !self.0.wallets.table.has_room(&shown) {
            return Err(Status::resource_exhausted(format!(
                "user `{}` has {} wallets on this node already; end one of them",
                shown.user,
                table::WALLETS_MAX
            )));
        }
        let (queue, on_wire) = mpsc::channel(table::QUEUE_MAX);
        let ended = self.0.wallets.table.open(shown, queue.clone());
        let node = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut stream = Stream {
                node: Arc::clone(&node),
                owner,
                session,
                queue,
                open: None,
                waiting: VecDeque::from([first]),
                proving: None,
            };
            let reason = tokio::select! {
                biased;
                // Dropped by the table: replaced, stuck, or this node stops.
                _ = ended => "the node has ended this stream; dial again".to_owned(),
                reason = stream.serve(&mut incoming) => reason,
            };
            if let Some(proving) = stream.proving.take() {
                proving.abort();
            }
            node.wallets.table.close(session);
            stream.send(Message::Goodbye(Goodbye { reason: reason.clone() }));
            tracing::info!(session, reason, "wallet disconnected");
        });
        Ok(Response::new(ReceiverStream::new(on_wire)))
    }
}

async fn first_message(incoming: &mut Streaming<FromWallet>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message())
        .await
        .map_err(|_| Status::deadline_exceeded("the wallet did not say who it is in time"))??;
    match first.and_then(|message| message.message) {
        Some(from_wallet::Message::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("a session begins with `hello`")),
    }
}

fn check_hello(hello: &Hello) -> Result<(), Status> {
    if hello.protocol != PROTOCOL {
        return Err(Status::failed_precondition(format!(
            "this wallet speaks protocol {}, the node {PROTOCOL}; install the same version on both",
            hello.protocol
        )));
    }
    let is_hex = hello.wallet_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hello.wallet_id.len() != 32 || !is_hex {
        return Err(Status::invalid_argument(format!(
            "`wallet_id` is `{}`; it has 32 hexadecimal digits",
            hello.wallet_id.escape_debug()
        )));
    }
    crate::identity::check_name("the wallet's name", &hello.name)
        .map_err(|error| Status::invalid_argument(error.to_string()))
}

/// Never given twice, also not by another node or after a restart.
fn random_number() -> Result<u64, Status> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Status::internal(format!("no random bytes: {error}")))?;
    Ok(u64::from_le_bytes(bytes))
}

/// One stream while it is served.
struct Stream {
    node: Shared,
    owner: Caller,
    session: u64,
    queue: ToStream,
    /// Asked and not yet answered.
    open: Option<Open>,
    waiting: VecDeque<Open>,
    /// Checks the answers of the last challenge.
    proving: Option<JoinHandle<Result<Accepted, Status>>>,
}

impl Stream {
    /// Until the stream ends; says why.
    async fn serve(&mut self, incoming: &mut Streaming<FromWallet>) -> String {
        let welcome = Welcome {
            session: self.session,
            node_id: self.node.settings.node_id,
            generation: super::GENERATION,
        };
        self.send(Message::Welcome(welcome));
        self.challenge_next();
        let (node, owner) = (Arc::clone(&self.node), self.owner.clone());
        let refused = node.until_refused(&owner);
        let mut refused = std::pin::pin!(refused);
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sequence = 0;
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                status = &mut refused => return status.message().to_owned(),
                message = incoming.next() => match message {
                    Some(Ok(message)) => {
                        heard_at = Instant::now();
                        if let Err(reason) = self.take(message) {
                            return reason;
                        }
                    }
                    Some(Err(status)) => return format!("the connection broke: {}", status.message()),
                    None => return "the wallet has closed the stream".to_owned(),
                },
                proven = proven(&mut self.proving), if self.proving.is_some() => {
                    self.proving = None;
                    match proven {
                        Ok(accepted) => {
                            if !self.send(Message::Accepted(accepted)) {
                                return "the wallet takes no messages".to_owned();
                            }
                        }
                        Err(status) => {
                            return format!("its keys could not be taken up: {}", status.message());
                        }
                    }
                    self.challenge_next();
                }
                _ = pings.tick() => {
                    if heard_at.elapsed() > SILENCE {
                        return format!("the wallet was silent for {} ms", SILENCE.as_millis());
                    }
                    sequence += 1;
                    if !self.send(Message::Ping(Ping { sequence })) {
                        return "the wallet takes no messages".to_owned();
                    }
                }
            }
        }
    }

    /// Whether the message was taken.
    fn send(&self, message: Message) -> bool {
        self.queue.try_send(Ok(ToWallet { message: Some(message) })).is_ok()
    }

    fn take(&mut self, message: FromWallet) -> Result<(), String> {
        match message.message {
            Some(from_wallet::Message::Answer(answer)) => {
                self.node.wallets.table.answer(self.session, answer);
            }
            Some(from_wallet::Message::Pong(_)) => {}
            Some(from_wallet::Message::Possession(possession)) => {
                let open = self.open.take().ok_or("a proof came without a challenge")?;
                // Proofs of a challenge that was asked before the wallet renewed its random bytes.
                let renewed = self.waiting.back().map(|open| open.wallet_random.clone());
                self.proving = Some(tokio::spawn(prove(
                    Arc::clone(&self.node),
                    self.owner.clone(),
                    self.session,
                    open,
                    renewed,
                    possession.proofs,
                )));
            }
            Some(from_wallet::Message::KeysChanged(changed)) => {
                let removed: Vec<String> = changed
                    .removed
                    .iter()
                    .filter_map(|text| proof::canonical(text).ok())
                    .map(|(_, canonical)| canonical)
                    .collect();
                self.node.wallets.table.remove_keys(self.session, &removed);
                if !changed.added.is_empty() {
                    if self.waiting.len() >= WAITING_MAX {
                        return Err("keys change faster than they can be proven".to_owned());
                    }
                    let open = Open::new(changed.added, changed.wallet_random.to_vec())
                        .map_err(|status| status.message().to_owned())?;
                    self.waiting.push_back(open);
                    self.challenge_next();
                }
            }
            Some(from_wallet::Message::Hello(_)) | None => {
                return Err("a message came out of place".to_owned());
            }
        }
        Ok(())
    }

    /// Asks for the next proof, one at a time.
    fn challenge_next(&mut self) {
        if self.open.is_none()
            && self.proving.is_none()
            && let Some(open) = self.waiting.pop_front()
        {
            self.send(Message::Challenge(open.message()));
            self.open = Some(open);
        }
    }
}

async fn proven(
    proving: &mut Option<JoinHandle<Result<Accepted, Status>>>,
) -> Result<Accepted, Status> {
    match proving {
        Some(task) => task
            .await
            .unwrap_or_else(|error| Err(Status::internal(format!("checking broke off: {error}")))),
        None => std::future::pending().await,
    }
}

/// Checks proofs, records the proven keys as signers of the user, and routes to them from then on.
async fn prove(
    node: Shared,
    owner: Caller,
    session: u64,
    open: Open,
    renewed: Option<Vec<u8>>,
    proofs: Vec<hesper_protos::wallet::Proof>,
) -> Result<Accepted, Status> {
    let verdict = tokio::task::spawn_blocking(move || {
        let verdict = open.check(&proofs);
        match renewed {
            Some(wallet_random) if verdict.proven.is_empty() => {
                Open { wallet_random, ..open }.check(&proofs)
            }
            _ => verdict,
        }
    })
    .await
    .map_err(|error| Status::internal(format!("checking proofs broke off: {error}")))?;
    let keys: Vec<String> = verdict.proven.values().cloned().collect();
    check_room(&node, session, keys.len())?;
    access::register_signers(&node, &owner, &keys).await?;
    node.wallets.table.add_keys(session, keys);
    for refused in &verdict.refused {
        tracing::warn!(session, key = refused.address, reason = refused.reason, "key refused");
    }
    let addresses = verdict.proven.into_keys().collect();
    Ok(Accepted { addresses, refused: verdict.refused })
}

fn check_room(node: &Node, session: u64, more: usize) -> Result<(), Status> {
    let held = node.wallets.table.key_count(session);
    if held + more > proof::KEYS_MAX {
        return Err(Status::resource_exhausted(format!(
            "{} keys on one stream are more than {}; spread them over several wallets",
            held + more,
            proof::KEYS_MAX
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            wallet_id: "0123456789abcdef0123456789abcdef".into(),
            name: "w1".into(),
            protocol: PROTOCOL,
            ..Hello::default()
        }
    }

    #[test]
    fn a_hello_of_another_protocol_or_without_a_proper_name_is_refused() {
        check_hello(&hello()).unwrap();
        for (bad, word) in [
            (Hello { protocol: 2, ..hello() }, "protocol 2"),
            (Hello { wallet_id: "xyz".into(), ..hello() }, "32 hexadecimal"),
            (Hello { name: "a b".into(), ..hello() }, "name"),
        ] {
            let status = check_hello(&bad).unwrap_err();
            assert!(status.message().contains(word), "{}", status.message());
        }
    }
}
