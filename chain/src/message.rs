//! **Purpose**: messages and signed messages: canonical bytes, CIDs, and the rules that a message
//! must meet to enter a block.
//!
//! **Invariants**: a decoded message has addresses of at most 63-bit ids and numbers that the
//! chain's signed fields hold; the CID of a BLS-signed message is that of the message alone.
//!
//! **Source**: Lotus `chain/types/message.go`, `signedmessage.go`.

use ::cid::Cid;
use fvm_ipld_encoding::tuple::*;
use fvm_shared::econ::TokenAmount;
use fvm_shared::message::Message;
use thiserror::Error;

use crate::address;
use crate::amount::{self, AmountError};
use crate::cbor::{self, DecodeError, EncodeError};
use crate::limits::BLOCK_GAS_LIMIT;
use crate::signature::{Signature, SignatureKind};

/// What the chain holds as a signed 64-bit number.
const SIGNED_MAX: u64 = i64::MAX as u64;

/// A message and its sender's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct SignedMessage {
    pub message: Message,
    pub signature: Signature,
}

/// Why a message cannot enter a block.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MessageError {
    #[error("message version {0} is not 0, the only one")]
    Version(u64),
    #[error("the message's {field} address is not allowed")]
    Address { field: &'static str, source: address::AddressError },
    #[error("the message's receiver is the BLS zero address, from which nothing can be recovered")]
    ZeroReceiver,
    #[error("the message's {field} is not allowed")]
    Amount { field: &'static str, source: AmountError },
    #[error("the message's gas premium {premium} exceeds its fee cap {fee_cap} (attoFIL)")]
    PremiumAboveFeeCap { premium: String, fee_cap: String },
    #[error("the message's gas limit is {0}; it must be at least 1 and at most {BLOCK_GAS_LIMIT}")]
    GasLimit(u64),
    #[error("the message's gas limit {limit} does not cover {needed}, the cost of being included")]
    GasTooLow { limit: u64, needed: u64 },
}

/// The canonical bytes of a message.
///
/// # Errors
/// An amount over 128 bytes.
pub fn encode(message: &Message) -> Result<Vec<u8>, EncodeError> {
    cbor::encode(message)
}

/// The CID of a message: what secp256k1 and BLS keys sign.
///
/// # Errors
/// An amount over 128 bytes.
pub fn cid(message: &Message) -> Result<Cid, EncodeError> {
    encode(message).map(|bytes| crate::cid::of_cbor(&bytes))
}

/// Decodes a message from exactly its canonical bytes.
///
/// # Errors
/// Anything else, ids over 63 bits, and a gas limit that the chain's signed field does not hold.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let message: Message = cbor::decode_canonical(bytes)?;
    check_decoded(&message)?;
    Ok(message)
}

/// Checks what makes a message fit for a block, as far as the message itself tells.
///
/// `min_gas` is the price of bringing the message on chain.
///
/// # Errors
/// The first rule that the message breaks.
pub fn check_for_block(message: &Message, min_gas: u64) -> Result<(), MessageError> {
    if message.version != 0 {
        return Err(MessageError::Version(message.version));
    }
    for (field, address) in [("receiver", &message.to), ("sender", &message.from)] {
        address::check(address).map_err(|source| MessageError::Address { field, source })?;
    }
    if message.to.is_bls_zero_address() {
        return Err(MessageError::ZeroReceiver);
    }
    amount::check_range(&message.value)
        .map_err(|source| MessageError::Amount { field: "value", source })?;
    check_fee("gas fee cap", &message.gas_fee_cap)?;
    check_fee("gas premium", &message.gas_premium)?;
    if message.gas_premium > message.gas_fee_cap {
        return Err(MessageError::PremiumAboveFeeCap {
            premium: amount::format_atto(&message.gas_premium),
            fee_cap: amount::format_atto(&message.gas_fee_cap),
        });
    }
    if !(1..=BLOCK_GAS_LIMIT).contains(&message.gas_limit) {
        return Err(MessageError::GasLimit(message.gas_limit));
    }
    if message.gas_limit < min_gas {
        return Err(MessageError::GasTooLow { limit: message.gas_limit, needed: min_gas });
    }
    Ok(())
}

impl SignedMessage {
    /// The CID under which the chain knows the message. A BLS signature is aggregated away in a
    /// block, so there it is the CID of the message alone.
    ///
    /// # Errors
    /// An amount over 128 bytes, or a signature over 200.
    pub fn cid(&self) -> Result<Cid, EncodeError> {
        match self.signature.kind {
            SignatureKind::Bls => cid(&self.message),
            SignatureKind::Secp256k1 | SignatureKind::Delegated => {
                self.encode().map(|bytes| crate::cid::of_cbor(&bytes))
            }
        }
    }

    /// The canonical bytes: what message pools exchange, for every kind of signature.
    ///
    /// # Errors
    /// An amount over 128 bytes, or a signature over 200.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        cbor::encode(self)
    }

    /// Decodes a signed message from exactly its canonical bytes.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let signed: Self = cbor::decode_canonical(bytes)?;
        check_decoded(&signed.message)?;
        Ok(signed)
    }

    /// The bytes that count for inclusion gas: without the signature when it is aggregated away.
    ///
    /// # Errors
    /// An amount over 128 bytes, or a signature over 200.
    pub fn chain_bytes(&self) -> Result<usize, EncodeError> {
        let bytes = match self.signature.kind {
            SignatureKind::Bls => encode(&self.message)?,
            SignatureKind::Secp256k1 | SignatureKind::Delegated => self.encode()?,
        };
        Ok(bytes.len())
    }
}

fn check_decoded(message: &Message) -> Result<(), DecodeError> {
    const WANTED: &str = "Message";
    for address in [&message.to, &message.from] {
        address::check(address)
            .map_err(|source| DecodeError::Address { wanted: WANTED, source })?;
    }
    if message.gas_limit > SIGNED_MAX {
        return Err(DecodeError::Number {
            wanted: WANTED,
            field: "gas limit",
            value: message.gas_limit,
        });
    }
    Ok(())
}

fn check_fee(field: &'static str, fee: &TokenAmount) -> Result<(), MessageError> {
    let refuse = |source| MessageError::Amount { field, source };
    if fee.is_negative() {
        return Err(refuse(AmountError::Negative(amount::format_fil(fee))));
    }
    amount::check_size(fee).map_err(refuse)
}

#[cfg(test)]
mod tests;
