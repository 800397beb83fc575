//! **Purpose**: CIDs of chain objects: made from bytes, read from and written to text and bytes.
//!
//! **Invariants**: no trailing bytes, no non-minimal varints; text is the base32 form of a CIDv1
//! (or base58 of a CIDv0), never a path that merely contains a CID.
//!
//! **Source**: the CID specification; Lotus `chain/types` (CIDv1, dag-cbor, blake2b-256).

use ::cid::Cid;
use multihash_codetable::{Code, MultihashDigest};
use thiserror::Error;

/// Multicodec of DAG-CBOR.
pub const DAG_CBOR: u64 = 0x71;
/// Multicodec of raw bytes.
pub const RAW: u64 = 0x55;
/// Multihash code of blake2b with 32 bytes.
pub const BLAKE2B_256: u64 = 0xb220;

/// Why a CID was refused.
#[derive(Debug, Error)]
pub enum CidError {
    #[error("could not parse {text:?} as a CID; check it for a typing error")]
    Text { text: String, source: ::cid::Error },
    #[error("the CID {text:?} is not in canonical form, which would be {canonical}")]
    TextNotCanonical { text: String, canonical: String },
    #[error("could not decode a CID from {length} bytes")]
    Bytes { length: usize, source: ::cid::Error },
    #[error("{length} bytes hold a CID of {used} bytes that is followed by others or not minimal")]
    BytesNotCanonical { length: usize, used: usize },
}

/// The CID of a chain object with this CBOR.
#[must_use]
pub fn of_cbor(bytes: &[u8]) -> Cid {
    Cid::new_v1(DAG_CBOR, Code::Blake2b256.digest(bytes))
}

/// The CID of raw bytes under blake2b-256.
#[must_use]
pub fn of_raw(bytes: &[u8]) -> Cid {
    Cid::new_v1(RAW, Code::Blake2b256.digest(bytes))
}

/// Parses the text of a CID.
///
/// # Errors
/// What is not the canonical text of one CID.
pub fn parse(text: &str) -> Result<Cid, CidError> {
    // A CID is at most about 150 characters; what is longer need not be decoded or repeated.
    let shown: String = text.chars().take(160).collect();
    let cid =
        Cid::try_from(text).map_err(|source| CidError::Text { text: shown.clone(), source })?;
    let canonical = cid.to_string();
    if canonical != text {
        return Err(CidError::TextNotCanonical { text: shown, canonical });
    }
    Ok(cid)
}

/// The text of a CID.
#[must_use]
pub fn format(cid: &Cid) -> String {
    cid.to_string()
}

/// Decodes a CID from exactly these bytes.
///
/// # Errors
/// Malformed, non-minimal or trailing bytes.
pub fn from_bytes(bytes: &[u8]) -> Result<Cid, CidError> {
    let cid =
        Cid::try_from(bytes).map_err(|source| CidError::Bytes { length: bytes.len(), source })?;
    let canonical = cid.to_bytes();
    if canonical != bytes {
        return Err(CidError::BytesNotCanonical { length: bytes.len(), used: canonical.len() });
    }
    Ok(cid)
}

/// Whether this is a CID as the chain makes them: CIDv1, dag-cbor, blake2b-256 of 32 bytes.
#[must_use]
pub fn is_chain_object(cid: &Cid) -> bool {
    cid.version() == ::cid::Version::V1
        && cid.codec() == DAG_CBOR
        && cid.hash().code() == BLAKE2B_256
        && cid.hash().size() == 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "bafy2bzacedhl5cowfmp7hq2ke3irf7indry55px44cbbjthazwvpm7ktf676w";

    #[test]
    fn text_and_bytes_round_trip() {
        let cid = parse(TEXT).unwrap();
        assert_eq!(format(&cid), TEXT);
        assert_eq!(from_bytes(&cid.to_bytes()).unwrap(), cid);
        assert!(is_chain_object(&cid));
        assert!(!is_chain_object(&of_raw(b"x")));
    }

    #[test]
    fn a_path_that_contains_a_cid_is_refused() {
        assert!(matches!(parse(&format!("/ipfs/{TEXT}")), Err(CidError::TextNotCanonical { .. })));
        assert!(parse(&TEXT.to_ascii_uppercase()).is_err());
    }

    #[test]
    fn trailing_bytes_after_a_cid_are_refused() {
        let mut bytes = parse(TEXT).unwrap().to_bytes();
        bytes.push(0);
        assert!(matches!(from_bytes(&bytes), Err(CidError::BytesNotCanonical { .. })));
    }

    #[test]
    fn a_cut_cid_is_refused() {
        let bytes = parse(TEXT).unwrap().to_bytes();
        for length in 0..bytes.len() {
            assert!(from_bytes(&bytes[..length]).is_err(), "{length} bytes were taken for a CID");
        }
    }
}
