//! **Purpose**: judge the caller, find the method, run it where it may block.

use std::sync::Arc;

use camino::Utf8PathBuf;
use hesper_jsonrpc::{Credentials, RpcError, Service};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::args::Args;
use super::methods::{METHODS, Method};
use super::token::Tokens;
use crate::session::Board;
use crate::{Caller, Clock, Refusal, RefusalKind, Scope, SystemClock, Wallet};

/// Calls that read much of the log, at the same time: a client can send many.
const SCANS_MAX: usize = 2;

/// Sets the level of a subsystem of the program's log; the first text is the subsystem or `*`.
pub type SetLevel = Arc<dyn Fn(&str, &str) -> Result<(), String> + Send + Sync>;

/// What not every service has.
pub struct Extras {
    /// For `Hesper.PolicyReload`.
    pub policy_file: Option<Utf8PathBuf>,
    /// For `Filecoin.LogSetLevel`.
    pub set_level: Option<SetLevel>,
    /// For `Filecoin.WalletSignMessage` of delegated senders; the wallet's own.
    pub eth_chain_id: u64,
}

impl Default for Extras {
    fn default() -> Self {
        Extras { policy_file: None, set_level: None, eth_chain_id: 314 }
    }
}

pub(super) struct Shared {
    pub(super) wallet: Arc<Wallet>,
    pub(super) tokens: Tokens,
    pub(super) board: Arc<Board>,
    pub(super) extras: Extras,
}

/// The wallet's methods as a service of JSON-RPC.
pub struct WalletService {
    shared: Arc<Shared>,
    scans: Arc<Semaphore>,
}

impl WalletService {
    /// `board` shows the streams to the pool; an empty one where there are none.
    #[must_use]
    pub fn new(wallet: Arc<Wallet>, tokens: Tokens, board: Arc<Board>, extras: Extras) -> Self {
        let shared = Arc::new(Shared { wallet, tokens, board, extras });
        WalletService { shared, scans: Arc::new(Semaphore::new(SCANS_MAX)) }
    }
}

/// Who calls, after they were judged.
pub struct RpcCaller {
    /// `None`: no token came.
    caller: Option<Caller>,
    /// The good token that came; none on the Unix socket.
    token: Option<String>,
    is_local: bool,
}

/// What a method works with.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) caller: &'a Caller,
    /// The caller's token; `None` on the Unix socket.
    pub(super) token: Option<&'a str>,
}

impl Call<'_> {
    pub(super) fn wallet(&self) -> &Wallet {
        &self.shared.wallet
    }
}

impl Service for WalletService {
    type Caller = RpcCaller;

    async fn authenticate(&self, credentials: &Credentials) -> Result<RpcCaller, RpcError> {
        match credentials {
            Credentials::Local { uid } => {
                let caller = Caller { name: format!("local:{uid}"), ..Caller::local() };
                Ok(RpcCaller { caller: Some(caller), token: None, is_local: true })
            }
            Credentials::Bearer(None) => {
                Ok(RpcCaller { caller: None, token: None, is_local: false })
            }
            Credentials::Bearer(Some(token)) => {
                let now_ms = SystemClock.now_ms();
                let claims = self.shared.tokens.verify(token, now_ms);
                let caller = claims.and_then(|claims| claims.caller());
                let caller = caller.map_err(|error| RpcError::unauthorized(error.to_string()))?;
                let token = Some(token.clone());
                Ok(RpcCaller { caller: Some(caller), token, is_local: false })
            }
        }
    }

    async fn call(
        &self,
        caller: &RpcCaller,
        name: &str,
        params: Vec<Value>,
    ) -> Result<Value, RpcError> {
        let method = find(name, caller.is_local)?;
        let (token, caller) = (caller.token.clone(), permit(method, caller)?.clone());
        let args = Args::new(method.name, self.shared.wallet.network(), method.params, params)?;
        let shared = self.shared.clone();
        let scan = match method.is_scan {
            true => self.scans.clone().acquire_owned().await.ok(),
            false => None,
        };
        let run = move || {
            // Held until the thread is done, also when nobody waits for it any more.
            let _scan = scan;
            let call = Call { shared: &shared, caller: &caller, token: token.as_deref() };
            (method.run)(&call, args)
        };
        tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| {
            tracing::error!(%error, method = name, "a method's thread failed");
            Err(RpcError::internal(format!("the method '{name}' failed; see the wallet's log")))
        })
    }
}

fn find(name: &str, is_local: bool) -> Result<&'static Method, RpcError> {
    METHODS
        .iter()
        .find(|method| method.name == name && (is_local || !method.is_local))
        .ok_or_else(|| RpcError::method_not_found(name))
}

fn permit<'a>(method: &Method, caller: &'a RpcCaller) -> Result<&'a Caller, RpcError> {
    let missing = || RpcError::missing_permission(method.name, method.permission.word());
    let caller = caller.caller.as_ref().ok_or_else(missing)?;
    if caller.permission < method.permission {
        return Err(missing());
    }
    if method.is_global && caller.scope != Scope::All {
        return Err(RpcError::application(format!(
            "'{}' concerns the whole wallet; the token of a group may not invoke it",
            method.name
        )));
    }
    Ok(caller)
}

/// A refusal in the words of the wallet, with its kind for programs.
pub(super) fn refused(refusal: Refusal) -> RpcError {
    let kind = match refusal.kind {
        RefusalKind::Policy => "policy",
        RefusalKind::Mismatch => "mismatch",
        RefusalKind::Locked => "locked",
        RefusalKind::NoKey => "no_key",
        RefusalKind::Stale => "stale",
        RefusalKind::Expired => "expired",
        RefusalKind::Slash => "slash",
        RefusalKind::Log => "log",
        RefusalKind::Unsupported => "unsupported",
        RefusalKind::BadObject => "bad_object",
        RefusalKind::Permission => "permission",
        RefusalKind::Keystore => "keystore",
    };
    RpcError::application(refusal.message).with_data(json!({ "kind": kind }))
}
