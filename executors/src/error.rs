//! **Purpose**: why an agent does not start, or stops.

use std::io;
use std::net::SocketAddr;

use camino::Utf8PathBuf;
use thiserror::Error;

/// Why [`crate::run`] returned without being asked to.
#[derive(Debug, Error)]
pub enum AgentError {
    #[error("the executor's configuration has {} problem(s): {}", .problems.len(), .problems.join("; "))]
    Config { problems: Vec<String> },
    #[error(
        "could not use the data directory `{dir}`: {source}; make it writable for the executor's user"
    )]
    DataDir {
        dir: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "another executor (pid {holder}) uses the data directory `{dir}`; stop it, or give this one its own directory"
    )]
    Locked { dir: Utf8PathBuf, holder: String },
    #[error(
        "could not listen for transfers on {address}: {source}; choose another `listen` address"
    )]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("could not set up TLS for transfers on {address}: {source}; check certificate and key")]
    Tls {
        address: SocketAddr,
        #[source]
        source: tonic::transport::Error,
    },
    #[error("the node refused this executor ({code}): {message}")]
    Refused { code: String, message: String },
    #[error("could not run a supervisor for `{dir}`: {reason}; see `{dir}/supervisor.log`")]
    Supervisor { dir: Utf8PathBuf, reason: String },
    #[error(
        "could not keep reports in `{path}`: {source}; free space there and start the executor again, running work goes on"
    )]
    Outbox {
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
}
