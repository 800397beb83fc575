//! A wallet whose keys and decisions a test makes, and the session that it keeps.

use std::sync::Arc;
use std::time::Duration;

use hesper_chain::Address;
use hesper_chain::key::{KeyType, SecretKey};
use hesper_chain::signature::Signature;
use hesper_protos::wallet::RefusalKind;
use hesper_wallet::session::{Asked, Board, Denied, Holder, Settings, run};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{oneshot, watch};
use tonic::transport::Endpoint;

pub const NOW_MS: u64 = 1_000_000;

pub struct FakeWallet {
    keys: Mutex<Vec<SecretKey>>,
    randoms: Mutex<u8>,
    version: watch::Sender<u64>,
    pub asked: Mutex<Vec<Asked>>,
    last_intent: Mutex<u64>,
    /// How many signatures are in the making; they wait while `is_held`.
    signing: Mutex<Signing>,
    changed: Condvar,
}

#[derive(Default)]
struct Signing {
    is_held: bool,
    now: usize,
    most: usize,
}

impl FakeWallet {
    pub fn new(keys: usize) -> Arc<Self> {
        let keys = (0..keys).map(|_| SecretKey::generate(KeyType::Secp256k1).unwrap()).collect();
        Arc::new(FakeWallet {
            keys: Mutex::new(keys),
            randoms: Mutex::new(0),
            version: watch::Sender::new(0),
            asked: Mutex::default(),
            last_intent: Mutex::new(0),
            signing: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    pub fn add_key(&self) -> String {
        let key = SecretKey::generate(KeyType::Secp256k1).unwrap();
        let text = text(&key.address());
        self.keys.lock().push(key);
        self.version.send_modify(|version| *version += 1);
        text
    }

    pub fn remove_key(&self, address: &str) {
        self.keys.lock().retain(|key| text(&key.address()) != address);
        self.version.send_modify(|version| *version += 1);
    }

    pub fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.usable().iter().map(text).collect();
        texts.sort();
        texts
    }

    /// Signatures wait from now on.
    pub fn hold(&self) {
        self.signing.lock().is_held = true;
    }

    pub fn release(&self) {
        self.signing.lock().is_held = false;
        self.changed.notify_all();
    }

    /// Waits until so many signatures are in the making.
    pub fn wait_signing(&self, count: usize) {
        let mut signing = self.signing.lock();
        while signing.now < count {
            let waited = self.changed.wait_for(&mut signing, Duration::from_secs(30));
            assert!(!waited.timed_out(), "{} are signed at once, not {count}", signing.now);
        }
    }

    pub fn most_at_once(&self) -> usize {
        self.signing.lock().most
    }
}

impl Holder for FakeWallet {
    fn usable(&self) -> Vec<Address> {
        self.keys.lock().iter().map(SecretKey::address).collect()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn issue_random(&self) -> [u8; 32] {
        let mut randoms = self.randoms.lock();
        *randoms += 1;
        [*randoms; 32]
    }

    fn now_ms(&self) -> u64 {
        NOW_MS
    }

    fn sign(&self, asked: &Asked) -> Result<Signature, Denied> {
        self.asked.lock().push(asked.clone());
        let mut signing = self.signing.lock();
        signing.now += 1;
        signing.most = signing.most.max(signing.now);
        self.changed.notify_all();
        while signing.is_held {
            let waited = self.changed.wait_for(&mut signing, Duration::from_secs(30));
            assert!(!waited.timed_out(), "nobody released the signatures");
        }
        signing.now -= 1;
        drop(signing);
        if let Some(order) = asked.order {
            let mut last = self.last_intent.lock();
            if order.intent < *last {
                let message = format!("intent {} is older than {last}", order.intent);
                return Err(Denied { kind: RefusalKind::Stale, message });
            }
            *last = order.intent;
        }
        let keys = self.keys.lock();
        let key = keys.iter().find(|key| key.address() == asked.signer).ok_or_else(|| Denied {
            kind: RefusalKind::NoKey,
            message: "no such key".to_owned(),
        })?;
        Ok(key.sign(&asked.to_sign))
    }
}

pub fn text(address: &Address) -> String {
    hesper_chain::address::format(address, hesper_chain::Network::Mainnet)
}

/// A session that runs until it is dropped.
pub struct Session {
    pub board: Arc<Board>,
    _stop: oneshot::Sender<()>,
}

pub fn start(wallet: &Arc<FakeWallet>, nodes: Vec<String>) -> Session {
    start_with(wallet, nodes, |_| {})
}

/// Silence is long, so that a slow machine ends no stream; tests of it make it short.
pub fn start_with(
    wallet: &Arc<FakeWallet>,
    nodes: Vec<String>,
    change: impl FnOnce(&mut Settings),
) -> Session {
    let mut settings = Settings::new("ab".repeat(16), "test".to_owned(), nodes);
    settings.silence = Duration::from_secs(20);
    settings.greeting = Duration::from_secs(20);
    settings.token = Arc::new(|| Some("good\n".to_owned()));
    change(&mut settings);
    let board = Board::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let dial =
        Arc::new(|node: &str| Ok(Endpoint::from_shared(format!("http://{node}"))?.connect_lazy()));
    let (wallet, shown) = (wallet.clone(), board.clone());
    tokio::spawn(async move {
        let stop = async move {
            let _asked_or_gone = stopped.await;
        };
        run(settings, wallet, dial, shown, stop).await;
    });
    Session { board, _stop: stop }
}
