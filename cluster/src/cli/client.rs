//! **Purpose**: `hesper client`: gives a user an identity of a cluster.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Subcommand;

use super::Error;
use super::node::absolute;
use super::token::TokenArg;
use crate::client::enrol;
use crate::config::write_client_file;
use crate::identity::{Identity, Role};
use crate::output::{Output, views};

/// Clients.
#[derive(Debug, Subcommand)]
pub enum Client {
    /// Join a cluster as a user, with a token of the role client or admin.
    #[command(after_help = "\
Example, with the token that `hesper node token --role client` printed:
  hesper client join --name alice --token hesper1...")]
    Join(Join),
}

/// Join a cluster as a user.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// Name of the user.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    token: TokenArg,
    /// Where the identity and client.toml are written [default: ~/.config/hesper].
    #[arg(long, value_name = "DIR")]
    dir: Option<Utf8PathBuf>,
}

impl Client {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        let Client::Join(join) = self;
        join.ask(out).await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Join {
    async fn ask(&self, out: Output) -> Result<(), Error> {
        let home = || {
            let home = std::env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok());
            home.map(|home| home.join(".config/hesper"))
        };
        let dir = self.dir.clone().or_else(home).ok_or_else(|| {
            Error::usage("there is no home directory; name a directory with --dir")
        })?;
        let dir = absolute(&dir)?;
        if Identity::exists(&dir) {
            return Err(Error::usage(format!(
                "`{dir}` already holds an identity; choose another directory with --dir"
            )));
        }
        let token = self.token.read()?;
        let enrolled = enrol(&token, Role::Client, &self.name, "").await?;
        enrolled.identity.store(&dir)?;
        let nodes = if enrolled.nodes.is_empty() { token.nodes } else { enrolled.nodes };
        let file = write_client_file(&dir, &nodes)?;
        out.show(&views::Prepared {
            role: "client",
            name: self.name.clone(),
            cluster_id: enrolled.cluster_id,
            node_id: None,
            config: file.to_string(),
            client_config: Some(file.to_string()),
            next: vec![format!("use it:       export HESPER_CONFIG={file}")],
        })?;
        Ok(())
    }
}
