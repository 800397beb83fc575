//! **Purpose**: the outbound session: the wallet dials the pool's nodes, proves that it holds its
//! keys, and signs what they ask, as far as the wallet allows it.
//!
//! **Invariants**
//! - Streams to as many different nodes as configured are kept (all, if there are fewer nodes); a
//!   stream that ends is replaced by one to the node that was unused for longest.
//! - A stream on which nothing came for [`Settings::silence`] is dead.
//! - The bytes that prove possession are derived here from the node's random and an own one; a
//!   challenge for which no own random is outstanding ends the stream.
//! - What is asked on a stream is answered on it or not at all: a node that lost its stream asks
//!   again, on another, under the same intent.
//!
//! **Source**: `proto/hesper/wallet.proto`.

mod ask;
mod board;
mod holder;
mod id;
mod possession;
mod stream;
mod wallet;

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::transport::Channel;

pub use board::{Board, Stage, StreamState};
pub use holder::{Asked, Denied, Fenced, Holder};
pub use id::wallet_id;

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Makes a channel to a node (`host:port`); it may connect later, on first use. Mutual TLS is the
/// caller's part.
pub type Dial = Arc<dyn Fn(&str) -> Result<Channel, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Gives the token, read anew at each dial; `None`: the certificate alone must do.
pub type TokenSource = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// How the session is kept.
#[derive(Clone)]
pub struct Settings {
    /// 32 hex digits, made at the wallet's first start.
    pub wallet_id: String,
    /// For people.
    pub name: String,
    /// Of this program.
    pub version: String,
    /// Nodes, `host:port`.
    pub nodes: Vec<String>,
    /// Streams to keep, to different nodes.
    pub streams: usize,
    /// Requests signed at once on one stream.
    pub in_flight_max: usize,
    /// Requests that wait for their turn on one stream; more are refused.
    pub waiting_max: usize,
    /// Without any message for so long, a stream is dead.
    pub silence: Duration,
    /// For connection, greeting and the node's first answer.
    pub greeting: Duration,
    pub token: TokenSource,
}

impl Settings {
    /// Two streams, silence of 1.5 s, no token.
    #[must_use]
    pub fn new(wallet_id: String, name: String, nodes: Vec<String>) -> Self {
        Settings {
            wallet_id,
            name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nodes,
            streams: 2,
            in_flight_max: 16,
            waiting_max: 256,
            silence: Duration::from_millis(1500),
            greeting: Duration::from_secs(3),
            token: Arc::new(|| None),
        }
    }
}

/// Keeps the streams until `stop` resolves. Without nodes it only waits.
pub async fn run<H: Holder>(
    settings: Settings,
    holder: Arc<H>,
    dial: Dial,
    board: Arc<Board>,
    stop: impl Future<Output = ()>,
) {
    let mut nodes: Vec<String> = settings.nodes.clone();
    nodes.sort();
    nodes.dedup();
    // Wallets with the same list shall not all begin with the same node.
    let offset = usize::try_from(random() % 1024).unwrap_or(0) % nodes.len().max(1);
    nodes.rotate_left(offset);
    let slots = settings.streams.max(1).min(nodes.len());
    let shared =
        Arc::new(Shared { settings, holder, dial, board, unused: Mutex::new(nodes.into()) });
    let mut tasks = JoinSet::new();
    for slot in 0..slots {
        tasks.spawn(keep(slot, shared.clone()));
    }
    stop.await;
    tasks.shutdown().await;
    shared.board.clear();
}

struct Shared<H> {
    settings: Settings,
    holder: Arc<H>,
    dial: Dial,
    board: Arc<Board>,
    /// Nodes without a stream, the one unused for longest first. There are never more slots than
    /// nodes, so it is not empty when a slot has given its node back.
    unused: Mutex<VecDeque<String>>,
}

/// Keeps one stream, to one node after the other.
async fn keep<H: Holder>(slot: usize, shared: Arc<Shared<H>>) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        let Some(node) = shared.unused.lock().pop_front() else {
            sleep(jittered(BACKOFF_MAX)).await;
            continue;
        };
        shared.board.begin(slot, &node);
        let begun = Instant::now();
        let reason = stream::run(slot, &node, &shared).await;
        tracing::info!(node, %reason, "no session to the node");
        shared.board.end(slot, &reason.to_string());
        shared.unused.lock().push_back(node);
        // A stream that lived shows that dialling is not hopeless.
        if begun.elapsed() > BACKOFF_MAX * 2 {
            backoff = BACKOFF_FIRST;
        }
        sleep(jittered(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Between half of `backoff` and all of it.
fn jittered(backoff: Duration) -> Duration {
    let share = u32::try_from(random() % 512).unwrap_or(0) + 512;
    backoff * share / 1024
}

/// For jitter only; without randomness the jitter is lost and nothing else.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}
