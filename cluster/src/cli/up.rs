//! **Purpose**: `hesper up`: the embedded default.

use std::process::ExitCode;

use camino::Utf8PathBuf;

use super::overrides::Overrides;
use super::{Error, Global, block_on_many};
use crate::config;
use crate::roles;

/// Run one node and one executor on this machine.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Everything lies under one data directory; stopping (Ctrl-C) and starting again continues where it
was. Other commands find the cluster by themselves when the usual directory is used, else with
--config DATA_DIR/client/client.toml.")]
pub struct Up {
    /// Configuration file; `hesper config up` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<Utf8PathBuf>,
    #[command(flatten)]
    overrides: Overrides<config::Up>,
}

impl Up {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode, Error> {
        let mut overrides = self.overrides.given.clone();
        overrides.extend(global.log_overrides());
        let config = config::Up::load(self.config.as_deref(), &overrides)?;
        let logging = config.log.clone();
        block_on_many(None, &logging, |shutdown| roles::up(config, shutdown))
    }
}
