//! **Purpose**: recoverable secp256k1 signatures over a 32 byte digest.
//!
//! **Invariants**
//! - Signatures made here have the low form of s and a recovery id of 0 or 1 in practice.
//! - Recovery takes both forms of s, because the network does: the FVM normalises s before it
//!   recovers, and Lotus recovers from either. A signature is therefore not a unique name.
//!
//! **Source**: SEC 1 version 2.0 section 4.1.6; RFC 6979 for the nonce; the layout r, s, v is the one
//! of Filecoin's `crypto.Signature`.

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};

/// Bytes of r, s and the recovery id.
pub const SIGNATURE_BYTES: usize = 65;
/// Bytes of an uncompressed public key, 0x04 included.
pub const PUBLIC_KEY_BYTES: usize = 65;
/// Bytes of a secret key, big-endian.
pub const SECRET_KEY_BYTES: usize = 32;

/// Why a secp256k1 operation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecpError {
    #[error("the secret key is zero or not below the group order; it must be 32 bytes, big-endian")]
    SecretKey,
    #[error("recovery id {0} is not one of 0, 1, 2, 3; the last signature byte must be that id")]
    RecoveryId(u8),
    #[error(
        "r or s of the signature is zero or not below the group order; ask for a new signature"
    )]
    Signature,
    #[error("no public key fits the signature and its recovery id; do not accept the object")]
    NotRecoverable,
}

/// Signs a digest with a deterministic nonce.
///
/// # Errors
/// [`SecpError::SecretKey`] when the key is out of range.
pub fn sign_digest(
    secret: &[u8; SECRET_KEY_BYTES],
    digest: &[u8; 32],
) -> Result<[u8; SIGNATURE_BYTES], SecpError> {
    let mut key = parse_secret(secret)?;
    let signature =
        RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(*digest), &key);
    key.non_secure_erase();
    let (recovery_id, compact) = signature.serialize_compact();
    let mut out = [0u8; SIGNATURE_BYTES];
    out[..64].copy_from_slice(&compact);
    out[64] = recovery_id.to_u8();
    Ok(out)
}

/// The uncompressed public key of a secret key.
///
/// # Errors
/// [`SecpError::SecretKey`] when the key is out of range.
pub fn public_key(secret: &[u8; SECRET_KEY_BYTES]) -> Result<[u8; PUBLIC_KEY_BYTES], SecpError> {
    let mut key = parse_secret(secret)?;
    let public = PublicKey::from_secret_key(&key);
    key.non_secure_erase();
    Ok(public.serialize_uncompressed())
}

/// The uncompressed public key that made this signature over this digest.
///
/// # Errors
/// Names the malformed part, or [`SecpError::NotRecoverable`].
pub fn recover(
    digest: &[u8; 32],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<[u8; PUBLIC_KEY_BYTES], SecpError> {
    let id = RecoveryId::try_from(i32::from(signature[64]))
        .map_err(|_| SecpError::RecoveryId(signature[64]))?;
    let parsed = RecoverableSignature::from_compact(&signature[..64], id)
        .map_err(|_| SecpError::Signature)?;
    let key =
        parsed.recover(Message::from_digest(*digest)).map_err(|_| SecpError::NotRecoverable)?;
    Ok(key.serialize_uncompressed())
}

fn parse_secret(secret: &[u8; SECRET_KEY_BYTES]) -> Result<SecretKey, SecpError> {
    SecretKey::from_secret_bytes(*secret).map_err(|_| SecpError::SecretKey)
}
