//! **Purpose**: the three kinds of Filecoin signatures, the bytes that each kind signs for a
//! message, and their verification.
//!
//! **Invariants**
//! - A signature is only accepted for an address of the protocol that belongs to its kind.
//! - Nothing is taken from the signature's own claim: secp256k1 and delegated signers are recovered
//!   and compared with the address, BLS signatures are checked against the key in the address.
//!
//! **Source**: Filecoin specification, "Signatures"; Lotus `lib/sigs`, `chain/consensus/signatures.go`.

use fvm_ipld_encoding::strict_bytes;
use fvm_shared::address::{Address, Network, Payload, Protocol};
use fvm_shared::message::Message;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bls::{self, BlsError};
use crate::delegated::{
    EthAddress, EthKind, EthTransaction, TransactionError, TransactionSignature,
    TransactionSignatureError,
};
use crate::hash::{blake2b_256, keccak_256};
use crate::secp::{self, SecpError};

/// The most bytes that an encoded signature may have, its kind included.
pub const SIGNATURE_BYTES_MAX: usize = 200;

/// What a message CID starts with: version 1, DAG-CBOR, blake2b-256 of 32 bytes.
const CID_PREFIX: [u8; 6] = [0x01, 0x71, 0xa0, 0xe4, 0x02, 0x20];

/// The kind of a signature; the numbers are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SignatureKind {
    Secp256k1 = 1,
    Bls = 2,
    Delegated = 3,
}

impl SignatureKind {
    /// All kinds, by number.
    pub const ALL: [Self; 3] = [Self::Secp256k1, Self::Bls, Self::Delegated];

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind of a number on the wire.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word that Lotus shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secp256k1 => "secp256k1",
            Self::Bls => "bls",
            Self::Delegated => "delegated",
        }
    }

    /// The kind that an address of this protocol signs with; `None` for addresses without a key.
    pub const fn of_protocol(protocol: Protocol) -> Option<Self> {
        match protocol {
            Protocol::Secp256k1 => Some(Self::Secp256k1),
            Protocol::BLS => Some(Self::Bls),
            Protocol::Delegated => Some(Self::Delegated),
            Protocol::ID | Protocol::Actor => None,
        }
    }
}

impl std::fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A signature, not yet verified. On the wire it is one byte string: kind, then bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signature {
    pub kind: SignatureKind,
    pub bytes: Vec<u8>,
}

/// Why bytes are not a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("a signature is empty; its first byte must be its kind")]
    Empty,
    #[error("signature kind {0} is unknown; 1 is secp256k1, 2 is BLS, 3 is delegated")]
    Kind(u8),
    #[error("a signature has {0} bytes; at most {SIGNATURE_BYTES_MAX} are allowed")]
    Oversize(usize),
}

impl Signature {
    /// Kind and bytes in one.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[self.kind.code()], self.bytes.as_slice()].concat()
    }

    /// Parses kind and bytes.
    ///
    /// # Errors
    /// On an empty, oversize or unknown signature; the cryptography is not looked at.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() > SIGNATURE_BYTES_MAX {
            return Err(SignatureError::Oversize(bytes.len()));
        }
        let (code, rest) = bytes.split_first().ok_or(SignatureError::Empty)?;
        let kind = SignatureKind::from_code(*code).ok_or(SignatureError::Kind(*code))?;
        Ok(Self { kind, bytes: rest.to_vec() })
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What could not be read back must not be written.
        let bytes = self.to_bytes();
        if bytes.len() > SIGNATURE_BYTES_MAX {
            return Err(serde::ser::Error::custom(SignatureError::Oversize(bytes.len())));
        }
        strict_bytes::Serialize::serialize(bytes.as_slice(), serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = strict_bytes::Deserialize::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

/// Why the bytes to sign could not be derived from a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("the message could not be encoded: {0}; check its amounts and addresses")]
    Encode(String),
    #[error("the message has no Ethereum transaction to sign: {0}")]
    Transaction(#[from] TransactionError),
}

/// Why a signature was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error(
        "a {kind} signature cannot be checked against {signer}; use the signer's key address of \
         that kind"
    )]
    Protocol { kind: SignatureKind, signer: String },
    #[error("a {kind} signature has {found} bytes instead of {expected}")]
    Length { kind: SignatureKind, found: usize, expected: usize },
    #[error("the BLS signature is not accepted: {0}")]
    Bls(#[from] BlsError),
    #[error("the secp256k1 signature is not accepted: {0}")]
    Secp(#[from] SecpError),
    #[error("the delegated signature is not accepted: {0}")]
    Delegated(#[from] TransactionSignatureError),
    #[error("the signature was made by {recovered} over these bytes, not by {expected}")]
    Signer { recovered: String, expected: String },
    #[error("the signed bytes could not be derived: {0}")]
    Payload(#[from] PayloadError),
}

/// Checks a signature over `payload`. The digest that the kind asks for is taken in here; a
/// delegated signature must be in its plain form of 65 bytes.
///
/// # Errors
/// Says what was wrong: protocol, length, a malformed point or number, or another signer.
pub fn verify(sig: &Signature, signer: &Address, payload: &[u8]) -> Result<(), VerifyError> {
    let wrong_protocol = || VerifyError::Protocol { kind: sig.kind, signer: shown(signer) };
    match (sig.kind, signer.payload()) {
        (SignatureKind::Bls, Payload::BLS(key)) => {
            Ok(bls::verify(key, payload, fixed::<96>(sig)?)?)
        }
        (SignatureKind::Secp256k1, Payload::Secp256k1(_)) => {
            let key = secp::recover(&blake2b_256(payload), fixed::<65>(sig)?)?;
            let recovered = secp_address(&key);
            expect_signer(recovered, signer)
        }
        (SignatureKind::Delegated, Payload::Delegated(_)) => {
            let key = secp::recover(&keccak_256(payload), fixed::<65>(sig)?)?;
            expect_signer(EthAddress::of_public_key(&key).to_address(), signer)
        }
        _ => Err(wrong_protocol()),
    }
}

/// The bytes that the sender of `message` signs: the CID for secp256k1 and BLS, the RLP form of the
/// EIP-1559 transaction for delegated keys.
///
/// # Errors
/// When the message has no such form.
pub fn message_payload(
    message: &Message,
    kind: SignatureKind,
    eth_chain_id: u64,
) -> Result<Vec<u8>, PayloadError> {
    match kind {
        SignatureKind::Secp256k1 | SignatureKind::Bls => {
            let encoded = fvm_ipld_encoding::to_vec(message)
                .map_err(|error| PayloadError::Encode(error.to_string()))?;
            Ok([&CID_PREFIX[..], &blake2b_256(&encoded)].concat())
        }
        SignatureKind::Delegated => {
            Ok(EthTransaction::from_message(message, EthKind::Eip1559, eth_chain_id)?.signing_rlp())
        }
    }
}

/// Checks the signature of a message. `signer` is the key address of the sender, which differs from
/// `message.from` when that is an f0 address. Delegated signatures are taken in all three forms, but
/// only of messages whose sender is an f410 address.
///
/// # Errors
/// As [`verify`], and when the message has no transaction of the signature's form.
pub fn verify_message(
    message: &Message,
    sig: &Signature,
    signer: &Address,
    eth_chain_id: u64,
) -> Result<(), VerifyError> {
    if sig.kind != SignatureKind::Delegated {
        return verify(sig, signer, &message_payload(message, sig.kind, eth_chain_id)?);
    }
    let form = TransactionSignature::from_bytes(&sig.bytes, eth_chain_id)?;
    let transaction = EthTransaction::from_message(message, form.kind(), eth_chain_id)
        .map_err(PayloadError::from)?;
    let plain = Signature { kind: sig.kind, bytes: form.recoverable().to_vec() };
    verify(&plain, signer, &transaction.signing_rlp())
}

/// The f1 address of an uncompressed key.
pub(crate) fn secp_address(key: &[u8; 65]) -> Address {
    Address::new_secp256k1(key).expect("an uncompressed key has the 65 bytes that are asked for")
}

/// Errors show addresses in their mainnet form: the process-wide network setting is not read here.
pub(crate) fn shown(address: &Address) -> String {
    crate::address::format(address, Network::Mainnet)
}

fn fixed<const N: usize>(sig: &Signature) -> Result<&[u8; N], VerifyError> {
    sig.bytes.as_slice().try_into().map_err(|_| VerifyError::Length {
        kind: sig.kind,
        found: sig.bytes.len(),
        expected: N,
    })
}

fn expect_signer(recovered: Address, expected: &Address) -> Result<(), VerifyError> {
    if recovered == *expected {
        return Ok(());
    }
    Err(VerifyError::Signer { recovered: shown(&recovered), expected: shown(expected) })
}
