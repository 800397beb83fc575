//! **Purpose**: what a request asks to be signed, as far as limits and rights depend on it. Whether
//! it may be signed at all is for the wallet to say.
//!
//! **Invariants**
//! - Objects are read as the wallet reads them: what it would refuse as malformed is no proof here.
//! - The miner of a block belongs to the caller's user, or the caller is an administrator.

use hesper_auth::Class;
use hesper_chain::{Address, Network, Protocol, address};
use hesper_wallet::ObjectType;
use hesper_wallet::object::{self, Context, Parsed};
use tonic::Status;

use super::ask::Wanted;
use crate::node::caller::Caller;

/// SubmitWindowedPoSt of the miner actor.
const SUBMIT_WINDOWED_POST: u64 = 5;
/// Only transactions of f4 senders depend on it, and those call no miner.
const ETH_CHAIN_ID: u64 = 314;

/// An object that a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Block {
        miner: u64,
    },
    /// Meant to be a block; the reason why it is none.
    NoBlock(String),
    /// The randomness that decides on a ticket or an election.
    Draw,
    /// SubmitWindowedPoSt to what may be a miner.
    WindowPost {
        miner: u64,
    },
    Plain,
}

impl Object {
    pub fn read(wanted: &Wanted) -> Self {
        let parse = |object_type| {
            let context =
                Context { network: Network::Mainnet, eth_chain_id: ETH_CHAIN_ID, issued: &[] };
            object::parse(object_type, &wanted.to_sign, &wanted.extra, &context)
        };
        match ObjectType::of_word(&wanted.object_type) {
            Ok(ObjectType::Block) => match parse(ObjectType::Block) {
                Ok(parsed) => match parsed.block.and_then(|block| actor_id(&block.miner)) {
                    Some(miner) => Object::Block { miner },
                    None => Object::NoBlock("its miner is no f0 address".to_owned()),
                },
                Err(error) => Object::NoBlock(error.to_string()),
            },
            Ok(ObjectType::DrawRandomParam) => match parse(ObjectType::DrawRandomParam) {
                Ok(_) => Object::Draw,
                Err(_) => Object::Plain,
            },
            Ok(ObjectType::Message) => {
                let parsed = parse(ObjectType::Message).ok();
                let miner = parsed.and_then(|parsed| window_post(&parsed, &wanted.key));
                miner.map_or(Object::Plain, |miner| Object::WindowPost { miner })
            }
            _ => Object::Plain,
        }
    }

    /// How limits count it; `owns` says whether a miner is of the caller's user.
    pub fn class(&self, owns: impl Fn(u64) -> bool) -> Class {
        match self {
            Object::Block { .. } | Object::Draw => Class::ProofCritical,
            // The number of a method says nothing without its actor.
            Object::WindowPost { miner } if owns(*miner) => Class::ProofCritical,
            Object::WindowPost { .. } | Object::NoBlock(_) | Object::Plain => Class::Change,
        }
    }

    /// # Errors
    /// A block of a miner of somebody else.
    pub fn require_miner(&self, caller: &Caller, owns: impl Fn(u64) -> bool) -> Result<(), Status> {
        match self {
            Object::Block { miner } if !caller.is_admin() && !owns(*miner) => {
                Err(Status::permission_denied(format!(
                    "the block is of the miner f0{miner}, which is no miner of the user `{}`; an \
                     administrator can give it to that user (`hesper auth miner add`)",
                    caller.user
                )))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// What is meant to be a block and is none: no wallet is tied to its key for that.
    pub fn require_sound(&self) -> Result<(), Status> {
        match self {
            Object::NoBlock(why) => Err(Status::invalid_argument(format!(
                "what is to be signed as a block is none: {why}"
            ))),
            _ => Ok(()),
        }
    }
}

/// The receiver, when this is a window PoSt that the key itself sends.
fn window_post(parsed: &Parsed, key: &str) -> Option<u64> {
    let (signer, call) = (parsed.signer.as_ref()?, parsed.call.as_ref()?);
    let is_own = address::format(signer, Network::Mainnet) == key;
    let is_post = call.method == SUBMIT_WINDOWED_POST
        && hesper_actors::decode_params(hesper_actors::Actor::Miner, call.method, &call.params)
            .is_ok();
    actor_id(&call.to).filter(|_| is_own && is_post)
}

fn actor_id(address: &Address) -> Option<u64> {
    if address.protocol() != Protocol::ID {
        return None;
    }
    address.id().ok()
}

#[cfg(test)]
mod tests;
