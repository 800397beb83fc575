//! **Purpose**: who a process is, and how it proves it: certificates, roles, join tokens.
//!
//! **Invariants**
//! - A cluster has one certificate authority; every node, executor and client holds a certificate
//!   that it signed. Name, owner and role are read from the certificate, never from a request.
//! - A private key never leaves the machine that made it; only certificate requests travel.
//! - A certificate of a node answers for a node only, one of an executor for an executor only:
//!   whoever dials says which of them it expects.
//!
//! **Source**: RFC 5280 (certificates), RFC 8446 (TLS 1.3).

mod authority;
mod card;
mod peer;
mod store;
mod subject;
mod tls;
mod token;

pub use authority::{Authority, KeyRequest};
pub use card::{CARD_FORMAT, CardError, NodeCard};
pub use peer::{Peer, peer, peer_if_any};
pub use store::{FoundError, Founded, Founding, Identity, dirs, found_cluster};
pub use subject::{Role, Subject};
pub use tls::{Expect, client_tls, endpoint, server_tls};
pub use token::{JoinToken, TokenError};

pub(crate) use peer::der_of as certificate_der;
pub(crate) use subject::check_name;
pub(crate) use tls::anonymous_tls;

use crate::files::FileError;

/// Why a certificate or key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of the identity is missing or unreadable.
    #[error(
        "could not load the identity in `{directory}`; make one with `hesper node init`, or join a cluster with a token"
    )]
    Load {
        /// Where it should lie.
        directory: camino::Utf8PathBuf,
        /// What went wrong with which file.
        #[source]
        source: FileError,
    },
    /// A file of the identity could not be written.
    #[error(transparent)]
    Store(#[from] FileError),
    /// Text that should be a certificate, key or request is not.
    #[error(
        "could not read {what}: {reason}; it may be truncated or altered, make or copy it again"
    )]
    Unreadable {
        /// Which of them.
        what: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// The certificate library refused to make or sign something.
    #[error("could not make {what}: {reason}")]
    Make {
        /// What was to be made.
        what: &'static str,
        /// The library's words.
        reason: String,
    },
    /// A name, owner or role that may not stand in a certificate.
    #[error("{what} `{value}` cannot be used: {rule}")]
    BadName {
        /// Which field.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// An address that is not `host:port`.
    #[error("`{address}` is no address of the form host:port")]
    BadAddress {
        /// What was given.
        address: String,
    },
}
