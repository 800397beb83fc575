//! **Purpose**: the flags that say which cluster a command is for, and as whom.

use std::time::Duration;

use camino::Utf8PathBuf;

use super::Error;
use crate::client::{Bearer, Client};
use crate::config;
use crate::files;
use crate::values::parse_duration;

/// Holds a token, for scripts; a file is better, since others may see the environment.
const TOKEN_VARIABLE: &str = "HESPER_TOKEN";
/// A node on this machine answers at once or not at all.
const LOCAL_CONNECT: Duration = Duration::from_secs(2);
const LOCAL_REQUEST: Duration = Duration::from_secs(60);

/// Which cluster, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// Client configuration [default: ~/.config/hesper/client.toml, else the one of `hesper up`].
    #[arg(
        long,
        value_name = "FILE",
        env = "HESPER_CONFIG",
        global = true,
        help_heading = "Cluster"
    )]
    config: Option<Utf8PathBuf>,
    /// Addresses of pool nodes.
    #[arg(long, value_name = "HOST:PORT,...", global = true, help_heading = "Cluster")]
    nodes: Option<String>,
    /// Directory with ca.pem, cert.pem and key.pem.
    #[arg(long, value_name = "DIR", global = true, help_heading = "Cluster")]
    identity: Option<String>,
    /// File with a token that says as which user, with which permission [env: HESPER_TOKEN holds the token itself].
    #[arg(long, value_name = "FILE", global = true, help_heading = "Cluster")]
    token_file: Option<Utf8PathBuf>,
    /// Administration socket of a node on this machine (admin.sock in its data directory), instead of
    /// addresses and an identity.
    #[arg(
        long,
        value_name = "PATH",
        global = true,
        help_heading = "Cluster",
        conflicts_with_all = ["nodes", "identity"]
    )]
    socket: Option<Utf8PathBuf>,
    /// How long to repeat a request while the cluster has no leader.
    #[arg(long, value_name = "TIME", global = true, help_heading = "Cluster")]
    timeout: Option<String>,
}

impl Connection {
    /// A client as the flags and the configuration say.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let client = match &self.socket {
            Some(socket) => {
                let timeout = self.timeout.as_deref().map(parse_duration).transpose()?;
                Client::local(socket, LOCAL_CONNECT, timeout.unwrap_or(LOCAL_REQUEST))?
            }
            None => Client::connect(&self.settings()?)?,
        };
        Ok(match self.token()? {
            Some(token) => client.with_bearer(token),
            None => client,
        })
    }

    /// The token of the flag, or else of the environment.
    fn token(&self) -> Result<Option<Bearer>, Error> {
        let text = match &self.token_file {
            Some(file) => files::read_text(file)?,
            None => match std::env::var(TOKEN_VARIABLE) {
                Ok(text) if !text.is_empty() => text,
                Ok(_) | Err(_) => return Ok(None),
            },
        };
        Ok(Some(Bearer::new(&text)?))
    }

    /// The configuration, with the flags in it.
    pub(super) fn settings(&self) -> Result<config::Client, Error> {
        let overrides: Vec<(&str, String)> = [
            ("nodes", &self.nodes),
            ("identity", &self.identity),
            ("request_timeout", &self.timeout),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)))
        .collect();
        let needs_no_file = self.nodes.is_some() && self.identity.is_some();
        let file = match &self.config {
            Some(file) => Some(file.clone()),
            None if needs_no_file => None,
            None => Some(preset_file().ok_or_else(|| {
                Error::usage(
                    "no cluster is named: give --config FILE (or set HESPER_CONFIG), or --nodes and --identity; \
                     `hesper up` and `hesper node init` print the file to use",
                )
            })?),
        };
        Ok(config::Client::load(file.as_deref(), &overrides)?)
    }
}

/// The user's own configuration, else the one that `hesper up` made in its usual place.
fn preset_file() -> Option<Utf8PathBuf> {
    let home = Utf8PathBuf::from_path_buf(std::env::home_dir()?).ok()?;
    [".config/hesper/client.toml", ".local/share/hesper/client/client.toml"]
        .into_iter()
        .map(|path| home.join(path))
        .find(|path| path.exists())
}
