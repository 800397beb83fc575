//! **Purpose**: the replicated rows.
//!
//! **Invariants**: fields are numbered and append-only; a row stays far below 64 KiB.

use minicbor::{Decode, Encode};

use crate::actor::Permission;
use crate::token::Claims;

/// How much of the cluster a user may hold at once; `None`: as much as there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Quota {
    #[n(0)]
    pub jobs: Option<u64>,
    #[n(1)]
    pub cores: Option<u64>,
    #[n(2)]
    pub gpus: Option<u64>,
    #[n(3)]
    pub storage_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct User {
    #[n(0)]
    pub comment: String,
    #[n(1)]
    pub enabled: bool,
    #[n(2)]
    pub created_ms: u64,
    #[n(3)]
    pub updated_ms: u64,
    /// Set exactly while the user is deleted.
    #[n(4)]
    pub deleted_ms: Option<u64>,
    #[n(5)]
    pub quota: Quota,
}

impl User {
    pub fn is_deleted(&self) -> bool {
        self.deleted_ms.is_some()
    }

    /// Whether nothing new of this user may start.
    pub fn is_held(&self) -> bool {
        self.is_deleted() || !self.enabled
    }
}

/// A miner actor and the one user it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Miner {
    #[n(0)]
    pub user: String,
    /// Whether blocks are produced for it.
    #[n(1)]
    pub open_mining: bool,
    #[n(2)]
    pub created_ms: u64,
    #[n(3)]
    pub updated_ms: u64,
    #[n(4)]
    pub deleted_ms: Option<u64>,
}

/// That a user may have messages signed by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Signer {
    #[n(0)]
    pub created_ms: u64,
    #[n(1)]
    pub updated_ms: u64,
    #[n(2)]
    pub deleted_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TokenRow {
    #[n(0)]
    pub id: u64,
    /// A label for people.
    #[n(1)]
    pub name: String,
    #[n(2)]
    pub user: String,
    #[n(3)]
    pub permission: Permission,
    /// The claim `ext`, kept for clients that use it.
    #[n(4)]
    pub extra: String,
    /// The secret that it is signed with.
    #[n(5)]
    pub kid: u64,
    #[n(6)]
    pub created_ms: u64,
    /// Whole seconds, as the claim `exp` has it.
    #[n(7)]
    pub expires_ms: Option<u64>,
    #[n(8)]
    pub revoked: Option<Revoked>,
    /// In state time; up to some minutes old, because uses are recorded in batches.
    #[n(9)]
    pub last_used_ms: Option<u64>,
}

impl TokenRow {
    /// What the token says. The text of a token follows from its row and its secret.
    pub fn claims(&self) -> Claims {
        Claims {
            id: self.id,
            user: self.user.clone(),
            permission: self.permission,
            extra: self.extra.clone(),
            expires_s: self.expires_ms.map(|ms| ms / 1_000),
        }
    }

    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires| expires <= now_ms)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revoked {
    #[n(0)]
    pub at_ms: u64,
    #[n(1)]
    pub by: String,
    /// Then only an administrator brings it back.
    #[n(2)]
    pub by_admin: bool,
}

/// A secret that tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Secret {
    /// Encrypted by the shell; opaque here.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
    #[n(1)]
    pub created_ms: u64,
    /// Set when a newer one has taken its place.
    #[n(2)]
    pub valid_until_ms: Option<u64>,
}

/// At most `cap` changes in every window of state time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Limit {
    #[n(0)]
    pub user: String,
    /// Empty: every service.
    #[n(1)]
    pub service: String,
    /// Empty: every method.
    #[n(2)]
    pub method: String,
    #[n(3)]
    pub cap: u64,
    #[n(4)]
    pub window_ms: u64,
    #[n(5)]
    pub updated_ms: u64,
    /// The window in which the cap was last changed, and the highest cap before that in it: what was
    /// handed out then cannot be called back.
    #[n(6)]
    pub changed_window: u64,
    #[n(7)]
    pub changed_from: u64,
}

impl Limit {
    /// Number of the window that contains this moment.
    pub fn window_at(&self, now_ms: u64) -> u64 {
        now_ms / self.window_ms.max(1)
    }

    /// First moment after a window.
    pub fn window_end_ms(&self, window: u64) -> u64 {
        window.saturating_add(1).saturating_mul(self.window_ms)
    }

    /// The highest cap that held in a window, given that no later change was made.
    pub fn cap_in(&self, window: u64) -> u64 {
        if window == self.changed_window { self.cap.max(self.changed_from) } else { self.cap }
    }

    pub fn covers(&self, service: &str, method: &str) -> bool {
        (self.service.is_empty() || self.service == service)
            && (self.method.is_empty() || self.method == method)
    }
}

/// What one node holds of a limit in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ShareRow {
    #[n(0)]
    pub window: u64,
    /// Of the last draw that was applied.
    #[n(1)]
    pub sequence: u64,
    /// What the node may spend in this window, what it spent included.
    #[n(2)]
    pub granted: u64,
    /// What the node had spent when it drew last.
    #[n(3)]
    pub used: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NodeRow {
    #[n(0)]
    pub uses_recorded_ms: u64,
}

/// A privileged act. Equal acts that follow each other share a row.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AuditRow {
    #[n(0)]
    pub at_ms: u64,
    #[n(1)]
    pub who: String,
    #[n(2)]
    pub user: String,
    #[n(3)]
    pub action: String,
    #[n(4)]
    pub subject: String,
    #[n(5)]
    pub outcome: String,
    #[n(6)]
    pub count: u64,
    #[n(7)]
    pub last_ms: u64,
}

/// Counters: the next number of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Meta {
    #[n(0)]
    pub next_token: u64,
    #[n(1)]
    pub next_kid: u64,
    #[n(2)]
    pub next_limit: u64,
    #[n(3)]
    pub next_audit: u64,
}

impl Default for Meta {
    fn default() -> Self {
        Self { next_token: 1, next_kid: 1, next_limit: 1, next_audit: 1 }
    }
}
