//! **Purpose**: secret keys of the three kinds, and their exchange with Lotus.
//!
//! **Invariants**
//! - Secret bytes are wiped on drop, in every buffer of this module, and never shown.
//! - A key that exists is valid: it was checked against its group order when it was made.
//!
//! **Source**: Lotus `chain/types/keystore.go` (KeyInfo), `lib/sigs/*` (key formats; BLS keys are
//! little-endian in files).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fvm_shared::address::Address;
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use crate::bls::{self, BlsError};
use crate::delegated::EthAddress;
use crate::hash::{blake2b_256, keccak_256};
use crate::secp::{self, SecpError};
use crate::signature::{Signature, SignatureKind, secp_address, shown};

/// Bytes of a secret key of each kind.
pub const SECRET_BYTES: usize = 32;

/// The kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    Secp256k1,
    Bls,
    Delegated,
}

impl KeyType {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Secp256k1, Self::Bls, Self::Delegated];

    /// The word for this kind in Lotus' and Venus' files and calls.
    pub const fn lotus_name(self) -> &'static str {
        self.signature_kind().name()
    }

    /// The kind with this word.
    pub fn from_lotus_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.lotus_name() == name)
    }

    /// The kind of signature that such keys make.
    pub const fn signature_kind(self) -> SignatureKind {
        match self {
            Self::Secp256k1 => SignatureKind::Secp256k1,
            Self::Bls => SignatureKind::Bls,
            Self::Delegated => SignatureKind::Delegated,
        }
    }

    /// The kind of key that makes such signatures.
    pub const fn of_signature_kind(kind: SignatureKind) -> Self {
        match kind {
            SignatureKind::Secp256k1 => Self::Secp256k1,
            SignatureKind::Bls => Self::Bls,
            SignatureKind::Delegated => Self::Delegated,
        }
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.lotus_name())
    }
}

/// Why a key could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("a secret key has {0} bytes; it must have {SECRET_BYTES}")]
    Length(usize),
    #[error("the bytes are no {0} secret key: zero, or not below the group order")]
    Range(KeyType),
    #[error("the operating system gave no randomness for a new key; try again")]
    Randomness,
    #[error("the exported key is not hexadecimal text; paste the whole line of the export")]
    Hex,
    #[error("the exported key does not hold JSON with the fields Type and PrivateKey")]
    Json,
    #[error("key type `{0}` is unknown; known are secp256k1, bls and delegated")]
    Type(String),
    #[error("the private key of the export is not base64")]
    Base64,
}

/// A secret key with its public half. Not `Clone`: there is one copy in memory.
pub struct SecretKey {
    secret: Secret,
    public: Public,
    address: Address,
}

enum Secret {
    Bls(bls::Secret),
    /// Checked to be in range.
    Secp(Zeroizing<[u8; SECRET_BYTES]>),
}

enum Public {
    Bls(bls::PublicKey),
    Secp256k1([u8; 65]),
    Delegated([u8; 65]),
}

impl SecretKey {
    /// Makes a new key from the randomness of the operating system.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let mut material = Zeroizing::new([0u8; SECRET_BYTES]);
        loop {
            getrandom::fill(material.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
            let made = match kind {
                KeyType::Bls => bls::Secret::from_randomness(&material).map(Self::of_bls).ok(),
                KeyType::Secp256k1 | KeyType::Delegated => Self::of_secp(kind, &material).ok(),
            };
            // Fewer than one in 2^127 draws lies outside the group order.
            if let Some(key) = made {
                return Ok(key);
            }
        }
    }

    /// Reads the 32 bytes that Lotus and Venus store: little-endian for BLS, else big-endian.
    ///
    /// # Errors
    /// On a wrong length or a number out of range.
    pub fn from_lotus_bytes(kind: KeyType, bytes: &[u8]) -> Result<Self, KeyError> {
        let fixed: &[u8; SECRET_BYTES] =
            bytes.try_into().map_err(|_| KeyError::Length(bytes.len()))?;
        match kind {
            KeyType::Bls => bls::Secret::from_le_bytes(fixed)
                .map(Self::of_bls)
                .map_err(|_: BlsError| KeyError::Range(kind)),
            KeyType::Secp256k1 | KeyType::Delegated => {
                Self::of_secp(kind, fixed).map_err(|_| KeyError::Range(kind))
            }
        }
    }

    fn of_bls(secret: bls::Secret) -> Self {
        let public = secret.public_key();
        let address = Address::new_bls(&public).expect("a BLS key has the 48 bytes asked for");
        Self { secret: Secret::Bls(secret), public: Public::Bls(public), address }
    }

    fn of_secp(kind: KeyType, bytes: &[u8; SECRET_BYTES]) -> Result<Self, SecpError> {
        let key = secp::public_key(bytes)?;
        let (public, address) = match kind {
            KeyType::Delegated => {
                (Public::Delegated(key), EthAddress::of_public_key(&key).to_address())
            }
            KeyType::Secp256k1 | KeyType::Bls => (Public::Secp256k1(key), secp_address(&key)),
        };
        Ok(Self { secret: Secret::Secp(Zeroizing::new(*bytes)), public, address })
    }

    /// The bytes that Lotus and Venus store.
    pub fn to_lotus_bytes(&self) -> Zeroizing<Vec<u8>> {
        match &self.secret {
            Secret::Bls(secret) => Zeroizing::new(secret.to_le_bytes().to_vec()),
            Secret::Secp(bytes) => Zeroizing::new(bytes.to_vec()),
        }
    }

    /// The kind of this key.
    pub fn key_type(&self) -> KeyType {
        match self.public {
            Public::Bls(_) => KeyType::Bls,
            Public::Secp256k1(_) => KeyType::Secp256k1,
            Public::Delegated(_) => KeyType::Delegated,
        }
    }

    /// The public key: 48 bytes compressed for BLS, else 65 bytes uncompressed.
    pub fn public_key(&self) -> Vec<u8> {
        match &self.public {
            Public::Bls(key) => key.to_vec(),
            Public::Secp256k1(key) | Public::Delegated(key) => key.to_vec(),
        }
    }

    /// The f3, f1 or f410 address of this key.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs `payload`, taking the digest that the kind asks for.
    pub fn sign(&self, payload: &[u8]) -> Signature {
        let kind = self.key_type().signature_kind();
        let bytes = match &self.secret {
            Secret::Bls(secret) => secret.sign(payload).to_vec(),
            Secret::Secp(bytes) => {
                let digest = match kind {
                    SignatureKind::Delegated => keccak_256(payload),
                    SignatureKind::Secp256k1 | SignatureKind::Bls => blake2b_256(payload),
                };
                secp::sign_digest(bytes, &digest)
                    .expect("the key was checked against the group order when it was made")
                    .to_vec()
            }
        };
        Signature { kind, bytes }
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey")
            .field("type", &self.key_type())
            .field("address", &shown(&self.address))
            .finish_non_exhaustive()
    }
}

/// Key as Lotus exports it: the hexadecimal form of its JSON.
pub fn lotus_export(key: &SecretKey) -> Zeroizing<String> {
    let secret = key.to_lotus_bytes();
    let encoded = Zeroizing::new(BASE64.encode(secret.as_slice()));
    // Room for all of it at once: a string that grows leaves unwiped copies behind.
    let mut json = Zeroizing::new(String::with_capacity(64 + encoded.len()));
    for part in [r#"{"Type":""#, key.key_type().lotus_name(), r#"","PrivateKey":""#, &encoded] {
        json.push_str(part);
    }
    json.push_str(r#""}"#);
    Zeroizing::new(hex::encode(json.as_bytes()))
}

/// Reads a Lotus export; surrounding white space is allowed.
///
/// # Errors
/// Says which layer of the export is broken; the text itself is never repeated.
pub fn lotus_import(text: &str) -> Result<SecretKey, KeyError> {
    let json = Zeroizing::new(hex::decode(text.trim()).map_err(|_| KeyError::Hex)?);
    from_lotus_json(&json)
}

/// Reads the JSON of a Lotus key, which its key files hold without the hexadecimal layer.
///
/// # Errors
/// As [`lotus_import`].
pub fn from_lotus_json(json: &[u8]) -> Result<SecretKey, KeyError> {
    let stored: KeyInfo = serde_json::from_slice(json).map_err(|_| KeyError::Json)?;
    let kind = match &stored.kind {
        StoredType::Name(name) => KeyType::from_lotus_name(name),
        StoredType::Code(code) => SignatureKind::from_code(*code).map(KeyType::of_signature_kind),
    }
    .ok_or_else(|| KeyError::Type(stored.kind.shown()))?;
    let bytes = Zeroizing::new(BASE64.decode(&stored.private_key).map_err(|_| KeyError::Base64)?);
    SecretKey::from_lotus_bytes(kind, &bytes)
}

#[derive(Deserialize)]
struct KeyInfo {
    #[serde(rename = "Type")]
    kind: StoredType,
    #[serde(rename = "PrivateKey")]
    private_key: String,
}

/// Files of early Lotus versions hold the number of the signature kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredType {
    Name(String),
    Code(u8),
}

impl StoredType {
    fn shown(&self) -> String {
        match self {
            // Whoever mixed the fields up must not find the secret in an error message.
            Self::Name(name) => name.chars().take(16).collect(),
            Self::Code(code) => code.to_string(),
        }
    }
}

impl Drop for KeyInfo {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}
