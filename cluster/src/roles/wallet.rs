//! **Purpose**: runs a wallet: its own socket, JSON-RPC, and the streams to pool nodes.
//!
//! **Invariants**
//! - Before any key is read, core dumps are off and memory is locked where the system allows it.
//! - A locked wallet starts and waits; it never asks for its password by itself.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use camino::Utf8Path;
use hesper_chain::Network;
use hesper_jsonrpc::{Limits, UnixServer, serve_http};
use hesper_wallet::keystore::Scrypt;
use hesper_wallet::policy::Policy;
use hesper_wallet::protect::{self, Secret};
use hesper_wallet::rpc::{Extras, Tokens, WalletService};
use hesper_wallet::session::{self, Board, Dial};
use hesper_wallet::{Caller, Settings, Wallet};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::config::{self, WalletNetwork};
use crate::files;
use crate::identity::{Expect, Identity, client_tls, dirs, endpoint};
use crate::shutdown::{Shutdown, requested};

/// How often old records of the sign log are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// Runs a wallet until `shutdown`.
///
/// # Errors
/// When it cannot start, or a part of it ends by itself.
pub async fn wallet(
    config: config::Wallet,
    password: Option<Secret>,
    mut shutdown: Shutdown,
) -> anyhow::Result<()> {
    let hardening = protect::harden();
    tracing::info!(%hardening, "the process is hardened");
    let opened = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || open_wallet(&config, password)).await??
    };
    let wallet = Arc::new(opened);
    if wallet.is_locked() {
        tracing::info!(
            dir = %config.data_dir,
            "the wallet is locked and signs nothing; open it with `hesper wallet unlock`"
        );
    }
    let board = Board::new();
    let service = wallet_service(&wallet, &board, &config)?;
    let socket = UnixServer::bind(&config.socket()).await?;
    let mut parts: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let stop = stopped(&shutdown);
    let on_socket = Arc::clone(&service);
    parts.spawn(async move { Ok(socket.run(on_socket, Limits::default(), stop).await?) });
    if let Some(listen) = config.rpc {
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!(
                "could not serve JSON-RPC on {listen}; choose another address with `rpc`, or off"
            )
        })?;
        let stop = stopped(&shutdown);
        parts.spawn(
            async move { Ok(serve_http(listener, service, Limits::default(), stop).await?) },
        );
    }
    if !config.nodes.is_empty() {
        let dial = dialler(&config)?;
        let settings = session_settings(&config)?;
        let (wallet, stop) = (Arc::clone(&wallet), stopped(&shutdown));
        parts.spawn(async move {
            session::run(settings, wallet, dial, board, stop).await;
            Ok(())
        });
    }
    if let Some(keep) = config.sign_log_keep {
        parts.spawn(prune(Arc::clone(&wallet), keep, shutdown.clone()));
    }
    tracing::info!(
        name = config.name,
        keys = wallet.addresses(&Caller::local()).len(),
        rpc = ?config.rpc,
        nodes = config.nodes.len(),
        "wallet is up"
    );
    let ended = tokio::select! {
        // First: a part that ends because it was asked to has not ended by itself.
        biased;
        () = requested(&mut shutdown) => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            Ok(Ok(())) => Err(anyhow!("a part of the wallet ended by itself")),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(anyhow!("a part of the wallet broke off: {error}")),
        },
    };
    if ended.is_ok() {
        // Open requests are answered; the parts know that it is time.
        while parts.join_next().await.is_some() {}
    }
    tracing::info!("wallet has stopped");
    ended
}

/// Opens the directory of a wallet, and unlocks it when there is a password.
///
/// # Errors
/// Another process has it open, something in it is damaged, or the password is wrong.
pub fn open_wallet(config: &config::Wallet, password: Option<Secret>) -> anyhow::Result<Wallet> {
    files::make_private_dir(&config.data_dir)?;
    let network = network(config);
    let mut settings = Settings::new(&config.data_dir);
    settings.scrypt = Scrypt { log_n: config.scrypt_log_n, r: config.scrypt_r, p: config.scrypt_p };
    settings.network = network;
    settings.eth_chain_id = config.eth_chain_id;
    settings.decode = Some(decode_params);
    if let Some(file) = config.policy_file() {
        settings.policy =
            Policy::load(&file, network).map_err(|error| anyhow!(crate::output::causes(&error)))?;
    }
    let wallet = Wallet::open(settings)?;
    if let Some(password) = password {
        let unlocked = if wallet.has_password() {
            wallet.unlock(&Caller::local(), &password)
        } else {
            wallet.set_password(&Caller::local(), &password)
        };
        unlocked.map_err(|refusal| anyhow!("could not unlock the wallet: {refusal}"))?;
    }
    Ok(wallet)
}

/// Parameters of a method as JSON, by the manifest's word for the actor. Nothing where the actor is
/// none that has parameters of its own, or the bytes are not what the method takes.
fn decode_params(kind: &str, method: u64, params: &[u8]) -> Option<serde_json::Value> {
    let actor = kind.parse().ok()?;
    hesper_actors::decode_params(actor, method, params).ok()
}

/// The network whose prefix addresses have.
pub fn network(config: &config::Wallet) -> Network {
    match config.network {
        WalletNetwork::Mainnet => Network::Mainnet,
        WalletNetwork::Testnet => Network::Testnet,
    }
}

/// What answers requests of a wallet, over a socket or in this process.
///
/// # Errors
/// The secret of its tokens cannot be read or made.
pub fn wallet_service(
    wallet: &Arc<Wallet>,
    board: &Arc<Board>,
    config: &config::Wallet,
) -> anyhow::Result<Arc<WalletService>> {
    let tokens = Tokens::open(wallet.dir())?;
    let extras = Extras {
        // Also one that is not there yet: the rules may be written while the wallet runs.
        policy_file: Some(config.policy_path()),
        eth_chain_id: config.eth_chain_id,
        ..Extras::default()
    };
    Ok(Arc::new(WalletService::new(Arc::clone(wallet), tokens, Arc::clone(board), extras)))
}

fn stopped(shutdown: &Shutdown) -> impl Future<Output = ()> + Send + 'static {
    let mut shutdown = shutdown.clone();
    async move { requested(&mut shutdown).await }
}

/// Dials nodes with this wallet's certificate.
fn dialler(config: &config::Wallet) -> anyhow::Result<Dial> {
    let identity = Identity::load(&dirs::identity(&config.data_dir))?;
    let tls = client_tls(&identity, Expect::Node);
    Ok(Arc::new(move |address: &str| {
        endpoint(address, &tls)
            .map(|endpoint| endpoint.connect_lazy())
            .map_err(|error| -> Box<dyn StdError + Send + Sync> { Box::new(error) })
    }))
}

fn session_settings(config: &config::Wallet) -> anyhow::Result<session::Settings> {
    let id = session::wallet_id(&config.data_dir).with_context(|| {
        format!("could not read or make the wallet's id in `{}`", config.data_dir)
    })?;
    let mut settings = session::Settings::new(id, config.name.clone(), config.nodes.clone());
    settings.version = env!("CARGO_PKG_VERSION").to_owned();
    settings.streams = config.streams_min;
    if let Some(file) = config.token_file.clone() {
        settings.token = Arc::new(move || read_token(&file));
    }
    Ok(settings)
}

fn read_token(file: &Utf8Path) -> Option<String> {
    match files::read_text(file) {
        Ok(text) => Some(text.trim().to_owned()).filter(|token| !token.is_empty()),
        Err(error) => {
            tracing::warn!(%error, "the wallet's token cannot be read, dialling without it");
            None
        }
    }
}

/// Cuts off what is older than `keep`, now and then.
async fn prune(wallet: Arc<Wallet>, keep: Duration, mut shutdown: Shutdown) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! {
            () = requested(&mut shutdown) => return Ok(()),
            _ = every.tick() => {}
        }
        let wallet = Arc::clone(&wallet);
        let pruned = tokio::task::spawn_blocking(move || {
            let now = wallet.now_ms();
            let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            wallet.log().prune(now.saturating_sub(keep_ms), "retention", now)
        })
        .await?;
        match pruned {
            Ok(pruned) if pruned.records > 0 => {
                tracing::info!(records = pruned.records, "old records of the sign log are gone");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the sign log could not be pruned"),
        }
    }
}

#[cfg(test)]
mod tests;
