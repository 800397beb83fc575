//! **Purpose**: the RLP forms of a transaction: what is signed, what is hashed, what a client sends.
//!
//! **Invariants**: parsing accepts exactly the bytes that encoding would give back.
//!
//! **Source**: Ethereum yellow paper appendix B; EIP-2718, EIP-1559, EIP-155.

use alloy_rlp::{Encodable as _, Header};
use fvm_shared::address::Payload;
use fvm_shared::econ::TokenAmount;
use num_bigint::{BigInt, Sign};

use super::{EthAddress, EthKind, EthTransaction, TransactionSignature};
use crate::hash::keccak_256;

/// First byte of an EIP-1559 transaction.
const TYPE_EIP1559: u8 = 2;
/// Numbers in a transaction have at most 256 bits.
const NUMBER_BYTES_MAX: usize = 32;

/// Why raw transaction bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RlpError {
    #[error("the transaction bytes are empty; send a signed raw transaction")]
    Empty,
    #[error("transaction type {0} is not taken; send type 2 or a legacy transaction")]
    Type(u8),
    #[error("the transaction is not one RLP list of {expected} items without trailing bytes")]
    Shape { expected: usize },
    #[error("item {0} of the transaction is not encoded canonically or has a wrong length")]
    Item(&'static str),
    #[error("the access list of the transaction is not empty; remove it")]
    AccessList,
    #[error("{0}")]
    Signature(#[from] super::TransactionSignatureError),
}

/// A transaction with its signature, as clients send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEthTransaction {
    pub transaction: EthTransaction,
    pub signature: TransactionSignature,
}

impl EthTransaction {
    /// The bytes whose keccak-256 digest the sender signs.
    pub fn signing_rlp(&self) -> Vec<u8> {
        let mut fields = self.fields();
        if self.kind == EthKind::Eip155 {
            self.chain_id.encode(&mut fields);
            0u8.encode(&mut fields);
            0u8.encode(&mut fields);
        }
        self.list(&fields)
    }

    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.kind {
            EthKind::Eip1559 => {
                self.chain_id.encode(&mut out);
                self.nonce.encode(&mut out);
                encode_amount(&self.max_priority_fee, &mut out);
                encode_amount(&self.max_fee, &mut out);
            }
            EthKind::Homestead | EthKind::Eip155 => {
                self.nonce.encode(&mut out);
                encode_amount(&self.max_fee, &mut out);
            }
        }
        self.gas_limit.encode(&mut out);
        match &self.to {
            Some(address) => address.0.as_slice().encode(&mut out),
            None => [].as_slice().encode(&mut out),
        }
        encode_amount(&self.value, &mut out);
        self.input.as_slice().encode(&mut out);
        if self.kind == EthKind::Eip1559 {
            Header { list: true, payload_length: 0 }.encode(&mut out);
        }
        out
    }

    /// Wraps encoded items into a list, behind the type byte where the kind has one.
    fn list(&self, items: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(items.len() + 8);
        if self.kind == EthKind::Eip1559 {
            out.push(TYPE_EIP1559);
        }
        Header { list: true, payload_length: items.len() }.encode(&mut out);
        out.extend_from_slice(items);
        out
    }
}

impl SignedEthTransaction {
    /// The bytes that a client sends.
    pub fn to_rlp(&self) -> Vec<u8> {
        let mut items = self.transaction.fields();
        encode_number(&self.signature.v_number(), &mut items);
        encode_number(self.signature.r(), &mut items);
        encode_number(self.signature.s(), &mut items);
        self.transaction.list(&items)
    }

    /// The transaction hash that explorers show.
    pub fn hash(&self) -> [u8; 32] {
        keccak_256(&self.to_rlp())
    }

    /// Parses raw transaction bytes for the chain `chain_id`.
    ///
    /// # Errors
    /// Names the item that is not canonical, not supported or of another chain.
    pub fn parse(raw: &[u8], chain_id: u64) -> Result<Self, RlpError> {
        let parsed = match *raw.first().ok_or(RlpError::Empty)? {
            TYPE_EIP1559 => parse_1559(&raw[1..], chain_id)?,
            0xc0..=0xff => parse_legacy(raw, chain_id)?,
            other => return Err(RlpError::Type(other)),
        };
        // Whatever the item checks let through, only the one canonical form is accepted.
        if parsed.to_rlp() == raw { Ok(parsed) } else { Err(RlpError::Item("as a whole")) }
    }
}

fn parse_1559(raw: &[u8], chain_id: u64) -> Result<SignedEthTransaction, RlpError> {
    let mut items = Items::open(raw, 12)?;
    let found = items.number_u64("chain id")?;
    let nonce = items.number_u64("nonce")?;
    let max_priority_fee = items.amount("max priority fee")?;
    let max_fee = items.amount("max fee")?;
    let gas_limit = items.gas_limit()?;
    let to = items.address()?;
    let value = items.amount("value")?;
    let input = items.bytes("input")?.to_vec();
    items.empty_list()?;
    let [v, r, s] = items.signature()?;
    items.end()?;
    let signature = TransactionSignature::eip1559(v, r, s, found, chain_id)?;
    let kind = EthKind::Eip1559;
    let transaction = EthTransaction {
        kind,
        chain_id,
        nonce,
        to,
        value,
        gas_limit,
        max_fee,
        max_priority_fee,
        input,
    };
    Ok(SignedEthTransaction { transaction, signature })
}

fn parse_legacy(raw: &[u8], chain_id: u64) -> Result<SignedEthTransaction, RlpError> {
    let mut items = Items::open(raw, 9)?;
    let nonce = items.number_u64("nonce")?;
    let price = items.amount("gas price")?;
    let gas_limit = items.gas_limit()?;
    let to = items.address()?;
    let value = items.amount("value")?;
    let input = items.bytes("input")?.to_vec();
    let [v, r, s] = items.signature()?;
    items.end()?;
    let signature = TransactionSignature::legacy(v, r, s, chain_id)?;
    let transaction = EthTransaction {
        kind: signature.kind(),
        chain_id,
        nonce,
        to,
        value,
        gas_limit,
        max_fee: price.clone(),
        max_priority_fee: price,
        input,
    };
    Ok(SignedEthTransaction { transaction, signature })
}

/// Reads the items of one list in order.
struct Items<'a> {
    rest: &'a [u8],
    expected: usize,
}

impl<'a> Items<'a> {
    fn open(mut raw: &'a [u8], expected: usize) -> Result<Self, RlpError> {
        let header = Header::decode(&mut raw).map_err(|_| RlpError::Shape { expected })?;
        if !header.list || header.payload_length != raw.len() {
            return Err(RlpError::Shape { expected });
        }
        Ok(Self { rest: raw, expected })
    }

    fn bytes(&mut self, name: &'static str) -> Result<&'a [u8], RlpError> {
        if self.rest.is_empty() {
            return Err(RlpError::Shape { expected: self.expected });
        }
        Header::decode_bytes(&mut self.rest, false).map_err(|_| RlpError::Item(name))
    }

    fn number(&mut self, name: &'static str) -> Result<&'a [u8], RlpError> {
        let bytes = self.bytes(name)?;
        if bytes.first() == Some(&0) || bytes.len() > NUMBER_BYTES_MAX {
            return Err(RlpError::Item(name));
        }
        Ok(bytes)
    }

    fn number_u64(&mut self, name: &'static str) -> Result<u64, RlpError> {
        let bytes = self.number(name)?;
        let start = 8usize.checked_sub(bytes.len()).ok_or(RlpError::Item(name))?;
        let mut padded = [0u8; 8];
        padded[start..].copy_from_slice(bytes);
        Ok(u64::from_be_bytes(padded))
    }

    fn gas_limit(&mut self) -> Result<u64, RlpError> {
        let limit = self.number_u64("gas limit")?;
        // A message's gas limit is a signed number on the chain.
        if i64::try_from(limit).is_ok() { Ok(limit) } else { Err(RlpError::Item("gas limit")) }
    }

    fn amount(&mut self, name: &'static str) -> Result<TokenAmount, RlpError> {
        let bytes = self.number(name)?;
        Ok(TokenAmount::from_atto(BigInt::from_bytes_be(Sign::Plus, bytes)))
    }

    fn address(&mut self) -> Result<Option<EthAddress>, RlpError> {
        let bytes = self.bytes("to")?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let address = bytes.try_into().map(EthAddress).map_err(|_| RlpError::Item("to"))?;
        match address.to_address().payload() {
            // Actor ids have 63 bits.
            Payload::ID(id) if i64::try_from(*id).is_err() => Err(RlpError::Item("to")),
            _ => Ok(Some(address)),
        }
    }

    fn empty_list(&mut self) -> Result<(), RlpError> {
        match self.rest.split_first() {
            Some((0xc0, rest)) => {
                self.rest = rest;
                Ok(())
            }
            Some(_) => Err(RlpError::AccessList),
            None => Err(RlpError::Shape { expected: self.expected }),
        }
    }

    /// v, r and s.
    fn signature(&mut self) -> Result<[&'a [u8]; 3], RlpError> {
        Ok([self.number("v")?, self.number("r")?, self.number("s")?])
    }

    fn end(&self) -> Result<(), RlpError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RlpError::Shape { expected: self.expected }) }
    }
}

fn encode_amount(amount: &TokenAmount, out: &mut Vec<u8>) {
    encode_number(&amount.atto().magnitude().to_bytes_be(), out);
}

/// A number without leading zeros; zero is the empty string.
fn encode_number(big_endian: &[u8], out: &mut Vec<u8>) {
    let start = big_endian.iter().position(|byte| *byte != 0).unwrap_or(big_endian.len());
    big_endian[start..].encode(out);
}
