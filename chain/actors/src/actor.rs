//! **Purpose**: the built-in actors by name.

use std::fmt;
use std::str::FromStr;

use fvm_shared::address::{Address, Payload};

/// A built-in actor, whatever its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    Account,
    Cron,
    DataCap,
    Eam,
    Evm,
    Init,
    Market,
    Miner,
    Multisig,
    PaymentChannel,
    Power,
    Reward,
    System,
    VerifiedRegistry,
}

impl Actor {
    pub const ALL: [Actor; 14] = [
        Actor::Account,
        Actor::Cron,
        Actor::DataCap,
        Actor::Eam,
        Actor::Evm,
        Actor::Init,
        Actor::Market,
        Actor::Miner,
        Actor::Multisig,
        Actor::PaymentChannel,
        Actor::Power,
        Actor::Reward,
        Actor::System,
        Actor::VerifiedRegistry,
    ];

    /// The word in a bundle's manifest.
    pub fn word(self) -> &'static str {
        match self {
            Actor::Account => "account",
            Actor::Cron => "cron",
            Actor::DataCap => "datacap",
            Actor::Eam => "eam",
            Actor::Evm => "evm",
            Actor::Init => "init",
            Actor::Market => "storagemarket",
            Actor::Miner => "storageminer",
            Actor::Multisig => "multisig",
            Actor::PaymentChannel => "paymentchannel",
            Actor::Power => "storagepower",
            Actor::Reward => "reward",
            Actor::System => "system",
            Actor::VerifiedRegistry => "verifiedregistry",
        }
    }

    /// The actor that lives at a fixed address on every network.
    pub fn of_singleton(address: &Address) -> Option<Actor> {
        match address.payload() {
            Payload::ID(0) => Some(Actor::System),
            Payload::ID(1) => Some(Actor::Init),
            Payload::ID(2) => Some(Actor::Reward),
            Payload::ID(3) => Some(Actor::Cron),
            Payload::ID(4) => Some(Actor::Power),
            Payload::ID(5) => Some(Actor::Market),
            Payload::ID(6) => Some(Actor::VerifiedRegistry),
            Payload::ID(7) => Some(Actor::DataCap),
            Payload::ID(10) => Some(Actor::Eam),
            _ => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The word names no built-in actor.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no built-in actor; use one of: {words}", words = words())]
pub struct UnknownActor(String);

fn words() -> String {
    Actor::ALL.map(Actor::word).join(", ")
}

impl FromStr for Actor {
    type Err = UnknownActor;

    /// Takes the words of the manifest, and `market`, `miner`, `power`, `paych`, `verifreg`.
    fn from_str(word: &str) -> Result<Self, UnknownActor> {
        let short = match word {
            "market" => Some(Actor::Market),
            "miner" => Some(Actor::Miner),
            "power" => Some(Actor::Power),
            "paych" => Some(Actor::PaymentChannel),
            "verifreg" => Some(Actor::VerifiedRegistry),
            _ => None,
        };
        short
            .or_else(|| Actor::ALL.into_iter().find(|actor| actor.word() == word))
            .ok_or_else(|| UnknownActor(word.to_owned()))
    }
}
