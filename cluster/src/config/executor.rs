//! **Purpose**: the configuration of an executor.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};

use super::key::{Form, Key, Keys, Preset};
use super::parse;
use super::reader::{Problems, Reader};
use super::{LOG, LOG_FORMAT, Logging, logging};
use crate::values::{self, ValueError};

/// What a storage path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathRole {
    /// Fast scratch for sealing.
    Seal,
    /// Finished sectors.
    Store,
    /// Both on one directory.
    Both,
}

/// A directory that holds sector files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoragePath {
    /// Unique on this executor, kept over restarts.
    pub id: String,
    /// What it is for.
    pub role: PathRole,
    /// Where it is.
    pub dir: Utf8PathBuf,
    /// Bytes that stay free.
    pub reserve: u64,
    /// Bytes that may be used; the whole filesystem when not set.
    pub capacity: Option<u64>,
}

/// What an executor does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// Runs it.
    Process,
    /// Reports success at once: measures the scheduler alone.
    NoOp,
}

/// Settings of an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// Attempts, outbox, identity.
    pub data_dir: Utf8PathBuf,
    /// Name in the cluster.
    pub name: String,
    /// Pool nodes to dial.
    pub nodes: Vec<String>,
    /// Transfers.
    pub listen: SocketAddr,
    /// Where other executors and clients reach `listen`.
    pub transfer_address: String,
    /// Metrics and health.
    pub http: Option<SocketAddr>,
    /// Offered cores; all that this process may use when not set.
    pub cores: Option<u32>,
    /// Offered memory in bytes; all when not set.
    pub memory: Option<u64>,
    /// Offered GPUs; all when not set.
    pub gpus: Option<u32>,
    /// Further countable resources.
    pub resources: BTreeMap<String, u64>,
    /// Directories of sector files.
    pub paths: Vec<StoragePath>,
    /// Directory of the proof parameters.
    pub parameter_cache: Utf8PathBuf,
    /// Whether development parameters are made when a stage needs some that are missing.
    pub make_parameters: bool,
    /// Bytes per second of all transfers together.
    pub transfer_rate: Option<u64>,
    /// What is done with an attempt.
    pub runner: Runner,
    /// Log lines.
    pub log: Logging,
}

impl Keys for Executor {
    const KEYS: &'static [Key] = &[
        Key {
            name: "data_dir",
            form: Form::Path,
            preset: Preset::Required,
            help: "Directory of attempts, unacknowledged reports and the identity.",
        },
        Key {
            name: "name",
            form: Form::Name,
            preset: Preset::Required,
            help: "Name of this executor in the cluster, as in its certificate.",
        },
        Key {
            name: "nodes",
            form: Form::Addresses,
            preset: Preset::Required,
            help: "Addresses of pool nodes; the executor dials them, they never dial it.",
        },
        Key {
            name: "listen",
            form: Form::Listen,
            preset: Preset::Text("127.0.0.1:7110"),
            help: "Where other executors and clients fetch and put files (gRPC, mutual TLS).",
        },
        Key {
            name: "transfer_address",
            form: Form::Address,
            preset: Preset::Unset,
            help: "Where others reach `listen`; `listen` itself when not set. Must be set when listening on all addresses.",
        },
        Key {
            name: "http",
            form: Form::ListenOrOff,
            preset: Preset::Text("127.0.0.1:7111"),
            help: "Where /metrics and /healthz are served (plain HTTP).",
        },
        Key {
            name: "cores",
            form: Form::CountOrAuto,
            preset: Preset::Text("auto"),
            help: "Cores offered to tasks; auto means all that this process may use.",
        },
        Key {
            name: "memory",
            form: Form::SizeOrAuto,
            preset: Preset::Text("auto"),
            help: "Memory offered to tasks; auto means all of the machine.",
        },
        Key {
            name: "gpus",
            form: Form::CountOrAuto,
            preset: Preset::Text("auto"),
            help: "GPUs offered to tasks; auto means all that are found.",
        },
        Key {
            name: "resources",
            form: Form::Named,
            preset: Preset::Unset,
            help: "Further countable resources that tasks can ask for by name.",
        },
        Key {
            name: "paths",
            form: Form::Paths,
            preset: Preset::Unset,
            help: "Directories of sector files: seal is fast scratch, store is for finished sectors; reserve stays free.",
        },
        Key {
            name: "parameter_cache",
            form: Form::Path,
            preset: Preset::Text("~/.cache/hesper/proof-parameters"),
            help: "Directory of the proof parameters.",
        },
        Key {
            name: "make_parameters",
            form: Form::Choice(&["no", "yes"]),
            preset: Preset::Text("no"),
            help: "yes makes development parameters when a stage needs some that are missing.",
        },
        Key {
            name: "transfer_rate",
            form: Form::RateOrOff,
            preset: Preset::Text("off"),
            help: "Limit of all transfers together, in bytes per second; off means none.",
        },
        Key {
            name: "runner",
            form: Form::Choice(&["process", "noop"]),
            preset: Preset::Text("process"),
            help: "noop reports success without running anything: measures the scheduler alone.",
        },
        LOG,
        LOG_FORMAT,
    ];
}

impl Executor {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(file: Option<&Utf8Path>, overrides: &[(&str, String)]) -> Result<Self, Problems> {
        let mut reader = Reader::open(Self::KEYS, file, overrides);
        let r = &mut reader;
        let data_dir = r.one("data_dir", parse::path);
        let name = r.one("name", parse::name);
        let nodes = r.many("nodes", parse::address);
        let listen = r.one("listen", parse::listen);
        let transfer_address = r.one("transfer_address", parse::address);
        if let (Some(listen), None) = (listen, &transfer_address)
            && listen.ip().is_unspecified()
        {
            r.problem(
                "transfer_address",
                None,
                format!("it must be set, because `listen` is {listen}: name an address that others can dial"),
            );
        }
        let http = r.one("http", parse::or_off(parse::listen, "off"));
        let cores = r.one("cores", parse::or_off(parse::count32, "auto"));
        if cores == Some(Some(0)) {
            r.problem(
                "cores",
                Some("0".to_owned()),
                "an executor needs at least one core".to_owned(),
            );
        }
        let memory = r.one("memory", parse::or_off(parse::size, "auto"));
        let gpus = r.one("gpus", parse::or_off(parse::count32, "auto"));
        let resources = r.many("resources", values::parse_named).unwrap_or_default();
        let paths = storage_paths(r);
        let parameter_cache = r.one("parameter_cache", parse::path);
        let make_parameters = r.one("make_parameters", |text| match text {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(ValueError::new(text, "answer", "write yes or no")),
        });
        let transfer_rate = r.one("transfer_rate", parse::or_off(parse::size, "off"));
        let runner = r.one("runner", |text| match text {
            "process" => Ok(Runner::Process),
            "noop" => Ok(Runner::NoOp),
            _ => Err(ValueError::new(text, "runner", "write process or noop")),
        });
        let log = logging(r);
        let value = (|| {
            let listen = listen?;
            Some(Executor {
                data_dir: data_dir?,
                name: name?,
                nodes: nodes?,
                listen,
                transfer_address: transfer_address.unwrap_or_else(|| listen.to_string()),
                http: http?,
                cores: cores?,
                memory: memory?,
                gpus: gpus?,
                resources: resources.into_iter().collect(),
                paths,
                parameter_cache: parameter_cache?,
                make_parameters: make_parameters?,
                transfer_rate: transfer_rate?,
                runner: runner?,
                log: log?,
            })
        })();
        reader.finish(value)
    }
}

fn storage_paths(reader: &mut Reader) -> Vec<StoragePath> {
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for (at, fields) in reader.tables("paths").into_iter().enumerate() {
        let id = fields.get("id").cloned();
        let place = format!("paths.{}", id.as_deref().map_or((at + 1).to_string(), str::to_owned));
        match storage_path(reader, &place, &fields) {
            Some(path) => paths.push(path),
            None if id.is_none() => {
                reader.problem(&place, None, "`id` must be set".to_owned());
            }
            None => {}
        }
        if let Some(id) = id
            && !seen.insert(id)
        {
            reader.problem(&place, None, "this id occurs twice".to_owned());
        }
    }
    paths
}

fn storage_path(
    reader: &mut Reader,
    place: &str,
    fields: &BTreeMap<String, String>,
) -> Option<StoragePath> {
    const FIELDS: [&str; 5] = ["id", "dir", "role", "reserve", "capacity"];
    for name in fields.keys().filter(|name| !FIELDS.contains(&name.as_str())) {
        reader.problem(
            place,
            None,
            format!("`{name}` is no field of a storage path; there are {}", FIELDS.join(", ")),
        );
    }
    let field = |name: &str| fields.get(name).map(String::as_str);
    let (id, dir, role) = (field("id"), field("dir"), field("role"));
    let (reserve, capacity) = (field("reserve"), field("capacity"));
    if dir.is_none() {
        reader.problem(place, None, "`dir` must be set".to_owned());
    }
    let role = match role {
        None | Some("seal") => Some(PathRole::Seal),
        Some("store") => Some(PathRole::Store),
        Some("both") => Some(PathRole::Both),
        Some(other) => {
            reader.problem(
                place,
                Some(other.to_owned()),
                "the role is seal, store or both".to_owned(),
            );
            None
        }
    };
    let mut noted = |result: Result<u64, ValueError>| {
        result.map_err(|error| reader.problem(place, None, error.to_string())).ok()
    };
    let reserve = noted(reserve.map_or(Ok(0), values::parse_size));
    let capacity = match capacity {
        None => Some(None),
        Some(text) => noted(values::parse_size(text)).map(Some),
    };
    if let (Some(reserve), Some(Some(capacity))) = (reserve, capacity)
        && reserve >= capacity
    {
        reader.problem(place, None, "its reserve is not smaller than its capacity".to_owned());
    }
    let mut noted = |result: Result<_, ValueError>| {
        result.map_err(|error: ValueError| reader.problem(place, None, error.to_string())).ok()
    };
    let id = id.and_then(|id| noted(parse::name(id)));
    let dir = dir.and_then(|dir| parse::path(dir).ok());
    Some(StoragePath { id: id?, role: role?, dir: dir?, reserve: reserve?, capacity: capacity? })
}
