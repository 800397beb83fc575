//! **Purpose**: `hesper executor`: run, join, look at, cordon and drain workers.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Subcommand;

use super::connection::Connection;
use super::node::{absolute, made_file};
use super::overrides::Overrides;
use super::token::TokenArg;
use super::{Error, Global, block_on_many};
use crate::client::enrol;
use crate::config;
use crate::files;
use crate::identity::{Identity, Role, dirs};
use crate::output::{Output, views};
use crate::roles;

const EXECUTOR_FILE: &str = "executor.toml";
/// The agent mostly waits; few threads keep its memory small.
const AGENT_THREADS: usize = 2;

/// Executors.
#[derive(Debug, Subcommand)]
pub enum Executor {
    /// Run an executor on this machine.
    #[command(after_help = "\
Stopping the executor (SIGTERM) does not stop its work: running tasks go on under a supervisor and
are taken up again at the next start.

Example:
  hesper executor run --data-dir /var/lib/hesper-e1 --paths id=nvme0,dir=/mnt/nvme0,reserve=10GiB")]
    Run(Box<Run>),
    /// Prepare an executor that joins a cluster with a token.
    #[command(after_help = "\
Example, with the token that `hesper node token --role executor` printed:
  hesper executor join --data-dir /var/lib/hesper-e1 --name e1 --token hesper1...")]
    Join(Join),
    /// List executors.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one executor with its paths and notes.
    Show(Named),
    /// Give an executor no new work; what runs goes on.
    Cordon(Admission),
    /// Give an executor work again.
    Uncordon(Named),
    /// Give an executor no new work and wait until it has none.
    Drain(Admission),
}

/// How often a draining executor is looked at.
const DRAIN_LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// Run an executor.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Configuration file [default: executor.toml in --data-dir]; `hesper config executor` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<Utf8PathBuf>,
    #[command(flatten)]
    overrides: Overrides<config::Executor>,
}

/// Prepare an executor that joins a cluster.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// Directory of attempts, reports and the identity.
    #[arg(long, value_name = "DIR")]
    data_dir: Utf8PathBuf,
    /// Name of the executor.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    token: TokenArg,
}

/// List executors.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    connection: Connection,
}

/// One executor.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// Its name.
    name: String,
    #[command(flatten)]
    connection: Connection,
}

/// One executor that shall get no new work.
#[derive(Debug, clap::Args)]
pub struct Admission {
    /// Its name.
    name: String,
    /// Why, for whoever looks later.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

impl Run {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode, Error> {
        let mut overrides = self.overrides.given.clone();
        overrides.extend(global.log_overrides());
        let file = self
            .config
            .clone()
            .or_else(|| made_file(self.overrides.get("data_dir"), EXECUTOR_FILE));
        let config = config::Executor::load(file.as_deref(), &overrides)?;
        let logging = config.log.clone();
        block_on_many(Some(AGENT_THREADS), &logging, |shutdown| roles::executor(config, shutdown))
    }
}

impl Executor {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        match self {
            Executor::Join(join) => join.ask(out).await?,
            Executor::List(List { connection }) => {
                let executors = connection.client()?.executors("").await?;
                let shown = executors.into_iter().map(views::Executor::from).collect();
                out.show(&views::Executors(shown))?;
            }
            Executor::Show(Named { name, connection }) => {
                out.show(&find(&connection, &name).await?)?;
            }
            Executor::Cordon(Admission { name, reason, connection }) => {
                connection.client()?.set_executor(&name, "cordoned", &reason).await?;
                out.show(&views::Done { done: format!("executor {name} gets no new work") })?;
            }
            Executor::Uncordon(Named { name, connection }) => {
                connection.client()?.set_executor(&name, "open", "").await?;
                out.show(&views::Done { done: format!("executor {name} gets work again") })?;
            }
            Executor::Drain(Admission { name, reason, connection }) => {
                connection.client()?.set_executor(&name, "draining", &reason).await?;
                wait_until_empty(&connection, &name).await?;
                out.show(&views::Done { done: format!("executor {name} is drained") })?;
            }
            // Dispatched before, because it needs another runtime.
            Executor::Run(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits until nothing runs on an executor, and says on standard error how much still does.
async fn wait_until_empty(connection: &Connection, name: &str) -> Result<(), Error> {
    let mut told = None;
    loop {
        let running = find(connection, name).await?.running;
        if running == 0 {
            return Ok(());
        }
        if told != Some(running) {
            eprintln!("executor {name} is draining; {running} attempts still run there");
            told = Some(running);
        }
        tokio::time::sleep(DRAIN_LOOK_EVERY).await;
    }
}

async fn find(connection: &Connection, name: &str) -> Result<views::Executor, Error> {
    let executors = connection.client()?.executors(name).await?;
    executors
        .into_iter()
        .find(|executor| executor.name == name)
        .map(views::Executor::from)
        .ok_or_else(|| Error::NotFound {
            message: format!("there is no executor `{name}`; `hesper executor list` shows all"),
        })
}

impl Join {
    async fn ask(&self, out: Output) -> Result<(), Error> {
        let data_dir = absolute(&self.data_dir)?;
        let identity_dir = dirs::identity(&data_dir);
        if Identity::exists(&identity_dir) {
            return Err(Error::usage(format!(
                "`{data_dir}` already holds the identity of an executor; start it with `hesper executor run`, or choose another directory"
            )));
        }
        let token = self.token.read()?;
        let enrolled = enrol(&token, Role::Executor, &self.name, "").await?;
        enrolled.identity.store(&identity_dir)?;
        let nodes = if enrolled.nodes.is_empty() { token.nodes } else { enrolled.nodes };
        let mut table = toml::Table::new();
        table.insert("data_dir".to_owned(), data_dir.as_str().into());
        table.insert("name".to_owned(), self.name.as_str().into());
        table.insert("nodes".to_owned(), nodes.into());
        let file = data_dir.join(EXECUTOR_FILE);
        let text = format!("# Made by hesper. `hesper config executor` shows all keys.\n{table}");
        files::write_private(&file, text.as_bytes())?;
        out.show(&views::Prepared {
            role: "executor",
            name: self.name.clone(),
            cluster_id: enrolled.cluster_id,
            node_id: None,
            config: file.to_string(),
            client_config: None,
            next: vec![format!("start it:     hesper executor run --data-dir {data_dir}")],
        })?;
        Ok(())
    }
}
