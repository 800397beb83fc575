//! **Purpose**: what a command did, or why it was refused, and what follows from it elsewhere.
//!
//! **Invariants**
//! - Replies are stored for retries, so variants and fields are append-only, and so are the texts
//!   inside them (`action`, `message`, `what`): nodes of two versions must store equal bytes. The
//!   messages of `Display` are not stored and may change.
//! - Effects are derived again by every replay and never stored.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::actor::Permission;
use crate::model::{Quota, TokenRow};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    #[n(0)]
    Done,
    #[n(1)]
    UserDeleted {
        #[n(0)]
        tokens: u32,
        #[n(1)]
        miners: u32,
        #[n(2)]
        signers: u32,
    },
    #[n(2)]
    MinerPut {
        #[n(0)]
        created: bool,
    },
    #[n(3)]
    Deleted {
        #[n(0)]
        existed: bool,
    },
    /// `CreateToken`, `RenewToken`: the row to mint from.
    #[n(4)]
    Token {
        #[n(0)]
        token: TokenRow,
    },
    #[n(5)]
    SecretAdded {
        #[n(0)]
        kid: u64,
    },
    #[n(6)]
    LimitSet {
        #[n(0)]
        id: u64,
    },
    #[n(7)]
    Share(#[n(0)] Share),
    #[n(8)]
    UsesRecorded {
        #[n(0)]
        count: u32,
    },
    #[n(9)]
    Rejected(#[n(0)] Rejected),
}

/// What a node holds of a limit after its draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Share {
    #[n(0)]
    pub limit: u64,
    #[n(1)]
    pub window: u64,
    #[n(2)]
    pub sequence: u64,
    /// What the node may spend in this window, what it spent included.
    #[n(3)]
    pub granted: u64,
    /// What other nodes hold and had not spent when they drew last: some of it may come back.
    #[n(4)]
    pub spare_elsewhere: u64,
}

/// How a refusal is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Denied,
    NotFound,
    Exists,
    Invalid,
    Full,
    NotNow,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Encode, Decode)]
pub enum Rejected {
    #[n(0)]
    #[error(
        "could not {action}: this needs the permission `{needed}`, you have `{has}`; ask an \
         administrator for a token with it"
    )]
    MissingPermission {
        #[n(0)]
        action: String,
        #[n(1)]
        needed: Permission,
        #[n(2)]
        has: Permission,
    },
    #[n(1)]
    #[error(
        "could not {action}: it is not yours, so this needs the permission `admin`, you have \
         `{has}`"
    )]
    NotYours {
        #[n(0)]
        action: String,
        #[n(1)]
        has: Permission,
    },
    #[n(2)]
    #[error("could not {action}: only pool nodes may do this")]
    NotANode {
        #[n(0)]
        action: String,
    },
    #[n(3)]
    #[error("there is no user `{name}`; create it first, or list users to see the names")]
    NoSuchUser {
        #[n(0)]
        name: String,
    },
    #[n(4)]
    #[error("user `{name}` exists already; update it instead")]
    UserExists {
        #[n(0)]
        name: String,
    },
    #[n(5)]
    #[error("user `{name}` is deleted; recover it first")]
    UserDeleted {
        #[n(0)]
        name: String,
    },
    #[n(6)]
    #[error("user `{name}` is not deleted; there is nothing to recover")]
    UserNotDeleted {
        #[n(0)]
        name: String,
    },
    /// A name, an address, a text or a number that is not accepted.
    #[n(7)]
    #[error("{message}")]
    Invalid {
        #[n(0)]
        message: String,
    },
    #[n(8)]
    #[error("there is no token {id}; list tokens to see the ids")]
    NoSuchToken {
        #[n(0)]
        id: u64,
    },
    #[n(9)]
    #[error("token {id} is revoked; recover it first, or create another one")]
    TokenRevoked {
        #[n(0)]
        id: u64,
    },
    #[n(10)]
    #[error("token {id} is not revoked; there is nothing to recover")]
    TokenNotRevoked {
        #[n(0)]
        id: u64,
    },
    #[n(11)]
    #[error("token {id} has expired; create another one")]
    TokenExpired {
        #[n(0)]
        id: u64,
    },
    #[n(12)]
    #[error("no secret to sign tokens with exists yet; rotate the secret once")]
    NoSecret,
    #[n(13)]
    #[error("there is no limit {id}; list limits to see the ids")]
    NoSuchLimit {
        #[n(0)]
        id: u64,
    },
    #[n(14)]
    #[error("limit {id} is already set for the same user, service, method and window; change that")]
    LimitExists {
        #[n(0)]
        id: u64,
    },
    #[n(15)]
    #[error("there are {max} {what} already; remove some first")]
    Full {
        #[n(0)]
        what: String,
        #[n(1)]
        max: u64,
    },
    /// A draw that is no longer true; the share is what the state says.
    #[n(16)]
    #[error("this draw from limit {} is older than what is known; draw again", .0.limit)]
    StaleShare(#[n(0)] Share),
    #[n(17)]
    #[error("limit {limit} is in window {window} of state time; draw for that")]
    OtherWindow {
        #[n(0)]
        limit: u64,
        #[n(1)]
        window: u64,
    },
    #[n(18)]
    #[error("uses of tokens are recorded once a minute and node; try again at {retry_at_ms} ms")]
    UsesTooOften {
        #[n(0)]
        retry_at_ms: u64,
    },
    /// The user who asks lost the right to, after the credential was checked at the edge.
    #[n(19)]
    #[error("user `{name}` is disabled or deleted; ask an administrator to enable or recover it")]
    ActorHeld {
        #[n(0)]
        name: String,
    },
}

impl Rejected {
    /// What the audit keeps of a refusal. Stored: a word is never changed.
    pub(crate) fn stored(&self) -> String {
        let word = match self {
            Self::MissingPermission { needed, .. } => return format!("needs `{needed}`"),
            Self::NotYours { .. } => "belongs to somebody else, needs `admin`",
            Self::NotANode { .. } => "for nodes only",
            Self::NoSuchUser { .. } => "no such user",
            Self::UserExists { .. } => "user exists",
            Self::UserDeleted { .. } => "user is deleted",
            Self::UserNotDeleted { .. } => "user is not deleted",
            Self::Invalid { .. } => "invalid",
            Self::NoSuchToken { .. } => "no such token",
            Self::TokenRevoked { .. } => "token is revoked",
            Self::TokenNotRevoked { .. } => "token is not revoked",
            Self::TokenExpired { .. } => "token has expired",
            Self::NoSecret => "no secret",
            Self::NoSuchLimit { .. } => "no such limit",
            Self::LimitExists { .. } => "limit exists",
            Self::Full { .. } => "full",
            Self::StaleShare(_) => "stale share",
            Self::OtherWindow { .. } => "other window",
            Self::UsesTooOften { .. } => "too often",
            Self::ActorHeld { .. } => "actor is disabled or deleted",
        };
        word.to_owned()
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::MissingPermission { .. }
            | Self::NotYours { .. }
            | Self::NotANode { .. }
            | Self::ActorHeld { .. } => Kind::Denied,
            Self::NoSuchUser { .. } | Self::NoSuchToken { .. } | Self::NoSuchLimit { .. } => {
                Kind::NotFound
            }
            Self::UserExists { .. } | Self::LimitExists { .. } => Kind::Exists,
            Self::Invalid { .. } => Kind::Invalid,
            Self::Full { .. } => Kind::Full,
            Self::UserDeleted { .. }
            | Self::UserNotDeleted { .. }
            | Self::TokenRevoked { .. }
            | Self::TokenNotRevoked { .. }
            | Self::TokenExpired { .. }
            | Self::NoSecret
            | Self::StaleShare(_)
            | Self::OtherWindow { .. }
            | Self::UsesTooOften { .. } => Kind::NotNow,
        }
    }
}

impl Reply {
    /// Bytes without the number of the module.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("encoding into a vector does not fail")
    }

    /// # Errors
    /// The bytes are not a reply that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }
}

/// What the scheduler has to know about an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerLimits {
    pub user: String,
    pub quota: Quota,
    /// The user is disabled or deleted: nothing new of theirs starts, their sessions are closed.
    pub held: bool,
}

/// What follows from a command outside this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Owners whose quota or standing changed.
    pub owner_limits: Vec<OwnerLimits>,
    /// Tokens that ceased to be valid: sessions opened with them are closed.
    pub revoked_tokens: Vec<u64>,
}

/// Everything that a command gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub reply: Reply,
    pub effects: Effects,
}
