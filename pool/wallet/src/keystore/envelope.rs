//! **Purpose**: encryption of a few bytes under a password, in the JSON form of Ethereum's keystore,
//! version 3, as Venus's wallet writes it.
//!
//! **Invariants**
//! - The authentication code is compared in constant time, and before anything is decrypted.
//! - Costs that a file asks for are bounded, so that no file can exhaust the machine.
//! - Derived keys and plain bytes are overwritten when they are dropped.
//!
//! **Source**: Web3 Secret Storage Definition; filecoin-project/venus-wallet `crypto/aes/aes128.go`
//! (Apache-2.0 / MIT) for the fields; RFC 7914 (scrypt), RFC 8018 (PBKDF2).

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use serde::{Deserialize, Serialize};
use sha3::{Digest, Keccak256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::protect::Secret;

/// Most memory that scrypt may take for one file, bytes: four times what Venus's default takes.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const SCRYPT_P_MAX: u32 = 16;
const PBKDF2_ROUNDS_MAX: u32 = 20_000_000;
const SALT_BYTES_MAX: usize = 1024;
const DERIVED_BYTES: usize = 32;

/// Cost of scrypt: N is two to the power of `log_n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrypt {
    /// Binary logarithm of N.
    pub log_n: u8,
    /// Block size factor.
    pub r: u32,
    /// Parallelism.
    pub p: u32,
}

impl Default for Scrypt {
    /// Venus's cost: 256 MiB and about a second.
    fn default() -> Self {
        Self { log_n: 18, r: 8, p: 1 }
    }
}

/// The encrypted bytes could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A word that names a method is not known.
    #[error("the {what} `{word}` is not supported; known are {known}")]
    Unsupported {
        /// What it names.
        what: &'static str,
        /// The word.
        word: String,
        /// What could stand there.
        known: &'static str,
    },
    /// A field is missing or impossible.
    #[error("the field `{field}` is missing or not what a key file holds; the file is damaged")]
    Field {
        /// Its name.
        field: &'static str,
    },
    /// The costs are over the limits.
    #[error(
        "the key derivation asks for more than this wallet allows (1 GiB of memory, p 16, \
         20 million rounds); re-encrypt the key with smaller costs"
    )]
    Cost,
    /// The password is wrong, or the file was changed.
    #[error("the password does not fit")]
    Password,
    /// No randomness.
    #[error("the operating system gave no randomness; try again")]
    Randomness,
}

/// The field `crypto` of a key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    cipher: String,
    ciphertext: String,
    cipherparams: CipherParams,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KdfParams {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<u32>,
    dklen: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prf: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<u32>,
    salt: String,
}

/// The fields of an envelope, decoded.
struct Parts {
    ciphertext: Vec<u8>,
    iv: [u8; 16],
    mac: [u8; 32],
}

/// A checked key derivation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kdf {
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8> },
    Pbkdf2 { rounds: u32, salt: Vec<u8> },
}

/// What a password becomes under one `Kdf`.
pub(crate) struct Derived(Box<Zeroizing<[u8; DERIVED_BYTES]>>);

/// Venus hashes the password before it derives from it.
pub(crate) fn password_bytes(secret: &Secret) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(Keccak256::digest(secret.bytes()).into())
}

impl Kdf {
    /// A new salt with these costs.
    pub(crate) fn fresh(scrypt: Scrypt) -> Result<Self, EnvelopeError> {
        let mut salt = vec![0; 32];
        getrandom::fill(&mut salt).map_err(|_| EnvelopeError::Randomness)?;
        Self::Scrypt { log_n: scrypt.log_n, r: scrypt.r, p: scrypt.p, salt }.checked()
    }

    fn checked(self) -> Result<Self, EnvelopeError> {
        let (is_allowed, salt) = match &self {
            Self::Scrypt { log_n, r, p, salt } => {
                let bytes = 1_u64
                    .checked_shl(u32::from(*log_n))
                    .and_then(|n| n.checked_mul(128))
                    .and_then(|bytes| bytes.checked_mul(u64::from(*r)));
                let fits = bytes.is_some_and(|bytes| bytes <= SCRYPT_BYTES_MAX);
                (fits && *log_n > 0 && *r > 0 && (1..=SCRYPT_P_MAX).contains(p), salt)
            }
            Self::Pbkdf2 { rounds, salt } => ((1..=PBKDF2_ROUNDS_MAX).contains(rounds), salt),
        };
        if !is_allowed || salt.len() > SALT_BYTES_MAX {
            return Err(EnvelopeError::Cost);
        }
        Ok(self)
    }

    /// Derives; takes as long as the costs say.
    pub(crate) fn derive(&self, password: &[u8]) -> Result<Derived, EnvelopeError> {
        let mut derived = Box::new(Zeroizing::new([0; DERIVED_BYTES]));
        crate::protect::lock_page_of(&*derived);
        match self {
            Self::Scrypt { log_n, r, p, salt } => {
                let params =
                    scrypt::Params::new(*log_n, *r, *p).map_err(|_| EnvelopeError::Cost)?;
                scrypt::scrypt(password, salt, &params, derived.as_mut_slice())
                    .map_err(|_| EnvelopeError::Cost)?;
            }
            Self::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2_hmac::<sha2::Sha256>(
                    password,
                    salt,
                    *rounds,
                    derived.as_mut_slice(),
                );
            }
        }
        Ok(Derived(derived))
    }

    fn params(&self) -> (&'static str, KdfParams) {
        match self {
            Self::Scrypt { log_n, r, p, salt } => {
                let params = KdfParams {
                    dklen: DERIVED_BYTES as u32,
                    n: Some(1 << log_n),
                    r: Some(*r),
                    p: Some(*p),
                    salt: hex::encode(salt),
                    ..KdfParams::default()
                };
                ("scrypt", params)
            }
            Self::Pbkdf2 { rounds, salt } => {
                let params = KdfParams {
                    dklen: DERIVED_BYTES as u32,
                    c: Some(*rounds),
                    prf: Some("hmac-sha256".to_owned()),
                    salt: hex::encode(salt),
                    ..KdfParams::default()
                };
                ("pbkdf2", params)
            }
        }
    }
}

impl Envelope {
    /// Encrypts `plain`; `derived` comes from `kdf`.
    pub(crate) fn seal(kdf: &Kdf, derived: &Derived, plain: &[u8]) -> Result<Self, EnvelopeError> {
        let mut iv = [0; 16];
        getrandom::fill(&mut iv).map_err(|_| EnvelopeError::Randomness)?;
        let mut bytes = plain.to_vec();
        derived.apply_cipher(&iv, &mut bytes);
        let (name, kdfparams) = kdf.params();
        Ok(Self {
            cipher: "aes-128-ctr".to_owned(),
            mac: hex::encode(derived.mac(&bytes)),
            ciphertext: hex::encode(&bytes),
            cipherparams: CipherParams { iv: hex::encode(iv) },
            kdf: name.to_owned(),
            kdfparams,
        })
    }

    /// The derivation that this file asks for.
    pub(crate) fn kdf(&self) -> Result<Kdf, EnvelopeError> {
        let missing = |field| move || EnvelopeError::Field { field };
        let params = &self.kdfparams;
        if params.dklen as usize != DERIVED_BYTES {
            return Err(EnvelopeError::Field { field: "dklen" });
        }
        let salt = hex::decode(&params.salt).map_err(|_| EnvelopeError::Field { field: "salt" })?;
        let kdf = match self.kdf.as_str() {
            "scrypt" => {
                let n = params.n.ok_or_else(missing("n"))?;
                if !n.is_power_of_two() {
                    return Err(EnvelopeError::Field { field: "n" });
                }
                let r = params.r.ok_or_else(missing("r"))?;
                let p = params.p.ok_or_else(missing("p"))?;
                // At most 63, as it is the place of the one bit in 64.
                Kdf::Scrypt { log_n: n.trailing_zeros().try_into().unwrap_or(u8::MAX), r, p, salt }
            }
            "pbkdf2" => {
                let rounds = params.c.ok_or_else(missing("c"))?;
                let prf = params.prf.as_deref().ok_or_else(missing("prf"))?;
                if prf != "hmac-sha256" {
                    return Err(EnvelopeError::Unsupported {
                        what: "pseudo-random function",
                        word: prf.to_owned(),
                        known: "hmac-sha256",
                    });
                }
                Kdf::Pbkdf2 { rounds, salt }
            }
            other => {
                return Err(EnvelopeError::Unsupported {
                    what: "key derivation",
                    word: other.to_owned(),
                    known: "scrypt, pbkdf2",
                });
            }
        };
        kdf.checked()
    }

    /// Checks every field that can be checked without the password.
    pub(crate) fn check(&self) -> Result<(), EnvelopeError> {
        self.kdf()?;
        self.parts().map(drop)
    }

    fn parts(&self) -> Result<Parts, EnvelopeError> {
        if self.cipher != "aes-128-ctr" {
            return Err(EnvelopeError::Unsupported {
                what: "cipher",
                word: self.cipher.clone(),
                known: "aes-128-ctr",
            });
        }
        let field = |field| move |_| EnvelopeError::Field { field };
        let bytes = hex::decode(&self.ciphertext).map_err(field("ciphertext"))?;
        let (mut iv, mut mac) = ([0; 16], [0; 32]);
        hex::decode_to_slice(&self.cipherparams.iv, &mut iv).map_err(field("iv"))?;
        hex::decode_to_slice(&self.mac, &mut mac).map_err(field("mac"))?;
        Ok(Parts { ciphertext: bytes, iv, mac })
    }

    /// Decrypts; `derived` comes from `self.kdf()`.
    pub(crate) fn open(&self, derived: &Derived) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let Parts { ciphertext: bytes, iv, mac } = self.parts()?;
        let is_right: bool = derived.mac(&bytes).ct_eq(&mac).into();
        if !is_right {
            return Err(EnvelopeError::Password);
        }
        let mut plain = Zeroizing::new(bytes);
        derived.apply_cipher(&iv, &mut plain);
        Ok(plain)
    }
}

impl Derived {
    fn apply_cipher(&self, iv: &[u8; 16], bytes: &mut [u8]) {
        Ctr128BE::<Aes128>::new_from_slices(&self.0[..16], iv)
            .expect("AES-128 takes 16 bytes of key and 16 of counter")
            .apply_keystream(bytes);
    }

    fn mac(&self, ciphertext: &[u8]) -> [u8; 32] {
        let mut hasher = Keccak256::new();
        hasher.update(&self.0[16..]);
        hasher.update(ciphertext);
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two vectors of ethereum/go-ethereum `accounts/keystore/testdata/v3_test_vector.json`
    /// (LGPL-3.0; the numbers are from the Web3 Secret Storage Definition). Ethereum does not hash
    /// the password first.
    const SCRYPT: &str = r#"{"cipher":"aes-128-ctr",
        "cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf":"scrypt","kdfparams":{"dklen":32,"n":262144,"r":1,"p":8,
        "salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
        "mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"}"#;
    const PBKDF2: &str = r#"{"cipher":"aes-128-ctr",
        "cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf":"pbkdf2","kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256",
        "salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"}"#;
    const PLAIN: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    fn parsed(text: &str) -> Envelope {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_published_vectors_open() {
        for text in [SCRYPT, PBKDF2] {
            let envelope = parsed(text);
            let derived = envelope.kdf().unwrap().derive(b"testpassword").unwrap();
            assert_eq!(hex::encode(&*envelope.open(&derived).unwrap()), PLAIN);
        }
    }

    fn cheap() -> Kdf {
        Kdf::fresh(Scrypt { log_n: 2, r: 1, p: 1 }).unwrap()
    }

    #[test]
    fn a_sealed_text_opens_with_its_password_only() {
        let kdf = cheap();
        let derived = kdf.derive(b"one").unwrap();
        let envelope = Envelope::seal(&kdf, &derived, b"some bytes").unwrap();
        let text = serde_json::to_string(&envelope).unwrap();
        let read = parsed(&text);
        assert_eq!(read.kdf().unwrap(), kdf);
        assert_eq!(&**read.open(&derived).unwrap(), b"some bytes");
        let wrong = kdf.derive(b"two").unwrap();
        assert!(matches!(read.open(&wrong), Err(EnvelopeError::Password)));
    }

    #[test]
    fn every_changed_digit_of_text_or_code_is_refused() {
        let kdf = cheap();
        let derived = kdf.derive(b"one").unwrap();
        let envelope = Envelope::seal(&kdf, &derived, b"abc").unwrap();
        let flipped = |text: &str, index: usize| -> String {
            let digit = if text.as_bytes()[index] == b'0' { "1" } else { "0" };
            format!("{}{digit}{}", &text[..index], &text[index + 1..])
        };
        for index in 0..envelope.mac.len() {
            let changed = Envelope { mac: flipped(&envelope.mac, index), ..envelope.clone() };
            assert!(changed.open(&derived).is_err(), "mac {index}");
        }
        for index in 0..envelope.ciphertext.len() {
            let ciphertext = flipped(&envelope.ciphertext, index);
            let changed = Envelope { ciphertext, ..envelope.clone() };
            assert!(changed.open(&derived).is_err(), "ciphertext {index}");
        }
    }

    #[test]
    fn impossible_or_ruinous_fields_are_refused() {
        let changed = |from: &str, to: &str| parsed(&SCRYPT.replace(from, to)).check();
        assert!(changed("x", "x").is_ok());
        assert!(matches!(changed("\"n\":262144", "\"n\":1099511627776"), Err(EnvelopeError::Cost)));
        assert!(matches!(changed("\"p\":8", "\"p\":4000000000"), Err(EnvelopeError::Cost)));
        assert!(matches!(changed("\"r\":1", "\"r\":0"), Err(EnvelopeError::Cost)));
        for (from, to, name) in [
            ("\"n\":262144", "\"n\":262143", "n"),
            ("\"n\":262144,", "", "n"),
            ("\"dklen\":32", "\"dklen\":31", "dklen"),
            ("\"iv\":\"83", "\"iv\":\"", "iv"),
            ("\"mac\":\"21", "\"mac\":\"zz", "mac"),
        ] {
            let error = changed(from, to).unwrap_err();
            assert!(matches!(&error, EnvelopeError::Field { field } if *field == name), "{error}");
        }
        for (from, to) in [("aes-128-ctr", "aes-256-cbc"), ("\"scrypt\"", "\"argon2\"")] {
            assert!(matches!(changed(from, to), Err(EnvelopeError::Unsupported { .. })));
        }
        let other = PBKDF2.replace("hmac-sha256", "hmac-md5");
        assert!(matches!(parsed(&other).check(), Err(EnvelopeError::Unsupported { .. })));
    }
}
