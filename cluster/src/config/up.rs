//! **Purpose**: the configuration of `hesper up`: one node and one executor on one machine.

use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};

use super::key::{Form, Key, Keys, Preset};
use super::parse;
use super::reader::{Problems, Reader};
use super::{LOG, LOG_FORMAT, Logging, logging};

/// Settings of the embedded default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// Everything lies below it.
    pub data_dir: Utf8PathBuf,
    /// The node's gRPC.
    pub listen: SocketAddr,
    /// The node's metrics and health.
    pub http: Option<SocketAddr>,
    /// The executor's transfers.
    pub executor_listen: SocketAddr,
    /// The executor's metrics and health.
    pub executor_http: Option<SocketAddr>,
    /// Offered cores; all when not set.
    pub cores: Option<u32>,
    /// Offered memory in bytes; all when not set.
    pub memory: Option<u64>,
    /// Directory of the proof parameters.
    pub parameter_cache: Utf8PathBuf,
    /// Log lines.
    pub log: Logging,
}

impl Keys for Up {
    const KEYS: &'static [Key] = &[
        Key {
            name: "data_dir",
            form: Form::Path,
            preset: Preset::Text("~/.local/share/hesper"),
            help: "Directory of everything; stopping and starting again with it continues where it was.",
        },
        Key {
            name: "listen",
            form: Form::Listen,
            preset: Preset::Text("127.0.0.1:7100"),
            help: "Where the node accepts clients.",
        },
        Key {
            name: "http",
            form: Form::ListenOrOff,
            preset: Preset::Text("127.0.0.1:7101"),
            help: "Where the node serves /metrics and /healthz.",
        },
        Key {
            name: "executor_listen",
            form: Form::Listen,
            preset: Preset::Text("127.0.0.1:7110"),
            help: "Where the executor accepts transfers.",
        },
        Key {
            name: "executor_http",
            form: Form::ListenOrOff,
            preset: Preset::Text("127.0.0.1:7111"),
            help: "Where the executor serves /metrics and /healthz.",
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
            name: "parameter_cache",
            form: Form::Path,
            preset: Preset::Text("~/.cache/hesper/proof-parameters"),
            help: "Directory of the proof parameters.",
        },
        LOG,
        LOG_FORMAT,
    ];
}

impl Up {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(file: Option<&Utf8Path>, overrides: &[(&str, String)]) -> Result<Self, Problems> {
        let mut reader = Reader::open(Self::KEYS, file, overrides);
        let r = &mut reader;
        let data_dir = r.one("data_dir", parse::path);
        let listen = r.one("listen", parse::listen);
        let http = r.one("http", parse::or_off(parse::listen, "off"));
        let executor_listen = r.one("executor_listen", parse::listen);
        let executor_http = r.one("executor_http", parse::or_off(parse::listen, "off"));
        let cores = r.one("cores", parse::or_off(parse::count32, "auto"));
        let memory = r.one("memory", parse::or_off(parse::size, "auto"));
        let parameter_cache = r.one("parameter_cache", parse::path);
        let log = logging(r);
        let value = (|| {
            Some(Up {
                data_dir: data_dir?,
                listen: listen?,
                http: http?,
                executor_listen: executor_listen?,
                executor_http: executor_http?,
                cores: cores?,
                memory: memory?,
                parameter_cache: parameter_cache?,
                log: log?,
            })
        })();
        reader.finish(value)
    }
}
