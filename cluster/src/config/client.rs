//! **Purpose**: the configuration of a client: where the cluster is, and who the user is.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::key::{Form, Key, Keys, Preset};
use super::parse;
use super::reader::{Problems, Reader};
use crate::files::{self, FileError};

/// The file's name below an identity directory.
pub const CLIENT_FILE: &str = "client.toml";

/// Where the cluster is, and who the user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Pool nodes; any of them will do.
    pub nodes: Vec<String>,
    /// Directory of the certificate and key.
    pub identity: Utf8PathBuf,
    /// File with a bearer token that is shown beside the certificate.
    pub token_file: Option<Utf8PathBuf>,
    /// How long to look for a node that answers.
    pub connect_timeout: Duration,
    /// How long to go on with one request while nodes answer but have no leader.
    pub request_timeout: Duration,
}

impl Keys for Client {
    const KEYS: &'static [Key] = &[
        Key {
            name: "nodes",
            form: Form::Addresses,
            preset: Preset::Required,
            help: "Addresses of pool nodes; any of them will do, the others are tried when one does not answer.",
        },
        Key {
            name: "identity",
            form: Form::Path,
            preset: Preset::Unset,
            help: "Directory with ca.pem, cert.pem and key.pem; the directory of this file when not set.",
        },
        Key {
            name: "token_file",
            form: Form::Path,
            preset: Preset::Unset,
            help: "File with a token (`hesper auth token create`) that says which user and permission; without one the certificate says it.",
        },
        Key {
            name: "connect_timeout",
            form: Form::Duration,
            preset: Preset::Text("5s"),
            help: "How long to look for a node that answers.",
        },
        Key {
            name: "request_timeout",
            form: Form::Duration,
            preset: Preset::Text("60s"),
            help: "How long to repeat a request while the cluster has no leader.",
        },
    ];
}

impl Client {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All problems at once.
    pub fn load(file: Option<&Utf8Path>, overrides: &[(&str, String)]) -> Result<Self, Problems> {
        let mut reader = Reader::open(Self::KEYS, file, overrides);
        let nodes = reader.many("nodes", parse::address);
        if nodes.as_ref().is_some_and(Vec::is_empty) {
            reader.problem("nodes", None, "it names no node".to_owned());
        }
        let identity = reader.one("identity", parse::path);
        let beside = file.and_then(Utf8Path::parent);
        // A relative path means one beside the file, so that the directory can be moved as a whole.
        let identity = match (identity, beside) {
            (Some(path), Some(beside)) => Some(beside.join(path)),
            (Some(path), None) => Some(path),
            (None, beside) => beside.map(Utf8Path::to_owned),
        };
        if identity.is_none() {
            reader.problem("identity", None, "it must be set".to_owned());
        }
        let token_file = reader.one("token_file", parse::path).map(|path| match beside {
            Some(beside) => beside.join(path),
            None => path,
        });
        let connect_timeout = reader.one("connect_timeout", parse::duration);
        let request_timeout = reader.one("request_timeout", parse::duration);
        let value = (|| {
            Some(Client {
                nodes: nodes?,
                identity: identity?,
                token_file,
                connect_timeout: connect_timeout?,
                request_timeout: request_timeout?,
            })
        })();
        reader.finish(value)
    }
}

/// Writes a client configuration into the directory of an identity.
///
/// # Errors
/// When the directory cannot be written to.
pub fn write_client_file(directory: &Utf8Path, nodes: &[String]) -> Result<Utf8PathBuf, FileError> {
    let mut table = toml::Table::new();
    table.insert("nodes".to_owned(), nodes.to_vec().into());
    let path = directory.join(CLIENT_FILE);
    let text = format!("# Made by hesper. `hesper config client` shows all keys.\n{table}");
    files::write_private(&path, text.as_bytes())?;
    Ok(path)
}
