//! **Purpose**: the verifiable random function of tickets and election proofs: a BLS signature by
//! the worker key, which is unique for its input.
//!
//! **Invariants**: a proof belongs to exactly one key and input; only BLS keys make or check one.
//!
//! **Source**: Filecoin specification, "VRF"; Lotus `chain/gen/gen.go` (`ComputeVRF`, `VerifyVRF`).

use fvm_shared::address::{Address, Payload};

use crate::bls::{self, BlsError};
use crate::key::{KeyType, SecretKey};

/// Bytes of a proof.
pub const PROOF_BYTES: usize = bls::SIGNATURE_BYTES;

/// Why a proof could not be made or was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VrfError {
    #[error("a {0} key cannot prove randomness; use the miner's BLS worker key")]
    KeyType(KeyType),
    #[error("the worker address is not an f3 address; resolve it to the worker's key address")]
    Worker,
    #[error("a VRF proof has {0} bytes; it must have {PROOF_BYTES}")]
    Length(usize),
    #[error("the VRF proof is not accepted: {0}")]
    Proof(#[from] BlsError),
}

/// Proves the randomness of `input`.
///
/// # Errors
/// [`VrfError::KeyType`] unless the key is a BLS key.
pub fn prove(key: &SecretKey, input: &[u8; 32]) -> Result<Vec<u8>, VrfError> {
    match key.key_type() {
        KeyType::Bls => Ok(key.sign(input).bytes),
        other => Err(VrfError::KeyType(other)),
    }
}

/// Checks a proof for `input` by the worker whose key address is given.
///
/// # Errors
/// On a worker without a BLS key, a wrong length or a proof that does not fit.
pub fn verify(worker: &Address, input: &[u8; 32], proof: &[u8]) -> Result<(), VrfError> {
    let Payload::BLS(key) = worker.payload() else {
        return Err(VrfError::Worker);
    };
    let proof = proof.try_into().map_err(|_| VrfError::Length(proof.len()))?;
    Ok(bls::verify(key, input, proof)?)
}
