//! **Purpose**: parameters, read with the tolerance that Go's JSON has and no more.
//!
//! **Invariants**
//! - An error names the method and the number of the parameter, and never its content: it may be a
//!   password or a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hesper_chain::json::LotusJson;
use hesper_chain::key::KeyType;
use hesper_chain::{Address, Network};
use hesper_jsonrpc::RpcError;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::protect::Secret;

/// The parameters of one call.
pub(super) struct Args {
    method: &'static str,
    network: Network,
    values: Vec<Value>,
}

impl Args {
    /// # Errors
    /// When there are too few or too many.
    pub(super) fn new(
        method: &'static str,
        network: Network,
        count: (usize, usize),
        values: Vec<Value>,
    ) -> Result<Self, RpcError> {
        if values.len() < count.0 || values.len() > count.1 {
            return Err(RpcError::invalid_params(format!(
                "wrong param count (method '{method}'): {} != {}",
                values.len(),
                if count.0 == count.1 {
                    count.0.to_string()
                } else {
                    format!("{}..{}", count.0, count.1)
                }
            )));
        }
        Ok(Args { method, network, values })
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.values.get(index).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, index: usize) -> Value {
        self.values.get_mut(index).map(Value::take).unwrap_or_default()
    }

    /// An error about the parameter `index`.
    pub(super) fn bad(&self, index: usize, reason: impl std::fmt::Display) -> RpcError {
        RpcError::invalid_params(format!("{}: parameter {}: {reason}", self.method, index + 1))
    }

    pub(super) fn text(&mut self, index: usize) -> Result<String, RpcError> {
        match self.take(index) {
            Value::String(text) => Ok(text),
            _ => Err(self.bad(index, "a string is wanted")),
        }
    }

    pub(super) fn secret(&mut self, index: usize) -> Result<Secret, RpcError> {
        match self.take(index) {
            Value::String(text) if !text.is_empty() => Ok(Secret::new(text)),
            _ => Err(self.bad(index, "a password that is not empty is wanted, as a string")),
        }
    }

    pub(super) fn number(&mut self, index: usize) -> Result<u64, RpcError> {
        self.take(index).as_u64().ok_or_else(|| self.bad(index, "a whole number is wanted"))
    }

    /// An address with the prefix of the wallet's network.
    pub(super) fn address(&mut self, index: usize) -> Result<Address, RpcError> {
        let text = self.text(index)?;
        hesper_chain::address::parse_on(self.network, &text).map_err(|error| self.bad(index, error))
    }

    pub(super) fn addresses(&mut self, index: usize) -> Result<Vec<Address>, RpcError> {
        let texts: Vec<String> = self.strings(index)?;
        texts
            .iter()
            .map(|text| hesper_chain::address::parse_on(self.network, text))
            .collect::<Result<_, _>>()
            .map_err(|error| self.bad(index, error))
    }

    pub(super) fn strings(&mut self, index: usize) -> Result<Vec<String>, RpcError> {
        serde_json::from_value(self.take(index))
            .map_err(|_| self.bad(index, "an array of strings is wanted"))
    }

    /// One string, several, or null for none.
    pub(super) fn strings_or_one(&mut self, index: usize) -> Result<Vec<String>, RpcError> {
        match self.take(index) {
            Value::Null => Ok(Vec::new()),
            Value::String(text) => Ok(vec![text]),
            value => serde_json::from_value(value)
                .map_err(|_| self.bad(index, "a string or an array of strings is wanted")),
        }
    }

    /// Bytes as Go writes them: base64, and null for none.
    pub(super) fn bytes(&mut self, index: usize) -> Result<Vec<u8>, RpcError> {
        let value = self.take(index);
        bytes_of(&value).map_err(|reason| self.bad(index, reason))
    }

    /// A value of the chain in its Lotus form.
    pub(super) fn lotus<T: LotusJson>(&mut self, index: usize) -> Result<T, RpcError> {
        T::from_lotus_json(&self.take(index)).map_err(|error| self.bad(index, error))
    }

    /// An object whose fields the caller reads; an absent one has none.
    pub(super) fn fields(&mut self, index: usize) -> Result<Fields, RpcError> {
        match self.take(index) {
            Value::Object(map) => Ok(Fields { method: self.method, network: self.network, map }),
            Value::Null => {
                Ok(Fields { method: self.method, network: self.network, map: Map::new() })
            }
            _ => Err(self.bad(index, "an object is wanted")),
        }
    }

    /// `bls`, `secp256k1`, `delegated`, or Venus's number of the signature type.
    pub(super) fn key_type(&mut self, index: usize) -> Result<KeyType, RpcError> {
        key_type_of(&self.take(index)).map_err(|reason| self.bad(index, reason))
    }
}

/// The fields of an object; names are matched without regard to case, as Go does.
pub(super) struct Fields {
    method: &'static str,
    network: Network,
    map: Map<String, Value>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Value {
        let key = self.map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
        key.and_then(|key| self.map.remove(&key)).unwrap_or_default()
    }

    fn bad(&self, name: &str, reason: impl std::fmt::Display) -> RpcError {
        RpcError::invalid_params(format!("{}: field `{name}`: {reason}", self.method))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, RpcError> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::String(text) => Ok((!text.is_empty()).then_some(text)),
            _ => Err(self.bad(name, "a string is wanted")),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, RpcError> {
        match self.take(name) {
            Value::Null => Ok(None),
            value => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.bad(name, "a whole number is wanted")),
            },
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, RpcError> {
        match self.take(name) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(flag),
            _ => Err(self.bad(name, "true or false is wanted")),
        }
    }

    pub(super) fn address(&mut self, name: &str) -> Result<Option<Address>, RpcError> {
        // Go's empty address is written as this.
        let Some(text) = self.text(name)?.filter(|text| text != "<empty>") else { return Ok(None) };
        let address = hesper_chain::address::parse_on(self.network, &text);
        address.map(Some).map_err(|error| self.bad(name, error))
    }

    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, RpcError> {
        let value = self.take(name);
        bytes_of(&value).map_err(|reason| self.bad(name, reason))
    }

    /// Bytes that are wiped after use, the text that they came in included.
    pub(super) fn secret_bytes(&mut self, name: &str) -> Result<Zeroizing<Vec<u8>>, RpcError> {
        match self.take(name) {
            Value::String(text) => {
                let text = Zeroizing::new(text);
                let decoded = STANDARD.decode(text.as_bytes());
                decoded.map(Zeroizing::new).map_err(|_| self.bad(name, "base64 is wanted"))
            }
            _ => Err(self.bad(name, "base64 is wanted")),
        }
    }

    pub(super) fn key_type(&mut self, name: &str) -> Result<KeyType, RpcError> {
        let value = self.take(name);
        key_type_of(&value).map_err(|reason| self.bad(name, reason))
    }
}

fn bytes_of(value: &Value) -> Result<Vec<u8>, &'static str> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => STANDARD.decode(text).map_err(|_| "base64 is wanted"),
        _ => Err("base64 is wanted"),
    }
}

fn key_type_of(value: &Value) -> Result<KeyType, &'static str> {
    let found = match value {
        Value::String(name) => KeyType::from_lotus_name(name),
        // Venus's and old Lotus's number of the signature type.
        Value::Number(number) => match number.as_u64() {
            Some(1) => Some(KeyType::Secp256k1),
            Some(2) => Some(KeyType::Bls),
            Some(3) => Some(KeyType::Delegated),
            _ => None,
        },
        _ => None,
    };
    found.ok_or("a key type is wanted: `bls`, `secp256k1` or `delegated`")
}
