//! **Purpose**: why parameters could not be read or made.

use crate::Actor;

#[derive(Debug, thiserror::Error)]
pub enum ParamsError {
    #[error("the actor {actor} has no method {number}; is the destination really a {actor}?")]
    UnknownMethod { actor: Actor, number: u64 },
    #[error("could not read the {what} of {actor}.{method}: {reason}")]
    Decode { actor: Actor, method: &'static str, what: &'static str, reason: Reason },
    #[error("could not make the {what} of {actor}.{method} from JSON: {reason}")]
    Encode { actor: Actor, method: &'static str, what: &'static str, reason: Reason },
}

/// What is wrong, and at which field.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    #[error("{0}")]
    Cbor(String),
    #[error("{0} bytes where the method takes none")]
    NotEmpty(usize),
    #[error("nothing is there, but the method takes parameters")]
    Empty,
    #[error("the bytes are not the shortest form of what they say; encode them canonically")]
    NotCanonical,
    #[error("`{path}` must be {wanted}, found {found}")]
    Form { path: String, wanted: String, found: String },
    #[error("`{path}` has the unknown field `{field}`; it takes {fields}")]
    UnknownField { path: String, field: String, fields: String },
    #[error("`{path}` lacks the field `{field}`")]
    MissingField { path: String, field: &'static str },
    #[error("the actor's own type refuses it: {0}")]
    Refused(String),
}
