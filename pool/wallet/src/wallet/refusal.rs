//! **Purpose**: why a wallet did not do what it was asked.
//!
//! **Invariants**: the message says what was asked, of which key, and what to do; it never holds
//! anything secret, since it goes to the caller and into the log.

use hesper_chain::{Address, Network, address};
use thiserror::Error;

use crate::keystore::KeystoreError;
use crate::object::ObjectError;
use crate::signlog::LogError;
use crate::slash::Conflict;

/// The class of a refusal, for callers that act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// No rule allows it, or a rule denies it.
    Policy,
    /// The bytes to sign are not those of the object, or the key is not the one it names.
    Mismatch,
    Locked,
    NoKey,
    /// An older generation or intent, or other bytes under a known one.
    Stale,
    /// The deadline has passed.
    Expired,
    /// A second block.
    Slash,
    /// The sign log could not be written.
    Log,
    /// A type that is not understood.
    Unsupported,
    BadObject,
    /// The caller's permission does not reach.
    Permission,
    /// The keystore failed, or its password was wrong.
    Keystore,
}

/// A request that was refused; nothing was signed or changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into() }
    }

    pub(crate) fn no_key(key: &Address, network: Network) -> Refusal {
        let key = address::format(key, network);
        Refusal::new(RefusalKind::NoKey, format!("this wallet has no key {key} for this caller"))
    }

    pub(crate) fn log(error: &LogError) -> Refusal {
        let message = format!("nothing is signed or changed without the log: {}", chain(error));
        Refusal::new(RefusalKind::Log, message)
    }
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Refusal {
        let kind = match &error {
            ObjectError::NoSuchType { .. } => RefusalKind::Unsupported,
            _ if error.is_mismatch() => RefusalKind::Mismatch,
            ObjectError::Shape { .. }
            | ObjectError::Chain { .. }
            | ObjectError::Missing { .. }
            | ObjectError::NotSane { .. }
            | ObjectError::Mismatch { .. }
            | ObjectError::NotIssued => RefusalKind::BadObject,
        };
        Refusal::new(kind, chain(&error))
    }
}

impl From<KeystoreError> for Refusal {
    fn from(error: KeystoreError) -> Refusal {
        let kind = match &error {
            KeystoreError::Locked => RefusalKind::Locked,
            KeystoreError::NoKey { .. } => RefusalKind::NoKey,
            _ => RefusalKind::Keystore,
        };
        Refusal::new(kind, chain(&error))
    }
}

impl From<Conflict> for Refusal {
    fn from(error: Conflict) -> Refusal {
        Refusal::new(RefusalKind::Slash, chain(&error))
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Transparent errors repeat the text of their cause.
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}
