//! **Purpose**: addresses f0 to f4, text and bytes, for both network prefixes.
//!
//! **Invariants**
//! - Only canonical text is accepted: what parses formats to the same text again.
//! - Ids and namespaces fit in 63 bits, as go-address demands; `fvm_shared` alone lets 64 through.
//! - The prefix is an argument, never the process-wide setting behind `Address`'s `Display`.
//!
//! **Source**: go-address; the specification's appendix on addresses.

use std::sync::LazyLock;

use data_encoding::{BASE32_NOPAD, Encoding, Specification};
use fvm_shared::address::{Address, Error, Network, Payload, Protocol};
use thiserror::Error as ThisError;

/// The namespace of the Ethereum address manager: `f410f…`.
pub const EAM_NAMESPACE: u64 = 10;

/// The most bits of an actor id or a namespace.
const ID_MAX: u64 = i64::MAX as u64;

/// Why an address was refused.
#[derive(Debug, ThisError, PartialEq, Eq)]
pub enum AddressError {
    #[error("could not parse address {text:?}: {cause}; check it for a typing error")]
    Text { text: String, cause: Cause },
    #[error(
        "address {text:?} carries the prefix of another network; this network's addresses begin \
         with '{wanted}'"
    )]
    ForeignNetwork { text: String, wanted: char },
    #[error("could not decode an address from {length} bytes: {cause}")]
    Bytes { length: usize, cause: Cause },
}

/// What is wrong with an address.
#[derive(Debug, ThisError, PartialEq, Eq)]
pub enum Cause {
    #[error("the network prefix is neither 'f' nor 't'")]
    Prefix,
    #[error("the protocol is not one of 0 to 4")]
    Protocol,
    #[error("the length does not fit the protocol")]
    Length,
    #[error("the checksum does not match the address")]
    Checksum,
    #[error("the text is not lower-case base32 without padding")]
    Base32,
    #[error("the payload is malformed")]
    Payload,
    #[error("the id {0} does not fit in 63 bits")]
    IdTooLarge(u64),
    #[error("it is not in canonical form, which would be {0}")]
    NotCanonical(String),
}

/// Parses an address with either prefix.
///
/// # Errors
/// Anything that is not the canonical text of an address.
pub fn parse(text: &str) -> Result<Address, AddressError> {
    parse_with_network(text).map(|(address, _)| address)
}

/// Parses an address and tells which network its prefix names.
///
/// # Errors
/// Anything that is not the canonical text of an address.
pub fn parse_with_network(text: &str) -> Result<(Address, Network), AddressError> {
    let refuse = |cause| AddressError::Text { text: shorten(text), cause };
    let network = match text.as_bytes().first() {
        Some(b'f') => Network::Mainnet,
        Some(b't') => Network::Testnet,
        _ => return Err(refuse(Cause::Prefix)),
    };
    let address = network.parse_address(text).map_err(|error| refuse(cause_of(error)))?;
    check_ids(&address).map_err(refuse)?;
    // Leading zeros and a plus sign pass the number parser below us; two texts for one address
    // would let an allow list be passed by.
    let canonical = format(&address, network);
    if canonical != text {
        return Err(refuse(Cause::NotCanonical(canonical)));
    }
    Ok((address, network))
}

/// Parses an address of `network`.
///
/// # Errors
/// As [`parse`], and the other network's prefix.
pub fn parse_on(network: Network, text: &str) -> Result<Address, AddressError> {
    let (address, found) = parse_with_network(text)?;
    if found != network {
        return Err(AddressError::ForeignNetwork { text: shorten(text), wanted: prefix(network) });
    }
    Ok(address)
}

/// The text of an address on `network`.
#[must_use]
pub fn format(address: &Address, network: Network) -> String {
    let prefix = prefix(network);
    let protocol = address.protocol() as u8;
    match address.payload() {
        Payload::ID(id) => format!("{prefix}0{id}"),
        Payload::Delegated(delegated) => {
            let namespace = delegated.namespace();
            let text = base32_with_checksum(delegated.subaddress(), &address.to_bytes());
            format!("{prefix}4{namespace}f{text}")
        }
        Payload::Secp256k1(_) | Payload::Actor(_) | Payload::BLS(_) => {
            let text = base32_with_checksum(&address.payload_bytes(), &address.to_bytes());
            format!("{prefix}{protocol}{text}")
        }
    }
}

/// Decodes the bytes of an address: protocol byte, then payload.
///
/// # Errors
/// Undefined protocols, wrong lengths, varints that are not the shortest, ids over 63 bits.
pub fn from_bytes(bytes: &[u8]) -> Result<Address, AddressError> {
    let refuse = |cause| AddressError::Bytes { length: bytes.len(), cause };
    let address = Address::from_bytes(bytes).map_err(|error| refuse(cause_of(error)))?;
    check_ids(&address).map_err(refuse)?;
    // The varint reader below us drops the bits beyond 64 of a tenth byte.
    let canonical = address.to_bytes();
    if canonical != bytes {
        return Err(refuse(Cause::NotCanonical(hex::encode(canonical))));
    }
    Ok(address)
}

/// Checks what the type alone does not: ids and namespaces of at most 63 bits.
///
/// # Errors
/// An id or namespace of 64 bits.
pub fn check(address: &Address) -> Result<(), AddressError> {
    check_ids(address)
        .map_err(|cause| AddressError::Bytes { length: address.to_bytes().len(), cause })
}

/// Whether the address names a key that can sign: f1, f3, or f410 of an Ethereum key.
#[must_use]
pub fn is_key(address: &Address) -> bool {
    match address.protocol() {
        Protocol::Secp256k1 | Protocol::BLS => true,
        Protocol::Delegated => ethereum(address).is_some(),
        Protocol::ID | Protocol::Actor => false,
    }
}

/// The Ethereum address inside an f410 address.
#[must_use]
pub fn ethereum(address: &Address) -> Option<[u8; 20]> {
    match address.payload() {
        Payload::Delegated(delegated) if delegated.namespace() == EAM_NAMESPACE => {
            delegated.subaddress().try_into().ok()
        }
        _ => None,
    }
}

/// The f410 address of an Ethereum address.
#[must_use]
pub fn from_ethereum(bytes: &[u8; 20]) -> Address {
    Address::new_delegated(EAM_NAMESPACE, bytes)
        .expect("20 bytes are below the 54 that a delegated address may have")
}

fn check_ids(address: &Address) -> Result<(), Cause> {
    let id = match address.payload() {
        Payload::ID(id) => *id,
        Payload::Delegated(delegated) => delegated.namespace(),
        Payload::Secp256k1(_) | Payload::Actor(_) | Payload::BLS(_) => return Ok(()),
    };
    if id > ID_MAX { Err(Cause::IdTooLarge(id)) } else { Ok(()) }
}

fn prefix(network: Network) -> char {
    match network {
        Network::Mainnet => 'f',
        Network::Testnet => 't',
    }
}

fn base32_with_checksum(shown: &[u8], hashed: &[u8]) -> String {
    static LOWER: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification: Specification = BASE32_NOPAD.specification();
        specification.symbols = specification.symbols.to_ascii_lowercase();
        specification.encoding().expect("lower-case letters and digits are 32 distinct symbols")
    });
    let checksum = blake2b_simd::Params::new().hash_length(4).hash(hashed);
    let mut bytes = shown.to_vec();
    bytes.extend_from_slice(checksum.as_bytes());
    LOWER.encode(&bytes)
}

fn cause_of(error: Error) -> Cause {
    match error {
        Error::UnknownNetwork => Cause::Prefix,
        Error::UnknownProtocol => Cause::Protocol,
        Error::InvalidChecksum => Cause::Checksum,
        Error::Base32Decoding(_) => Cause::Base32,
        Error::InvalidLength
        | Error::InvalidPayloadLength(_)
        | Error::InvalidBLSLength(_)
        | Error::InvalidSECPLength(_) => Cause::Length,
        Error::InvalidPayload | Error::NonIDAddress | Error::NonDelegatedAddress => Cause::Payload,
    }
}

/// Untrusted text goes into an error message; a long one is cut.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 160;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
