//! **Purpose**: how a command ends badly: one message, one exit code.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::client;
use crate::config::Problems;
use crate::files::FileError;
use crate::identity::{CardError, FoundError, IdentityError, TokenError};
use crate::output::{Format, Output, causes};
use crate::values::ValueError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster, or the way to it.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Joining.
    #[error(transparent)]
    Enrol(#[from] client::EnrolError),
    /// A configuration.
    #[error(transparent)]
    Config(#[from] Problems),
    /// A value.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A join token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A node's data directory.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Founding a cluster.
    #[error(transparent)]
    Found(#[from] FoundError),
    /// A small file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Wrong usage that the grammar cannot express.
    #[error("{message}")]
    Usage {
        /// What is wrong and what to do.
        message: String,
    },
    /// There is no such thing.
    #[error("{message}")]
    NotFound {
        /// What was looked for.
        message: String,
    },
    /// The job came to a bad end.
    #[error("job {job} {state}{}; see `hesper job tasks {job}` and `hesper job logs {job}`", if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    JobEnded {
        /// Its number.
        job: u64,
        /// `failed` or `cancelled`.
        state: String,
        /// Why.
        reason: String,
    },
    /// A proof is wrong, or a file is damaged.
    #[error("{what} is not valid{}", if detail.is_empty() { String::new() } else { format!(": {detail}") })]
    NotValid {
        /// What was checked.
        what: String,
        /// Why it is not.
        detail: String,
    },
    /// A wallet of this machine said no.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
    },
    /// A node, an executor or another role ended.
    #[error("{0:#}")]
    Role(anyhow::Error),
    /// Standard output, mostly.
    #[error("could not write the result: {0}")]
    Io(#[from] std::io::Error),
}

impl Error {
    /// Wrong usage that the grammar cannot express.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Error::Usage { message: message.into() }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Client(error) => match error {
                client::Error::Unreachable { .. } | client::Error::TimedOut { .. } => 3,
                client::Error::NotFound { .. } => 4,
                client::Error::NoNodes
                | client::Error::BadToken
                | client::Error::File(_)
                | client::Error::Invalid { .. }
                | client::Error::Identity(_) => 2,
                client::Error::CertificateRefused { .. }
                | client::Error::Denied { .. }
                | client::Error::Refused { .. }
                | client::Error::Full { .. } => 5,
                client::Error::SessionExpired { .. }
                | client::Error::Broken { .. }
                | client::Error::Transfer(_) => 1,
            },
            Error::Enrol(client::EnrolError::Unreachable { .. }) => 3,
            Error::Enrol(client::EnrolError::Refused { .. }) => 5,
            Error::Enrol(client::EnrolError::OtherRole { .. })
            | Error::Config(_)
            | Error::Value(_)
            | Error::Token(_)
            | Error::Identity(_)
            | Error::Usage { .. } => 2,
            Error::NotFound { .. } => 4,
            Error::Refused { .. } => 5,
            Error::Enrol(_)
            | Error::Card(_)
            | Error::Found(_)
            | Error::File(_)
            | Error::JobEnded { .. }
            | Error::NotValid { .. }
            | Error::Role(_)
            | Error::Io(_) => 1,
        }
    }

    /// A word for machines, kept over versions.
    fn kind(&self) -> &'static str {
        match self {
            Error::Client(error) => error.kind(),
            Error::Enrol(_) => "enrol",
            Error::Config(_) => "config",
            Error::Value(_) => "value",
            Error::Token(_) => "token",
            Error::Identity(_) => "identity",
            Error::Card(_) => "data_dir",
            Error::Found(_) => "found",
            Error::File(_) => "file",
            Error::Usage { .. } => "usage",
            Error::NotFound { .. } => "not_found",
            Error::Refused { .. } => "refused",
            Error::JobEnded { .. } => "job_ended",
            Error::NotValid { .. } => "not_valid",
            Error::Role(_) => "role",
            Error::Io(_) => "io",
        }
    }

    /// Tells the user, and gives the exit code. A closed standard output (`hesper ... | head`) is
    /// the reader's wish and says nothing.
    pub(super) fn report(&self, out: Output) -> ExitCode {
        if let Error::Io(error) = self
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        let text = match (out.format, self) {
            (Format::Text, Error::Role(_)) => format!("error: {self}"),
            (Format::Text, error) => format!("error: {}", causes(error)),
            (Format::Json, error) => json(error.kind(), &causes(error), error.exit_code()),
        };
        // Nobody is left to tell.
        let _unread = writeln!(std::io::stderr().lock(), "{text}");
        ExitCode::from(self.exit_code())
    }
}

/// Reports wrong usage as the grammar found it; help and version are no errors.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args().any(|arg| arg == "--output=json")
        || std::env::args()
            .zip(std::env::args().skip(1))
            .any(|pair| pair.0 == "--output" && pair.1 == "json");
    if error.use_stderr() && wants_json {
        let text = error.to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(&text);
        // What follows the first empty line repeats the usage.
        let message = message.split("\n\n").next().unwrap_or(message);
        let _unread = writeln!(std::io::stderr().lock(), "{}", json("usage", message.trim(), 2));
    } else {
        // Nobody is left to tell.
        let _unread = error.print();
    }
    if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

fn json(kind: &str, message: &str, exit_code: u8) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a str,
        kind: &'a str,
        exit_code: u8,
    }
    let body = Body { error: message, kind, exit_code };
    serde_json::to_string(&body).unwrap_or_else(|_| format!("{{\"error\":\"{kind}\"}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_the_classes_apart() {
        let code = |error: Error| error.exit_code();
        assert_eq!(
            code(Error::JobEnded { job: 1, state: "failed".into(), reason: String::new() }),
            1
        );
        assert_eq!(code(Error::usage("x")), 2);
        assert_eq!(code(client::Error::Unreachable { tried: vec![] }.into()), 3);
        assert_eq!(
            code(client::Error::NotFound { message: "job 7 does not exist".into() }.into()),
            4
        );
        assert_eq!(code(client::Error::Denied { message: String::new() }.into()), 5);
    }

    #[test]
    fn errors_as_json_are_one_object() {
        insta::assert_snapshot!(
            json("not_found", "job \"7\" does not exist", 4),
            @r#"{"error":"job \"7\" does not exist","kind":"not_found","exit_code":4}"#
        );
    }
}
