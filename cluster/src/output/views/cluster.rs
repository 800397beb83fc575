//! **Purpose**: nodes, executors and what joins them, as commands print them.

use std::collections::BTreeMap;

use hesper_protos::cluster;
use serde::Serialize;

use super::{Resources, or_dash, pairs, with_reason};
use crate::output::Align::{Left, Right};
use crate::output::{Show, Table};
use crate::values::{format_size, format_time};

/// A cluster as a node sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The cluster's identity.
    pub cluster_id: String,
    /// The node that answered.
    pub node_id: u64,
    /// The node that leads, or 0.
    pub leader_id: u64,
    /// Where it is.
    pub leader_address: String,
    /// The leader's shells are at work.
    pub established: bool,
    /// Raft term.
    pub term: u64,
    /// Last entry in the log.
    pub last_log_index: u64,
    /// Last entry in the state.
    pub applied_index: u64,
    /// Last entry whose state is on disc.
    pub flushed_index: u64,
    /// Last entry in a snapshot.
    pub snapshot_index: u64,
    /// Equal on all nodes at equal applied index.
    pub state_hash: String,
    /// Of the node that answered.
    pub version: String,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// Jobs that wait.
    pub jobs_pending: u64,
    /// Jobs that run.
    pub jobs_running: u64,
    /// Tasks that have ended.
    pub tasks_finished: u64,
    /// Times the log was synced.
    pub fsyncs: u64,
    /// Entries appended.
    pub entries: u64,
    /// Commands in them.
    pub commands: u64,
    /// Digests of the verifying keys that every executor must have.
    pub verifying_key_digests: BTreeMap<String, String>,
}

/// A node of a cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where others reach it.
    pub address: String,
    /// Whether it votes, or only learns.
    pub voter: bool,
    /// Whether it leads.
    pub leader: bool,
    /// What it surely has of the log.
    pub matched_index: u64,
}

impl From<cluster::StatusReply> for Status {
    fn from(wire: cluster::StatusReply) -> Self {
        let node = |node: cluster::Node| Node {
            id: node.id,
            name: node.name,
            address: node.address,
            voter: node.voter,
            leader: node.leader,
            matched_index: node.matched_index,
        };
        Status {
            cluster_id: wire.cluster_id,
            node_id: wire.node_id,
            leader_id: wire.leader_id,
            leader_address: wire.leader_address,
            established: wire.established,
            term: wire.term,
            last_log_index: wire.last_log_index,
            applied_index: wire.applied_index,
            flushed_index: wire.flushed_index,
            snapshot_index: wire.snapshot_index,
            state_hash: wire.state_hash,
            version: wire.version,
            nodes: wire.nodes.into_iter().map(node).collect(),
            jobs_pending: wire.jobs_pending,
            jobs_running: wire.jobs_running,
            tasks_finished: wire.tasks_finished,
            fsyncs: wire.fsyncs,
            entries: wire.entries,
            commands: wire.commands,
            verifying_key_digests: wire.verifying_key_digests.into_iter().collect(),
        }
    }
}

impl Show for Status {
    fn text(&self) -> String {
        let leader = match (self.leader_id, self.established) {
            (0, _) => "none; an election is under way, or there is no majority".to_owned(),
            (id, true) => format!("node {id} at {}", self.leader_address),
            (id, false) => format!("node {id} at {} (taking over)", self.leader_address),
        };
        let mut text = pairs(&[
            ("cluster", self.cluster_id.clone()),
            ("answered by", format!("node {}, version {}", self.node_id, self.version)),
            ("leader", leader),
            ("term", self.term.to_string()),
            (
                "log",
                format!(
                    "last {}, applied {}, flushed {}, snapshot {}",
                    self.last_log_index,
                    self.applied_index,
                    self.flushed_index,
                    self.snapshot_index
                ),
            ),
            ("state hash", self.state_hash.clone()),
            ("jobs", format!("{} pending, {} running", self.jobs_pending, self.jobs_running)),
            ("tasks finished", self.tasks_finished.to_string()),
        ]);
        let mut table = Table::new(&[
            ("NODE", Right),
            ("NAME", Left),
            ("ADDRESS", Left),
            ("ROLE", Left),
            ("MATCHED", Right),
        ]);
        for node in &self.nodes {
            let role = match (node.leader, node.voter) {
                (true, _) => "leader",
                (false, true) => "voter",
                (false, false) => "learner",
            };
            table.row([
                node.id.to_string(),
                node.name.clone(),
                node.address.clone(),
                role.to_owned(),
                node.matched_index.to_string(),
            ]);
        }
        text += &table.render();
        text
    }
}

/// An executor.
#[derive(Clone, Debug, Serialize)]
pub struct Executor {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// `connected`, `disconnected` or `lost`.
    pub liveness: String,
    /// Since when it is not connected.
    pub disconnected_since_ms: u64,
    /// `open`, `cordoned` or `draining`.
    pub admission: String,
    /// Why it is not open.
    pub admission_reason: String,
    /// What it offers.
    pub total: Resources,
    /// What is granted.
    pub used: Resources,
    /// Attempts that run.
    pub running: u64,
    /// Where files are fetched.
    pub address: String,
    /// Directories of sector files.
    pub paths: Vec<StoragePath>,
    /// What it can do besides.
    pub capabilities: Vec<String>,
    /// What its owner should know.
    pub notes: Vec<String>,
}

/// A directory of sector files.
#[derive(Clone, Debug, Serialize)]
pub struct StoragePath {
    /// Its name.
    pub id: String,
    /// `seal` or `store`.
    pub role: String,
    /// How much may be used.
    pub capacity_bytes: u64,
    /// What stays free.
    pub reserve_bytes: u64,
    /// What is free.
    pub free_bytes: u64,
}

impl From<cluster::Executor> for Executor {
    fn from(wire: cluster::Executor) -> Self {
        let path = |path: cluster::Path| StoragePath {
            id: path.id,
            role: path.role,
            capacity_bytes: path.capacity_bytes,
            reserve_bytes: path.reserve_bytes,
            free_bytes: path.free_bytes,
        };
        Executor {
            id: wire.id,
            name: wire.name,
            owner: wire.owner,
            liveness: wire.liveness,
            disconnected_since_ms: wire.disconnected_since_ms,
            admission: wire.admission,
            admission_reason: wire.admission_reason,
            total: wire.total.into(),
            used: wire.used.into(),
            running: wire.running,
            address: wire.address,
            paths: wire.paths.into_iter().map(path).collect(),
            capabilities: wire.capabilities,
            notes: wire.notes,
        }
    }
}

impl Show for Executor {
    fn text(&self) -> String {
        let mut rows = vec![
            ("executor", format!("{} `{}`", self.id, self.name)),
            ("owner", self.owner.clone()),
            ("liveness", self.liveness.clone()),
            ("admission", with_reason(&self.admission, &self.admission_reason)),
            ("offers", self.total.text()),
            ("granted", self.used.text()),
            ("running", self.running.to_string()),
            ("address", self.address.clone()),
            ("capabilities", or_dash(&self.capabilities.join(" "))),
        ];
        if self.disconnected_since_ms > 0 {
            rows.push(("disconnected", format_time(self.disconnected_since_ms)));
        }
        rows.extend(self.notes.iter().map(|note| ("note", note.clone())));
        let mut text = pairs(&rows);
        if !self.paths.is_empty() {
            let mut table = Table::new(&[
                ("PATH", Left),
                ("ROLE", Left),
                ("CAPACITY", Right),
                ("RESERVE", Right),
                ("FREE", Right),
            ]);
            for path in &self.paths {
                table.row([
                    path.id.clone(),
                    path.role.clone(),
                    format_size(path.capacity_bytes),
                    format_size(path.reserve_bytes),
                    format_size(path.free_bytes),
                ]);
            }
            text += &table.render();
        }
        text
    }
}

/// Several executors.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Executors(pub Vec<Executor>);

impl Show for Executors {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("ID", Right),
            ("NAME", Left),
            ("OWNER", Left),
            ("LIVENESS", Left),
            ("ADMISSION", Left),
            ("CORES", Right),
            ("MEMORY", Right),
            ("GPUS", Right),
            ("RUNNING", Right),
        ]);
        for executor in &self.0 {
            let (used, total) = (&executor.used, &executor.total);
            table.row([
                executor.id.to_string(),
                executor.name.clone(),
                executor.owner.clone(),
                executor.liveness.clone(),
                with_reason(&executor.admission, &executor.admission_reason),
                format!("{}/{}", used.cores, total.cores),
                format!("{}/{}", format_size(used.memory_bytes), format_size(total.memory_bytes)),
                format!("{}/{}", used.gpus, total.gpus),
                executor.running.to_string(),
            ]);
        }
        table.render()
    }
}

/// A one-time right to join.
#[derive(Clone, Debug, Serialize)]
pub struct Token {
    /// Its text.
    pub token: String,
    /// When it ends.
    pub expires_at_ms: u64,
}

impl Show for Token {
    fn text(&self) -> String {
        format!("{}\n", self.token)
    }
}

/// A directory that was made for a node, executor or client.
#[derive(Clone, Debug, Serialize)]
pub struct Prepared {
    /// `node`, `executor` or `client`.
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// The cluster's identity.
    pub cluster_id: String,
    /// Nodes: their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// The configuration that was written.
    pub config: String,
    /// The operator's client configuration, when one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_config: Option<String>,
    /// What to do next.
    pub next: Vec<String>,
}

impl Show for Prepared {
    fn text(&self) -> String {
        let mut text = format!(
            "{} `{}` of cluster {} is ready: {}\n",
            self.role, self.name, self.cluster_id, self.config
        );
        for step in &self.next {
            text += &format!("  {step}\n");
        }
        text
    }
}

/// Something that was done and has nothing to show.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// What was done.
    pub done: String,
}

impl Show for Done {
    fn text(&self) -> String {
        format!("{}\n", self.done)
    }
}
