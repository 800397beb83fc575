//! **Purpose**: every method of every actor: number, name, layouts, and the state crate's type.

mod market;
mod miner;
mod multisig;
mod others;
mod power;
mod tokens;
mod verifreg;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Actor;
use crate::schema::Schema;

/// Reads bytes as the actor's own type and writes them again.
pub type Vet = fn(&[u8]) -> Result<Vec<u8>, String>;

/// One method.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    pub number: u64,
    /// As Lotus prints it; exported methods (FRC-0042) end in `Exported`.
    pub name: &'static str,
    pub(crate) params: Schema,
    pub(crate) returns: Schema,
    pub(crate) vet_params: Option<Vet>,
}

impl Method {
    /// Whether parameters are also read by the state crate's type.
    pub fn is_vetted(&self) -> bool {
        self.vet_params.is_some()
    }

    /// Whether the method takes parameters.
    pub fn takes_params(&self) -> bool {
        !matches!(self.params, Schema::Nothing)
    }
}

pub fn of(actor: Actor) -> &'static [Method] {
    match actor {
        Actor::Account => others::ACCOUNT,
        Actor::Cron => others::CRON,
        Actor::DataCap => tokens::DATACAP,
        Actor::Eam => others::EAM,
        Actor::Evm => others::EVM,
        Actor::Init => others::INIT,
        Actor::Market => market::METHODS,
        Actor::Miner => miner::METHODS,
        Actor::Multisig => multisig::MULTISIG,
        Actor::PaymentChannel => multisig::PAYCH,
        Actor::Power => power::POWER,
        Actor::Reward => power::REWARD,
        Actor::System => others::SYSTEM,
        Actor::VerifiedRegistry => verifreg::METHODS,
    }
}

fn vetted<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let value: T = fvm_ipld_encoding::from_slice(bytes).map_err(|error| error.to_string())?;
    fvm_ipld_encoding::to_vec(&value).map_err(|error| error.to_string())
}

/// A method whose parameters the state crate knows as a type.
const fn typed<T: Serialize + DeserializeOwned>(
    number: u64,
    name: &'static str,
    params: Schema,
    returns: Schema,
) -> Method {
    Method { number, name, params, returns, vet_params: Some(vetted::<T>) }
}

/// A method whose parameters no state crate has as a type, or that takes none.
const fn plain(number: u64, name: &'static str, params: Schema, returns: Schema) -> Method {
    Method { number, name, params, returns, vet_params: None }
}

use Schema::{
    Address, Any, BigInt, BitField, Bool, Bytes, Cid, Hex, Int, Label, Nothing, Option as Maybe,
    Pair, Signature, Text, Uint, Word,
};
