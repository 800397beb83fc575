//! **Purpose**: what the session needs of a wallet.

use hesper_chain::Address;
use hesper_chain::signature::Signature;
use hesper_protos::wallet::RefusalKind;
use tokio::sync::watch;

/// Holds keys and decides what they sign. The calls may block: the session calls them on threads
/// that are made for it.
pub trait Holder: Send + Sync + 'static {
    /// Keys that can sign now; none while the wallet is locked.
    fn usable(&self) -> Vec<Address>;
    /// Changes whenever [`Holder::usable`] may have.
    fn changes(&self) -> watch::Receiver<u64>;
    /// Fresh random bytes, which [`Holder::sign`] will know again in a proof of possession.
    fn issue_random(&self) -> [u8; 32];
    /// Milliseconds since 1970, on the clock that judges deadlines.
    fn now_ms(&self) -> u64;
    /// Signs, or says why not.
    ///
    /// # Errors
    /// When the wallet refuses.
    fn sign(&self, asked: &Asked) -> Result<Signature, Denied>;
}

/// One request of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub signer: Address,
    /// Venus's word: message, block, ...
    pub object_type: String,
    pub to_sign: Vec<u8>,
    pub extra: Vec<u8>,
    /// For the log: on whose behalf, and through which node.
    pub caller: String,
    /// `None` for a proof of possession, which no intent stands behind.
    pub order: Option<Fenced>,
}

/// The applied intent behind a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    pub generation: u64,
    pub intent: u64,
    /// On the clock of [`Holder::now_ms`].
    pub deadline_ms: u64,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    pub kind: RefusalKind,
    pub message: String,
}
