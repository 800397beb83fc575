//! **Purpose**: the JSON forms of Lotus, both ways.
//!
//! **Invariants**
//! - Links are `{"/": "bafy…"}`, amounts decimal strings, bytes padded base64, addresses text with
//!   the prefix of the network asked for.
//! - Reading follows Go where clients rely on it (an absent number is 0, absent bytes or lists are
//!   empty, unknown fields are ignored, either prefix is taken) and is strict in the rest: numbers
//!   must fit, base64 and addresses must be canonical.
//! - A `CID` field is written for whoever expects it and ignored on reading: it is derived.
//!
//! **Source**: Lotus `chain/types`, go-state-types `crypto`, `proof`, `big`.

mod chain;
mod fields;

use ::cid::Cid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fvm_ipld_encoding::RawBytes;
use fvm_shared::address::{Address, Network};
use fvm_shared::econ::TokenAmount;
use num_bigint::BigInt;
use serde_json::{Value, json};
use thiserror::Error;

use crate::address::AddressError;
use crate::amount::AmountError;
use crate::cid::CidError;
use crate::tipset::TipsetError;

pub(crate) use fields::Fields;

/// A type with a Lotus JSON form.
pub trait LotusJson: Sized {
    /// The JSON form with addresses of `network`.
    fn to_lotus_json_on(&self, network: Network) -> Value;

    /// The JSON form with mainnet addresses.
    fn to_lotus_json(&self) -> Value {
        self.to_lotus_json_on(Network::Mainnet)
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// What the module's invariants do not admit, with the place where it stands.
    fn from_lotus_json(json: &Value) -> Result<Self, JsonError>;
}

/// Why a JSON value was refused.
#[derive(Debug, Error)]
pub enum JsonError {
    #[error("a {wanted} was expected, and this came: {got}")]
    Shape { wanted: &'static str, got: String },
    #[error("the field {field} of a {object} is missing")]
    Missing { object: &'static str, field: &'static str },
    #[error("the field {field} of a {object} was refused")]
    Field { object: &'static str, field: &'static str, source: Box<JsonError> },
    #[error("item {index} of a list was refused")]
    Item { index: usize, source: Box<JsonError> },
    #[error("an address was refused")]
    Address(#[from] AddressError),
    #[error("a CID was refused")]
    Cid(#[from] CidError),
    #[error("an amount was refused")]
    Amount(#[from] AmountError),
    #[error("{0} is not a known type of signature; 1, 2 and 3 are")]
    SignatureKind(u64),
    #[error("the bytes of a {what} were refused: {reason}")]
    Bytes { what: &'static str, reason: String },
    #[error("the blocks form no tipset")]
    Tipset(#[from] TipsetError),
    #[error("the {stated} that the JSON states differ from the blocks' own")]
    Contradiction { stated: &'static str },
}

impl JsonError {
    pub(crate) fn shape(wanted: &'static str, got: &Value) -> Self {
        const SHOWN: usize = 80;
        Self::Shape { wanted, got: got.to_string().chars().take(SHOWN).collect() }
    }
}

impl LotusJson for Address {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        Value::String(crate::address::format(self, network))
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let text = json.as_str().ok_or_else(|| JsonError::shape("address as text", json))?;
        Ok(crate::address::parse(text)?)
    }
}

impl LotusJson for Cid {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        json!({ "/": self.to_string() })
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let text = match json.as_object() {
            Some(object) if object.len() == 1 => object.get("/").and_then(Value::as_str),
            _ => None,
        };
        let text = text.ok_or_else(|| JsonError::shape("link {\"/\": \"bafy…\"}", json))?;
        Ok(crate::cid::parse(text)?)
    }
}

impl LotusJson for BigInt {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        Value::String(self.to_string())
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let text = json.as_str().ok_or_else(|| JsonError::shape("decimal string", json))?;
        Ok(crate::amount::parse_integer(text)?)
    }
}

impl LotusJson for TokenAmount {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        self.atto().to_lotus_json_on(network)
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        BigInt::from_lotus_json(json).map(Self::from_atto)
    }
}

impl LotusJson for RawBytes {
    fn to_lotus_json_on(&self, _: Network) -> Value {
        bytes_to_json(self.bytes())
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        bytes_from_json(json).map(Self::new)
    }
}

impl<T: LotusJson> LotusJson for Vec<T> {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        self.iter().map(|item| item.to_lotus_json_on(network)).collect()
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        let items = match json {
            Value::Null => return Ok(Self::new()),
            Value::Array(items) => items,
            _ => return Err(JsonError::shape("list", json)),
        };
        let read = |(index, item)| {
            T::from_lotus_json(item)
                .map_err(|source| JsonError::Item { index, source: Box::new(source) })
        };
        items.iter().enumerate().map(read).collect()
    }
}

impl<T: LotusJson> LotusJson for Option<T> {
    fn to_lotus_json_on(&self, network: Network) -> Value {
        self.as_ref().map_or(Value::Null, |value| value.to_lotus_json_on(network))
    }

    fn from_lotus_json(json: &Value) -> Result<Self, JsonError> {
        if json.is_null() { Ok(None) } else { T::from_lotus_json(json).map(Some) }
    }
}

/// Bytes as padded base64.
#[must_use]
pub fn bytes_to_json(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

/// Reads bytes from padded base64; null stands for none.
///
/// # Errors
/// Text that is not canonical base64.
pub fn bytes_from_json(json: &Value) -> Result<Vec<u8>, JsonError> {
    let text = match json {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) => text,
        _ => return Err(JsonError::shape("base64 string", json)),
    };
    STANDARD.decode(text).map_err(|_| JsonError::shape("base64 string with padding", json))
}

#[cfg(test)]
mod tests;
