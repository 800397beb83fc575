//! **Purpose**: typed reading of the fields of a decoded object, with the field named in each error.
//!
//! **Invariants**: every value is checked to have only one encoding (big integers without leading
//! zeros or a negative zero, addresses with canonical integers), so that a shown field determines
//! the bytes that are signed.
//!
//! **Source**: go-state-types `big/int.go` and `crypto/signature.go`, go-address, for the forms.

use hesper_chain::{Address, BigInt, Cid, TokenAmount, address, cid};

use super::node::{Node, ShapeError};

const AMOUNT_BYTES_MAX: usize = 128;
const SIGNATURE_BYTES_MAX: usize = 200;

/// The fields of a tuple or map in the order of declaration; each is read once.
pub(crate) struct Fields<'a> {
    values: Vec<(&'static str, &'a Node)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of_tuple(
        what: &'static str,
        node: &'a Node,
        names: &[&'static str],
    ) -> Result<Self, ShapeError> {
        let Node::Array(items) = node else {
            return Err(wrong(what, "an array", node));
        };
        check_count(what, names.len(), items.len())?;
        Ok(Fields { values: names.iter().copied().zip(items).collect() })
    }

    pub(crate) fn of_map(
        what: &'static str,
        node: &'a Node,
        names: &[&'static str],
    ) -> Result<Self, ShapeError> {
        let Node::Map(entries) = node else {
            return Err(wrong(what, "a map", node));
        };
        check_count(what, names.len(), entries.len())?;
        for (index, (name, (key, _))) in names.iter().zip(entries).enumerate() {
            if name != key {
                // Part of a message and a record: no more of a hostile key than helps.
                let found = key.chars().take(40).collect();
                return Err(ShapeError::WrongKey { index, expected: name, found });
            }
        }
        let values = entries.iter().map(|(_, value)| value);
        Ok(Fields { values: names.iter().copied().zip(values).collect() })
    }

    pub(crate) fn node(&self, field: &'static str) -> &'a Node {
        let found = self.values.iter().find(|(name, _)| *name == field);
        found.expect("a field is asked for by a name of the list it was made from").1
    }

    pub(crate) fn unsigned(&self, field: &'static str) -> Result<u64, ShapeError> {
        match self.node(field) {
            Node::Unsigned(value) => Ok(*value),
            other => Err(wrong(field, "an unsigned integer", other)),
        }
    }

    /// An epoch, which may be negative in Go's types but never is in what is signed.
    pub(crate) fn epoch(&self, field: &'static str) -> Result<i64, ShapeError> {
        let value = self.unsigned(field)?;
        i64::try_from(value).map_err(|_| bad(field, "it is beyond 63 bits"))
    }

    pub(crate) fn boolean(&self, field: &'static str) -> Result<bool, ShapeError> {
        match self.node(field) {
            Node::Bool(value) => Ok(*value),
            other => Err(wrong(field, "a boolean", other)),
        }
    }

    pub(crate) fn text(&self, field: &'static str) -> Result<&'a str, ShapeError> {
        match self.node(field) {
            Node::Text(text) => Ok(text),
            other => Err(wrong(field, "a text", other)),
        }
    }

    pub(crate) fn bytes(&self, field: &'static str) -> Result<&'a [u8], ShapeError> {
        match self.node(field) {
            Node::Bytes(bytes) => Ok(bytes),
            other => Err(wrong(field, "a byte string", other)),
        }
    }

    pub(crate) fn address(&self, field: &'static str) -> Result<Address, ShapeError> {
        address::from_bytes(self.bytes(field)?).map_err(|error| bad(field, error))
    }

    /// A token amount that is not negative.
    pub(crate) fn amount(&self, field: &'static str) -> Result<TokenAmount, ShapeError> {
        let magnitude = match self.bytes(field)? {
            [] => return Ok(TokenAmount::from_atto(0)),
            [0, 0, ..] => return Err(bad(field, "the amount has leading zeros")),
            [0] => return Err(bad(field, "zero is written as an empty byte string")),
            [1, ..] => return Err(bad(field, "the amount is negative")),
            magnitude @ [0, ..] if magnitude.len() <= AMOUNT_BYTES_MAX => magnitude,
            [0, ..] => return Err(bad(field, "the amount has more than 128 bytes")),
            _ => return Err(bad(field, "the amount has no sign byte")),
        };
        Ok(TokenAmount::from_atto(BigInt::from_signed_bytes_be(magnitude)))
    }

    pub(crate) fn cid(&self, field: &'static str) -> Result<Cid, ShapeError> {
        match self.node(field) {
            Node::Link(bytes) => {
                let found = cid::from_bytes(bytes).map_err(|error| bad(field, error))?;
                match found.to_bytes() == *bytes {
                    true => Ok(found),
                    false => Err(bad(field, "the CID is not written canonically")),
                }
            }
            other => Err(wrong(field, "a CID", other)),
        }
    }

    pub(crate) fn optional_cid(&self, field: &'static str) -> Result<Option<Cid>, ShapeError> {
        match self.node(field) {
            Node::Null => Ok(None),
            _ => self.cid(field).map(Some),
        }
    }

    /// Type and data of a signature; its validity is not checked here.
    pub(crate) fn signature(&self, field: &'static str) -> Result<(u8, &'a [u8]), ShapeError> {
        match self.bytes(field)? {
            [kind @ 1..=3, data @ ..] if data.len() < SIGNATURE_BYTES_MAX => Ok((*kind, data)),
            [1..=3, ..] => Err(bad(field, "the signature has more than 200 bytes")),
            _ => Err(bad(field, "the signature is of no known type")),
        }
    }
}

fn check_count(what: &'static str, expected: usize, found: usize) -> Result<(), ShapeError> {
    match expected == found {
        true => Ok(()),
        false => Err(ShapeError::WrongCount { what, expected, found }),
    }
}

pub(crate) fn wrong(field: &str, expected: &'static str, node: &Node) -> ShapeError {
    ShapeError::WrongType { field: field.to_owned(), expected, found: node.kind() }
}

pub(crate) fn bad(field: &str, reason: impl ToString) -> ShapeError {
    ShapeError::BadValue { field: field.to_owned(), reason: reason.to_string() }
}
