//! **Purpose**: one stream to one node, from its greeting to its end.
//!
//! **Invariants**
//! - Whatever takes time runs beside the reading, so that pings are answered at once.
//! - Nothing is queued without bound: a node that does not read its answers loses the stream.
//! - Of what a node says, only keys that were offered to it and texts of bounded length are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hesper_chain::Address;
use hesper_protos::wallet::wallet_sessions_client::WalletSessionsClient;
use hesper_protos::wallet::{
    Accepted, FromWallet, Hello, KeysChanged, Pong, Possession, Proof, ToWallet, Welcome,
    from_wallet, to_wallet,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::Shared;
use super::ask::{Desk, busy};
use super::holder::{Asked, Holder};
use super::possession::{BadChallenge, Offers, Task};

/// Messages on their way to the node.
const QUEUE: usize = 512;
/// An object of the chain has at most a few hundred KiB.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
const PROTOCOL: u32 = 1;
/// Of a node's reason, what people are shown.
const REASON_CHARS_MAX: usize = 256;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("no channel to it: {0}")]
    Dial(String),
    #[error("the token cannot be sent: it holds characters that a header does not allow")]
    Token,
    #[error("no answer to the greeting in {0} ms")]
    NoWelcome(u128),
    #[error("its first message was no welcome")]
    NotWelcome,
    #[error("the node refused: {}", shown(.0.message()))]
    Status(#[from] Box<tonic::Status>),
    #[error("the node closed the stream")]
    Closed,
    #[error("the node said goodbye: {}", shown(.0))]
    Goodbye(String),
    #[error("nothing came for {0} ms")]
    Silence(u128),
    #[error("{0}")]
    Challenge(#[from] BadChallenge),
    #[error("the node does not read its answers")]
    Stuck,
}

/// Opens a stream and serves it to its end.
pub(super) async fn run<H: Holder>(slot: usize, node: &str, shared: &Shared<H>) -> Ended {
    match greet(slot, node, shared).await {
        Ok(mut stream) => match stream.serve().await {
            Err(ended) => ended,
            Ok(never) => match never {},
        },
        Err(ended) => ended,
    }
}

enum Never {}

struct Stream<'a, H> {
    slot: usize,
    shared: &'a Shared<H>,
    incoming: Streaming<ToWallet>,
    out: mpsc::Sender<FromWallet>,
    /// Changes of the wallet's keys.
    changes: watch::Receiver<u64>,
    offered: BTreeSet<String>,
    accepted: BTreeSet<String>,
    offers: Offers,
    desk: Desk<H>,
    /// Answers in the making.
    work: JoinSet<from_wallet::Message>,
}

async fn greet<'a, H: Holder>(
    slot: usize,
    node: &str,
    shared: &'a Shared<H>,
) -> Result<Stream<'a, H>, Ended> {
    let settings = &shared.settings;
    let channel = (shared.dial)(node).map_err(|error| Ended::Dial(error.to_string()))?;
    let mut client = WalletSessionsClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut changes = shared.holder.changes();
    changes.mark_unchanged();
    let offered = usable(shared).await;
    let own_random = shared.holder.issue_random();
    let mut offers = Offers::default();
    offers.note(own_random, &offered)?;
    let hello = Hello {
        wallet_id: settings.wallet_id.clone(),
        name: settings.name.clone(),
        protocol: PROTOCOL,
        addresses: offered.clone(),
        wallet_random: own_random.to_vec().into(),
        version: settings.version.clone(),
    };
    let (out, queue) = mpsc::channel(QUEUE);
    let first = FromWallet { message: Some(from_wallet::Message::Hello(hello)) };
    out.try_send(first).map_err(|_| Ended::Stuck)?;
    let mut request = Request::new(ReceiverStream::new(queue));
    if let Some(token) = (settings.token)() {
        let value = format!("Bearer {}", token.trim()).parse().map_err(|_| Ended::Token)?;
        request.metadata_mut().insert("authorization", value);
    }
    let greeting = async {
        let mut incoming = client.open(request).await.map_err(Box::new)?.into_inner();
        let first = incoming.message().await.map_err(Box::new)?;
        match first.ok_or(Ended::Closed)?.message {
            Some(to_wallet::Message::Welcome(welcome)) => Ok((incoming, welcome)),
            Some(to_wallet::Message::Goodbye(goodbye)) => Err(Ended::Goodbye(goodbye.reason)),
            _ => Err(Ended::NotWelcome),
        }
    };
    let (incoming, welcome): (Streaming<ToWallet>, Welcome) = timeout(settings.greeting, greeting)
        .await
        .map_err(|_| Ended::NoWelcome(settings.greeting.as_millis()))??;
    shared.board.greeted(slot, welcome.session, welcome.node_id);
    tracing::info!(node, node_id = welcome.node_id, session = welcome.session, "session opened");
    Ok(Stream {
        slot,
        shared,
        incoming,
        out,
        changes,
        offered: offered.into_iter().collect(),
        accepted: BTreeSet::new(),
        offers,
        desk: Desk {
            holder: shared.holder.clone(),
            node_id: welcome.node_id,
            turns: Arc::new(Semaphore::new(settings.in_flight_max)),
        },
        work: JoinSet::new(),
    })
}

impl<H: Holder> Stream<'_, H> {
    async fn serve(&mut self) -> Result<Never, Ended> {
        let silence = self.shared.settings.silence;
        let mut dead_at = tokio::time::Instant::now() + silence;
        loop {
            tokio::select! {
                message = self.incoming.message() => {
                    dead_at = tokio::time::Instant::now() + silence;
                    let message = message.map_err(Box::new)?.ok_or(Ended::Closed)?;
                    self.take(message)?;
                }
                Some(done) = self.work.join_next() => match done {
                    Ok(answer) => {
                        if matches!(answer, from_wallet::Message::Answer(_)) {
                            self.shared.board.answered(self.slot);
                        }
                        self.send(answer)?;
                    }
                    Err(error) => tracing::error!(%error, "a request's task failed"),
                },
                changed = self.changes.changed() => match changed {
                    Ok(()) => self.announce().await?,
                    // The wallet is gone, and with it this process's reason to hold a stream.
                    Err(_) => return Err(Ended::Closed),
                },
                () = sleep_until(dead_at) => return Err(Ended::Silence(silence.as_millis())),
            }
        }
    }

    fn take(&mut self, message: ToWallet) -> Result<(), Ended> {
        match message.message {
            // From a newer node; what it means is not known here.
            None => Ok(()),
            Some(to_wallet::Message::Welcome(_)) => Err(Ended::NotWelcome),
            Some(to_wallet::Message::Goodbye(goodbye)) => Err(Ended::Goodbye(goodbye.reason)),
            Some(to_wallet::Message::Ping(ping)) => {
                self.send(from_wallet::Message::Pong(Pong { sequence: ping.sequence }))
            }
            Some(to_wallet::Message::Challenge(challenge)) => {
                let task = self.offers.answer(&challenge.node_random, challenge.addresses)?;
                let (holder, node_id) = (self.shared.holder.clone(), self.desk.node_id);
                self.work.spawn(async move {
                    let proofs =
                        tokio::task::spawn_blocking(move || prove(&*holder, node_id, task));
                    let proofs = proofs.await.unwrap_or_else(|error| {
                        tracing::error!(%error, "the proving thread failed");
                        Vec::new()
                    });
                    from_wallet::Message::Possession(Possession { proofs })
                });
                Ok(())
            }
            Some(to_wallet::Message::Accepted(accepted)) => {
                self.note_accepted(accepted);
                Ok(())
            }
            Some(to_wallet::Message::Ask(ask)) => {
                let settings = &self.shared.settings;
                if self.work.len() >= settings.in_flight_max + settings.waiting_max {
                    let answer = busy(ask.request, settings.waiting_max);
                    return self.send(from_wallet::Message::Answer(answer));
                }
                let (desk, received_ms) = (self.desk.clone(), self.shared.holder.now_ms());
                self.work.spawn(async move {
                    from_wallet::Message::Answer(desk.serve(ask, received_ms).await)
                });
                Ok(())
            }
        }
    }

    fn note_accepted(&mut self, accepted: Accepted) {
        let is_offered = |address: &String| self.offered.contains(address);
        self.accepted.extend(accepted.addresses.into_iter().filter(is_offered));
        let refused: BTreeMap<String, String> = accepted
            .refused
            .into_iter()
            .filter(|refused| is_offered(&refused.address))
            .map(|refused| (refused.address, shown(&refused.reason)))
            .collect();
        for (address, reason) in &refused {
            tracing::warn!(address, reason, node_id = self.desk.node_id, "key not accepted");
            self.accepted.remove(address);
        }
        let accepted = self.accepted.iter().cloned().collect();
        self.shared.board.proven(self.slot, accepted, refused.into_iter().collect());
    }

    /// Tells the node which keys came and went since it was last told.
    async fn announce(&mut self) -> Result<(), Ended> {
        let now: BTreeSet<String> = usable(self.shared).await.into_iter().collect();
        let added: Vec<String> = now.difference(&self.offered).cloned().collect();
        let removed: Vec<String> = self.offered.difference(&now).cloned().collect();
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let mut change = KeysChanged { added, removed, ..KeysChanged::default() };
        if !change.added.is_empty() {
            let own_random = self.shared.holder.issue_random();
            self.offers.note(own_random, &change.added)?;
            change.wallet_random = own_random.to_vec().into();
        }
        for address in &change.removed {
            self.accepted.remove(address);
        }
        if !change.removed.is_empty() {
            let accepted = self.accepted.iter().cloned().collect();
            self.shared.board.proven(self.slot, accepted, Vec::new());
        }
        self.offered = now;
        self.send(from_wallet::Message::KeysChanged(change))
    }

    fn send(&self, message: from_wallet::Message) -> Result<(), Ended> {
        self.out.try_send(FromWallet { message: Some(message) }).map_err(|_| Ended::Stuck)
    }
}

/// The wallet's usable keys, always with the main network's prefix: nodes compare them as text.
async fn usable<H: Holder>(shared: &Shared<H>) -> Vec<String> {
    let holder = shared.holder.clone();
    let addresses = tokio::task::spawn_blocking(move || holder.usable()).await;
    let mut texts: Vec<String> = match addresses {
        Ok(addresses) => addresses.iter().map(text).collect(),
        Err(error) => {
            tracing::error!(%error, "could not list the keys");
            Vec::new()
        }
    };
    texts.sort();
    texts
}

/// A node's words in one line, cut where they are long.
fn shown(words: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    words.chars().take(REASON_CHARS_MAX).map(plain).collect()
}

fn text(address: &Address) -> String {
    hesper_chain::address::format(address, hesper_chain::Network::Mainnet)
}

fn prove<H: Holder>(holder: &H, node_id: u64, task: Task) -> Vec<Proof> {
    let proven = task.prove.into_iter().map(|address| {
        let signed = hesper_chain::address::parse(&address)
            .map_err(|error| error.to_string())
            .and_then(|signer| {
                let asked = Asked {
                    signer,
                    object_type: "verifyaddress".to_owned(),
                    to_sign: task.to_sign.to_vec(),
                    extra: task.extra.to_vec(),
                    caller: format!("node {node_id}, possession"),
                    order: None,
                };
                holder.sign(&asked).map_err(|denied| denied.message)
            });
        match signed {
            Ok(signature) => Proof {
                address,
                signature_type: u32::from(signature.kind.code()),
                signature: signature.bytes.into(),
                error: String::new(),
            },
            Err(error) => Proof { address, error, ..Proof::default() },
        }
    });
    let refused = task.refuse.into_iter().map(|address| Proof {
        address,
        error: "the wallet did not offer this key with this random".to_owned(),
        ..Proof::default()
    });
    proven.chain(refused).collect()
}
