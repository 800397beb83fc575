//! **Purpose**: the configuration of a pool node.

use std::net::SocketAddr;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_scheduler::PC1_GROUP_MAX;

use super::key::{Form, Key, Keys, Preset};
use super::parse;
use super::reader::{Problems, Reader};
use super::{LOG, LOG_FORMAT, Logging, logging};
use crate::files::{self, FileError};
use crate::values;

/// The file's name below a data directory.
pub const NODE_FILE: &str = "node.toml";

/// Settings of a pool node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Log, state, identity.
    pub data_dir: Utf8PathBuf,
    /// Name in the cluster.
    pub name: String,
    /// gRPC.
    pub listen: SocketAddr,
    /// Where others reach `listen` (`host:port`).
    pub advertise: String,
    /// Metrics and health.
    pub http: Option<SocketAddr>,
    /// The routes of an auth server, for Venus components.
    pub auth_http: Option<SocketAddr>,
    /// Jobs that may wait or run at once, over all owners.
    pub queue_limit: u64,
    /// Finished jobs kept in memory for fast lists; older ones are read from disc.
    pub history_jobs: u64,
    /// Bytes of log kept behind the last snapshot.
    pub log_retention: u64,
    /// Bytes of log after which a snapshot is made.
    pub snapshot_every: u64,
    /// Interval of the leader's heartbeats.
    pub heartbeat: Duration,
    /// Shortest silence of a leader before an election.
    pub election_min: Duration,
    /// Longest silence of a leader before an election.
    pub election_max: Duration,
    /// Silence after which an executor counts as disconnected.
    pub executor_silence: Duration,
    /// Disconnection after which a command's attempt is given to another executor.
    pub supersede_command: Duration,
    /// The same for C2.
    pub supersede_c2: Duration,
    /// The same for PC1 and the other long stages.
    pub supersede_pc1: Duration,
    /// The same for winning and window PoSt.
    pub supersede_post: Duration,
    /// How long a sector that is ready for PC1 waits for others to label with it.
    pub pc1_group_wait: Duration,
    /// Most sectors that label together.
    pub pc1_group_max: u32,
    /// Log lines.
    pub log: Logging,
}

impl Keys for Node {
    const KEYS: &'static [Key] = &[
        Key {
            name: "data_dir",
            form: Form::Path,
            preset: Preset::Required,
            help: "Directory of the log, the state and the identity; on a disc whose fsync is real.",
        },
        Key {
            name: "name",
            form: Form::Name,
            preset: Preset::Required,
            help: "Name of this node in the cluster, as in its certificate.",
        },
        Key {
            name: "listen",
            form: Form::Listen,
            preset: Preset::Text("127.0.0.1:7100"),
            help: "Where nodes, executors and clients are accepted (gRPC, mutual TLS).",
        },
        Key {
            name: "advertise",
            form: Form::Address,
            preset: Preset::Unset,
            help: "Where others reach this node; `listen` when not set. Must be set when listening on all addresses.",
        },
        Key {
            name: "http",
            form: Form::ListenOrOff,
            preset: Preset::Text("127.0.0.1:7101"),
            help: "Where /metrics and /healthz are served (plain HTTP).",
        },
        Key {
            name: "auth_http",
            form: Form::ListenOrOff,
            preset: Preset::Text("off"),
            help: "Where the routes of sophon-auth are served for Venus components, e.g. 127.0.0.1:8989 (plain HTTP with tokens: keep it on a trusted network).",
        },
        Key {
            name: "queue_limit",
            form: Form::Count,
            preset: Preset::Text("100000"),
            help: "Jobs that may wait or run at once; a submit beyond it is refused.",
        },
        Key {
            name: "history_jobs",
            form: Form::Count,
            preset: Preset::Text("1000"),
            help: "Finished jobs kept in memory for fast lists; older ones are read from disc.",
        },
        Key {
            name: "log_retention",
            form: Form::Size,
            preset: Preset::Text("256MiB"),
            help: "Log kept behind the last snapshot, so that a node that was away need not copy a snapshot.",
        },
        Key {
            name: "snapshot_every",
            form: Form::Size,
            preset: Preset::Text("256MiB"),
            help: "Log after which a snapshot is made.",
        },
        Key {
            name: "heartbeat",
            form: Form::Duration,
            preset: Preset::Text("200ms"),
            help: "Interval of the leader's heartbeats.",
        },
        Key {
            name: "election_min",
            form: Form::Duration,
            preset: Preset::Text("1s"),
            help: "Shortest silence of the leader after which this node stands for election.",
        },
        Key {
            name: "election_max",
            form: Form::Duration,
            preset: Preset::Text("2s"),
            help: "Longest silence of the leader after which this node stands for election.",
        },
        Key {
            name: "executor_silence",
            form: Form::Duration,
            preset: Preset::Text("10s"),
            help: "Silence after which an executor counts as disconnected; its work goes on.",
        },
        Key {
            name: "supersede_command",
            form: Form::Duration,
            preset: Preset::Text("5m"),
            help: "Disconnection after which a command is run again elsewhere.",
        },
        Key {
            name: "supersede_c2",
            form: Form::Duration,
            preset: Preset::Text("10m"),
            help: "Disconnection after which C2 is run again elsewhere.",
        },
        Key {
            name: "supersede_pc1",
            form: Form::Duration,
            preset: Preset::Text("4h"),
            help: "Disconnection after which PC1 and the other long stages are run again elsewhere.",
        },
        Key {
            name: "supersede_post",
            form: Form::Duration,
            preset: Preset::Text("10s"),
            help: "Disconnection after which a winning or window PoSt is run again elsewhere.",
        },
        Key {
            name: "pc1_group_wait",
            form: Form::Duration,
            preset: Preset::Text("2s"),
            help: "How long a sector that is ready for PC1 waits for others, to label with them in one process at less cost for each; 0 does not wait.",
        },
        Key {
            name: "pc1_group_max",
            form: Form::Count,
            preset: Preset::Text("16"),
            help: "Most sectors that label together, 1 to 16; an executor's free memory may allow fewer.",
        },
        LOG,
        LOG_FORMAT,
    ];
}

impl Node {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(file: Option<&Utf8Path>, overrides: &[(&str, String)]) -> Result<Self, Problems> {
        let mut reader = Reader::open(Self::KEYS, file, overrides);
        let r = &mut reader;
        let data_dir = r.one("data_dir", parse::path);
        let name = r.one("name", parse::name);
        let listen = r.one("listen", parse::listen);
        let advertise = r.one("advertise", parse::address);
        if let (Some(listen), None) = (listen, &advertise) {
            if listen.ip().is_unspecified() {
                r.problem(
                    "advertise",
                    None,
                    format!("it must be set, because `listen` is {listen}: name an address that others can dial"),
                );
            } else if listen.port() == 0 {
                r.problem("listen", Some(listen.to_string()), "it needs a port".to_owned());
            }
        }
        let http = r.one("http", parse::or_off(parse::listen, "off"));
        let auth_http = r.one("auth_http", parse::or_off(parse::listen, "off"));
        let queue_limit = r.one("queue_limit", parse::count);
        let history_jobs = r.one("history_jobs", parse::count);
        let log_retention = r.one("log_retention", parse::size);
        let snapshot_every = r.one("snapshot_every", parse::size);
        let heartbeat = r.one("heartbeat", parse::duration);
        let election_min = r.one("election_min", parse::duration);
        let election_max = r.one("election_max", parse::duration);
        check_timing(r, heartbeat, election_min, election_max);
        for (key, size) in [("log_retention", log_retention), ("snapshot_every", snapshot_every)] {
            if size.is_some_and(|size| size < 1 << 20) {
                let shown = size.map(values::format_size);
                r.problem(key, shown, "it must be at least 1MiB".to_owned());
            }
        }
        let executor_silence = r.one("executor_silence", parse::duration);
        let supersede_command = r.one("supersede_command", parse::duration);
        let supersede_c2 = r.one("supersede_c2", parse::duration);
        let supersede_pc1 = r.one("supersede_pc1", parse::duration);
        let supersede_post = r.one("supersede_post", parse::duration);
        let pc1_group_wait = r.one("pc1_group_wait", parse::duration);
        let pc1_group_max = r.one("pc1_group_max", parse::count32);
        if let Some(max) = pc1_group_max.filter(|max| !(1..=PC1_GROUP_MAX).contains(max)) {
            let problem = format!("it must be from 1 to {PC1_GROUP_MAX}");
            r.problem("pc1_group_max", Some(max.to_string()), problem);
        }
        let log = logging(r);
        let value = (|| {
            let listen = listen?;
            Some(Node {
                data_dir: data_dir?,
                name: name?,
                listen,
                advertise: advertise.unwrap_or_else(|| listen.to_string()),
                http: http?,
                auth_http: auth_http?,
                queue_limit: queue_limit?,
                history_jobs: history_jobs?,
                log_retention: log_retention?,
                snapshot_every: snapshot_every?,
                heartbeat: heartbeat?,
                election_min: election_min?,
                election_max: election_max?,
                executor_silence: executor_silence?,
                supersede_command: supersede_command?,
                supersede_c2: supersede_c2?,
                supersede_pc1: supersede_pc1?,
                supersede_post: supersede_post?,
                pc1_group_wait: pc1_group_wait?,
                pc1_group_max: pc1_group_max?,
                log: log?,
            })
        })();
        reader.finish(value)
    }
}

/// A follower must miss several heartbeats before it stands, and two followers must not stand at
/// the same moment.
fn check_timing(
    reader: &mut Reader,
    heartbeat: Option<Duration>,
    min: Option<Duration>,
    max: Option<Duration>,
) {
    let shown = |duration: Duration| Some(values::format_duration(duration));
    if let Some(heartbeat) = heartbeat.filter(Duration::is_zero) {
        reader.problem("heartbeat", shown(heartbeat), "it must be longer than zero".to_owned());
    }
    if let (Some(heartbeat), Some(min)) = (heartbeat, min)
        && min < heartbeat * 3
    {
        reader.problem(
            "election_min",
            shown(min),
            "it must be at least three heartbeats".to_owned(),
        );
    }
    if let (Some(min), Some(max)) = (min, max)
        && max <= min
    {
        reader.problem(
            "election_max",
            shown(max),
            "it must be longer than election_min".to_owned(),
        );
    }
}

/// Writes the configuration of a new node into its data directory.
///
/// # Errors
/// When the directory cannot be written to.
pub fn write_node_file(
    data_dir: &Utf8Path,
    settings: &[(&str, String)],
) -> Result<Utf8PathBuf, FileError> {
    let table: toml::Table =
        settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone().into())).collect();
    let path = data_dir.join(NODE_FILE);
    let text = format!("# Made by hesper. `hesper config node` shows all keys.\n{table}");
    files::write_private(&path, text.as_bytes())?;
    Ok(path)
}
