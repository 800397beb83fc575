//! **Purpose**: what an executor is told at its start.
//!
//! **Invariants**: [`Config::problems`] finds every problem at once and touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;

use camino::Utf8PathBuf;
use tonic::transport::{Channel, Endpoint};

use crate::output::is_plain_name;

/// Everything that [`crate::run`] needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unique in the cluster; equals the certificate's subject.
    pub name: String,
    /// Reports, supervisor, attempts of commands, and blobs when no store path is given.
    pub data_dir: Utf8PathBuf,
    /// Pool nodes, `host:port`, tried in turn.
    pub nodes: Vec<String>,
    /// Where the transfer service listens; port 0 picks one.
    pub listen: SocketAddr,
    /// `host:port` under which others reach it; empty: the bound address.
    pub transfer_address: String,
    pub resources: ResourceLimits,
    pub paths: Vec<PathConfig>,
    /// Program and arguments of a stage child; the path of its order is appended.
    pub kernel_command: Vec<OsString>,
    /// Program and arguments that end in [`crate::supervisor::run`]; the data directory is appended.
    pub supervisor_command: Vec<OsString>,
    /// Variables of stage children.
    pub env: Vec<(String, String)>,
    /// On top of the detected ones.
    pub capabilities: Vec<String>,
    /// Proof type -> digest of its verifying key.
    pub verifying_key_digests: BTreeMap<String, String>,
    pub runner: Runner,
    /// Bound of what this executor sends to others; none: as fast as it goes.
    pub transfer_bytes_per_second: Option<u64>,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// It runs as a process under the supervisor.
    Process,
    /// It ends well at once and nothing runs: measures everything but the processes.
    NoOp,
}

/// What the executor offers; what is not set is detected.
#[derive(Clone, Debug, Default)]
pub struct ResourceLimits {
    pub cores: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub gpus: Option<Vec<GpuLimit>>,
    pub named: BTreeMap<String, u64>,
}

/// One GPU on offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuLimit {
    pub device: u32,
    pub model: String,
    pub memory_bytes: u64,
}

/// What a storage path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathRole {
    /// Scratch space of sealing.
    Seal,
    /// Sealed sectors.
    Store,
}

impl PathRole {
    pub(crate) fn name(self) -> &'static str {
        match self {
            PathRole::Seal => "seal",
            PathRole::Store => "store",
        }
    }
}

/// One storage path.
#[derive(Clone, Debug)]
pub struct PathConfig {
    pub id: String,
    pub role: PathRole,
    pub dir: Utf8PathBuf,
    /// Never filled beyond this many bytes left free on the filesystem.
    pub reserve_bytes: u64,
    /// Bound of what Hesper keeps there; none: the filesystem.
    pub capacity_bytes: Option<u64>,
}

impl Config {
    /// A configuration with everything else detected, listening on a free loopback port.
    #[must_use]
    pub fn new(name: impl Into<String>, data_dir: impl Into<Utf8PathBuf>) -> Config {
        Config {
            name: name.into(),
            data_dir: data_dir.into(),
            nodes: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            transfer_address: String::new(),
            resources: ResourceLimits::default(),
            paths: Vec::new(),
            kernel_command: Vec::new(),
            supervisor_command: Vec::new(),
            env: Vec::new(),
            capabilities: Vec::new(),
            verifying_key_digests: BTreeMap::new(),
            runner: Runner::Process,
            transfer_bytes_per_second: None,
        }
    }

    /// Every problem, in words that say what to do; empty when there is none.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !is_plain_name(&self.name) || self.name.len() > 64 {
            problems.push(format!("name `{}` must be 1 to 64 characters without `/`", self.name));
        }
        if !self.data_dir.is_absolute() {
            problems.push(format!("data_dir `{}` must be an absolute path", self.data_dir));
        }
        if self.nodes.is_empty() {
            problems.push("nodes is empty: name at least one pool node as host:port".to_owned());
        }
        for node in &self.nodes {
            if !is_host_and_port(node) {
                problems.push(format!("node `{node}` must be host:port"));
            }
        }
        if !self.transfer_address.is_empty() && !is_host_and_port(&self.transfer_address) {
            problems
                .push(format!("transfer_address `{}` must be host:port", self.transfer_address));
        }
        if self.resources.cores == Some(0) {
            problems.push("cores is 0: an executor without cores runs nothing".to_owned());
        }
        if self.runner == Runner::Process && self.supervisor_command.is_empty() {
            problems.push("supervisor_command is empty".to_owned());
        }
        let mut ids = BTreeSet::new();
        let mut dirs = BTreeSet::new();
        for path in &self.paths {
            if !is_plain_name(&path.id) || !ids.insert(&path.id) {
                problems.push(format!(
                    "path id `{}` must be a plain name that no other path has",
                    path.id
                ));
            }
            if !path.dir.is_absolute() || !dirs.insert(&path.dir) {
                problems.push(format!(
                    "path `{}`: `{}` must be absolute and named once",
                    path.id, path.dir
                ));
            }
        }
        if !self.paths.is_empty() && self.kernel_command.is_empty() {
            problems.push("kernel_command is empty, but storage paths are given".to_owned());
        }
        problems
    }
}

pub(crate) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// How connections to nodes and to other executors are made.
pub trait Connect: Send + Sync {
    /// A channel to `address` (`host:port`); it may connect later, on first use.
    ///
    /// # Errors
    /// When the address or the credentials cannot be used.
    fn connect(&self, address: &str) -> Result<Channel, ConnectError>;
}

/// Why no channel could be made.
#[derive(Debug, thiserror::Error)]
#[error("could not connect to `{address}`: {reason}")]
pub struct ConnectError {
    pub address: String,
    pub reason: String,
}

/// Without TLS: for one machine and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainConnect;

impl Connect for PlainConnect {
    fn connect(&self, address: &str) -> Result<Channel, ConnectError> {
        let failed = |reason: String| ConnectError { address: address.to_owned(), reason };
        if !is_host_and_port(address) {
            return Err(failed("it must be host:port".to_owned()));
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| failed(e.to_string()))?;
        Ok(endpoint
            .connect_timeout(std::time::Duration::from_secs(3))
            .tcp_nodelay(true)
            .connect_lazy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_found_at_once() {
        let mut config = Config::new("a/b", "relative");
        config.nodes = vec!["nowhere".to_owned()];
        config.resources.cores = Some(0);
        let path = PathConfig {
            id: "p".to_owned(),
            role: PathRole::Seal,
            dir: "/x".into(),
            reserve_bytes: 0,
            capacity_bytes: None,
        };
        config.paths = vec![path.clone(), path];
        assert_eq!(config.problems().len(), 8, "{:#?}", config.problems());
        let mut good = Config::new("a", "/d");
        good.nodes = vec!["127.0.0.1:1".to_owned()];
        good.supervisor_command = vec!["s".into()];
        assert!(good.problems().is_empty());
    }
}
