//! **Purpose**: `hesper wallet run`, `init` and `join`.

use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};

use super::secret::Password;
use crate::cli::node::{absolute, made_file};
use crate::cli::overrides::Overrides;
use crate::cli::token::TokenArg;
use crate::cli::{Error, Global, block_on_many};
use crate::client::enrol;
use crate::config::{self, WALLET_FILE, write_wallet_file};
use crate::identity::{Identity, Role, dirs};
use crate::output::{Output, views};
use crate::roles;
use crate::{files, identity};

/// A wallet mostly waits; signing has threads of its own.
const WALLET_THREADS: usize = 2;

/// Run a wallet.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Configuration file [default: wallet.toml in --data-dir]; `hesper config wallet` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<Utf8PathBuf>,
    #[command(flatten)]
    overrides: Overrides<config::Wallet>,
    #[command(flatten)]
    password: Password,
}

impl Run {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode, Error> {
        let mut overrides = self.overrides.given.clone();
        overrides.extend(global.log_overrides());
        let file =
            self.config.clone().or_else(|| made_file(self.overrides.get("data_dir"), WALLET_FILE));
        let config = config::Wallet::load(file.as_deref(), &overrides)?;
        // Nobody may be there to be asked: a wallet without a password waits to be unlocked.
        let password = self.password.given()?;
        let logging = config.log.clone();
        block_on_many(Some(WALLET_THREADS), &logging, |shutdown| {
            roles::wallet(config, password, shutdown)
        })
    }
}

/// Make a wallet.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Directory of keys, sign log and identity.
    #[arg(long, value_name = "DIR")]
    data_dir: Utf8PathBuf,
    /// Name of the wallet.
    #[arg(long)]
    name: String,
    /// Prefix of addresses.
    #[arg(long, value_name = "WORD", default_value = "mainnet")]
    network: String,
    /// Where JSON-RPC is served.
    #[arg(long, value_name = "IP:PORT|off", default_value = "127.0.0.1:5678")]
    rpc: String,
    /// Cost of guessing the password: scrypt's N is 2 to this power.
    #[arg(long, value_name = "NUMBER", default_value = "18")]
    scrypt_log_n: String,
    #[command(flatten)]
    password: Password,
}

impl Init {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        let data_dir = absolute(&self.data_dir)?;
        if data_dir.join(WALLET_FILE).exists() {
            return Err(Error::usage(format!(
                "there is a wallet in `{data_dir}` already; start it with `hesper wallet run`, or \
                 choose another directory"
            )));
        }
        let settings = [
            ("data_dir", data_dir.to_string()),
            ("name", self.name.clone()),
            ("network", self.network.clone()),
            ("rpc", self.rpc.clone()),
            ("scrypt_log_n", self.scrypt_log_n.clone()),
        ];
        // Everything that can be wrong is found before anything is written.
        let config = config::Wallet::load(None, &settings)?;
        let password = self.password.read_new("Password of the new wallet")?;
        files::make_private_dir(&data_dir)?;
        let opened =
            tokio::task::spawn_blocking(move || roles::open_wallet(&config, Some(password)))
                .await
                .map_err(|error| Error::Role(error.into()))?;
        drop(opened.map_err(Error::Role)?);
        let table =
            settings.into_iter().map(|(key, text)| (key.to_owned(), value(key, text))).collect();
        let file = write_wallet_file(&data_dir, table)?;
        super::done(
            out,
            format!(
                "wallet `{}` is ready: {file}\n  start it:     hesper wallet run --data-dir {data_dir}\n  \
                 make a key:   hesper wallet new --data-dir {data_dir}",
                self.name
            ),
        )
    }
}

fn value(key: &str, text: String) -> toml::Value {
    match (key, text.parse()) {
        ("scrypt_log_n", Ok(number)) => toml::Value::Integer(number),
        _ => toml::Value::String(text),
    }
}

/// Let a wallet take part in a cluster.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// Directory of the wallet; one that holds none yet gets its configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Utf8PathBuf,
    /// Name of the wallet in the cluster.
    #[arg(long)]
    name: String,
    #[command(flatten)]
    token: TokenArg,
}

impl Join {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        identity::check_name("the name", &self.name)?;
        let data_dir = absolute(&self.data_dir)?;
        let identity_dir = dirs::identity(&data_dir);
        if Identity::exists(&identity_dir) {
            return Err(Error::usage(format!(
                "the wallet in `{data_dir}` has joined a cluster already; start it with `hesper wallet \
                 run`, or choose another directory"
            )));
        }
        let mut table = settings_of(&data_dir)?;
        let token = self.token.read()?;
        let enrolled = enrol(&token, Role::Wallet, &self.name, "").await?;
        files::make_private_dir(&data_dir)?;
        enrolled.identity.store(&identity_dir)?;
        let nodes = if enrolled.nodes.is_empty() { token.nodes } else { enrolled.nodes };
        table.insert("data_dir".to_owned(), data_dir.as_str().into());
        table.insert("name".to_owned(), self.name.as_str().into());
        table.insert("nodes".to_owned(), nodes.into());
        let file = write_wallet_file(&data_dir, table)?;
        out.show(&views::Prepared {
            role: "wallet",
            name: self.name.clone(),
            cluster_id: enrolled.cluster_id,
            node_id: None,
            config: file.to_string(),
            client_config: None,
            next: vec![
                format!("set password: hesper wallet set-password --data-dir {data_dir}"),
                format!("start it:     hesper wallet run --data-dir {data_dir}"),
            ],
        })?;
        Ok(())
    }
}

/// What the configuration of a wallet says already.
fn settings_of(data_dir: &Utf8Path) -> Result<toml::Table, Error> {
    let file = data_dir.join(WALLET_FILE);
    if !file.exists() {
        return Ok(toml::Table::new());
    }
    let text = files::read_text(&file)?;
    toml::from_str(&text)
        .map_err(|error| Error::usage(format!("`{file}` is not valid TOML: {error}; correct it")))
}
