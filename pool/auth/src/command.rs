//! **Purpose**: everything that may change the state.
//!
//! **Invariants**: commands carry all inputs; variants and fields are numbered and append-only.

use minicbor::{Decode, Encode};

use crate::actor::Permission;
use crate::model::Quota;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// Needs admin. A deleted name is recovered instead, because jobs of it may still exist.
    #[n(0)]
    CreateUser {
        #[n(0)]
        name: String,
        #[n(1)]
        comment: String,
        #[n(2)]
        enabled: bool,
    },
    /// Needs admin. `None` leaves the field as it is.
    #[n(1)]
    UpdateUser {
        #[n(0)]
        name: String,
        #[n(1)]
        comment: Option<String>,
        #[n(2)]
        enabled: Option<bool>,
    },
    /// Needs admin. Tokens, miners and signers of the user go with it.
    #[n(2)]
    DeleteUser {
        #[n(0)]
        name: String,
    },
    /// Needs admin. Brings back the user alone, enabled or disabled as before: by now a miner may
    /// belong to somebody else, and tokens must not come alive by the way.
    #[n(3)]
    RecoverUser {
        #[n(0)]
        name: String,
    },
    /// Needs admin. Adds a miner, moves it to this user, or brings a deleted one back.
    #[n(4)]
    PutMiner {
        #[n(0)]
        miner: u64,
        #[n(1)]
        user: String,
        #[n(2)]
        open_mining: bool,
    },
    /// Needs admin, or write for the own miner.
    #[n(5)]
    DeleteMiner {
        #[n(0)]
        miner: u64,
    },
    /// Needs admin.
    #[n(6)]
    RegisterSigners {
        #[n(0)]
        user: String,
        #[n(1)]
        signers: Vec<String>,
    },
    /// Needs admin, or write for the own signers.
    #[n(7)]
    UnregisterSigners {
        #[n(0)]
        user: String,
        #[n(1)]
        signers: Vec<String>,
    },
    /// An administrator removes the signer from all users, a user with write from themselves.
    #[n(8)]
    DeleteSigner {
        #[n(0)]
        signer: String,
    },
    /// Needs admin.
    #[n(9)]
    CreateToken {
        #[n(0)]
        user: String,
        #[n(1)]
        name: String,
        #[n(2)]
        permission: Permission,
        #[n(3)]
        extra: String,
        #[n(4)]
        valid_ms: Option<u64>,
    },
    /// Needs admin, or write for the own token.
    #[n(10)]
    RevokeToken {
        #[n(0)]
        id: u64,
    },
    /// Needs admin; or, for a token that its owner revoked, write and the token's own permission.
    #[n(11)]
    RecoverToken {
        #[n(0)]
        id: u64,
    },
    /// Signs the token with the newest secret from now on. Needs admin, or the own token's permission.
    #[n(12)]
    RenewToken {
        #[n(0)]
        id: u64,
    },
    /// Needs admin. Those before it stay valid for at most `overlap_ms`.
    #[n(13)]
    AddSecret {
        #[cbor(n(0), with = "minicbor::bytes")]
        sealed: Vec<u8>,
        #[n(1)]
        overlap_ms: u64,
    },
    /// Needs admin. With `id`: changes that limit; a changed window gives it a new id.
    #[n(14)]
    SetLimit {
        #[n(0)]
        id: Option<u64>,
        #[n(1)]
        user: String,
        #[n(2)]
        service: String,
        #[n(3)]
        method: String,
        #[n(4)]
        cap: u64,
        #[n(5)]
        window_ms: u64,
    },
    /// Needs admin.
    #[n(15)]
    RemoveLimit {
        #[n(0)]
        id: u64,
    },
    /// Needs admin.
    #[n(16)]
    SetQuota {
        #[n(0)]
        user: String,
        #[n(1)]
        quota: Quota,
    },
    /// From a node: draws from a limit, or gives back.
    #[n(17)]
    Draw(#[n(0)] Draw),
    /// From a node: when tokens were last used.
    #[n(18)]
    RecordUses {
        #[n(0)]
        node: u64,
        #[n(1)]
        uses: Vec<Use>,
    },
    /// From a node: a privileged act that happened outside this machine.
    #[n(19)]
    Audit {
        #[n(0)]
        who: String,
        #[n(1)]
        action: String,
        #[n(2)]
        subject: String,
        #[n(3)]
        outcome: String,
    },
}

/// A node says how much of a limit it keeps in a window and how much more it wants. Absolute, and
/// fenced by `sequence`: a repeat or a lost answer changes nothing, and the next draw heals it.
/// Giving back is a draw that keeps less and wants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Draw {
    #[n(0)]
    pub node: u64,
    #[n(1)]
    pub limit: u64,
    /// State time divided by the limit's window.
    #[n(2)]
    pub window: u64,
    /// Greater than in every draw of this node from this limit before.
    #[n(3)]
    pub sequence: u64,
    /// Spent and unspent; at most what is granted.
    #[n(4)]
    pub keep: u64,
    /// Spent; at most `keep`.
    #[n(5)]
    pub used: u64,
    #[n(6)]
    pub want: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Use {
    #[n(0)]
    pub token: u64,
    #[n(1)]
    pub last_ms: u64,
}

impl Command {
    /// Bytes without the number of the module.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("encoding into a vector does not fail")
    }

    /// # Errors
    /// The bytes are not a command that this version knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }
}
