//! **Purpose**: key files as Venus's wallet keeps them, both ways.
//!
//! **Invariants**
//! - The plain bytes are those of a Lotus KeyInfo; the password is hashed with Keccak-256 first.
//! - A file whose key gives another address than it names is refused.
//!
//! **Source**: filecoin-project/venus-wallet `crypto/aes/aes128.go` (`EncryptedKey`, `CryptoJSON`)
//! and `storage/keymix.go` (what is encrypted, and under which password), Apache-2.0 / MIT.

use hesper_chain::{
    Address, Network, address,
    key::{KeyError, KeyType, SecretKey},
};
use serde::{Deserialize, Serialize};

use super::envelope::{Derived, Envelope, EnvelopeError, Kdf, Scrypt, password_bytes};
use crate::protect::Secret;

/// A key file could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum VenusError {
    /// Not the JSON of a key file.
    #[error("this is not a key file (address, type, crypto): {0}")]
    Json(#[source] serde_json::Error),
    /// The address does not parse.
    #[error("the address `{text}` of the key file is not one: {reason}")]
    Address {
        /// As it stands there.
        text: String,
        /// Why.
        reason: String,
    },
    /// The key type is not known.
    #[error("the key type `{0}` is not known; known are secp256k1, bls, delegated")]
    KeyType(String),
    /// The encrypted part.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// What was decrypted is no key.
    #[error("the decrypted bytes are not a secret key of the type that the file names")]
    Key(#[source] KeyError),
    /// The key belongs to another address.
    #[error("the file names {named}, but its key is that of {actual}; the file was changed")]
    OtherAddress {
        /// In the file.
        named: String,
        /// Of the key.
        actual: String,
    },
}

/// A key file that was read and checked as far as that goes without the password.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    pub(crate) address: Address,
    pub(crate) key_type: KeyType,
    pub(crate) envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
struct Json {
    address: String,
    #[serde(rename = "type")]
    key_type: String,
    crypto: Envelope,
}

impl KeyFile {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, VenusError> {
        let json: Json = serde_json::from_slice(text).map_err(VenusError::Json)?;
        let address = address::parse(&json.address).map_err(|error| VenusError::Address {
            text: json.address.clone(),
            reason: error.to_string(),
        })?;
        let key_type =
            KeyType::from_lotus_name(&json.key_type).ok_or(VenusError::KeyType(json.key_type))?;
        json.crypto.check()?;
        Ok(Self { address, key_type, envelope: json.crypto })
    }

    pub(crate) fn seal(key: &SecretKey, kdf: &Kdf, derived: &Derived) -> Result<Self, VenusError> {
        let envelope = Envelope::seal(kdf, derived, &key.to_lotus_bytes())?;
        Ok(Self { address: key.address(), key_type: key.key_type(), envelope })
    }

    pub(crate) fn open(&self, derived: &Derived) -> Result<SecretKey, VenusError> {
        let plain = self.envelope.open(derived)?;
        let key = SecretKey::from_lotus_bytes(self.key_type, &plain).map_err(VenusError::Key)?;
        if key.address() != self.address {
            return Err(VenusError::OtherAddress {
                named: text_of(&self.address),
                actual: text_of(&key.address()),
            });
        }
        Ok(key)
    }

    pub(crate) fn text(&self) -> Result<String, VenusError> {
        let json = Json {
            address: text_of(&self.address),
            key_type: self.key_type.lotus_name().to_owned(),
            crypto: self.envelope.clone(),
        };
        serde_json::to_string(&json).map_err(VenusError::Json)
    }
}

/// Key files name the main network's form, whatever network the key is used on; so does Venus.
pub(crate) fn text_of(address: &Address) -> String {
    address::format(address, Network::Mainnet)
}

/// Reads a key file.
///
/// # Errors
/// On a wrong password and on anything that is not a key file of a known form.
pub fn decrypt_file(text: &str, password: &Secret) -> Result<SecretKey, VenusError> {
    let file = KeyFile::parse(text.as_bytes())?;
    let derived = file.envelope.kdf()?.derive(&*password_bytes(password))?;
    file.open(&derived)
}

/// Makes a key file that Venus's wallet can read.
///
/// # Errors
/// When the costs are over the limits or the system has no randomness.
pub fn encrypt_file(
    key: &SecretKey,
    password: &Secret,
    scrypt: Scrypt,
) -> Result<String, VenusError> {
    let kdf = Kdf::fresh(scrypt)?;
    let derived = kdf.derive(&*password_bytes(password))?;
    KeyFile::seal(key, &kdf, &derived)?.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secrets and addresses: filecoin-project/venus-wallet `crypto/key_test.go` (Apache-2.0 / MIT).
    const SECRETS: [&str; 3] = [
        "2a2a2a2a2a2a2a2a5fbf0ed0f8364c01ff27540ecd6669ff4cc548cbe60ef5ab",
        "33ff38fa8c1c53c3ef1b2f811cee9ce4f7ec2ce90b16ceeb9675dc6aa3d04817",
        "33ff38fa8c1c53c3ef1b2f811cee9ce4f7ec2ce90b16ceeb9675dc6aa3d04821",
    ];

    /// These keys as files under "correct horse", made without this program: Python's
    /// `hashlib.scrypt`, `openssl enc -aes-128-ctr`, and Keccak-256 written out, joined as
    /// venus-wallet's `EncryptData` joins them, with the order of fields that Go's encoder gives.
    const FILES: &str = include_str!("testdata/venus-files.jsonl");

    #[test]
    fn files_made_by_others_open_and_come_back_to_the_byte() {
        let password = Secret::new("correct horse".to_owned());
        let mut read = 0;
        for (line, secret) in FILES.lines().zip(SECRETS) {
            let key = decrypt_file(line, &password).unwrap();
            assert_eq!(hex::encode(&*key.to_lotus_bytes()), secret);
            assert!(line.contains(&text_of(&key.address())));
            assert_eq!(KeyFile::parse(line.as_bytes()).unwrap().text().unwrap(), line);
            read += 1;
        }
        assert_eq!(read, 3);
    }

    #[test]
    fn a_file_that_lies_about_its_key_is_refused() {
        let password = Secret::new("correct horse".to_owned());
        let line = FILES.lines().next().unwrap();
        let other = FILES.lines().nth(2).unwrap();
        let address = |line: &str| text_of(&KeyFile::parse(line.as_bytes()).unwrap().address);
        let changed = line.replace(&address(line), &address(other));
        assert!(matches!(decrypt_file(&changed, &password), Err(VenusError::OtherAddress { .. })));
        let changed = line.replace("secp256k1", "delegated");
        assert!(matches!(decrypt_file(&changed, &password), Err(VenusError::OtherAddress { .. })));
        let changed = line.replace("secp256k1", "ed25519");
        assert!(matches!(decrypt_file(&changed, &password), Err(VenusError::KeyType(_))));
        let wrong_checksum = line.replace("tlaluiq", "tlaluia");
        assert!(matches!(
            decrypt_file(&wrong_checksum, &password),
            Err(VenusError::Address { .. })
        ));
    }
}
