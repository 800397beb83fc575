//! **Purpose**: who holds this token, by the applied state of this node alone.
//!
//! **Invariants**
//! - No verdict is remembered: each call reads revocation, expiry and the user's standing anew, so a
//!   disabled user or a revoked token is refused from the next applied entry on.
//! - Nothing about a token or user is said before its MAC has been checked.
//! - What the token says must equal what its row says.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::actor::Permission;
use crate::model::TokenRow;
use crate::state::State;
use crate::token::{self, Key, Unreadable};
use crate::view::Standing;

/// Who holds a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: String,
    pub permission: Permission,
    /// `None`: a token of the local secret.
    pub token: Option<u64>,
}

/// Why a token, or a call with it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    #[error("this is no token: {problem}; copy the whole token")]
    Malformed { problem: &'static str },
    #[error("tokens are signed with HS256, this one says `{algorithm}`; use one of this cluster")]
    Algorithm { algorithm: String },
    #[error("this token is signed with a secret that is not known here; use one of this cluster")]
    UnknownKey,
    #[error(
        "this node has not unsealed secret {kid} yet; try again in a moment, or at another node"
    )]
    KeyNotLoaded { kid: u64 },
    #[error("secret {kid}, which signed this token, was rotated out; have the token renewed")]
    RetiredKey { kid: u64 },
    #[error("the signature of this token is wrong; use a token of this cluster, unchanged")]
    BadSignature,
    #[error("token {id} expired at {expires_s} s since 1970; ask for another one")]
    Expired { id: u64, expires_s: u64 },
    #[error("token {id} is not known; ask for another one")]
    Unknown { id: u64 },
    #[error("token {id} is revoked; ask for another one")]
    Revoked { id: u64 },
    #[error("token {id} says something else than its record; ask for another one")]
    Contradicts { id: u64 },
    #[error("user `{user}` is not known; ask an administrator to create it")]
    UserUnknown { user: String },
    #[error("user `{user}` is disabled; ask an administrator to enable it")]
    UserDisabled { user: String },
    #[error("user `{user}` is deleted; ask an administrator to recover it")]
    UserDeleted { user: String },
    #[error(
        "could not {action}: this needs the permission `{needed}`, you have `{has}`; ask an \
         administrator for a token with it"
    )]
    MissingPermission { action: &'static str, needed: Permission, has: Permission },
}

impl Denied {
    /// Whether the caller is known but may not (403), as against unknown (401).
    pub fn is_forbidden(&self) -> bool {
        match self {
            Self::UserDisabled { .. }
            | Self::UserDeleted { .. }
            | Self::MissingPermission { .. } => true,
            Self::Malformed { .. }
            | Self::Algorithm { .. }
            | Self::UnknownKey
            | Self::KeyNotLoaded { .. }
            | Self::RetiredKey { .. }
            | Self::BadSignature
            | Self::Expired { .. }
            | Self::Unknown { .. }
            | Self::Revoked { .. }
            | Self::Contradicts { .. }
            | Self::UserUnknown { .. } => false,
        }
    }
}

impl From<Unreadable> for Denied {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed(problem) => Self::Malformed { problem },
            Unreadable::Algorithm(algorithm) => Self::Algorithm { algorithm },
            Unreadable::Signature => Self::BadSignature,
        }
    }
}

impl Caller {
    /// # Errors
    /// The permission is missing; the refusal names it.
    pub fn require(&self, needed: Permission, action: &'static str) -> Result<(), Denied> {
        if self.permission.allows(needed) {
            return Ok(());
        }
        Err(Denied::MissingPermission { action, needed, has: self.permission })
    }
}

/// The unsealed secrets of one node, ready for use.
#[derive(Clone, Default)]
pub struct Verifier {
    keys: BTreeMap<u64, Key>,
    local: Option<Local>,
}

/// A secret of this node alone and the user that its tokens stand for.
#[derive(Clone)]
struct Local {
    key: Key,
    user: String,
}

impl Verifier {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up an unsealed secret.
    pub fn set_key(&mut self, kid: u64, secret: &[u8]) {
        self.keys.insert(kid, token::key(secret));
    }

    pub fn has_key(&self, kid: u64) -> bool {
        self.keys.contains_key(&kid)
    }

    /// Forgets the secrets that are not kept.
    pub fn retain_keys(&mut self, mut keep: impl FnMut(u64) -> bool) {
        self.keys.retain(|kid, _| keep(*kid));
    }

    /// From now on takes tokens that a Lotus node would: without `kid`, `Allow` alone, signed with this
    /// secret. They stand for `user` and cannot be revoked one by one.
    pub fn accept_local(&mut self, secret: &[u8], user: &str) {
        self.local = Some(Local { key: token::key(secret), user: user.to_owned() });
    }

    /// The text of a token, if its secret is loaded.
    pub fn mint(&self, row: &TokenRow) -> Option<String> {
        let key = self.keys.get(&row.kid)?;
        Some(token::mint_with(row.kid, key, &row.claims()))
    }

    /// # Errors
    /// The token is not one of this cluster, or no longer valid, or its user may not act.
    pub fn verify(&self, state: &State, text: &str, now_ms: u64) -> Result<Caller, Denied> {
        let parts = token::parse(text)?;
        let Some(kid) = parts.kid else { return self.verify_local(state, &parts, now_ms) };
        let secret = state.secret(kid).ok_or(Denied::UnknownKey)?;
        let key = self.keys.get(&kid).ok_or(Denied::KeyNotLoaded { kid })?;
        let json = parts.verified(key)?;
        if secret.valid_until_ms.is_some_and(|until| until <= now_ms) {
            return Err(Denied::RetiredKey { kid });
        }
        check(state, &token::payload(&json)?, now_ms)
    }

    fn verify_local(
        &self,
        state: &State,
        parts: &token::Parts<'_>,
        now_ms: u64,
    ) -> Result<Caller, Denied> {
        let local = self.local.as_ref().ok_or(Denied::UnknownKey)?;
        let json = parts.verified(&local.key)?;
        let payload = token::payload(&json)?;
        check_times(&payload, 0, now_ms)?;
        let permission = payload
            .allowed()
            .ok_or(Denied::Malformed { problem: "its `Allow` does not begin with `read`" })?;
        let user = local.user.clone();
        match state.standing(&user) {
            // The name need not be one of the replicated users.
            Standing::Enabled | Standing::Unknown => Ok(Caller { user, permission, token: None }),
            Standing::Disabled => Err(Denied::UserDisabled { user }),
            Standing::Deleted => Err(Denied::UserDeleted { user }),
        }
    }
}

/// Compares a verified payload with its row and the user's standing.
fn check(state: &State, payload: &token::Payload<'_>, now_ms: u64) -> Result<Caller, Denied> {
    let id = payload.jti.as_deref().and_then(token::number);
    let id = id.ok_or(Denied::Malformed { problem: "its `jti` is no number" })?;
    check_times(payload, id, now_ms)?;
    let row = state.token(id).ok_or(Denied::Unknown { id })?;
    let expires_s = row.expires_ms.map(|ms| ms / 1_000);
    let agrees = payload.name.as_deref() == Some(row.user.as_str())
        && payload.perm.as_deref() == Some(row.permission.word())
        && payload.ext.as_deref().unwrap_or_default() == row.extra
        && payload.allow.len() == row.permission.prefix().len()
        && payload.allowed() == Some(row.permission)
        && payload.exp == expires_s;
    if !agrees {
        return Err(Denied::Contradicts { id });
    }
    let user = || row.user.clone();
    match state.standing(&row.user) {
        Standing::Enabled if row.revoked.is_some() => Err(Denied::Revoked { id }),
        Standing::Enabled => {
            Ok(Caller { user: user(), permission: row.permission, token: Some(id) })
        }
        Standing::Disabled => Err(Denied::UserDisabled { user: user() }),
        Standing::Deleted => Err(Denied::UserDeleted { user: user() }),
        Standing::Unknown => Err(Denied::UserUnknown { user: user() }),
    }
}

fn check_times(payload: &token::Payload<'_>, id: u64, now_ms: u64) -> Result<(), Denied> {
    if let Some(expires_s) = payload.exp.filter(|exp| exp.saturating_mul(1_000) <= now_ms) {
        return Err(Denied::Expired { id, expires_s });
    }
    if payload.nbf.is_some_and(|nbf| nbf.saturating_mul(1_000) > now_ms) {
        return Err(Denied::Malformed { problem: "it is not valid yet" });
    }
    Ok(())
}
