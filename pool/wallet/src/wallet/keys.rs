//! **Purpose**: keys and password: who may see, make, hand out and delete which, with a record of
//! each act.
//!
//! **Invariants**
//! - A caller with a scope sees the keys of its groups and no others: a foreign key is answered
//!   like an absent one. Only callers without one make, bring in and delete keys, or hold the lock.
//! - An export is recorded before the secret is handed out, and needs a rule. A policy is recorded,
//!   by the hash of its text, before it is in force.
//!
//! **Source**: filecoin-project/lotus `chain/wallet/wallet.go` for the default address (the first
//! key, until another is set).

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;

use camino::Utf8Path;
use hesper_chain::key::{KeyType, SecretKey, lotus_export};
use hesper_chain::{Address, Network, address};
use zeroize::Zeroizing;

use crate::policy::{Facts, Policy};
use crate::protect::Secret;
use crate::signlog::{Decision, FORGET_ORDERS, Record};

use super::{Caller, Permission, Refusal, RefusalKind, Scope, Wallet, chain};

const DEFAULT_FILE: &str = "default-address";

impl Wallet {
    /// The keys that the caller sees, also while the wallet is locked.
    #[must_use]
    pub fn addresses(&self, caller: &Caller) -> Vec<Address> {
        let mut keys = self.keystore.addresses();
        keys.retain(|key| self.sees(caller, key));
        keys
    }

    #[must_use]
    pub fn has(&self, caller: &Caller, key: &Address) -> bool {
        self.sees(caller, key) && self.keystore.has(key)
    }

    fn sees(&self, caller: &Caller, key: &Address) -> bool {
        match &caller.scope {
            Scope::All => true,
            Scope::Groups(groups) => {
                let policy = self.policy();
                groups.iter().any(|group| policy.group(group).contains(key))
            }
        }
    }

    pub(super) fn may_use(
        &self,
        caller: &Caller,
        key: &Address,
        needed: Permission,
    ) -> Result<(), Refusal> {
        self.may(caller, needed)?;
        match self.has(caller, key) {
            true => Ok(()),
            false => Err(Refusal::no_key(key, self.network)),
        }
    }

    fn may(&self, caller: &Caller, needed: Permission) -> Result<(), Refusal> {
        if caller.permission >= needed {
            return Ok(());
        }
        let (has, needs) = (caller.permission.word(), needed.word());
        let message =
            format!("{} has the permission `{has}`, but `{needs}` is needed", caller.name);
        Err(Refusal::new(RefusalKind::Permission, message))
    }

    /// For what concerns the wallet as a whole.
    fn may_rule(&self, caller: &Caller) -> Result<(), Refusal> {
        self.may(caller, Permission::Admin)?;
        match caller.scope {
            Scope::All => Ok(()),
            Scope::Groups(_) => Err(Refusal::new(
                RefusalKind::Permission,
                "this token is bound to a group of keys; use one without a group",
            )),
        }
    }

    /// # Errors
    /// Without permission, while locked, or when the keystore or log cannot be written.
    pub fn new_key(&self, caller: &Caller, key_type: KeyType) -> Result<Address, Refusal> {
        self.act(caller, "new", None, |record| {
            let key = SecretKey::generate(key_type)
                .map_err(|error| Refusal::new(RefusalKind::Keystore, chain(&error)))?;
            self.add(key, record)
        })
    }

    /// # Errors
    /// As for [`Wallet::new_key`]; and a key that is there already.
    pub fn import(&self, caller: &Caller, key: SecretKey) -> Result<Address, Refusal> {
        self.act(caller, "import", None, |record| self.add(key, record))
    }

    fn add(&self, key: SecretKey, record: &mut Record) -> Result<Address, Refusal> {
        record.key = self.text(&key.address());
        let added = self.keystore.add(key)?;
        let mut default = self.default.lock();
        if default.is_none() {
            self.write_default(Some(&added))?;
            *default = Some(added);
        }
        Ok(added)
    }

    /// Lotus's hex form of a secret key.
    ///
    /// # Errors
    /// Unless a rule with `export` among its objects allows it to this key.
    pub fn export(&self, caller: &Caller, key: &Address) -> Result<Zeroizing<String>, Refusal> {
        let mut record = self.record(caller, "export");
        record.key = self.text(key);
        self.export_recorded(caller, key, &mut record)
            .map_err(|refusal| self.refused(record, refusal))
    }

    fn export_recorded(
        &self,
        caller: &Caller,
        key: &Address,
        record: &mut Record,
    ) -> Result<Zeroizing<String>, Refusal> {
        self.may_use(caller, key, Permission::Admin)?;
        let lane = self.lane(key);
        let _held = lane.lock();
        record.time_ms = self.clock.now_ms();
        let explanation = self.decide(&self.policy(), &Facts::of_export(*key), record.time_ms);
        record.rule = explanation.rule.clone();
        if !explanation.allowed {
            return Err(Refusal::new(RefusalKind::Policy, explanation.to_string()));
        }
        let secret = self.keystore.with_key(key, lotus_export)?;
        // Counted like a signature, so that a rule's limits hold for exports too.
        record.decision = Decision::Signed;
        self.log.append(record).map_err(|error| Refusal::log(&error))?;
        Ok(secret)
    }

    /// Removes a key for ever; the confirmation is its address as text.
    ///
    /// # Errors
    /// Without permission or with another confirmation; while locked.
    pub fn delete(
        &self,
        caller: &Caller,
        key: &Address,
        confirmation: &str,
    ) -> Result<(), Refusal> {
        self.act(caller, "delete", Some(key), |_| {
            if !self.keystore.has(key) {
                return Err(Refusal::no_key(key, self.network));
            }
            if address::parse_on(self.network, confirmation).ok() != Some(*key) {
                let message =
                    format!("to delete {0}, confirm with its address; {0} stays", self.text(key));
                return Err(Refusal::new(RefusalKind::Permission, message));
            }
            let lane = self.lane(key);
            let _held = lane.lock();
            self.keystore.remove(key)?;
            let mut default = self.default.lock();
            if *default == Some(*key) {
                self.write_default(None)?;
                *default = None;
            }
            Ok(())
        })
    }

    /// The default address, where the caller sees it.
    #[must_use]
    pub fn default_address(&self, caller: &Caller) -> Option<Address> {
        let found = *self.default.lock();
        found.filter(|key| self.has(caller, key))
    }

    /// # Errors
    /// Without permission, or for a key that is not there.
    pub fn set_default(&self, caller: &Caller, key: &Address) -> Result<(), Refusal> {
        self.act(caller, "set-default", Some(key), |_| {
            if !self.keystore.has(key) {
                return Err(Refusal::no_key(key, self.network));
            }
            let mut default = self.default.lock();
            self.write_default(Some(key))?;
            *default = Some(*key);
            Ok(())
        })
    }

    /// Lets the key take orders of any generation and intent again: the way out when a node that
    /// was broken into had it sign under a number that no honest one reaches.
    ///
    /// # Errors
    /// Without permission, or for a key that is not there.
    pub fn forget_orders(&self, caller: &Caller, key: &Address) -> Result<(), Refusal> {
        self.act(caller, FORGET_ORDERS, Some(key), |_| match self.keystore.has(key) {
            true => Ok(()),
            false => Err(Refusal::no_key(key, self.network)),
        })
    }

    #[must_use]
    pub fn has_password(&self) -> bool {
        self.keystore.has_password()
    }

    #[must_use]
    pub fn is_locked(&self) -> bool {
        !self.keystore.is_unlocked()
    }

    /// # Errors
    /// When there is one already.
    pub fn set_password(&self, caller: &Caller, password: &Secret) -> Result<(), Refusal> {
        self.act(caller, "set-password", None, |_| Ok(self.keystore.set_password(password)?))
    }

    /// # Errors
    /// With a wrong password, or too soon after one.
    pub fn unlock(&self, caller: &Caller, password: &Secret) -> Result<(), Refusal> {
        self.act(caller, "unlock", None, |_| Ok(self.keystore.unlock(password)?))
    }

    /// Drops the keys from memory.
    ///
    /// # Errors
    /// Without permission; a log that cannot be written does not keep a wallet from locking.
    pub fn lock(&self, caller: &Caller) -> Result<(), Refusal> {
        self.act(caller, "lock", None, |_| {
            self.keystore.lock();
            Ok(())
        })
    }

    /// # Errors
    /// With a wrong password, or too soon after one.
    pub fn verify_password(&self, caller: &Caller, password: &Secret) -> Result<(), Refusal> {
        self.act(caller, "verify-password", None, |_| {
            Ok(self.keystore.verify_password(password)?)
        })
    }

    /// # Errors
    /// With a wrong password; then all keys keep the old one.
    pub fn change_password(
        &self,
        caller: &Caller,
        old: &Secret,
        new: &Secret,
    ) -> Result<(), Refusal> {
        self.act(caller, "change-password", None, |_| {
            Ok(self.keystore.change_password(old, new)?)
        })
    }

    /// Puts another policy into force for all later requests, once the log says which.
    ///
    /// # Errors
    /// Without permission, or when it cannot be recorded; then the policy in force stays.
    pub fn set_policy(&self, caller: &Caller, policy: Policy) -> Result<(), Refusal> {
        let mut record = self.record(caller, "set-policy");
        record.shown = serde_json::json!({
            "sha256": policy.text_sha256(),
            "rules": policy.rule_count(),
            "groups": policy.groups().count(),
        });
        if let Err(refusal) = self.may_rule(caller) {
            return Err(self.refused(record, refusal));
        }
        // The last one in the log is the one in force.
        let _alone = self.policy_change.lock();
        record.decision = Decision::Done;
        self.log.append(&record).map_err(|error| Refusal::log(&error))?;
        *self.policy.write() = Arc::new(policy);
        self.changed();
        Ok(())
    }

    /// Does something that concerns the whole wallet, and records it or its refusal.
    fn act<T>(
        &self,
        caller: &Caller,
        name: &str,
        key: Option<&Address>,
        work: impl FnOnce(&mut Record) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut record = self.record(caller, name);
        record.key = key.map(|key| self.text(key)).unwrap_or_default();
        let done = match self.may_rule(caller).and_then(|()| work(&mut record)) {
            Ok(done) => done,
            Err(refusal) => return Err(self.refused(record, refusal)),
        };
        self.changed();
        record.decision = Decision::Done;
        self.log.append(&record).map_err(|error| {
            let message = format!("`{name}` was done, but not recorded: {}", chain(&error));
            Refusal::new(RefusalKind::Log, message)
        })?;
        Ok(done)
    }

    fn write_default(&self, key: Option<&Address>) -> Result<(), Refusal> {
        let text = key.map(|key| self.text(key)).unwrap_or_default();
        write_durably(&self.dir, DEFAULT_FILE, text.as_bytes()).map_err(|error| {
            let message = format!("could not write `{}/{DEFAULT_FILE}`: {error}", self.dir);
            Refusal::new(RefusalKind::Keystore, message)
        })
    }
}

/// Replaces a small file so that a crash leaves the old one or the new one.
fn write_durably(dir: &Utf8Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = dir.join(format!("{name}.new"));
    let mut file = fs::File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join(name))?;
    fs::File::open(dir)?.sync_all()
}

pub(super) fn read_default(dir: &Utf8Path, network: Network) -> Result<Option<Address>, String> {
    match fs::read_to_string(dir.join(DEFAULT_FILE)) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => match address::parse_on(network, &text) {
            Ok(found) => Ok(Some(found)),
            Err(error) => Err(chain(&error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
