//! **Purpose**: keys on disc, encrypted, and in memory only while the wallet is unlocked.
//!
//! **Invariants**
//! - One process has a keystore; a file in it is complete or named as a problem.
//! - Locking drops every key and everything that the password became; nothing is cached beyond it.
//! - A wrong password costs as long as a right one, and ever more time from the third on.
//! - Changing the password changes all keys or none.
//!
//! All keys of a generation share one salt, so that unlocking derives once: the salt is as random
//! as a salt per key, and each key has an initialisation vector of its own. Files from Venus, which
//! have a salt each, work beside them.
//!
//! **Source**: the form of files: see `venus`.

mod backoff;
pub(crate) mod durable;
mod envelope;
mod error;
mod files;
#[cfg(test)]
mod tests;
pub mod venus;

use std::{collections::BTreeMap, time::Instant};

use camino::Utf8Path;
use hesper_chain::{Address, key::SecretKey};
use parking_lot::{Mutex, MutexGuard, RwLock};

use self::{
    backoff::Backoff,
    durable::DirLock,
    envelope::{Derived, Envelope, Kdf, password_bytes},
    files::{Files, Found},
    venus::{KeyFile, VenusError, text_of},
};
pub use self::{
    durable::DirError,
    envelope::{EnvelopeError, Scrypt},
    error::{KeystoreError, Problem},
};
use crate::protect::{self, Secret};

/// What the password check encrypts.
const CHECK_PLAIN: &[u8] = b"hesper wallet password check 1";

/// Whether a key can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// After unlocking.
    Locked,
    /// Yes.
    Ready,
    /// Not until its file is repaired; see `Keystore::problems`.
    Damaged,
}

/// The keys of one wallet.
pub struct Keystore {
    files: Files,
    scrypt: Scrypt,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Held over every act on the password or the set of keys.
    gate: Mutex<Backoff>,
    inner: RwLock<Inner>,
    _lock: DirLock,
}

struct Inner {
    found: Found,
    /// Keys that parsed, but did not decrypt at the last unlocking.
    unreadable: Vec<Problem>,
    open: Option<Open>,
}

/// What is in memory while the wallet is unlocked.
struct Open {
    kdf: Kdf,
    derived: Derived,
    // Boxed: a key stays on the page that was locked for it.
    keys: BTreeMap<Address, Box<SecretKey>>,
}

/// What a password opened.
struct Opened {
    open: Open,
    check: Envelope,
    is_new_check: bool,
    unreadable: Vec<Problem>,
}

impl Keystore {
    /// Takes the keystore in `dir`, and makes it where there is none. It starts locked. `scrypt`
    /// is used when a password is set or changed.
    ///
    /// # Errors
    /// When another process has the directory, or it cannot be read. Key files that cannot be read
    /// are no error: see `problems`.
    pub fn open(dir: &Utf8Path, scrypt: Scrypt) -> Result<Self, KeystoreError> {
        let started = Instant::now();
        let clock = move || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Self::open_with_clock(dir, scrypt, Box::new(clock))
    }

    fn open_with_clock(
        dir: &Utf8Path,
        scrypt: Scrypt,
        clock: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Result<Self, KeystoreError> {
        let lock = DirLock::take(dir)?;
        let files = Files::prepare(dir)?;
        let found = files.read()?;
        Ok(Self {
            files,
            scrypt,
            clock,
            gate: Mutex::new(Backoff::default()),
            inner: RwLock::new(Inner { found, unreadable: Vec::new(), open: None }),
            _lock: lock,
        })
    }

    /// Key files that are there but cannot be used.
    pub fn problems(&self) -> Vec<Problem> {
        let inner = self.inner.read();
        inner.found.problems.iter().chain(&inner.unreadable).cloned().collect()
    }

    /// True once a password was set, or when there are keys that have one.
    pub fn has_password(&self) -> bool {
        let inner = self.inner.read();
        inner.found.check.is_some() || !inner.found.keys.is_empty()
    }

    /// True while keys are in memory.
    pub fn is_unlocked(&self) -> bool {
        self.inner.read().open.is_some()
    }

    /// Sets the first password, and unlocks.
    ///
    /// # Errors
    /// `HasPassword` when there is one, or any key file.
    pub fn set_password(&self, password: &Secret) -> Result<(), KeystoreError> {
        let _gate = self.gate.lock();
        if password.bytes().is_empty() {
            return Err(KeystoreError::EmptyPassword);
        }
        if self.has_password() || !self.problems().is_empty() {
            return Err(KeystoreError::HasPassword);
        }
        let (open, check) = self.empty_generation(password)?;
        self.files.write_check(&check)?;
        let mut inner = self.inner.write();
        inner.found.check = Some(check);
        inner.open = Some(open);
        Ok(())
    }

    /// Reads all keys into memory.
    ///
    /// # Errors
    /// `WrongPassword`, `TooSoon`, `NoPassword`. Single keys that do not decrypt are no error.
    pub fn unlock(&self, password: &Secret) -> Result<(), KeystoreError> {
        let mut gate = self.gate.lock();
        if self.is_unlocked() {
            return self.verify(&mut gate, password);
        }
        self.unlock_gated(&mut gate, password)
    }

    fn unlock_gated(
        &self,
        gate: &mut MutexGuard<'_, Backoff>,
        password: &Secret,
    ) -> Result<(), KeystoreError> {
        let opened = self.attempt(gate, || self.open_all(password))?;
        if opened.is_new_check {
            self.files.write_check(&opened.check)?;
        }
        let mut inner = self.inner.write();
        inner.found.check = Some(opened.check);
        inner.unreadable = opened.unreadable;
        inner.open = Some(opened.open);
        Ok(())
    }

    /// Checks the password, and changes nothing.
    ///
    /// # Errors
    /// `WrongPassword`, `TooSoon`, `NoPassword`.
    pub fn verify_password(&self, password: &Secret) -> Result<(), KeystoreError> {
        let mut gate = self.gate.lock();
        self.verify(&mut gate, password)
    }

    fn verify(
        &self,
        gate: &mut MutexGuard<'_, Backoff>,
        password: &Secret,
    ) -> Result<(), KeystoreError> {
        let check = self.inner.read().found.check.clone();
        self.attempt(gate, || match check {
            Some(check) => open_check(&check, password).map(drop),
            // Files from Venus alone: the password is right when it opens one of them.
            None => self.open_all(password).map(drop),
        })
    }

    /// Runs one attempt with a password under the back-off.
    fn attempt<T>(
        &self,
        gate: &mut MutexGuard<'_, Backoff>,
        run: impl FnOnce() -> Result<T, KeystoreError>,
    ) -> Result<T, KeystoreError> {
        let wait_ms = gate.wait_ms((self.clock)());
        if wait_ms > 0 {
            return Err(KeystoreError::TooSoon { wait_ms });
        }
        match run() {
            Ok(value) => {
                gate.succeeded();
                Ok(value)
            }
            Err(KeystoreError::Envelope(EnvelopeError::Password)) => {
                let now_ms = (self.clock)();
                gate.failed(now_ms);
                Err(KeystoreError::WrongPassword { wait_ms: gate.wait_ms(now_ms) })
            }
            Err(other) => Err(other),
        }
    }

    /// Drops every key and the derived key from memory; waits for calls that use one, and for an
    /// unlocking in progress, which would else bring them back.
    pub fn lock(&self) {
        let _gate = self.gate.lock();
        let mut inner = self.inner.write();
        inner.open = None;
        inner.unreadable.clear();
    }

    /// Encrypts all keys anew. Leaves the wallet unlocked. After an error or a crash the old
    /// password is the one, unless the exchange itself had been done.
    ///
    /// # Errors
    /// As `unlock` for the old password; `Problems` while a key file cannot be used.
    pub fn change_password(&self, old: &Secret, new: &Secret) -> Result<(), KeystoreError> {
        let mut gate = self.gate.lock();
        if new.bytes().is_empty() {
            return Err(KeystoreError::EmptyPassword);
        }
        if self.is_unlocked() {
            self.verify(&mut gate, old)?;
        } else {
            self.unlock_gated(&mut gate, old)?;
        }
        let problems = self.problems();
        if let Some(first) = problems.first() {
            return Err(KeystoreError::Problems {
                count: problems.len(),
                first: first.to_string(),
            });
        }
        let (mut open, check) = self.empty_generation(new)?;
        let sealed = {
            let inner = self.inner.read();
            let current = inner.open.as_ref().ok_or(KeystoreError::Locked)?;
            current
                .keys
                .values()
                .map(|key| KeyFile::seal(key, &open.kdf, &open.derived))
                .collect::<Result<Vec<_>, _>>()?
        };
        self.files.write_next(&check, &sealed)?;
        self.files.exchange()?;
        let mut inner = self.inner.write();
        if let Some(current) = inner.open.take() {
            open.keys = current.keys;
        }
        inner.open = Some(open);
        inner.found.check = Some(check);
        inner.found.keys = sealed
            .into_iter()
            .map(|file| (file.address, (self.files.path_of(&file.address), file)))
            .collect();
        drop(inner);
        self.files.drop_previous()
    }

    /// Addresses of all keys whose file can be read, sorted, also while the wallet is locked.
    pub fn addresses(&self) -> Vec<Address> {
        self.inner.read().found.keys.keys().copied().collect()
    }

    /// True when there is such a key.
    pub fn has(&self, address: &Address) -> bool {
        self.inner.read().found.keys.contains_key(address)
    }

    /// Whether the key can be used; `None` when there is none.
    pub fn state(&self, address: &Address) -> Option<KeyState> {
        let inner = self.inner.read();
        if inner.problem_of(address).is_some() {
            return Some(KeyState::Damaged);
        }
        inner.found.keys.get(address)?;
        Some(if inner.open.is_some() { KeyState::Ready } else { KeyState::Locked })
    }

    /// Keeps a new key.
    ///
    /// # Errors
    /// `Locked`; `Exists`; `Damaged` when a file stands in its place.
    pub fn add(&self, key: SecretKey) -> Result<Address, KeystoreError> {
        let _gate = self.gate.lock();
        let address = key.address();
        let file = {
            let inner = self.inner.read();
            let open = inner.open.as_ref().ok_or(KeystoreError::Locked)?;
            if let Some(problem) = inner.problem_of(&address) {
                return Err(damaged(problem));
            }
            if inner.found.keys.contains_key(&address) {
                return Err(KeystoreError::Exists { address });
            }
            KeyFile::seal(&key, &open.kdf, &open.derived)?
        };
        let path = self.files.write_key(&file)?;
        let mut inner = self.inner.write();
        inner.found.keys.insert(address, (path, file));
        if let Some(open) = &mut inner.open {
            open.keys.insert(address, pinned(key));
        }
        Ok(address)
    }

    /// Removes a key for good.
    ///
    /// # Errors
    /// `Locked`, `NoKey`.
    pub fn remove(&self, address: &Address) -> Result<(), KeystoreError> {
        let _gate = self.gate.lock();
        let path = {
            let inner = self.inner.read();
            if inner.open.is_none() {
                return Err(KeystoreError::Locked);
            }
            let (path, _) =
                inner.found.keys.get(address).ok_or(KeystoreError::NoKey { address: *address })?;
            path.clone()
        };
        self.files.remove_key(&path)?;
        let mut inner = self.inner.write();
        inner.found.keys.remove(address);
        inner.unreadable.retain(|problem| problem.address.as_ref() != Some(address));
        if let Some(open) = &mut inner.open {
            open.keys.remove(address);
        }
        Ok(())
    }

    /// Lends a key to `use_key`. Many calls run at once; `lock` waits for them.
    ///
    /// # Errors
    /// `NoKey`, `Locked`, `Damaged`.
    pub fn with_key<T>(
        &self,
        address: &Address,
        use_key: impl FnOnce(&SecretKey) -> T,
    ) -> Result<T, KeystoreError> {
        let inner = self.inner.read();
        if let Some(problem) = inner.problem_of(address) {
            return Err(damaged(problem));
        }
        if !inner.found.keys.contains_key(address) {
            return Err(KeystoreError::NoKey { address: *address });
        }
        let open = inner.open.as_ref().ok_or(KeystoreError::Locked)?;
        let key = open.keys.get(address).ok_or(KeystoreError::NoKey { address: *address })?;
        Ok(use_key(key))
    }

    /// The key file as it is stored, which Venus's wallet can read under the same password.
    ///
    /// # Errors
    /// `NoKey`.
    pub fn venus_file(&self, address: &Address) -> Result<String, KeystoreError> {
        let inner = self.inner.read();
        let (_, file) =
            inner.found.keys.get(address).ok_or(KeystoreError::NoKey { address: *address })?;
        Ok(file.text()?)
    }

    /// What a new password derives to, without keys, and its check.
    fn empty_generation(&self, password: &Secret) -> Result<(Open, Envelope), KeystoreError> {
        let kdf = Kdf::fresh(self.scrypt)?;
        let derived = kdf.derive(&*password_bytes(password))?;
        let check = Envelope::seal(&kdf, &derived, CHECK_PLAIN)?;
        Ok((Open { kdf, derived, keys: BTreeMap::new() }, check))
    }

    /// Opens every key file with `password`, deriving once for each salt.
    fn open_all(&self, password: &Secret) -> Result<Opened, KeystoreError> {
        let inner = self.inner.read();
        let Found { keys: files, check, .. } = &inner.found;
        if check.is_none() && files.is_empty() {
            return Err(KeystoreError::NoPassword);
        }
        let secret = password_bytes(password);
        let mut known: BTreeMap<Kdf, Derived> = BTreeMap::new();
        let main = match check {
            Some(check) => {
                let (kdf, derived) = open_check(check, password)?;
                known.insert(kdf.clone(), derived);
                Some(kdf)
            }
            None => None,
        };
        let (mut keys, mut unreadable) = (BTreeMap::new(), Vec::new());
        for (address, (path, file)) in files {
            let kdf = file.envelope.kdf()?;
            if !known.contains_key(&kdf) {
                known.insert(kdf.clone(), kdf.derive(&*secret)?);
            }
            let derived = known.get(&kdf).expect("it was inserted above");
            match file.open(derived) {
                Ok(key) => {
                    keys.insert(*address, pinned(key));
                }
                Err(error) => {
                    let reason = match error {
                        VenusError::Envelope(EnvelopeError::Password) => {
                            "it has another password than the wallet, or was changed".to_owned()
                        }
                        other => other.to_string(),
                    };
                    let address = Some(*address);
                    unreadable.push(Problem { path: path.clone(), address, reason });
                }
            }
        }
        match (main, check) {
            (Some(kdf), Some(check)) => {
                let derived = known.remove(&kdf).expect("the check's derivation was inserted");
                let open = Open { kdf, derived, keys };
                Ok(Opened { open, check: check.clone(), is_new_check: false, unreadable })
            }
            _ if keys.is_empty() => Err(EnvelopeError::Password.into()),
            _ => {
                let (mut open, check) = self.empty_generation(password)?;
                open.keys = keys;
                Ok(Opened { open, check, is_new_check: true, unreadable })
            }
        }
    }
}

impl Inner {
    fn problem_of(&self, address: &Address) -> Option<&Problem> {
        let mut all = self.found.problems.iter().chain(&self.unreadable);
        all.find(|problem| problem.address.as_ref() == Some(address))
    }
}

impl std::fmt::Debug for Keystore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<String> = self.addresses().iter().map(text_of).collect();
        f.debug_struct("Keystore").field("keys", &addresses).finish_non_exhaustive()
    }
}

fn damaged(problem: &Problem) -> KeystoreError {
    KeystoreError::Damaged { path: problem.path.clone(), reason: problem.reason.clone() }
}

/// Puts a key on a page that is kept out of swap, as far as the system allows.
fn pinned(key: SecretKey) -> Box<SecretKey> {
    let key = Box::new(key);
    protect::lock_page_of(&*key);
    key
}

fn open_check(check: &Envelope, password: &Secret) -> Result<(Kdf, Derived), KeystoreError> {
    let kdf = check.kdf()?;
    let derived = kdf.derive(&*password_bytes(password))?;
    check.open(&derived)?;
    Ok((kdf, derived))
}
