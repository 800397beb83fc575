//! **Purpose**: what can go wrong between a client and a cluster, in plain words.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};

use super::{Failure, TransferError};
use crate::files::FileError;
use crate::identity::IdentityError;
use crate::output::causes;
use crate::values::format_duration;

/// Name of the metadata entry that tells kinds of refusal apart.
pub const KIND_HEADER: &str = "hesper-error";
/// Its value when a client's session has expired.
pub const SESSION_EXPIRED: &str = "session-expired";

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration names none.
    #[error("no node is named; give --nodes host:port or a client configuration with --config")]
    NoNodes,
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The token is none.
    #[error(
        "what was given as a token is none: a token is one word of letters, digits, `.`, `-` and `_`; make one with `hesper auth token create`"
    )]
    BadToken,
    /// A file that holds a token.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody answered.
    #[error("cannot reach any node of the cluster; tried {}; check the addresses and that a node runs there", tried.join("; "))]
    Unreachable {
        /// Address and cause of each.
        tried: Vec<String>,
    },
    /// Nodes answered, but none could do it in time.
    #[error("the cluster did not carry out the request within {}: {}; it may have no majority: see `hesper node status`", format_duration(*waited), tried.join("; "))]
    TimedOut {
        /// Address and cause of each.
        tried: Vec<String>,
        /// How long it was tried.
        waited: Duration,
    },
    /// TLS failed, or the certificate does not allow it at all.
    #[error(
        "certificate or token refused by or for {node}: {reason}; use the identity that this cluster issued and a token that is still good, or join it with a join token"
    )]
    CertificateRefused {
        /// Which node.
        node: String,
        /// What it or we said.
        reason: String,
    },
    /// There is no such thing.
    #[error("{message}")]
    NotFound {
        /// The node's words.
        message: String,
    },
    /// The request makes no sense.
    #[error("{message}")]
    Invalid {
        /// The node's words.
        message: String,
    },
    /// The certificate's role does not allow it.
    #[error("{message}")]
    Denied {
        /// The node's words.
        message: String,
    },
    /// It cannot be done in the present state.
    #[error("{message}")]
    Refused {
        /// The node's words.
        message: String,
    },
    /// A limit is reached.
    #[error("{message}")]
    Full {
        /// The node's words.
        message: String,
    },
    /// The cluster has forgotten this client.
    #[error(
        "the session of this client has expired, and whether the request was executed is not known; look before you repeat it ({message})"
    )]
    SessionExpired {
        /// The node's words.
        message: String,
    },
    /// A bug, or another version.
    #[error("node {node} failed: {message} ({code}); its log says more")]
    Broken {
        /// Which node.
        node: String,
        /// The status code.
        code: Code,
        /// The node's words.
        message: String,
    },
    /// A file could not be sent or fetched.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

impl Error {
    /// A word for machines, kept over versions.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::NoNodes => "no_nodes",
            Error::Identity(_) => "identity",
            Error::BadToken => "token",
            Error::File(_) => "file",
            Error::Unreachable { .. } => "unreachable",
            Error::TimedOut { .. } => "timed_out",
            Error::CertificateRefused { .. } => "certificate_refused",
            Error::NotFound { .. } => "not_found",
            Error::Invalid { .. } => "invalid",
            Error::Denied { .. } => "denied",
            Error::Refused { .. } => "refused",
            Error::Full { .. } => "full",
            Error::SessionExpired { .. } => "session_expired",
            Error::Broken { .. } => "broken",
            Error::Transfer(_) => "transfer",
        }
    }
}

/// What follows from a failed attempt.
pub(super) enum Verdict {
    /// Asking elsewhere, or again, may help.
    Again(Failure),
    /// It will not.
    Final(Error),
}

/// Judges a failure to connect.
pub(super) fn judge_connect(reason: &str, node: &str) -> Verdict {
    if speaks_of_certificates(reason) {
        return Verdict::Final(Error::CertificateRefused {
            node: node.to_owned(),
            reason: reason.to_owned(),
        });
    }
    Verdict::Again(Failure { cause: reason.to_owned(), answered: false })
}

/// Judges an answer that says no. A status with a cause was made on this side, from a broken
/// connection; one without came from the node.
pub(super) fn judge(status: Status, node: &str) -> Verdict {
    let message = status.message().to_owned();
    if let Some(source) = status.source() {
        return judge_connect(&causes(source), node);
    }
    let error = match status.code() {
        Code::Unavailable => {
            return Verdict::Again(Failure { cause: message, answered: true });
        }
        // A stream that the node reset while it was stopping.
        Code::Cancelled => {
            return Verdict::Again(Failure { cause: message, answered: false });
        }
        Code::NotFound => Error::NotFound { message },
        Code::InvalidArgument | Code::OutOfRange => Error::Invalid { message },
        Code::FailedPrecondition | Code::AlreadyExists | Code::DeadlineExceeded => {
            Error::Refused { message }
        }
        Code::ResourceExhausted => Error::Full { message },
        Code::PermissionDenied => Error::Denied { message },
        Code::Unauthenticated => {
            Error::CertificateRefused { node: node.to_owned(), reason: message }
        }
        Code::Aborted if is_session_expired(&status) => Error::SessionExpired { message },
        code => Error::Broken { node: node.to_owned(), code, message },
    };
    Verdict::Final(error)
}

fn is_session_expired(status: &Status) -> bool {
    status.metadata().get(KIND_HEADER).is_some_and(|kind| kind == SESSION_EXPIRED)
}

/// TLS errors reach us as text from several layers.
fn speaks_of_certificates(reason: &str) -> bool {
    const WORDS: [&str; 6] = [
        "certificate",
        "UnknownIssuer",
        "UnknownCA",
        "BadCertificate",
        "CertificateRequired",
        "DecryptError",
    ];
    WORDS.iter().any(|word| reason.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: Status) -> &'static str {
        match judge(status, "a:1") {
            Verdict::Again(Failure { answered: true, .. }) => "again, answered",
            Verdict::Again(_) => "again",
            Verdict::Final(error) => error.kind(),
        }
    }

    #[test]
    fn answers_are_told_apart_from_lost_connections() {
        assert_eq!(kind(Status::unavailable("no leader")), "again, answered");
        assert_eq!(kind(Status::not_found("job 7 does not exist")), "not_found");
        assert_eq!(kind(Status::resource_exhausted("queue")), "full");
        assert_eq!(kind(Status::unauthenticated("who")), "certificate_refused");
        assert_eq!(kind(Status::internal("bug")), "broken");
        let broken_pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(kind(Status::from_error(Box::new(broken_pipe))), "again");
        let alert = std::io::Error::other("received fatal alert: UnknownCA");
        assert_eq!(kind(Status::from_error(Box::new(alert))), "certificate_refused");
    }

    #[test]
    fn an_expired_session_is_known_by_its_header() {
        let mut status = Status::aborted("gone");
        assert_eq!(kind(status.clone()), "broken");
        status.metadata_mut().insert(KIND_HEADER, SESSION_EXPIRED.parse().unwrap());
        assert_eq!(kind(status), "session_expired");
    }
}
