//! **Purpose**: BLS signatures as Filecoin uses them: keys in G1 (48 bytes), signatures in G2
//! (96 bytes), single, aggregated and verified in batches.
//!
//! **Invariants**
//! - Every public key that enters a pairing was checked to be on the curve, in the subgroup and not
//!   the identity; every signature was checked to be in the subgroup.
//! - A batch weighs each signature with 128 fresh random bits, so that a set of wrong signatures
//!   passes with a probability of at most 2^-128.
//! - Everything runs on the calling thread.
//!
//! **Source**: draft-irtf-cfrg-bls-signature-05, minimal-pubkey-size, scheme without augmentation
//! (section 3.1); batch equation: Bellare, Garay, Rabin, "Fast batch verification" (1998).

use blst::min_pk;
use blst::{BLST_ERROR, MultiPoint as _, Pairing, blst_fp12, blst_p1_affine, blst_p2_affine};
use zeroize::Zeroizing;

/// Bytes of a compressed public key.
pub const PUBLIC_KEY_BYTES: usize = 48;
/// Bytes of a compressed signature.
pub const SIGNATURE_BYTES: usize = 96;
/// Bytes of a secret key.
pub const SECRET_KEY_BYTES: usize = 32;

/// A compressed public key, not yet checked.
pub type PublicKey = [u8; PUBLIC_KEY_BYTES];
/// A compressed signature, not yet checked.
pub type SignatureBytes = [u8; SIGNATURE_BYTES];

/// The hash-to-curve tag of all Filecoin signatures in G2.
pub(crate) const DST_G2: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_";

/// Weight of each signature in a batch.
const WEIGHT_BITS: usize = 128;
const WEIGHT_BYTES: usize = WEIGHT_BITS / 8;

/// The compressed point at infinity, which is also the aggregate of no signatures.
pub const INFINITY: SignatureBytes = {
    let mut bytes = [0u8; SIGNATURE_BYTES];
    bytes[0] = 0xc0;
    bytes
};

/// Why a BLS operation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlsError {
    #[error(
        "the secret key is zero or not below the group order; it must be 32 bytes, little-endian"
    )]
    SecretKey,
    #[error(
        "the public key is not a valid point of G1 (bad encoding, identity or outside the \
         subgroup); check the address it came from"
    )]
    PublicKey,
    #[error(
        "the signature is not a valid point of G2 (bad encoding, identity or outside the \
         subgroup); ask the signer for a new one"
    )]
    Signature,
    #[error("{keys} public keys but {messages} messages; give exactly one message per key")]
    Count { keys: usize, messages: usize },
    #[error("the signature does not belong to this key and message; do not accept the object")]
    Mismatch,
}

/// Why a batch was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("{} of the signatures are wrong, at positions {bad:?}; drop these", bad.len())]
    Invalid {
        /// Positions in the batch, ascending.
        bad: Vec<usize>,
    },
    #[error("the operating system gave no randomness for the batch weights; try again")]
    Randomness,
}

/// A parsed secret key; its memory is wiped on drop by `blst`.
pub struct Secret(min_pk::SecretKey);

impl Secret {
    /// Parses 32 bytes in **little-endian** order, the order of Lotus and Venus key files.
    ///
    /// # Errors
    /// [`BlsError::SecretKey`] for zero or a number not below the group order.
    pub fn from_le_bytes(bytes: &[u8; SECRET_KEY_BYTES]) -> Result<Self, BlsError> {
        let mut big_endian = Zeroizing::new(*bytes);
        big_endian.reverse();
        min_pk::SecretKey::from_bytes(big_endian.as_slice())
            .map(Self)
            .map_err(|_| BlsError::SecretKey)
    }

    /// Derives a key from at least 32 bytes of fresh randomness.
    ///
    /// # Errors
    /// [`BlsError::SecretKey`] when the derivation does not accept the material.
    pub fn from_randomness(material: &[u8; 32]) -> Result<Self, BlsError> {
        min_pk::SecretKey::key_gen(material, &[]).map(Self).map_err(|_| BlsError::SecretKey)
    }

    /// The key in little-endian order.
    pub fn to_le_bytes(&self) -> Zeroizing<[u8; SECRET_KEY_BYTES]> {
        let mut bytes = Zeroizing::new(self.0.to_bytes());
        bytes.reverse();
        bytes
    }

    /// The matching public key.
    pub fn public_key(&self) -> PublicKey {
        self.0.sk_to_pk().compress()
    }

    /// Signs the raw message; hashing to the curve is part of the scheme.
    pub fn sign(&self, message: &[u8]) -> SignatureBytes {
        self.0.sign(message, DST_G2, &[]).compress()
    }
}

/// Checks one signature.
///
/// # Errors
/// Names the part that is malformed, or [`BlsError::Mismatch`].
pub fn verify(
    public_key: &PublicKey,
    message: &[u8],
    signature: &SignatureBytes,
) -> Result<(), BlsError> {
    let key = parse_key(public_key)?;
    let signature = parse_signature(signature, true)?;
    match signature.verify(false, message, DST_G2, &[], &key, false) {
        BLST_ERROR::BLST_SUCCESS => Ok(()),
        _ => Err(BlsError::Mismatch),
    }
}

/// Adds signatures up. No signatures give the point at infinity, as the chain stores it.
///
/// # Errors
/// [`BlsError::Signature`] when one of them is not in the subgroup.
pub fn aggregate(signatures: &[SignatureBytes]) -> Result<SignatureBytes, BlsError> {
    let Some((first, rest)) = signatures.split_first() else {
        return Ok(INFINITY);
    };
    let mut sum = min_pk::AggregateSignature::from_signature(&parse_signature(first, false)?);
    for bytes in rest {
        sum.add_signature(&parse_signature(bytes, false)?, false)
            .map_err(|_| BlsError::Signature)?;
    }
    Ok(sum.to_signature().compress())
}

/// Checks an aggregate over one message per key. Equal messages are allowed, as the chain allows
/// them: its messages contain their sender, so that equal ones come from the same key.
///
/// # Errors
/// As [`verify`]; without keys only the point at infinity passes.
pub fn verify_aggregate(
    public_keys: &[PublicKey],
    messages: &[&[u8]],
    signature: &SignatureBytes,
) -> Result<(), BlsError> {
    if public_keys.len() != messages.len() {
        return Err(BlsError::Count { keys: public_keys.len(), messages: messages.len() });
    }
    if public_keys.is_empty() {
        return if *signature == INFINITY { Ok(()) } else { Err(BlsError::Mismatch) };
    }
    let signature = parse_signature(signature, false)?;
    let mut pairing = Pairing::new(true, DST_G2);
    for (key, message) in public_keys.iter().zip(messages) {
        let key: blst_p1_affine = parse_key(key)?.into();
        if !is_success(pairing.aggregate(&key, false, &NO_SIGNATURE, false, message, &[])) {
            return Err(BlsError::PublicKey);
        }
    }
    if finish(&mut pairing, &signature.into()) { Ok(()) } else { Err(BlsError::Mismatch) }
}

/// One signature of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    pub public_key: &'a PublicKey,
    pub message: &'a [u8],
    pub signature: &'a SignatureBytes,
}

/// A batch entry whose points were decoded and checked.
struct Checked<'a> {
    position: usize,
    key: blst_p1_affine,
    message: &'a [u8],
    signature: min_pk::Signature,
}

/// Checks many signatures at once and names the wrong ones.
///
/// The good case costs one Miller loop and one 128 bit multiplication per entry and a single final
/// exponentiation. When the sum does not fit, halves are checked on their own until the wrong
/// entries are found.
///
/// # Errors
/// [`BatchError::Invalid`] with the positions of all wrong entries.
pub fn verify_batch(items: &[Signed<'_>]) -> Result<(), BatchError> {
    let mut bad = Vec::new();
    let mut checked = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        match (parse_key(item.public_key), parse_signature(item.signature, true)) {
            (Ok(key), Ok(signature)) => checked.push(Checked {
                position,
                key: key.into(),
                message: item.message,
                signature,
            }),
            _ => bad.push(position),
        }
    }
    search(&checked, false, &mut bad)?;
    bad.sort_unstable();
    if bad.is_empty() { Ok(()) } else { Err(BatchError::Invalid { bad }) }
}

/// Finds the wrong entries of a slice; `known_wrong` spares the check of a slice of which it was
/// already established that it contains one. Returns whether the slice held a wrong entry.
fn search(
    items: &[Checked<'_>],
    known_wrong: bool,
    bad: &mut Vec<usize>,
) -> Result<bool, BatchError> {
    if items.is_empty() || (!known_wrong && holds(items)?) {
        return Ok(false);
    }
    if let [only] = items {
        bad.push(only.position);
        return Ok(true);
    }
    let (left, right) = items.split_at(items.len() / 2);
    let left_wrong = search(left, false, bad)?;
    search(right, !left_wrong, bad)?;
    Ok(true)
}

/// Whether the weighted sum of all entries fits.
fn holds(items: &[Checked<'_>]) -> Result<bool, BatchError> {
    let weights = weights(items.len())?;
    let mut pairing = Pairing::new(true, DST_G2);
    for (item, weight) in items.iter().zip(weights.chunks_exact(WEIGHT_BYTES)) {
        let outcome = pairing.mul_n_aggregate(
            &item.key,
            false,
            &NO_SIGNATURE,
            false,
            weight,
            WEIGHT_BITS,
            item.message,
            &[],
        );
        if !is_success(outcome) {
            return Ok(false);
        }
    }
    let signatures: Vec<min_pk::Signature> = items.iter().map(|item| item.signature).collect();
    let sum = signatures.as_slice().mult(&weights, WEIGHT_BITS).to_signature();
    Ok(finish(&mut pairing, &sum.into()))
}

/// Fresh weights, none of them zero: a zero would leave its entry unchecked.
fn weights(count: usize) -> Result<Vec<u8>, BatchError> {
    let mut bytes = vec![0u8; count * WEIGHT_BYTES];
    loop {
        getrandom::fill(&mut bytes).map_err(|_| BatchError::Randomness)?;
        if bytes.chunks_exact(WEIGHT_BYTES).all(|weight| weight.iter().any(|byte| *byte != 0)) {
            return Ok(bytes);
        }
    }
}

/// What `blst` takes for "this call adds a key and a message, but no signature": any type that is
/// not a point.
const NO_SIGNATURE: () = ();

/// Compares the product of the collected pairings with the signature's pairing.
fn finish(pairing: &mut Pairing<'_>, signature: &blst_p2_affine) -> bool {
    pairing.commit();
    let mut of_signature = blst_fp12::default();
    Pairing::aggregated(&mut of_signature, signature);
    pairing.finalverify(Some(&of_signature))
}

fn parse_key(bytes: &PublicKey) -> Result<min_pk::PublicKey, BlsError> {
    min_pk::PublicKey::key_validate(bytes).map_err(|_| BlsError::PublicKey)
}

/// The identity is refused where a single signer stands behind the signature; an aggregate may
/// legitimately cancel out.
fn parse_signature(
    bytes: &SignatureBytes,
    refuse_identity: bool,
) -> Result<min_pk::Signature, BlsError> {
    min_pk::Signature::sig_validate(bytes, refuse_identity).map_err(|_| BlsError::Signature)
}

fn is_success(outcome: BLST_ERROR) -> bool {
    outcome == BLST_ERROR::BLST_SUCCESS
}
