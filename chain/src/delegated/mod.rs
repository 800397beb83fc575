//! **Purpose**: messages from Ethereum style accounts (f410 addresses): which Ethereum transaction
//! stands for a Filecoin message, and what its sender signs.
//!
//! **Invariants**
//! - A transaction is only made from a message that it turns back into; every field that the
//!   transaction cannot carry is therefore refused, not dropped.
//! - Only the keccak-256 digest of the RLP form is ever signed.
//!
//! **Source**: FIP-0054 and FIP-0055 (f410 addresses, delegated signatures), FIP-0091 (legacy
//! transactions), EIP-1559, EIP-155; behaviour compared with Lotus `chain/types/ethtypes`.

mod rlp;
mod signature;

use fvm_ipld_encoding::RawBytes;
use fvm_shared::address::{Address, Payload};
use fvm_shared::econ::TokenAmount;
use fvm_shared::message::Message;
use num_bigint::Sign;

pub use rlp::{RlpError, SignedEthTransaction};
pub use signature::{TransactionSignature, TransactionSignatureError};

use crate::hash::keccak_256;
use crate::signature::shown;

/// Actor id of the Ethereum address manager, and the namespace of f410 addresses.
pub const EAM_ACTOR_ID: u64 = 10;
/// Method of the address manager that creates a contract for an external account.
pub const METHOD_CREATE_EXTERNAL: u64 = 4;
/// Method of a contract that runs it: the FRC-0042 number of `InvokeEVM`.
pub const METHOD_INVOKE_CONTRACT: u64 = 3_844_450_837;

/// The first 12 bytes of an Ethereum address that stands for an actor id.
const MASKED_ID_PREFIX: [u8; 12] = [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A 20 byte Ethereum address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EthAddress(pub [u8; 20]);

/// The three forms of a transaction that the network takes. They differ in what is signed and in how
/// the signature is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EthKind {
    /// Type 2 of EIP-1559: 65 bytes of signature.
    Eip1559,
    /// Before EIP-155, without chain id: a byte 1, then r, s and v of 27 or 28.
    Homestead,
    /// EIP-155: a byte 2, then r, s and v with the chain id in it.
    Eip155,
}

/// Why a message cannot be turned into a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error("message version {0} has no Ethereum form; only version 0 has")]
    Version(u64),
    #[error("address {0} has no Ethereum form; use an f410 or an f0 address")]
    Address(String),
    #[error("sender {0} is no f410 address; only those sign Ethereum transactions")]
    Sender(String),
    #[error(
        "method {method} of {to} has no Ethereum form; only InvokeContract ({METHOD_INVOKE_CONTRACT}) \
         has, and CreateExternal ({METHOD_CREATE_EXTERNAL}) of the address manager"
    )]
    Method { to: String, method: u64 },
    #[error(
        "the parameters are not one canonical CBOR byte string; encode the call data as such, and \
         leave the parameters empty when there is none"
    )]
    Params,
    #[error("the {0} is negative; an Ethereum transaction cannot carry that")]
    Negative(&'static str),
    #[error(
        "the message does not come back from its transaction unchanged (a legacy transaction has \
         one gas price, so fee cap and premium must be equal); sign another form"
    )]
    RoundTrip,
}

/// An unsigned Ethereum transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EthTransaction {
    pub kind: EthKind,
    /// Not part of a homestead transaction.
    pub chain_id: u64,
    pub nonce: u64,
    /// `None` creates a contract.
    pub to: Option<EthAddress>,
    /// attoFIL.
    pub value: TokenAmount,
    pub gas_limit: u64,
    /// Fee cap; the gas price of a legacy transaction.
    pub max_fee: TokenAmount,
    /// Premium; equal to `max_fee` in a legacy transaction.
    pub max_priority_fee: TokenAmount,
    /// Call data or creation code.
    pub input: Vec<u8>,
}

impl EthAddress {
    /// The address of an uncompressed secp256k1 key: the end of the digest of x and y.
    pub fn of_public_key(key: &[u8; 65]) -> Self {
        let digest = keccak_256(&key[1..]);
        let mut address = [0u8; 20];
        address.copy_from_slice(&digest[12..]);
        Self(address)
    }

    /// The masked form of an actor id.
    pub fn of_actor_id(id: u64) -> Self {
        let mut address = [0u8; 20];
        address[..12].copy_from_slice(&MASKED_ID_PREFIX);
        address[12..].copy_from_slice(&id.to_be_bytes());
        Self(address)
    }

    /// Whether the address stands for an actor id.
    pub fn is_masked_id(&self) -> bool {
        self.0[..12] == MASKED_ID_PREFIX
    }

    /// The Ethereum form of an f0 or f410 address.
    ///
    /// # Errors
    /// [`TransactionError::Address`] for every other address, and for an f410 address that embeds
    /// a masked id, which would be a second name of the f0 address.
    pub fn of(address: &Address) -> Result<Self, TransactionError> {
        let refused = || TransactionError::Address(shown(address));
        match address.payload() {
            Payload::ID(id) => Ok(Self::of_actor_id(*id)),
            Payload::Delegated(delegated) if delegated.namespace() == EAM_ACTOR_ID => {
                let bytes = delegated.subaddress().try_into().map_err(|_| refused())?;
                let found = Self(bytes);
                if found.is_masked_id() { Err(refused()) } else { Ok(found) }
            }
            _ => Err(refused()),
        }
    }

    /// The f0 address of a masked id, else the f410 address.
    pub fn to_address(self) -> Address {
        if self.is_masked_id() {
            let mut id = [0u8; 8];
            id.copy_from_slice(&self.0[12..]);
            return Address::new_id(u64::from_be_bytes(id));
        }
        Address::new_delegated(EAM_ACTOR_ID, &self.0)
            .expect("20 bytes are below the limit of a delegated address")
    }
}

impl std::fmt::Display for EthAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl EthTransaction {
    /// The transaction that stands for `message`.
    ///
    /// # Errors
    /// Names the field that an Ethereum transaction of this kind cannot carry.
    pub fn from_message(
        message: &Message,
        kind: EthKind,
        chain_id: u64,
    ) -> Result<Self, TransactionError> {
        if message.version != 0 {
            return Err(TransactionError::Version(message.version));
        }
        EthAddress::of(&message.from)?;
        // The network takes delegated signatures only where the message itself names the f410 address,
        // even when the sender's f0 address stands for the same account.
        if let Payload::ID(_) = message.from.payload() {
            return Err(TransactionError::Sender(shown(&message.from)));
        }
        refuse_negative("value", &message.value)?;
        refuse_negative("gas fee cap", &message.gas_fee_cap)?;
        refuse_negative("gas premium", &message.gas_premium)?;
        let transaction = Self {
            kind,
            chain_id,
            nonce: message.sequence,
            to: recipient(message)?,
            value: message.value.clone(),
            gas_limit: message.gas_limit,
            max_fee: message.gas_fee_cap.clone(),
            max_priority_fee: match kind {
                EthKind::Eip1559 => message.gas_premium.clone(),
                EthKind::Homestead | EthKind::Eip155 => message.gas_fee_cap.clone(),
            },
            input: unwrap_params(message.params.bytes())?,
        };
        if transaction.to_message(message.from) == *message {
            Ok(transaction)
        } else {
            Err(TransactionError::RoundTrip)
        }
    }

    /// The message that this transaction stands for.
    pub fn to_message(&self, from: Address) -> Message {
        let (to, method_num) = match self.to {
            Some(address) => (address.to_address(), METHOD_INVOKE_CONTRACT),
            None => (Address::new_id(EAM_ACTOR_ID), METHOD_CREATE_EXTERNAL),
        };
        Message {
            version: 0,
            from,
            to,
            sequence: self.nonce,
            value: self.value.clone(),
            method_num,
            params: RawBytes::new(wrap_params(&self.input)),
            gas_limit: self.gas_limit,
            gas_fee_cap: self.max_fee.clone(),
            gas_premium: self.max_priority_fee.clone(),
        }
    }
}

/// The recipient, or `None` for a creation; refuses every other method.
fn recipient(message: &Message) -> Result<Option<EthAddress>, TransactionError> {
    let manager = Address::new_id(EAM_ACTOR_ID);
    match message.method_num {
        METHOD_CREATE_EXTERNAL if message.to == manager => Ok(None),
        METHOD_INVOKE_CONTRACT if message.to != manager => EthAddress::of(&message.to).map(Some),
        method => Err(TransactionError::Method { to: shown(&message.to), method }),
    }
}

fn refuse_negative(field: &'static str, amount: &TokenAmount) -> Result<(), TransactionError> {
    if amount.atto().sign() == Sign::Minus {
        return Err(TransactionError::Negative(field));
    }
    Ok(())
}

/// Call data as parameters: a CBOR byte string, or nothing at all when there is none.
fn wrap_params(input: &[u8]) -> Vec<u8> {
    if input.is_empty() {
        return Vec::new();
    }
    let mut params = cbor_bytes_header(input.len());
    params.extend_from_slice(input);
    params
}

fn unwrap_params(params: &[u8]) -> Result<Vec<u8>, TransactionError> {
    if params.is_empty() {
        return Ok(Vec::new());
    }
    let header_len = match params[0] {
        0x40..=0x57 => 1,
        0x58 => 2,
        0x59 => 3,
        0x5a => 5,
        _ => return Err(TransactionError::Params),
    };
    let input = params.get(header_len..).ok_or(TransactionError::Params)?;
    // Comparing with the one right header refuses longer lengths, trailing and missing bytes.
    if input.is_empty() || cbor_bytes_header(input.len()) != params[..header_len] {
        return Err(TransactionError::Params);
    }
    Ok(input.to_vec())
}

/// The shortest CBOR header of a byte string.
fn cbor_bytes_header(len: usize) -> Vec<u8> {
    let be = u64::try_from(len).expect("a length fits into 64 bits").to_be_bytes();
    match len {
        0..=23 => vec![0x40 | be[7]],
        24..=0xff => vec![0x58, be[7]],
        0x100..=0xffff => vec![0x59, be[6], be[7]],
        0x1_0000..=0xffff_ffff => [&[0x5a], &be[4..]].concat(),
        _ => [&[0x5b], &be[..]].concat(),
    }
}
