//! **Purpose**: `hesper wallet policy`: what the rules say, and why.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Subcommand;
use serde_json::Value;

use super::door::Place;
use super::sign::Object;
use super::views;
use crate::cli::Error;
use crate::config::POLICY_FILE;
use crate::files;
use crate::output::Output;
use crate::roles;

/// Rules of what may be signed.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Check a file of rules; all problems are listed.
    #[command(after_help = "Example: hesper wallet policy check policy.toml")]
    Check(Check),
    /// Say whether an object would be signed, by which rule, and why; nothing is signed.
    #[command(after_help = "\
Example: hesper wallet policy explain --data-dir /var/lib/hesper-wallet --message transfer.json")]
    Explain(Box<Explain>),
    /// Have the running wallet read its rules again.
    Reload(Reload),
}

/// Check a file of rules.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The file [default: policy.toml of the wallet].
    file: Option<Utf8PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Say what the rules decide.
#[derive(Debug, clap::Args)]
pub struct Explain {
    #[command(flatten)]
    object: Object,
    #[command(flatten)]
    place: Place,
}

/// Read the rules again.
#[derive(Debug, clap::Args)]
pub struct Reload {
    #[command(flatten)]
    place: Place,
}

impl Policy {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        match self {
            Policy::Check(check) => check.run(out),
            Policy::Explain(explain) => {
                let request = explain.object.read()?;
                let mut door = explain.place.open().await?;
                let explained: Value =
                    door.call("Hesper.PolicyExplain", vec![request.named()]).await?;
                let is_allowed = explained["allowed"].as_bool().unwrap_or(false);
                out.show(&views::Explained { explained })?;
                Ok(if is_allowed { ExitCode::SUCCESS } else { ExitCode::from(5) })
            }
            Policy::Reload(reload) => {
                let mut door = reload.place.open().await?;
                let _: Value = door.call("Hesper.PolicyReload", vec![]).await?;
                super::done(out, "the wallet follows the rules as they are now".to_owned())?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Check {
    fn run(self, out: Output) -> Result<ExitCode, Error> {
        // A file of rules can be checked where there is no wallet.
        let config = self.place.config();
        let network = match &config {
            Ok(config) => roles::network(config),
            Err(_) => hesper_chain::Network::Mainnet,
        };
        let file = match (self.file, config) {
            (Some(file), _) => file,
            (None, Ok(config)) => {
                config.policy_file().unwrap_or_else(|| config.data_dir.join(POLICY_FILE))
            }
            (None, Err(error)) => return Err(error),
        };
        let text = files::read_text(&file)?;
        let problems = hesper_wallet::policy::check(&text, network);
        if problems.is_empty() {
            super::done(out, format!("{file} is in order"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let lines: Vec<String> = problems
            .iter()
            .map(|problem| format!("  line {}: {}", problem.line, problem.message))
            .collect();
        Err(Error::usage(format!(
            "`{file}` has {} problem{}:\n{}",
            lines.len(),
            if lines.len() == 1 { "" } else { "s" },
            lines.join("\n")
        )))
    }
}
