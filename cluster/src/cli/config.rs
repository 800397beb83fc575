//! **Purpose**: `hesper config`: the documentation of every key, as a file to begin with.

use std::process::ExitCode;

use super::Error;
use crate::config::{Client, Executor, Keys, Node, Up, Wallet, example};

/// Print every key of a configuration with its meaning and preset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: hesper config executor > executor.toml")]
pub struct Config {
    /// Of which role.
    #[arg(value_enum)]
    role: Role,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Role {
    Node,
    Executor,
    Client,
    Up,
    Wallet,
}

impl Config {
    pub(super) fn run(&self) -> Result<ExitCode, Error> {
        let text = match self.role {
            Role::Node => example("node run", Node::KEYS),
            Role::Executor => example("executor run", Executor::KEYS),
            Role::Client => example("job", Client::KEYS),
            Role::Up => example("up", Up::KEYS),
            Role::Wallet => example("wallet run", Wallet::KEYS),
        };
        std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
