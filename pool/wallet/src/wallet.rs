//! **Purpose**: the wallet: parse, compare, fence, judge, reserve, sign, record, and only then
//! release.
//!
//! **Invariants**
//! - A signature leaves `sign` only after its record is durable in the sign log; a block's also
//!   only after its reservation is durable.
//! - What is signed was derived by `object::parse`; nothing of the caller's reaches a key.
//! - Per key, orders are signed in rising (generation, intent); a repeated order gets the same
//!   signature for the same bytes and a refusal for others. The key's lane is held from the check
//!   to the durable record, so limits cannot be overrun by requests at the same time.
//! - Different keys do not wait for each other, but share the fsyncs of the log.
//!
//! **Source**: DESIGN sections 4 (6 to 8) and 9.

mod keys;
mod refusal;
mod request;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_chain::signature::Signature;
use hesper_chain::{Address, Network, address};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::watch;

use crate::keystore::{Keystore, KeystoreError};
use crate::object::{self, ObjectType, Parsed};
use crate::policy::{Explanation, Facts, Policy, Usage};
use crate::signlog::{Decision, Fence, LogError, Record, SignLog};
use crate::slash::{BlockTable, TableError};

pub(crate) use refusal::chain;
pub use refusal::{Refusal, RefusalKind};
pub use request::{
    Caller, Clock, DecodeParams, Order, Permission, Scope, Settings, SignRequest, SystemClock,
};

/// Random values for possession proofs that are remembered; a session asks for one at a time.
const ISSUED_MAX: usize = 256;

/// Decoded parameters are shown up to this; a record must fit into the log whatever they hold.
const DECODED_BYTES_MAX: usize = 256 << 10;

/// Why a wallet could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("could not open the keystore of the wallet `{dir}`")]
    Keystore { dir: Utf8PathBuf, source: KeystoreError },
    #[error("could not open the sign log of the wallet `{dir}`")]
    Log { dir: Utf8PathBuf, source: LogError },
    #[error("could not open the block table of the wallet `{dir}`")]
    Blocks { dir: Utf8PathBuf, source: TableError },
    #[error(
        "could not read the default address of the wallet `{dir}`: {reason}; \
             correct or remove that file"
    )]
    Default { dir: Utf8PathBuf, reason: String },
}

/// Keys, and what they may sign.
pub struct Wallet {
    dir: Utf8PathBuf,
    network: Network,
    eth_chain_id: u64,
    clock: Arc<dyn Clock>,
    decode: Option<DecodeParams>,
    keystore: Keystore,
    log: SignLog,
    blocks: BlockTable,
    policy: RwLock<Arc<Policy>>,
    /// One change of the policy at a time.
    policy_change: Mutex<()>,
    /// One lane per key; its lock orders the requests of the key.
    lanes: Mutex<BTreeMap<Address, Arc<Mutex<()>>>>,
    issued: Mutex<VecDeque<[u8; 32]>>,
    changes: watch::Sender<u64>,
    default: Mutex<Option<Address>>,
}

impl Wallet {
    /// Opens or makes a wallet in a directory; it starts locked.
    ///
    /// # Errors
    /// Another wallet on the directory, or damaged files.
    pub fn open(settings: Settings) -> Result<Wallet, OpenError> {
        let Settings { dir, scrypt, network, eth_chain_id, policy, clock, decode } = settings;
        let keystore = Keystore::open(&dir, scrypt)
            .map_err(|source| OpenError::Keystore { dir: dir.clone(), source })?;
        let log = SignLog::open(&dir.join("log"))
            .map_err(|source| OpenError::Log { dir: dir.clone(), source })?;
        let blocks = BlockTable::open(&dir.join("blocks"))
            .map_err(|source| OpenError::Blocks { dir: dir.clone(), source })?;
        let default = keys::read_default(&dir, network)
            .map_err(|reason| OpenError::Default { dir: dir.clone(), reason })?;
        Ok(Wallet {
            dir,
            network,
            eth_chain_id,
            clock,
            decode,
            keystore,
            log,
            blocks,
            policy: RwLock::new(Arc::new(policy)),
            policy_change: Mutex::new(()),
            lanes: Mutex::default(),
            issued: Mutex::default(),
            changes: watch::Sender::new(0),
            default: Mutex::new(default),
        })
    }

    #[must_use]
    pub fn dir(&self) -> &Utf8Path {
        &self.dir
    }

    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    #[must_use]
    pub fn log(&self) -> &SignLog {
        &self.log
    }

    #[must_use]
    pub fn keystore(&self) -> &Keystore {
        &self.keystore
    }

    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read())
    }

    /// Rises whenever the keys that can sign may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }

    /// A fresh random value, for one challenge; only such values are accepted in possession proofs.
    ///
    /// # Panics
    /// If the operating system has no randomness, without which no wallet may go on.
    #[must_use]
    pub fn issue_random(&self) -> [u8; 32] {
        let mut random = [0; 32];
        getrandom::fill(&mut random).expect("the operating system gives randomness");
        let mut issued = self.issued.lock();
        if issued.len() == ISSUED_MAX {
            issued.pop_front();
        }
        issued.push_back(random);
        random
    }

    /// Signs what the wallet understood, if order, policy and block table allow it.
    ///
    /// Blocks until the record is durable.
    ///
    /// # Errors
    /// A refusal, which is in the log as well.
    pub fn sign(&self, request: &SignRequest) -> Result<Signature, Refusal> {
        let mut record = self.record(&request.caller, request.object_type.word());
        record.key = self.text(&request.signer);
        record.fence = request.order.map(fence_of);
        self.sign_recorded(request, &mut record).map_err(|refusal| self.refused(record, refusal))
    }

    fn sign_recorded(
        &self,
        request: &SignRequest,
        record: &mut Record,
    ) -> Result<Signature, Refusal> {
        self.may_use(&request.caller, &request.signer, Permission::Sign)?;
        if request.object_type == ObjectType::VerifyAddress && request.order.is_some() {
            // It needs no rule, so that it must not move the fence either.
            let message = "a possession proof has no intent behind it; send it without one";
            return Err(Refusal::new(RefusalKind::BadObject, message));
        }
        let parsed = self.parse(request)?;
        record.digest = hex::encode(Sha256::digest(&parsed.signing_bytes));
        record.to = parsed.to.map(|to| self.text(&to));
        let policy = self.policy();
        let facts = Facts::of_object(&policy, request.signer, &parsed);
        record.method = facts.method();
        record.value = Some(atto(&facts.value));
        record.shown = self.shown(&parsed, &facts);

        let lane = self.lane(&request.signer);
        let _held = lane.lock();
        // The time is taken with the lane: waiting for it may have used up the deadline.
        record.time_ms = self.clock.now_ms();
        let is_repeat = self.check_order(request, record)?;
        if !is_repeat {
            let explanation = self.decide_for(request, &policy, &facts, record.time_ms);
            record.rule = explanation.rule.clone();
            if !explanation.allowed {
                return Err(Refusal::new(RefusalKind::Policy, explanation.to_string()));
            }
        }
        // Before the reservation, which would otherwise keep another header of the epoch out.
        if self.is_locked() {
            return Err(KeystoreError::Locked.into());
        }
        if let Some(block) = &parsed.block {
            self.blocks.reserve(&block.miner, block.epoch, &block.parents, &block.header)?;
        }
        let signature =
            self.keystore.with_key(&request.signer, |key| key.sign(&parsed.signing_bytes))?;
        record.signature_hash = Some(hex::encode(Sha256::digest(signature.to_bytes())));
        // A repeat gave nothing away that was not counted before.
        record.decision = if is_repeat { Decision::Done } else { Decision::Signed };
        self.log.append(record).map_err(|error| Refusal::log(&error))?;
        Ok(signature)
    }

    /// What `sign` would decide by policy; nothing is signed, reserved or recorded.
    #[must_use]
    pub fn explain(&self, request: &SignRequest) -> Explanation {
        let parsed = self
            .may_use(&request.caller, &request.signer, Permission::Sign)
            .and_then(|()| self.parse(request));
        match parsed {
            Ok(parsed) => {
                let policy = self.policy();
                let facts = Facts::of_object(&policy, request.signer, &parsed);
                self.decide_for(request, &policy, &facts, self.clock.now_ms())
            }
            Err(refusal) => {
                Explanation { allowed: false, rule: None, reasons: vec![refusal.message] }
            }
        }
    }

    fn parse(&self, request: &SignRequest) -> Result<Parsed, Refusal> {
        let issued: Vec<[u8; 32]> = match request.object_type {
            ObjectType::VerifyAddress => self.issued.lock().iter().copied().collect(),
            _ => Vec::new(),
        };
        let context = object::Context {
            network: self.network,
            eth_chain_id: self.eth_chain_id,
            issued: &issued,
        };
        let parsed =
            object::parse(request.object_type, &request.to_sign, &request.extra, &context)?;
        match parsed.signer {
            Some(named) if named != request.signer => {
                let message = format!(
                    "the {} is {}'s to sign, not {}'s; nothing was signed",
                    request.object_type.word(),
                    self.text(&named),
                    self.text(&request.signer)
                );
                Err(Refusal::new(RefusalKind::Mismatch, message))
            }
            _ => Ok(parsed),
        }
    }

    /// Whether the order was signed already, for these same bytes.
    fn check_order(&self, request: &SignRequest, record: &Record) -> Result<bool, Refusal> {
        let Some(order) = request.order else { return Ok(false) };
        if record.time_ms > order.deadline_ms {
            let late = record.time_ms - order.deadline_ms;
            let message = format!("the deadline of intent {} passed {late} ms ago", order.intent);
            return Err(Refusal::new(RefusalKind::Expired, message));
        }
        let fence = fence_of(order);
        let Some(mark) = self.log.fence(&record.key) else { return Ok(false) };
        let (asked, known) = (show_fence(fence), show_fence(mark.fence));
        if fence < mark.fence {
            let message = format!(
                "{asked} is older than {known}, for which {} signed; ask under a new intent",
                record.key
            );
            return Err(Refusal::new(RefusalKind::Stale, message));
        }
        if fence == mark.fence && record.digest != mark.digest {
            let message = format!("{} signed other bytes for {asked} already", record.key);
            return Err(Refusal::new(RefusalKind::Stale, message));
        }
        Ok(fence == mark.fence)
    }

    /// As policy says; but the epochs of a miner are reserved for the whole wallet, so that a tenant
    /// who may sign for any miner could use up those of another.
    fn decide_for(
        &self,
        request: &SignRequest,
        policy: &Policy,
        facts: &Facts,
        now_ms: u64,
    ) -> Explanation {
        let explanation = self.decide(policy, facts, now_ms);
        let names_miner = |rule: &String| policy.names_destinations(rule);
        if !explanation.allowed
            || request.object_type != ObjectType::Block
            || request.caller.scope == Scope::All
            || explanation.rule.as_ref().is_some_and(names_miner)
        {
            return explanation;
        }
        let reason =
            "the token of a group signs blocks only under a rule that names the miner in `to`";
        Explanation { allowed: false, rule: None, reasons: vec![reason.to_owned()] }
    }

    fn decide(&self, policy: &Policy, facts: &Facts, now_ms: u64) -> Explanation {
        // A possession proof gives nothing away, and without it no pool routes to the key.
        if facts.subject == crate::policy::Subject::Object(ObjectType::VerifyAddress) {
            let reasons = vec!["possession proofs need no rule".to_owned()];
            return Explanation { allowed: true, rule: None, reasons };
        }
        let key = self.text(&facts.key);
        policy.decide(facts, self.network, &|rule, window_ms| {
            let usage = self.log.usage(&key, Some(rule), now_ms, window_ms);
            Usage { signed: usage.signed, value_today: usage.value_today }
        })
    }

    /// What was parsed, with the methods' names and, where they can be read, the parameters.
    fn shown(&self, parsed: &Parsed, facts: &Facts) -> serde_json::Value {
        let mut shown = parsed.shown.clone();
        if let (Some(fields), Some(call), Some(judged)) =
            (shown.as_object_mut(), &parsed.call, facts.calls.first())
        {
            fields.insert("MethodName".to_owned(), facts.method().into());
            let decoded = judged
                .kind
                .zip(self.decode)
                .and_then(|(kind, decode)| decode(kind.name(), call.method, &call.params));
            let fits = |decoded: &serde_json::Value| decoded.to_string().len() <= DECODED_BYTES_MAX;
            if let Some(decoded) = decoded.filter(fits) {
                fields.insert("DecodedParams".to_owned(), decoded);
            }
        }
        shown
    }

    fn lane(&self, key: &Address) -> Arc<Mutex<()>> {
        Arc::clone(self.lanes.lock().entry(*key).or_default())
    }

    fn text(&self, address: &Address) -> String {
        address::format(address, self.network)
    }

    fn record(&self, caller: &Caller, object: &str) -> Record {
        Record {
            time_ms: self.clock.now_ms(),
            caller: caller.name.clone(),
            object: object.to_owned(),
            ..Record::default()
        }
    }

    /// Records a refusal. When that fails too, the caller reads both.
    fn refused(&self, mut record: Record, refusal: Refusal) -> Refusal {
        record.decision = Decision::Refused { reason: refusal.message.clone() };
        record.signature_hash = None;
        match self.log.append(&record) {
            Ok(_) => refusal,
            Err(_) if refusal.kind == RefusalKind::Log => refusal,
            Err(error) => {
                let message = format!(
                    "{} (and it could not be recorded: {})",
                    refusal.message,
                    chain(&error)
                );
                Refusal::new(refusal.kind, message)
            }
        }
    }
}

fn fence_of(order: Order) -> Fence {
    Fence { generation: order.generation, intent: order.intent }
}

fn show_fence(fence: Fence) -> String {
    format!("intent {} of generation {}", fence.intent, fence.generation)
}

/// An amount for the counters; what no real amount reaches counts as the most.
fn atto(amount: &hesper_chain::TokenAmount) -> u128 {
    u128::try_from(amount.atto()).unwrap_or(u128::MAX)
}
