//! **Purpose**: the secrets that tokens are signed with: made, sealed for the state, opened once per
//! node and kept as keys of the verifier.
//!
//! **Invariants**
//! - The replicated state holds only sealed secrets; whoever reads a disc or a snapshot without the
//!   authority's key can mint nothing.
//! - A secret that the state no longer holds verifies nothing here.
//!
//! **Source**: RFC 8439 (ChaCha20-Poly1305).

use hesper_auth::Verifier;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// Keeps the sealing key apart from every other use of the authority's key.
pub const PURPOSE: &str = "hesper 2026 sealing of token secrets v1";
/// Bytes that a sealed text is bound to.
const BOUND_TO: &[u8] = b"hesper auth secret";

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Randomness.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The key does not fit the cipher; cannot happen with 32 bytes.
    #[error("the sealing key is not one of ChaCha20-Poly1305")]
    Key,
    /// Wrong authority or damage.
    #[error(
        "signing secret {kid} cannot be opened with this node's key of the certificate authority; was \
         the node's directory put together from two clusters?"
    )]
    Sealed {
        /// Its number.
        kid: u64,
    },
}

/// Seals and opens secrets.
pub struct Sealer(Zeroizing<[u8; 32]>);

impl Sealer {
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Sealer(key)
    }

    /// A fresh secret, sealed.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn make(&self) -> Result<Vec<u8>, SecretError> {
        let mut secret = Zeroizing::new([0; hesper_auth::token::SECRET_BYTES]);
        getrandom::fill(&mut *secret).map_err(|_| SecretError::NoRandomness)?;
        self.seal(&*secret)
    }

    fn seal(&self, secret: &[u8]) -> Result<Vec<u8>, SecretError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SecretError::NoRandomness)?;
        let mut sealed = secret.to_vec();
        self.key()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(BOUND_TO),
                &mut sealed,
            )
            .map_err(|_| SecretError::Key)?;
        let mut all = nonce.to_vec();
        all.extend(sealed);
        Ok(all)
    }

    fn open(&self, kid: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
        let bad = || SecretError::Sealed { kid };
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or_else(bad)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| bad())?;
        let mut text = Zeroizing::new(text.to_vec());
        let key = self.key()?;
        let opened =
            key.open_in_place(nonce, Aad::from(BOUND_TO), &mut text).map_err(|_| bad())?.len();
        text.truncate(opened);
        Ok(text)
    }

    fn key(&self) -> Result<LessSafeKey, SecretError> {
        UnboundKey::new(&CHACHA20_POLY1305, &*self.0)
            .map(LessSafeKey::new)
            .map_err(|_| SecretError::Key)
    }

    /// Brings the verifier's keys in line with the state: new secrets are opened once, those that
    /// are gone are dropped.
    ///
    /// # Errors
    /// The first secret that cannot be opened; the others are taken nevertheless.
    pub fn refresh(
        &self,
        verifier: &mut Verifier,
        state: &hesper_auth::State,
    ) -> Result<(), SecretError> {
        verifier.retain_keys(|kid| state.secrets().any(|(known, _)| known == kid));
        let mut first_error = None;
        for (kid, secret) in state.secrets() {
            if verifier.has_key(kid) {
                continue;
            }
            match self.open(kid, &secret.sealed) {
                Ok(secret) => verifier.set_key(kid, &secret),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_sealed_secret_is_opened_with_the_same_key_only() {
        let sealed = sealer(1).seal(b"secret of tokens").unwrap();
        assert_eq!(&**sealer(1).open(1, &sealed).unwrap(), b"secret of tokens");
        assert!(matches!(sealer(2).open(7, &sealed), Err(SecretError::Sealed { kid: 7 })));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let sealed = sealer(1).make().unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(sealer(1).open(1, &damaged).is_err(), "byte {at}");
            assert!(sealer(1).open(1, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn two_secrets_differ() {
        assert_ne!(sealer(1).make().unwrap(), sealer(1).make().unwrap());
    }
}
