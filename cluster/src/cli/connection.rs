//! **Purpose**: the flags that say which cluster a command is for, and as whom.

use camino::Utf8PathBuf;

use super::Error;
use crate::client::Client;
use crate::config;

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
    /// How long to repeat a request while the cluster has no leader.
    #[arg(long, value_name = "TIME", global = true, help_heading = "Cluster")]
    timeout: Option<String>,
}

impl Connection {
    /// A client as the flags and the configuration say.
    pub(super) fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect(&self.settings()?)?)
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
