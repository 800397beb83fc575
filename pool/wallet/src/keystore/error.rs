//! **Purpose**: what can go wrong with the keystore.

use std::{fmt, io};

use camino::Utf8PathBuf;
use hesper_chain::Address;

use super::{
    durable::DirError,
    envelope::EnvelopeError,
    venus::{VenusError, text_of},
};

/// A request to the keystore failed.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// The directory belongs to another process or cannot be made.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// A file cannot be read or written.
    #[error("could not {act} `{path}` of the keystore; check the disc and the permissions")]
    Io {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No password was set.
    #[error("the wallet has no password yet; set one with `hesper wallet set-password`")]
    NoPassword,
    /// A password is set, or keys are there that need theirs.
    #[error("the wallet has a password or keys already; use `hesper wallet change-password`")]
    HasPassword,
    /// A new password is empty.
    #[error("the new password is empty; give at least one character")]
    EmptyPassword,
    /// Wrong.
    #[error("the password is wrong; the next attempt is possible in {wait_ms} ms")]
    WrongPassword {
        /// Until the next attempt, milliseconds.
        wait_ms: u64,
    },
    /// After wrong passwords, attempts must wait.
    #[error("too many wrong passwords; try again in {wait_ms} ms")]
    TooSoon {
        /// Until the next attempt, milliseconds.
        wait_ms: u64,
    },
    /// The keystore is locked.
    #[error("the wallet is locked; unlock it with `hesper wallet unlock`")]
    Locked,
    /// No such key.
    #[error("the wallet has no key {}; `hesper wallet list` shows those it has", text_of(address))]
    NoKey {
        /// Its address.
        address: Address,
    },
    /// There already.
    #[error("the wallet has the key {} already", text_of(address))]
    Exists {
        /// Its address.
        address: Address,
    },
    /// The key's file cannot be used.
    #[error(
        "the key file `{path}` cannot be used: {reason}; restore it from a backup, or move it away"
    )]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// All keys must be readable for this.
    #[error(
        "{count} key files cannot be used (first: {first}); repair or move them away, then try again"
    )]
    Problems {
        /// How many.
        count: usize,
        /// The first, in words.
        first: String,
    },
    /// The file that checks the password is not readable.
    #[error("the password check `{path}` is damaged: {reason}; restore it from a backup")]
    Check {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        reason: String,
    },
    /// Encryption failed.
    #[error(transparent)]
    Venus(#[from] VenusError),
    /// Encryption failed.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// A key file that is there but cannot be used. The other keys are not affected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: Utf8PathBuf,
    /// Of which key, where that is known.
    pub address: Option<Address>,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path, self.reason)
    }
}
