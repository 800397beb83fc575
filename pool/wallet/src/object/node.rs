//! **Purpose**: read and write the one canonical CBOR form of the objects that Venus's wallets sign.
//!
//! **Invariants**
//! - `Node::decode` accepts exactly one encoding of each value: definite lengths, shortest heads,
//!   no floats, no tag but 42, UTF-8 text, no bytes after the item. So `decode(b)?.encode() == b`.
//! - The keys of a map keep the order in which they came. The typed views demand the order of
//!   declaration, which is what the Go encoders write; it is not the sorted order of DAG-CBOR.
//! - Depth and size are bounded; nothing is allocated before the bytes for it are there.
//!
//! **Source**: RFC 8949; the DAG-CBOR specification for tag 42; cbor-gen for the shape of structs.

use std::collections::BTreeSet;

use thiserror::Error;

/// An object is at most this long; the largest real ones (messages) are 64 KiB.
pub(crate) const OBJECT_BYTES_MAX: usize = 128 << 10;
const DEPTH_MAX: usize = 16;
const CID_TAG: u64 = 42;

/// One CBOR item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Unsigned(u64),
    /// The value `-1 - n`.
    Negative(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// The bytes after the leading zero of tag 42.
    Link(Vec<u8>),
    Bool(bool),
    Null,
}

/// Why bytes are not the canonical form of an object.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ShapeError {
    #[error("the object has {len} bytes, more than the limit of {OBJECT_BYTES_MAX}")]
    TooLong { len: usize },
    #[error("the object ends at byte {at}, in the middle of an item; send it whole")]
    Truncated { at: usize },
    #[error("{count} bytes follow the object; send exactly one CBOR item")]
    Trailing { count: usize },
    #[error("byte {at}: {what}; send the canonical encoding")]
    NotCanonical { at: usize, what: &'static str },
    #[error("byte {at}: {what} is not allowed in an object to sign")]
    NotAllowed { at: usize, what: &'static str },
    #[error("field `{field}` is {found}, but {expected} was expected")]
    WrongType { field: String, expected: &'static str, found: &'static str },
    #[error("the object has {found} fields, but {what} has {expected}")]
    WrongCount { what: &'static str, expected: usize, found: usize },
    #[error("field {index} is named `{found}`, but `{expected}` stands there")]
    WrongKey { index: usize, expected: &'static str, found: String },
    #[error("field `{field}` is not valid: {reason}")]
    BadValue { field: String, reason: String },
}

impl Node {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Node, ShapeError> {
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(ShapeError::TooLong { len: bytes.len() });
        }
        let mut reader = Reader { bytes, at: 0 };
        let node = reader.item(0)?;
        match bytes.len() - reader.at {
            0 => Ok(node),
            count => Err(ShapeError::Trailing { count }),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Unsigned(value) => head(out, 0, *value),
            Node::Negative(value) => head(out, 1, *value),
            Node::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Node::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Node::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Node::Map(entries) => {
                head(out, 5, entries.len() as u64);
                for (key, value) in entries {
                    head(out, 3, key.len() as u64);
                    out.extend_from_slice(key.as_bytes());
                    value.write(out);
                }
            }
            Node::Link(cid) => {
                head(out, 6, CID_TAG);
                head(out, 2, cid.len() as u64 + 1);
                out.push(0);
                out.extend_from_slice(cid);
            }
            Node::Bool(false) => out.push(0xf4),
            Node::Bool(true) => out.push(0xf5),
            Node::Null => out.push(0xf6),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Node::Unsigned(_) => "an unsigned integer",
            Node::Negative(_) => "a negative integer",
            Node::Bytes(_) => "a byte string",
            Node::Text(_) => "a text",
            Node::Array(_) => "an array",
            Node::Map(_) => "a map",
            Node::Link(_) => "a CID",
            Node::Bool(_) => "a boolean",
            Node::Null => "null",
        }
    }
}

/// Writes the shortest head of a major type.
fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], ShapeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(ShapeError::Truncated { at: self.bytes.len() })?;
        self.at += count;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(u8, u8, u64), ShapeError> {
        let at = self.at;
        let first = self.take(1)?[0];
        let (major, extra) = (first >> 5, first & 0x1f);
        let width = match extra {
            0..=23 => return Ok((major, extra, u64::from(extra))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return Err(ShapeError::NotCanonical { at, what: "an indefinite length" }),
            _ => return Err(ShapeError::NotAllowed { at, what: "a reserved head" }),
        };
        let value = self.take(width)?.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let shortest = match width {
            1 => value > 23,
            2 => value > 0xff,
            4 => value > 0xffff,
            _ => value > 0xffff_ffff,
        };
        if major != 7 && !shortest {
            return Err(ShapeError::NotCanonical { at, what: "a head longer than it must be" });
        }
        Ok((major, extra, value))
    }

    fn run(&mut self, length: u64) -> Result<&'a [u8], ShapeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn text(&mut self, length: u64) -> Result<String, ShapeError> {
        let at = self.at;
        let bytes = self.run(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(ShapeError::NotCanonical { at, what: "text that is not UTF-8" }),
        }
    }

    fn item(&mut self, depth: usize) -> Result<Node, ShapeError> {
        let at = self.at;
        if depth > DEPTH_MAX {
            return Err(ShapeError::NotAllowed { at, what: "deeper nesting" });
        }
        let (major, extra, value) = self.head()?;
        match major {
            0 => Ok(Node::Unsigned(value)),
            1 => Ok(Node::Negative(value)),
            2 => Ok(Node::Bytes(self.run(value)?.to_vec())),
            3 => Ok(Node::Text(self.text(value)?)),
            4 => {
                let mut items = Vec::new();
                for _ in 0..value {
                    items.push(self.item(depth + 1)?);
                }
                Ok(Node::Array(items))
            }
            5 => self.map(value, depth),
            6 => self.link(at, value),
            _ => match extra {
                20 => Ok(Node::Bool(false)),
                21 => Ok(Node::Bool(true)),
                22 => Ok(Node::Null),
                _ => Err(ShapeError::NotAllowed { at, what: "a float or another simple value" }),
            },
        }
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Node, ShapeError> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let at = self.at;
            let (major, _, length) = self.head()?;
            if major != 3 {
                return Err(ShapeError::NotAllowed { at, what: "a key that is not text" });
            }
            let key = self.text(length)?;
            if !seen.insert(key.clone()) {
                return Err(ShapeError::NotCanonical { at, what: "a key that occurs twice" });
            }
            entries.push((key, self.item(depth + 1)?));
        }
        Ok(Node::Map(entries))
    }

    fn link(&mut self, at: usize, tag: u64) -> Result<Node, ShapeError> {
        if tag != CID_TAG {
            return Err(ShapeError::NotAllowed { at, what: "a tag that is not 42" });
        }
        let (major, _, length) = self.head()?;
        if major != 2 {
            return Err(ShapeError::NotAllowed { at, what: "tag 42 on other than bytes" });
        }
        match self.run(length)?.split_first() {
            Some((0, cid)) => Ok(Node::Link(cid.to_vec())),
            _ => Err(ShapeError::NotCanonical { at, what: "a CID without its leading zero" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            any::<u64>().prop_map(Node::Unsigned),
            any::<u64>().prop_map(Node::Negative),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Node::Bytes),
            "[a-zA-Z]{0,12}".prop_map(Node::Text),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Node::Link),
            any::<bool>().prop_map(Node::Bool),
            Just(Node::Null),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Node::Array),
                proptest::collection::btree_map("[a-z]{1,6}", inner, 0..6)
                    .prop_map(|map| Node::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(node in nodes()) {
            prop_assert_eq!(Node::decode(&node.encode()), Ok(node));
        }

        #[test]
        fn what_is_accepted_is_the_only_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(node) = Node::decode(&bytes) {
                prop_assert_eq!(node.encode(), bytes);
            }
        }
    }

    #[test]
    fn other_encodings_of_a_value_are_refused() {
        let refused: &[(&str, &[u8])] = &[
            ("0 in two bytes", &[0x18, 0]),
            ("23 in two bytes", &[0x18, 23]),
            ("255 in three bytes", &[0x19, 0, 255]),
            ("bytes of indefinite length", &[0x5f, 0x41, 0, 0xff]),
            ("array of indefinite length", &[0x9f, 0xff]),
            ("float", &[0xf9, 0, 0]),
            ("undefined", &[0xf7]),
            ("false in two bytes", &[0xf8, 20]),
            ("tag 2", &[0xc2, 0x41, 1]),
            ("CID without zero", &[0xd8, 42, 0x41, 1]),
            ("key twice", &[0xa2, 0x61, b'a', 0, 0x61, b'a', 0]),
            ("key of integer", &[0xa1, 0, 0]),
            ("text not UTF-8", &[0x61, 0xff]),
            ("trailing", &[0, 0]),
            ("nothing", &[]),
            ("length beyond the end", &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            ("too deep", &[0x81; 40]),
        ];
        for (what, bytes) in refused {
            assert!(Node::decode(bytes).is_err(), "{what}");
        }
    }
}
