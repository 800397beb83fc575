//! **Purpose**: `hesper node`: make, run, join, leave, look at pool nodes.

use std::process::ExitCode;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Subcommand;

use super::connection::Connection;
use super::overrides::Overrides;
use super::token::TokenArg;
use super::{Error, Global, block_on_many};
use crate::client::{Client, TokenWish, enrol};
use crate::config::{self, NODE_FILE, write_node_file};
use crate::identity::{
    CARD_FORMAT, FoundError, Founding, Identity, NodeCard, Role, dirs, found_cluster,
};
use crate::output::{Output, views};
use crate::roles;
use crate::values::parse_duration;

/// Adding a node takes as long as copying the state to it.
const ADD_TIMEOUT: Duration = Duration::from_secs(600);

/// Pool nodes.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Begin a new cluster with one node.
    #[command(after_help = "\
Example:
  hesper node init --data-dir /var/lib/hesper --name n1 --listen 10.0.0.1:7100
  hesper node run --data-dir /var/lib/hesper")]
    Init(Init),
    /// Run a node.
    Run(Run),
    /// Prepare a node that joins a cluster with a token.
    #[command(after_help = "\
Example, with the token that `hesper node token --role node` printed:
  hesper node join --data-dir /var/lib/hesper --name n2 --listen 10.0.0.2:7100 --token hesper1...
  hesper node run --data-dir /var/lib/hesper")]
    Join(Join),
    /// Take a node out of the cluster.
    Leave(Leave),
    /// Show the cluster as its nodes see it.
    Status(Status),
    /// Make a one-time token with which a node, executor or client joins.
    #[command(after_help = "Example: hesper node token --role executor --name e1 --valid 1h")]
    Token(Token),
    /// Make another node the leader.
    Transfer(Transfer),
}

/// Where a node listens, and what it is called.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// Directory of the log, the state and the identity.
    #[arg(long, value_name = "DIR")]
    data_dir: Utf8PathBuf,
    /// Name of the node.
    #[arg(long)]
    name: String,
    /// Where nodes, executors and clients are accepted.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:7100")]
    listen: String,
    /// Where others reach it [default: the same as --listen].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where /metrics and /healthz are served.
    #[arg(long, value_name = "IP:PORT|off", default_value = "127.0.0.1:7101")]
    http: String,
}

impl Place {
    /// Checks all settings as `node run` will, before anything is written.
    fn check(&self) -> Result<config::Node, Error> {
        Ok(config::Node::load(None, &self.settings()?)?)
    }

    fn settings(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let data_dir = absolute(&self.data_dir)?;
        let mut settings = vec![
            ("data_dir", data_dir.into_string()),
            ("name", self.name.clone()),
            ("listen", self.listen.clone()),
            ("http", self.http.clone()),
        ];
        settings.extend(self.advertise.clone().map(|address| ("advertise", address)));
        Ok(settings)
    }
}

/// Begin a new cluster with one node.
#[derive(Debug, clap::Args)]
pub struct Init {
    #[command(flatten)]
    place: Place,
    /// Who owns what the first operator submits.
    #[arg(long, value_name = "NAME", default_value = "operator")]
    owner: String,
}

/// Run a node.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Configuration file [default: node.toml in --data-dir]; `hesper config node` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<Utf8PathBuf>,
    #[command(flatten)]
    overrides: Overrides<config::Node>,
}

/// Prepare a node that joins a cluster.
#[derive(Debug, clap::Args)]
pub struct Join {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    token: TokenArg,
}

/// Take a node out of the cluster.
#[derive(Debug, clap::Args)]
pub struct Leave {
    /// The node's number, as `hesper node status` shows it.
    #[arg(long, value_name = "NUMBER", required_unless_present = "data_dir")]
    node: Option<u64>,
    /// Data directory of the node on this machine that shall leave.
    #[arg(long, value_name = "DIR", conflicts_with = "node")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// Show the cluster.
#[derive(Debug, clap::Args)]
pub struct Status {
    /// Ask the leader's majority instead of showing what the answering node knows.
    #[arg(long)]
    linearizable: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Make a one-time token.
#[derive(Debug, clap::Args)]
pub struct Token {
    /// What the holder will be: node, executor, client or admin.
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// The name that the holder must take [default: any].
    #[arg(long)]
    name: Option<String>,
    /// Whose it will be [default: your own owner].
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// How long the token is good.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    valid: Duration,
    #[command(flatten)]
    connection: Connection,
}

/// Make another node the leader.
#[derive(Debug, clap::Args)]
pub struct Transfer {
    /// The node's number.
    node: u64,
    #[command(flatten)]
    connection: Connection,
}

impl Node {
    pub(super) async fn ask(self, out: Output) -> Result<ExitCode, Error> {
        match self {
            Node::Init(init) => init.run(out)?,
            Node::Join(join) => join.ask(out).await?,
            Node::Leave(leave) => leave.ask(out).await?,
            Node::Status(status) => {
                let reply = status.connection.client()?.status(status.linearizable).await?;
                out.show(&views::Status::from(reply))?;
            }
            Node::Token(token) => token.ask(out).await?,
            Node::Transfer(transfer) => {
                transfer.connection.client()?.transfer_leader(transfer.node).await?;
                out.show(&views::Done { done: format!("node {} leads", transfer.node) })?;
            }
            // Dispatched before, because it needs another runtime.
            Node::Run(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode, Error> {
        let mut overrides = self.overrides.given.clone();
        overrides.extend(global.log_overrides());
        let file =
            self.config.clone().or_else(|| made_file(self.overrides.get("data_dir"), NODE_FILE));
        let config = config::Node::load(file.as_deref(), &overrides)?;
        let logging = config.log.clone();
        block_on_many(None, &logging, |shutdown| roles::node(config, shutdown))
    }
}

impl Init {
    fn run(&self, out: Output) -> Result<(), Error> {
        let config = self.place.check()?;
        let founding = Founding {
            data_dir: &config.data_dir,
            name: &config.name,
            owner: &self.owner,
            address: &config.advertise,
        };
        if NodeCard::exists(&config.data_dir) {
            return Err(FoundError::Exists { data_dir: config.data_dir.clone() }.into());
        }
        // Before the card, so that a directory with a card is complete.
        crate::files::make_private_dir(&config.data_dir)?;
        let file = write_node_file(&config.data_dir, &self.place.settings()?)?;
        let founded = found_cluster(&founding)?;
        out.show(&views::Prepared {
            role: "node",
            name: config.name.clone(),
            cluster_id: founded.card.cluster_id,
            node_id: Some(founded.card.node_id),
            config: file.to_string(),
            client_config: Some(founded.client_config.to_string()),
            next: vec![
                format!("start it:     hesper node run --data-dir {}", config.data_dir),
                format!("operate it:   export HESPER_CONFIG={}", founded.client_config),
                "add others:   hesper node token --role node|executor|client".to_owned(),
            ],
        })?;
        Ok(())
    }
}

impl Join {
    async fn ask(&self, out: Output) -> Result<(), Error> {
        let config = self.place.check()?;
        let data_dir = &config.data_dir;
        if NodeCard::exists(data_dir) {
            return Err(FoundError::Exists { data_dir: data_dir.clone() }.into());
        }
        let token = self.token.read()?;
        let enrolled = enrol(&token, Role::Node, &config.name, &config.advertise).await?;
        crate::files::make_private_dir(data_dir)?;
        let file = write_node_file(data_dir, &self.place.settings()?)?;
        enrolled.identity.store(&dirs::identity(data_dir))?;
        if let Some(authority) = &enrolled.authority {
            authority.store(&dirs::authority(data_dir))?;
        }
        let card = NodeCard {
            format: CARD_FORMAT,
            cluster_id: enrolled.cluster_id,
            node_id: enrolled.node_id,
            name: config.name.clone(),
            address: config.advertise.clone(),
            founder: false,
            nodes: enrolled.nodes,
        };
        card.store(data_dir)?;
        out.show(&views::Prepared {
            role: "node",
            name: card.name,
            cluster_id: card.cluster_id,
            node_id: Some(card.node_id),
            config: file.to_string(),
            client_config: None,
            next: vec![format!("start it:     hesper node run --data-dir {data_dir}")],
        })?;
        Ok(())
    }
}

impl Leave {
    async fn ask(&self, out: Output) -> Result<(), Error> {
        let (node, client) = match (&self.data_dir, self.node) {
            (Some(data_dir), _) => own_node(data_dir)?,
            (None, Some(node)) => (node, self.connection.client()?),
            (None, None) => return Err(Error::usage("name the node with --node or --data-dir")),
        };
        client.with_request_timeout(ADD_TIMEOUT)?.remove_node(node).await?;
        out.show(&views::Done {
            done: format!("node {node} is no longer part of the cluster; it can be stopped"),
        })?;
        Ok(())
    }
}

/// A node that leaves asks the others under its own certificate.
fn own_node(data_dir: &Utf8Path) -> Result<(u64, Client), Error> {
    let card = NodeCard::load(data_dir)?;
    let identity = Identity::load(&dirs::identity(data_dir))?;
    let mut nodes = card.nodes;
    nodes.push(card.address);
    let client = Client::new(&nodes, identity, Duration::from_secs(5), Duration::from_secs(60))?;
    Ok((card.node_id, client))
}

impl Token {
    async fn ask(&self, out: Output) -> Result<(), Error> {
        let client = self.connection.client()?;
        let owner = match &self.owner {
            Some(owner) => owner.clone(),
            None => match client.identity() {
                Some(identity) => identity.subject()?.owner,
                None => {
                    return Err(Error::usage(
                        "name the owner with --owner; the local socket has none of its own",
                    ));
                }
            },
        };
        let wish = TokenWish {
            role: self.role,
            owner,
            name: self.name.clone().unwrap_or_default(),
            valid_seconds: self.valid.as_secs().max(1),
        };
        let reply = client.create_token(&wish).await?;
        out.show(&views::Token { token: reply.token, expires_at_ms: reply.expires_at_ms })?;
        out.note(&format!(
            "good once, for a new {}, until {}",
            self.role,
            crate::values::format_time(reply.expires_at_ms)
        ));
        Ok(())
    }
}

/// The configuration that `init` or `join` left in a data directory.
pub(super) fn made_file(data_dir: Option<&str>, name: &str) -> Option<Utf8PathBuf> {
    data_dir.map(|data_dir| Utf8Path::new(data_dir).join(name)).filter(|file| file.exists())
}

/// A path that stays right when the process is started elsewhere.
pub(super) fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    let absolute = camino::absolute_utf8(path).map_err(|error| {
        Error::usage(format!("`{path}` cannot be made an absolute path: {error}"))
    })?;
    Ok(absolute)
}
