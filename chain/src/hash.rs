//! **Purpose**: the three digests of the protocol behind one short name each.
//!
//! **Invariants**: every function is total and returns exactly 32 bytes.
//!
//! **Source**: Filecoin specification, "Cryptographic primitives" (blake2b-256 for CIDs, secp256k1
//! payloads and randomness; SHA-256 for drand; keccak-256 for Ethereum style transactions).

use sha2::Digest as _;

/// blake2b with a 32 byte output and no key.
pub fn blake2b_256(bytes: &[u8]) -> [u8; 32] {
    let digest = blake2b_simd::Params::new().hash_length(32).hash(bytes);
    let mut out = [0u8; 32];
    out.copy_from_slice(digest.as_bytes());
    out
}

/// Keccak-256 as Ethereum uses it, which pads differently from SHA3-256.
pub fn keccak_256(bytes: &[u8]) -> [u8; 32] {
    sha3::Keccak256::digest(bytes).into()
}

/// SHA-256.
pub fn sha_256(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}
