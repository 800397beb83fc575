//! **Purpose**: which methods each built-in actor has, by number and by name, and the method
//! numbers that FRC-0042 makes from names.
//!
//! **Invariants**
//! - A number that no actor of the kind answers has no name; a retired number is told apart, since
//!   a message that calls it can only fail.
//! - Names are those of the actors' own enumerations: `WithdrawBalance` is 16 of a miner, and
//!   `WithdrawBalanceExported` the hashed number that does the same. Whoever judges methods by name
//!   must treat both alike: see [`base_name`].
//!
//! **Source**: `fil_actor_*_state` 27.2 (actors version 18), FRC-0042.

mod table;

use fvm_shared::MethodNum;
use fvm_shared::address::{Address, Payload};
use thiserror::Error;

/// The least number that FRC-0042 hands out.
pub const FIRST_EXPORTED: MethodNum = 1 << 24;

/// The method of a plain transfer, which every actor has.
pub const SEND: MethodNum = 0;

/// A method of a built-in actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    pub number: MethodNum,
    pub name: &'static str,
}

/// The kinds of built-in actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorKind {
    System,
    Init,
    Cron,
    Reward,
    Power,
    Market,
    Miner,
    Multisig,
    PaymentChannel,
    VerifiedRegistry,
    Account,
    DataCap,
    Eam,
    Evm,
    Placeholder,
    EthAccount,
}

/// No actor of this kind has this method.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UnknownMethod {
    #[error("a {actor} actor has no method {number}; check the number and the receiver")]
    Never { actor: &'static str, number: MethodNum },
    #[error("method {number} ({name}) of a {actor} actor was retired; a call to it can only fail")]
    Retired { actor: &'static str, number: MethodNum, name: &'static str },
}

/// A name from which FRC-0042 makes no number.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MethodNameError {
    #[error("a method name must not be empty")]
    Empty,
    #[error(
        "method name {0:?} must begin with a capital letter or '_' and go on with A-Z a-z 0-9 _"
    )]
    Illegal(String),
    #[error("method name {0:?} hashes to reserved numbers only; choose another one")]
    NoNumber(String),
}

impl ActorKind {
    /// Every kind, in the order of the manifest.
    pub const ALL: [Self; 16] = [
        Self::System,
        Self::Init,
        Self::Cron,
        Self::Account,
        Self::Power,
        Self::Miner,
        Self::Market,
        Self::PaymentChannel,
        Self::Multisig,
        Self::Reward,
        Self::VerifiedRegistry,
        Self::DataCap,
        Self::Placeholder,
        Self::Evm,
        Self::Eam,
        Self::EthAccount,
    ];

    /// The kind of an actor that exists once, at a fixed id.
    #[must_use]
    pub fn of_singleton(address: &Address) -> Option<Self> {
        let Payload::ID(id) = address.payload() else { return None };
        match id {
            0 => Some(Self::System),
            1 => Some(Self::Init),
            2 => Some(Self::Reward),
            3 => Some(Self::Cron),
            4 => Some(Self::Power),
            5 => Some(Self::Market),
            6 => Some(Self::VerifiedRegistry),
            7 => Some(Self::DataCap),
            10 => Some(Self::Eam),
            // The burnt funds actor.
            99 => Some(Self::Account),
            _ => None,
        }
    }

    /// The name in the actors' manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Init => "init",
            Self::Cron => "cron",
            Self::Reward => "reward",
            Self::Power => "storagepower",
            Self::Market => "storagemarket",
            Self::Miner => "storageminer",
            Self::Multisig => "multisig",
            Self::PaymentChannel => "paymentchannel",
            Self::VerifiedRegistry => "verifiedregistry",
            Self::Account => "account",
            Self::DataCap => "datacap",
            Self::Eam => "eam",
            Self::Evm => "evm",
            Self::Placeholder => "placeholder",
            Self::EthAccount => "ethaccount",
        }
    }

    /// The kind with this manifest name, or with one of the short names in common use.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "power" => Some(Self::Power),
            "market" => Some(Self::Market),
            "miner" => Some(Self::Miner),
            "paych" => Some(Self::PaymentChannel),
            "verifreg" => Some(Self::VerifiedRegistry),
            _ => Self::ALL.into_iter().find(|kind| kind.name() == name),
        }
    }

    /// Whether actors of this kind answer every number from [`FIRST_EXPORTED`] on, known or not.
    /// A contract also answers those from 1024 on.
    #[must_use]
    pub fn answers_any_exported(self) -> bool {
        matches!(
            self,
            Self::Account | Self::EthAccount | Self::Placeholder | Self::Multisig | Self::Evm
        )
    }
}

/// The methods of a kind, sorted by number; [`SEND`] is not among them.
#[must_use]
pub fn methods(kind: ActorKind) -> &'static [Method] {
    match kind {
        ActorKind::System => table::SYSTEM,
        ActorKind::Init => table::INIT,
        ActorKind::Cron => table::CRON,
        ActorKind::Reward => table::REWARD,
        ActorKind::Power => table::POWER,
        ActorKind::Market => table::MARKET,
        ActorKind::Miner => table::MINER,
        ActorKind::Multisig => table::MULTISIG,
        ActorKind::PaymentChannel => table::PAYMENT_CHANNEL,
        ActorKind::VerifiedRegistry => table::VERIFIED_REGISTRY,
        ActorKind::Account => table::ACCOUNT,
        ActorKind::DataCap => table::DATA_CAP,
        ActorKind::Eam => table::EAM,
        ActorKind::Evm => table::EVM,
        ActorKind::Placeholder | ActorKind::EthAccount => &[],
    }
}

/// The methods of a kind that earlier network versions had under numbers that are now unused.
#[must_use]
pub fn retired(kind: ActorKind) -> &'static [Method] {
    match kind {
        ActorKind::Power => table::POWER_RETIRED,
        ActorKind::Market => table::MARKET_RETIRED,
        ActorKind::Miner => table::MINER_RETIRED,
        ActorKind::VerifiedRegistry => table::VERIFIED_REGISTRY_RETIRED,
        ActorKind::Account => table::ACCOUNT_RETIRED,
        ActorKind::DataCap => table::DATA_CAP_RETIRED,
        _ => &[],
    }
}

/// The name of a method; none for an unknown or retired number.
#[must_use]
pub fn name_of(kind: ActorKind, number: MethodNum) -> Option<&'static str> {
    if number == SEND {
        return Some("Send");
    }
    find(methods(kind), number)
}

/// The number of a method with exactly this name; `InvokeEVM` is accepted for `InvokeContract`.
#[must_use]
pub fn number_of(kind: ActorKind, name: &str) -> Option<MethodNum> {
    let name = match (kind, name) {
        (_, "Send") => return Some(SEND),
        (ActorKind::Evm, "InvokeEVM") => "InvokeContract",
        _ => name,
    };
    methods(kind).iter().find(|method| method.name == name).map(|method| method.number)
}

/// The name without the ending that tells a hashed number from a plain one.
#[must_use]
pub fn base_name(name: &str) -> &str {
    name.strip_suffix("Exported").unwrap_or(name)
}

/// The name of a method that an actor of this kind has.
///
/// # Errors
/// Unknown and retired numbers.
pub fn check(kind: ActorKind, number: MethodNum) -> Result<&'static str, UnknownMethod> {
    let actor = kind.name();
    if let Some(name) = name_of(kind, number) {
        return Ok(name);
    }
    match find(retired(kind), number) {
        Some(name) => Err(UnknownMethod::Retired { actor, number, name }),
        None => Err(UnknownMethod::Never { actor, number }),
    }
}

/// The method number that FRC-0042 makes from a name.
///
/// # Errors
/// Names outside the convention.
pub fn frc42(name: &str) -> Result<MethodNum, MethodNameError> {
    if name == "Constructor" {
        return Ok(1);
    }
    let first = name.bytes().next().ok_or(MethodNameError::Empty)?;
    let legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !legal || !(first.is_ascii_uppercase() || first == b'_') {
        return Err(MethodNameError::Illegal(name.chars().take(80).collect()));
    }
    let digest = blake2b_simd::blake2b(format!("1|{name}").as_bytes());
    digest
        .as_bytes()
        .chunks_exact(4)
        .map(|chunk| chunk.iter().fold(0, |number, byte| number << 8 | MethodNum::from(*byte)))
        .find(|number| *number >= FIRST_EXPORTED)
        .ok_or_else(|| MethodNameError::NoNumber(name.chars().take(80).collect()))
}

fn find(methods: &'static [Method], number: MethodNum) -> Option<&'static str> {
    methods.iter().find(|method| method.number == number).map(|method| method.name)
}

#[cfg(test)]
mod tests;
