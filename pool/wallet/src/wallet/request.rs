//! **Purpose**: what a wallet is given: settings, callers, orders and requests.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::Utf8PathBuf;
use hesper_chain::{Address, Network};

use crate::keystore::Scrypt;
use crate::object::ObjectType;
use crate::policy::Policy;

/// Chain id of mainnet in Ethereum transactions.
const MAINNET_CHAIN_ID: u64 = 314;

/// Unix time for deadlines, limits and the log; tests turn it by hand.
pub trait Clock: Send + Sync {
    fn now_ms(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Shows a call's parameters, by actor kind (manifest name) and method number; it only adds to
/// what is shown and decides nothing.
pub type DecodeParams = fn(kind: &str, method: u64, params: &[u8]) -> Option<serde_json::Value>;

/// How a wallet is opened.
pub struct Settings {
    pub dir: Utf8PathBuf,
    pub scrypt: Scrypt,
    pub network: Network,
    /// Chain id in the transactions of f4 senders: 314 mainnet, 314159 calibration.
    pub eth_chain_id: u64,
    pub policy: Policy,
    pub clock: Arc<dyn Clock>,
    pub decode: Option<DecodeParams>,
}

impl Settings {
    /// Mainnet, Venus's scrypt parameters, no rules, the machine's clock.
    #[must_use]
    pub fn new(dir: impl Into<Utf8PathBuf>) -> Settings {
        Settings {
            dir: dir.into(),
            scrypt: Scrypt::default(),
            network: Network::Mainnet,
            eth_chain_id: MAINNET_CHAIN_ID,
            policy: Policy::empty(),
            clock: Arc::new(SystemClock),
            decode: None,
        }
    }
}

/// Lotus's permissions; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    Read,
    Write,
    Sign,
    Admin,
}

impl Permission {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Permission::Read => "read",
            Permission::Write => "write",
            Permission::Sign => "sign",
            Permission::Admin => "admin",
        }
    }
}

/// Which keys a caller sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    /// The keys of these groups of the policy.
    Groups(Vec<String>),
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For the log.
    pub name: String,
    pub permission: Permission,
    pub scope: Scope,
}

impl Caller {
    /// The operator on the machine itself.
    #[must_use]
    pub fn local() -> Caller {
        Caller { name: "local".to_owned(), permission: Permission::Admin, scope: Scope::All }
    }
}

/// The applied intent behind a request of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Of the cluster.
    pub generation: u64,
    /// Log index of the intent.
    pub intent: u64,
    /// Unix milliseconds on the wallet's clock.
    pub deadline_ms: u64,
}

/// A signature that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignRequest {
    pub signer: Address,
    pub object_type: ObjectType,
    pub to_sign: Vec<u8>,
    pub extra: Vec<u8>,
    pub caller: Caller,
    pub order: Option<Order>,
}
