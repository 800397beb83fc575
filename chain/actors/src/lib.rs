//! **Purpose**: parameters and return values of the built-in actors' methods, between the bytes on
//! chain and JSON with the field names that Lotus prints.
//!
//! **Invariants**
//! - What decodes also encodes to the same bytes: bytes that are not canonical are refused.
//! - Every layout is checked twice: against the table here, and against the type of the actor's own
//!   state crate where that crate has one ([`Method::is_vetted`]).
//! - The boundary is bytes and JSON, so that no caller needs the types of the state crates.
//!
//! **Source**: `fil_actor_*_state` 27.2 (types of the actors, v18 and, for methods that have gone, v9);
//! field names as go-state-types spells them.
#![forbid(unsafe_code)]

mod actor;
mod bitfield;
mod codec;
mod error;
mod example;
mod methods;
mod schema;

pub use actor::Actor;
pub use error::ParamsError;
pub use methods::Method;

use serde_json::Value;

/// Finds a method of `actor`.
///
/// # Errors
/// The actor has no method of that number.
pub fn method(actor: Actor, number: u64) -> Result<&'static Method, ParamsError> {
    methods::of(actor)
        .iter()
        .find(|method| method.number == number)
        .ok_or(ParamsError::UnknownMethod { actor, number })
}

/// Every method of every actor.
pub fn methods() -> impl Iterator<Item = (Actor, &'static Method)> {
    Actor::ALL
        .into_iter()
        .flat_map(|actor| methods::of(actor).iter().map(move |method| (actor, method)))
}

/// Reads the parameters of a message as JSON. A method without parameters gives `null`.
///
/// # Errors
/// Unknown method; bytes that are no canonical CBOR of its parameters.
pub fn decode_params(actor: Actor, number: u64, bytes: &[u8]) -> Result<Value, ParamsError> {
    let method = method(actor, number)?;
    codec::decode(&method.params, bytes, method.vet_params).map_err(|reason| ParamsError::Decode {
        actor,
        method: method.name,
        what: "parameters",
        reason,
    })
}

/// Makes the parameters of a message from JSON, as [`decode_params`] gives it.
///
/// # Errors
/// Unknown method; a field that is missing, unknown or of the wrong form.
pub fn encode_params(actor: Actor, number: u64, json: &Value) -> Result<Vec<u8>, ParamsError> {
    let method = method(actor, number)?;
    codec::encode(&method.params, json, method.vet_params).map_err(|reason| ParamsError::Encode {
        actor,
        method: method.name,
        what: "parameters",
        reason,
    })
}

/// Reads what a method returned as JSON. A method that returns nothing gives `null`.
///
/// # Errors
/// Unknown method; bytes that are no canonical CBOR of what it returns.
pub fn decode_return(actor: Actor, number: u64, bytes: &[u8]) -> Result<Value, ParamsError> {
    let method = method(actor, number)?;
    codec::decode(&method.returns, bytes, None).map_err(|reason| ParamsError::Decode {
        actor,
        method: method.name,
        what: "return value",
        reason,
    })
}

/// Makes a return value from JSON.
///
/// # Errors
/// Unknown method; a field that is missing, unknown or of the wrong form.
pub fn encode_return(actor: Actor, number: u64, json: &Value) -> Result<Vec<u8>, ParamsError> {
    let method = method(actor, number)?;
    codec::encode(&method.returns, json, None).map_err(|reason| ParamsError::Encode {
        actor,
        method: method.name,
        what: "return value",
        reason,
    })
}
