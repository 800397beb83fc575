//! **Purpose**: the wallet that a command speaks to: the one that runs on this machine, through its
//! socket, or else the directory itself, opened for the time of the command.
//!
//! **Invariants**
//! - Both ways go through the same methods with the same checks.
//! - A directory that a running wallet has open is never opened a second time: its lock says who has
//!   it.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_jsonrpc::{CallError, Credentials, RpcError, Service, UnixClient};
use hesper_wallet::rpc::WalletService;
use hesper_wallet::session::Board;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::secret::Password;
use crate::cli::Error;
use crate::cli::node::absolute;
use crate::config::{self, WALLET_FILE, WALLET_SOCKET};
use crate::roles;

/// Which wallet of this machine.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The wallet's directory [default: ~/.local/share/hesper/wallet].
    #[arg(long, value_name = "DIR", env = "HESPER_WALLET", global = true, help_heading = "Wallet")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    password: Password,
}

impl Place {
    /// Whether a directory was named, rather than the usual one meant.
    pub fn is_named(&self) -> bool {
        self.data_dir.is_some()
    }

    /// The directory.
    pub fn dir(&self) -> Result<Utf8PathBuf, Error> {
        if let Some(dir) = &self.data_dir {
            return absolute(dir);
        }
        let home = std::env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok());
        home.map(|home| home.join(".local/share/hesper/wallet")).ok_or_else(|| {
            Error::usage("there is no home directory; name the wallet's with --data-dir")
        })
    }

    pub fn password(&self) -> &Password {
        &self.password
    }

    /// The wallet's configuration, if it has been made.
    pub fn config(&self) -> Result<config::Wallet, Error> {
        let dir = self.dir()?;
        let file = dir.join(WALLET_FILE);
        if !file.exists() {
            return Err(Error::NotFound {
                message: format!(
                    "there is no wallet in `{dir}`; make one with `hesper wallet init --data-dir {dir}`, \
                     or name another directory with --data-dir"
                ),
            });
        }
        let overrides = [("data_dir", dir.to_string())];
        Ok(config::Wallet::load(Some(&file), &overrides)?)
    }

    /// The wallet: the running one, else the directory.
    pub async fn open(&self) -> Result<Door, Error> {
        let config = self.config()?;
        let socket = config.data_dir.join(WALLET_SOCKET);
        match UnixClient::connect(&socket).await {
            Ok(client) => Ok(Door::Running(Box::new(client))),
            Err(error) if nobody_answers(&socket, &error) => Door::directory(config).await,
            Err(error) => Err(call_error(error)),
        }
    }

    /// The same, unlocked: a directory that no wallet runs on is unlocked with the password.
    pub async fn open_unlocked(&self) -> Result<Door, Error> {
        let mut door = self.open().await?;
        if matches!(door, Door::Directory { .. }) {
            door.unlock(&self.password).await?;
        }
        Ok(door)
    }
}

/// A socket that is not there, or that a dead wallet left behind.
fn nobody_answers(socket: &Utf8Path, error: &CallError) -> bool {
    let CallError::Connect { source, .. } = error else { return false };
    !socket.exists() || source.kind() == std::io::ErrorKind::ConnectionRefused
}

type Caller = <WalletService as Service>::Caller;

/// A wallet that answers.
pub enum Door {
    Running(Box<UnixClient>),
    Directory { service: Arc<WalletService>, caller: Box<Caller> },
}

impl Door {
    async fn directory(config: config::Wallet) -> Result<Self, Error> {
        let settings = config.clone();
        let wallet = tokio::task::spawn_blocking(move || roles::open_wallet(&settings, None))
            .await
            .map_err(|error| Error::Role(error.into()))?
            .map_err(Error::Role)?;
        let service = roles::wallet_service(&Arc::new(wallet), &Board::new(), &config)
            .map_err(Error::Role)?;
        let local = Credentials::Local { uid: rustix::process::getuid().as_raw() };
        let caller = service.authenticate(&local).await.map_err(refused)?;
        Ok(Door::Directory { service, caller: Box::new(caller) })
    }

    /// Whether a wallet process answers.
    pub fn is_running(&self) -> bool {
        matches!(self, Door::Running(_))
    }

    /// Unlocks with the password, asking for it if need be.
    pub async fn unlock(&mut self, password: &Password) -> Result<(), Error> {
        let secret = password.read("Password of the wallet")?;
        let text = super::secret::as_text(&secret)?;
        self.call::<Value>("Filecoin.Unlock", vec![text.into()]).await.map(|_done| ())
    }

    /// Calls a method of the wallet.
    pub async fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Vec<Value>,
    ) -> Result<T, Error> {
        let value = match self {
            Door::Running(client) => client.call(method, params).await.map_err(call_error)?,
            Door::Directory { service, caller } => {
                service.call(caller, method, params).await.map_err(refused)?
            }
        };
        serde_json::from_value(value).map_err(|error| Error::Refused {
            message: format!(
                "the wallet answered {method} with something else than expected ({error}); is it of \
                 the same version?"
            ),
        })
    }
}

fn call_error(error: CallError) -> Error {
    match error {
        CallError::Rpc(error) => refused(error),
        other => Error::Refused { message: crate::output::causes(&other) },
    }
}

fn refused(error: RpcError) -> Error {
    Error::Refused { message: error.message }
}
