//! **Purpose**: what one line of the sign log says.
//!
//! **Invariants**
//! - The JSON of a record is what the hash chain covers: fields are only ever added, each with a
//!   default, so that every old line is still read.
//! - Nothing secret has a field here.

use serde::{Deserialize, Serialize};

/// The act by which an operator lets a key take orders from any number on again.
pub(crate) const FORGET_ORDERS: &str = "forget-orders";

/// A request and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Wall clock, Unix milliseconds.
    pub time_ms: u64,
    /// Who asked.
    pub caller: String,
    /// Address of the wallet's key; empty for what concerns no single key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Venus's word of the object type, or the act: `export`, `delete`, `unlock`, ...
    pub object: String,
    /// Actor method by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Destination address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// AttoFIL that count against limits.
    #[serde(skip_serializing_if = "Option::is_none", with = "decimal")]
    pub value: Option<u128>,
    /// Id of the policy rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The object as the wallet understood it.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub shown: serde_json::Value,
    /// Hex of a hash of the signing bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// What was decided.
    pub decision: Decision,
    /// Order of the pool that the request carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Hex of a hash of the signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_hash: Option<String>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A signature was made; it is released after this line is durable.
    Signed,
    /// An act without a signature was carried out.
    Done,
    /// Nothing was done.
    Refused {
        /// As the caller read it.
        reason: String,
    },
}

impl Default for Decision {
    /// The safe reading of a line that does not say.
    fn default() -> Self {
        Self::Refused { reason: String::new() }
    }
}

/// Place of a request in the order of the pool; a later cluster generation comes after all earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fence {
    /// Of the cluster.
    pub generation: u64,
    /// Log index of the applied intent.
    pub intent: u64,
}

/// 128-bit amounts as decimal strings: readers in other languages would round a number.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<u128>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u128>, D::Error> {
        match Option::<String>::deserialize(deserializer)? {
            Some(text) => text.parse().map(Some).map_err(D::Error::custom),
            None => Ok(None),
        }
    }
}
