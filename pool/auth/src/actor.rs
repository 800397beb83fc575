//! **Purpose**: who asks, with which permission, and what kind of call it is.
//!
//! **Invariants**
//! - Permissions are strictly nested: read < write < sign < admin.
//! - An actor comes from the credential, never from the request.
//!
//! **Source**: the four permissions of Lotus and Venus JSON-RPC.

use std::fmt;

use minicbor::{Decode, Encode};

/// What a token or certificate lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Permission {
    #[n(0)]
    Read,
    #[n(1)]
    Write,
    #[n(2)]
    Sign,
    #[n(3)]
    Admin,
}

impl Permission {
    /// All of them, each followed by those that include it.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Sign, Self::Admin];

    /// The word used in tokens and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Sign => "sign",
            Self::Admin => "admin",
        }
    }

    /// Reads [`Permission::word`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.word() == word)
    }

    /// Whether the holder of `self` may do what needs `needed`.
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }

    /// The permissions that this one includes, itself last: what a token lists in `Allow`.
    pub fn prefix(self) -> &'static [Self] {
        match self {
            Self::Read => &Self::ALL[..1],
            Self::Write => &Self::ALL[..2],
            Self::Sign => &Self::ALL[..3],
            Self::Admin => &Self::ALL,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// On whose behalf a command is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A pool node: its own proposals. It may do everything.
    Node,
    User(Permission),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Shown in the audit: a user, a node, or `local:<uid>`.
    pub name: String,
    /// Empty for nodes and for local administration.
    pub user: String,
    pub authority: Authority,
}

impl Actor {
    /// A pool node.
    pub fn node(name: &str) -> Self {
        Self { name: name.to_owned(), user: String::new(), authority: Authority::Node }
    }

    /// An administrator who is not one of the users.
    pub fn admin(name: &str) -> Self {
        let authority = Authority::User(Permission::Admin);
        Self { name: name.to_owned(), user: String::new(), authority }
    }

    /// A user with the permission of the credential.
    pub fn of(user: &str, permission: Permission) -> Self {
        let authority = Authority::User(permission);
        Self { name: user.to_owned(), user: user.to_owned(), authority }
    }

    pub(crate) fn permission(&self) -> Permission {
        match self.authority {
            Authority::Node => Permission::Admin,
            Authority::User(permission) => permission,
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.permission() == Permission::Admin
    }

    pub(crate) fn is_user(&self, user: &str) -> bool {
        !self.user.is_empty() && self.user == user
    }
}

/// What the log says about a command.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Leader's stamp, never decreasing.
    pub now_ms: u64,
    pub index: u64,
    pub actor: &'a Actor,
}

/// What a call does, as far as rate limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Changes nothing: never refused, never charged.
    Read,
    /// Changes something: charged, and refused beyond a limit.
    Change,
    /// A winning or window PoSt depends on it: never refused, never charged.
    ProofCritical,
}
