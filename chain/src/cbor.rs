//! **Purpose**: canonical DAG-CBOR: check any item, decode typed values strictly, encode.
//!
//! **Invariants**: what passes has exactly one byte form: definite lengths, shortest integers and
//! lengths, map keys as sorted distinct text, tag 42 alone and only around a well-formed CID, no
//! floats, valid UTF-8, nothing after the item, bounded depth. Work is linear in the input.
//!
//! **Source**: the DAG-CBOR specification; RFC 8949 section 4.2. Chain objects hold no floats.

use fvm_ipld_encoding::{from_slice, to_vec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::address::AddressError;
use crate::limits::CBOR_DEPTH_MAX;

/// Why bytes were refused.
#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("the CBOR ends at byte {at}, inside an item; the object was cut")]
    Cut { at: usize },
    #[error("{count} bytes follow the CBOR item, which ends at byte {at}")]
    Trailing { at: usize, count: usize },
    #[error("the CBOR is not canonical at byte {at}: {rule}")]
    NotCanonical { at: usize, rule: Rule },
    #[error("the bytes are canonical CBOR, but not a {wanted}")]
    Shape { wanted: &'static str, source: fvm_ipld_encoding::Error },
    #[error("a {wanted} was decoded, but its canonical form differs from byte {at} on")]
    OtherForm { wanted: &'static str, at: usize },
    #[error("a {wanted} was decoded, but holds an address that is not allowed")]
    Address { wanted: &'static str, source: AddressError },
    #[error("the {field} {value} of a {wanted} is beyond what the chain's signed numbers hold")]
    Number { wanted: &'static str, field: &'static str, value: u64 },
    #[error("the object has {length} bytes; at most {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the block names {count} messages; at most {limit} are allowed")]
    TooManyMessages { count: usize, limit: usize },
}

/// A rule of canonical DAG-CBOR.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    #[error("lengths must be definite")]
    Definite,
    #[error("integers and lengths must have their shortest form")]
    Shortest,
    #[error("no tag but 42 is allowed")]
    Tag,
    #[error("tag 42 must hold a byte string: a zero byte and a well-formed CID")]
    Link,
    #[error("map keys must be text")]
    KeyType,
    #[error("map keys must be distinct and sorted, shorter ones first")]
    KeyOrder,
    #[error("text must be UTF-8")]
    Utf8,
    #[error("no float and no simple value but false, true and null is allowed")]
    Simple,
    #[error("the nesting is too deep")]
    Depth,
}

/// A value has no encoding.
#[derive(Debug, Error)]
#[error(
    "could not encode a {what}; one of its amounts probably exceeds 128 bytes, or a signature 200"
)]
pub struct EncodeError {
    what: &'static str,
    source: fvm_ipld_encoding::Error,
}

/// Checks that `bytes` are one item of canonical DAG-CBOR, whatever its type.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn validate(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    reader.item(0)?;
    match bytes.len() - reader.at {
        0 => Ok(()),
        count => Err(DecodeError::Trailing { at: reader.at, count }),
    }
}

/// Decodes a value from exactly its canonical bytes.
///
/// # Errors
/// Bytes that are not canonical or not of this type.
pub fn decode_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, DecodeError> {
    validate(bytes)?;
    let wanted = name::<T>();
    let value: T = from_slice(bytes).map_err(|source| DecodeError::Shape { wanted, source })?;
    // Canonical CBOR is not yet canonical content: an amount with leading zeros, a tuple with more
    // fields than the type. Only the comparison with the value's own bytes shows it.
    let again = to_vec(&value).map_err(|source| DecodeError::Shape { wanted, source })?;
    if again != bytes {
        let at = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
        return Err(DecodeError::OtherForm { wanted, at });
    }
    Ok(value)
}

/// Encodes a value.
///
/// # Errors
/// An amount over 128 bytes, which has no encoding.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    to_vec(value).map_err(|source| EncodeError { what: name::<T>(), source })
}

/// The last part of a type's path, for error messages.
fn name<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    let generic = path.find('<').unwrap_or(path.len());
    let start = path[..generic].rfind("::").map_or(0, |at| at + 2);
    &path[start..]
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self, depth: usize) -> Result<(), DecodeError> {
        let start = self.at;
        if depth > CBOR_DEPTH_MAX {
            return Err(broken(start, Rule::Depth));
        }
        let (major, argument) = self.head()?;
        match major {
            0 | 1 => Ok(()),
            2 => self.take(argument).map(|_| ()),
            3 => {
                let text = self.take(argument)?;
                std::str::from_utf8(text).map(|_| ()).map_err(|_| broken(start, Rule::Utf8))
            }
            4 => {
                for _ in 0..argument {
                    self.item(depth + 1)?;
                }
                Ok(())
            }
            5 => self.map(argument, depth),
            6 => self.link(start, argument),
            _ => Ok(()), // simple values are settled by `head`
        }
    }

    /// Reads the first byte of an item and its argument, in the shortest form only.
    fn head(&mut self) -> Result<(u8, u64), DecodeError> {
        let start = self.at;
        let first = self.byte()?;
        let (major, short) = (first >> 5, first & 31);
        if major == 7 {
            // 20 false, 21 true, 22 null.
            return match short {
                20..=22 => Ok((7, 0)),
                31 => Err(broken(start, Rule::Definite)),
                _ => Err(broken(start, Rule::Simple)),
            };
        }
        let width = match short {
            0..=23 => return Ok((major, u64::from(short))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            31 => return Err(broken(start, Rule::Definite)),
            _ => return Err(broken(start, Rule::Shortest)),
        };
        let mut argument = 0;
        for byte in self.take(width)? {
            argument = argument << 8 | u64::from(*byte);
        }
        let least = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if argument < least { Err(broken(start, Rule::Shortest)) } else { Ok((major, argument)) }
    }

    fn map(&mut self, pairs: u64, depth: usize) -> Result<(), DecodeError> {
        let mut last: Option<&'a [u8]> = None;
        for _ in 0..pairs {
            let start = self.at;
            let (major, length) = self.head()?;
            if major != 3 {
                return Err(broken(start, Rule::KeyType));
            }
            let key = self.take(length)?;
            std::str::from_utf8(key).map_err(|_| broken(start, Rule::Utf8))?;
            if last.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
                return Err(broken(start, Rule::KeyOrder));
            }
            last = Some(key);
            self.item(depth + 1)?;
        }
        Ok(())
    }

    fn link(&mut self, start: usize, tag: u64) -> Result<(), DecodeError> {
        if tag != 42 {
            return Err(broken(start, Rule::Tag));
        }
        let (major, length) = self.head()?;
        if major != 2 {
            return Err(broken(start, Rule::Link));
        }
        match self.take(length)? {
            [0, cid @ ..] if crate::cid::from_bytes(cid).is_ok() => Ok(()),
            _ => Err(broken(start, Rule::Link)),
        }
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Cut { at: self.at })?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or(DecodeError::Cut { at: self.bytes.len() })?;
        self.at += taken.len();
        Ok(taken)
    }
}

fn broken(at: usize, rule: Rule) -> DecodeError {
    DecodeError::NotCanonical { at, rule }
}

#[cfg(test)]
mod tests;
