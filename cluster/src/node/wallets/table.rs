//! **Purpose**: which wallet streams there are, here and on the other nodes, and which of them holds
//! a key.
//!
//! **Invariants**
//! - A key is routed to a stream only after the stream's wallet has proven that it holds the key.
//! - A stream takes messages without waiting; one whose queue is full ends.
//! - What a silent node said about its streams counts no longer than [`PEER_SILENCE`].
//! - Nothing here is state that matters: wallets dial in again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hesper_protos::wallet::{Answer, Ask, ToWallet, WalletSession, to_wallet};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;

/// Wallets that one user has on one node at once.
pub const WALLETS_MAX: usize = 16;

/// Messages that may wait for one wallet before it counts as stuck.
pub const QUEUE_MAX: usize = 256;
/// A node that was silent for so long is taken for dead, with all its streams.
const PEER_SILENCE: Duration = Duration::from_secs(2);
/// How long a stream that let a request wait is asked last.
const SUSPICION: Duration = Duration::from_secs(5);

/// What the wire of one stream takes.
pub type ToStream = mpsc::Sender<Result<ToWallet, Status>>;

/// All streams.
#[derive(Debug, Default)]
pub struct Table {
    inner: Mutex<Inner>,
    changes: watch::Sender<u64>,
    asked: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    local: BTreeMap<u64, Local>,
    /// By node id.
    remote: BTreeMap<u64, Remote>,
    /// Streams that let a request wait, and when.
    suspects: BTreeMap<u64, Instant>,
}

#[derive(Debug)]
struct Local {
    shown: WalletSession,
    keys: BTreeSet<String>,
    queue: ToStream,
    pending: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Dropped to end the stream.
    _alive: oneshot::Sender<()>,
}

#[derive(Debug)]
struct Remote {
    heard_at: Instant,
    sessions: Vec<WalletSession>,
}

/// Where a request can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub session: u64,
    /// The node on which the stream ends.
    pub node_id: u64,
    pub user: String,
    pub wallet_id: String,
    /// Name of the wallet.
    pub wallet: String,
}

/// Ends when the table wants the stream to end.
pub type Ended = oneshot::Receiver<()>;

impl Table {
    /// Whether the user may have one more wallet here: one user's must not crowd out the others'.
    pub fn has_room(&self, shown: &WalletSession) -> bool {
        let inner = self.inner.lock();
        let others = inner
            .local
            .values()
            .filter(|old| old.shown.user == shown.user && old.shown.wallet_id != shown.wallet_id);
        others.count() < WALLETS_MAX
    }

    /// Takes up a stream whose wallet has proven nothing yet. An older stream of the same wallet and
    /// user to this node ends: it is a half-open connection.
    pub fn open(&self, shown: WalletSession, queue: ToStream) -> Ended {
        let (alive, ended) = oneshot::channel();
        let mut inner = self.inner.lock();
        inner.local.retain(|_, old| {
            old.shown.wallet_id != shown.wallet_id || old.shown.user != shown.user
        });
        let local =
            Local { keys: BTreeSet::new(), queue, pending: BTreeMap::new(), _alive: alive, shown };
        inner.local.insert(local.shown.session, local);
        drop(inner);
        self.changed();
        ended
    }

    /// Ends a stream; whoever waits for an answer on it learns that at once.
    pub fn close(&self, session: u64) {
        let gone = self.inner.lock().local.remove(&session);
        if gone.is_some() {
            self.changed();
        }
    }

    /// Ends every stream of this node.
    pub fn close_all(&self) {
        self.inner.lock().local.clear();
        self.changed();
    }

    /// Keys that the wallet of a stream has proven to hold, besides those it has already.
    pub fn add_keys(&self, session: u64, keys: impl IntoIterator<Item = String>) {
        self.change_keys(session, |held| held.extend(keys));
    }

    /// Keys that the wallet of a stream holds no longer.
    pub fn remove_keys(&self, session: u64, keys: &[String]) {
        self.change_keys(session, |held| {
            for key in keys {
                held.remove(key);
            }
        });
    }

    fn change_keys(&self, session: u64, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut inner = self.inner.lock();
        let Some(local) = inner.local.get_mut(&session) else { return };
        change(&mut local.keys);
        local.shown.addresses = local.keys.iter().cloned().collect();
        drop(inner);
        self.changed();
    }

    /// Number of keys that a stream has.
    pub fn key_count(&self, session: u64) -> usize {
        self.inner.lock().local.get(&session).map_or(0, |local| local.keys.len())
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// Ticks at every change, of this node's streams and of the others'.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Streams that end on this node.
    pub fn local(&self) -> Vec<WalletSession> {
        self.inner.lock().local.values().map(|local| local.shown.clone()).collect()
    }

    /// Streams of all nodes.
    pub fn all(&self) -> Vec<WalletSession> {
        let inner = self.inner.lock();
        let local = inner.local.values().map(|local| &local.shown);
        let remote = inner.remote.values().filter(|remote| remote.is_alive());
        local.chain(remote.flat_map(|remote| &remote.sessions)).cloned().collect()
    }

    /// Takes what another node says about its streams.
    pub fn set_remote(&self, node_id: u64, sessions: Vec<WalletSession>) {
        let mut inner = self.inner.lock();
        let known = inner
            .remote
            .insert(node_id, Remote { heard_at: Instant::now(), sessions: sessions.clone() });
        let same = known.is_some_and(|known| known.sessions == sessions);
        drop(inner);
        if !same {
            self.changed();
        }
    }

    /// Forgets the streams of a node that cannot be reached or is no member.
    pub fn forget_remote(&self, node_id: u64) {
        let gone = self.inner.lock().remote.remove(&node_id);
        if gone.is_some() {
            self.changed();
        }
    }

    /// Streams whose wallets hold `key`, the best first: those of `user` before others', trusted
    /// before suspect ones, on this node before others.
    pub fn routes(&self, key: &str, user: &str) -> Vec<Route> {
        let mut inner = self.inner.lock();
        inner.suspects.retain(|_, since| since.elapsed() < SUSPICION);
        let route = |shown: &WalletSession| Route {
            session: shown.session,
            node_id: shown.node_id,
            user: shown.user.clone(),
            wallet_id: shown.wallet_id.clone(),
            wallet: shown.name.clone(),
        };
        let local = inner
            .local
            .values()
            .filter(|local| local.keys.contains(key) && !local.queue.is_closed())
            .map(|local| (0_u8, route(&local.shown)));
        let remote = inner
            .remote
            .values()
            .filter(|remote| remote.is_alive())
            .flat_map(|remote| &remote.sessions)
            .filter(|shown| shown.addresses.iter().any(|held| held == key))
            .map(|shown| (1_u8, route(shown)));
        let mut found: Vec<(bool, bool, u8, Route)> = local
            .chain(remote)
            .map(|(far, route)| {
                let is_suspect = inner.suspects.contains_key(&route.session);
                (route.user != user, is_suspect, far, route)
            })
            .collect();
        found.sort_by_key(|(foreign, suspect, far, route)| {
            (*foreign, *suspect, *far, route.session)
        });
        found.into_iter().map(|(_, _, _, route)| route).collect()
    }

    /// Notes that a stream let a request wait: others are asked before it for a while.
    pub fn suspect(&self, session: u64) {
        self.inner.lock().suspects.insert(session, Instant::now());
    }

    /// Sends a request to a stream of this node. The answer's sender goes with the stream.
    pub fn ask(&self, session: u64, mut ask: Ask) -> Option<oneshot::Receiver<Answer>> {
        let (sender, receiver) = oneshot::channel();
        ask.request = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let request = ask.request;
        let mut inner = self.inner.lock();
        let local = inner.local.get_mut(&session)?;
        local.pending.retain(|_, waiting| !waiting.is_closed());
        let message = ToWallet { message: Some(to_wallet::Message::Ask(ask)) };
        if local.queue.try_send(Ok(message)).is_err() {
            tracing::warn!(session, "wallet stream is full or closed, dropping it");
            inner.local.remove(&session);
            drop(inner);
            self.changed();
            return None;
        }
        local.pending.insert(request, sender);
        Some(receiver)
    }

    /// Hands an answer to whoever waits for it.
    pub fn answer(&self, session: u64, answer: Answer) {
        let mut inner = self.inner.lock();
        inner.suspects.remove(&session);
        let local = inner.local.get_mut(&session);
        let waiting = local.and_then(|local| local.pending.remove(&answer.request));
        drop(inner);
        if let Some(waiting) = waiting {
            // Whoever asked may have got the same bytes from another stream.
            let _ = waiting.send(answer);
        }
    }
}

impl Remote {
    fn is_alive(&self) -> bool {
        self.heard_at.elapsed() < PEER_SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(session: u64, wallet: &str, user: &str, node_id: u64) -> WalletSession {
        WalletSession {
            wallet_id: wallet.to_owned(),
            name: wallet.to_owned(),
            user: user.to_owned(),
            node_id,
            session,
            addresses: Vec::new(),
            connected_at_ms: 0,
        }
    }

    fn remote(session: u64, user: &str, node_id: u64, key: &str) -> WalletSession {
        WalletSession { addresses: vec![key.to_owned()], ..shown(session, "far", user, node_id) }
    }

    fn sessions(routes: &[Route]) -> Vec<u64> {
        routes.iter().map(|route| route.session).collect()
    }

    type Wire = mpsc::Receiver<Result<ToWallet, Status>>;

    fn open(table: &Table, session: u64, wallet: &str, user: &str, key: &str) -> (Ended, Wire) {
        let (queue, wire) = mpsc::channel(2);
        let ended = table.open(shown(session, wallet, user, 1), queue);
        table.add_keys(session, [key.to_owned()]);
        (ended, wire)
    }

    #[test]
    fn own_near_and_prompt_streams_are_asked_first() {
        let table = Table::default();
        let _a = open(&table, 5, "a", "acme", "k");
        let _b = open(&table, 4, "b", "other", "k");
        let _c = open(&table, 3, "c", "acme", "k");
        table.set_remote(2, vec![remote(1, "acme", 2, "k"), remote(2, "acme", 2, "x")]);
        assert_eq!(sessions(&table.routes("k", "acme")), [3, 5, 1, 4]);
        table.suspect(3);
        assert_eq!(sessions(&table.routes("k", "acme")), [5, 1, 3, 4]);
        assert_eq!(sessions(&table.routes("y", "acme")), [0_u64; 0]);
    }

    #[test]
    fn a_key_is_routed_only_once_proven_and_until_it_is_removed() {
        let table = Table::default();
        let (queue, _wire) = mpsc::channel(1);
        let _ended = table.open(shown(1, "a", "acme", 1), queue);
        assert!(table.routes("k", "acme").is_empty());
        table.add_keys(1, ["k".to_owned()]);
        assert_eq!(sessions(&table.routes("k", "acme")), [1]);
        assert_eq!(table.local()[0].addresses, ["k"]);
        table.remove_keys(1, &["k".to_owned()]);
        assert!(table.routes("k", "acme").is_empty());
    }

    #[tokio::test]
    async fn an_answer_reaches_the_one_that_asked() {
        let table = Table::default();
        let (_ended, mut wire) = open(&table, 1, "a", "acme", "k");
        let (one, two) =
            (table.ask(1, Ask::default()).unwrap(), table.ask(1, Ask::default()).unwrap());
        let mut requests = Vec::new();
        for _ in 0..2 {
            match wire.recv().await.unwrap().unwrap().message {
                Some(to_wallet::Message::Ask(ask)) => requests.push(ask.request),
                other => panic!("{other:?}"),
            }
        }
        assert_ne!(requests[0], requests[1]);
        table.answer(1, Answer { request: requests[1], outcome: None });
        table.answer(1, Answer { request: 99, outcome: None });
        assert_eq!(two.await.unwrap().request, requests[1]);
        table.close(1);
        one.await.expect_err("the stream is gone, so is its answer");
    }

    #[tokio::test]
    async fn a_stuck_stream_ends_instead_of_making_others_wait() {
        let table = Table::default();
        let (ended, _wire) = open(&table, 1, "a", "acme", "k");
        let first = table.ask(1, Ask::default()).unwrap();
        let _second = table.ask(1, Ask::default()).unwrap();
        assert!(table.ask(1, Ask::default()).is_none());
        ended.await.expect_err("the stream is told to end");
        first.await.expect_err("nobody will answer");
        assert!(table.local().is_empty());
    }

    #[tokio::test]
    async fn a_second_stream_of_the_same_wallet_replaces_the_first() {
        let table = Table::default();
        let (ended, _wire) = open(&table, 1, "a", "acme", "k");
        let _other_user = open(&table, 2, "a", "other", "k");
        let _again = open(&table, 3, "a", "acme", "k");
        ended.await.expect_err("the older stream is told to end");
        assert_eq!(sessions(&table.routes("k", "acme")), [3, 2]);
    }

    #[test]
    fn streams_of_a_forgotten_node_are_gone_and_changes_are_told() {
        let table = Table::default();
        let mut changes = table.changes();
        table.set_remote(2, vec![remote(1, "acme", 2, "k")]);
        assert!(changes.has_changed().unwrap());
        changes.borrow_and_update();
        table.set_remote(2, vec![remote(1, "acme", 2, "k")]);
        assert!(!changes.has_changed().unwrap(), "the same table is no change");
        assert_eq!(table.all().len(), 1);
        table.forget_remote(2);
        assert!(changes.has_changed().unwrap());
        assert!(table.all().is_empty() && table.routes("k", "acme").is_empty());
    }
}
