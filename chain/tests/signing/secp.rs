//! secp256k1: refusals and the two forms of s. Valid signatures of others are in `zondax`,
//! `delegated` and `chains`.

use hesper_chain::delegated::EthAddress;
use hesper_chain::hash::blake2b_256;
use hesper_chain::key::{KeyType, SecretKey};
use hesper_chain::secp::{SecpError, public_key, recover, sign_digest};
use hesper_chain::signature::{Signature, SignatureKind, VerifyError, verify};
use num_bigint::BigUint;

const SECRET: [u8; 32] = [0x5a; 32];
const ORDER: &[u8] = b"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn order() -> BigUint {
    BigUint::parse_bytes(ORDER, 16).unwrap()
}

#[test]
fn a_signature_with_high_s_recovers_the_key_of_the_low_form() {
    let key = SecretKey::from_lotus_bytes(KeyType::Secp256k1, &SECRET).unwrap();
    let low = key.sign(b"payload");
    let s = BigUint::from_bytes_be(&low.bytes[32..64]);
    assert!(s <= order() >> 1, "s must be made in its low form");
    let mut high = low.bytes.clone();
    high[32..64].copy_from_slice(&(order() - s).to_bytes_be());
    high[64] ^= 1;
    let high = Signature { kind: SignatureKind::Secp256k1, bytes: high };
    // The network takes both; see the module's invariants.
    verify(&low, &key.address(), b"payload").unwrap();
    verify(&high, &key.address(), b"payload").unwrap();
}

/// filecoin-project/ref-fvm `shared/src/crypto/signature.rs` (MIT / Apache-2.0), malleability test:
/// digest, r, a high s, the recovery byte 0x1c, and the Ethereum address of the signer.
#[test]
fn the_high_s_signature_of_ref_fvm_recovers_its_signer() {
    let digest = hex::decode("18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c");
    let signature = hex::decode(concat!(
        "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75f",
        "eeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549",
        "01",
    ));
    let signature: [u8; 65] = signature.unwrap().try_into().unwrap();
    assert!(BigUint::from_bytes_be(&signature[32..64]) > order() >> 1);
    let key = recover(&digest.unwrap().try_into().unwrap(), &signature).unwrap();
    let signer = EthAddress::of_public_key(&key).to_string();
    assert_eq!(signer, "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b");
}

#[test]
fn recovery_ids_and_numbers_out_of_range_are_refused() {
    let digest = blake2b_256(b"payload");
    let good = sign_digest(&SECRET, &digest).unwrap();
    let key = public_key(&SECRET).unwrap();
    assert_eq!(recover(&digest, &good), Ok(key));
    let with = |range: std::ops::Range<usize>, value: &[u8]| {
        let mut changed = good;
        changed[range].copy_from_slice(value);
        recover(&digest, &changed)
    };
    for id in [4, 27, 28, 255] {
        assert_eq!(with(64..65, &[id]), Err(SecpError::RecoveryId(id)));
    }
    let order = order().to_bytes_be();
    for range in [0..32, 32..64] {
        assert_eq!(with(range.clone(), &order), Err(SecpError::Signature));
        assert_eq!(with(range.clone(), &[0xff; 32]), Err(SecpError::Signature));
        assert!(with(range, &[0; 32]).is_err());
    }
    // The other parity gives another key, the ids 2 and 3 none for an r of normal size.
    assert_ne!(with(64..65, &[good[64] ^ 1]), Ok(key));
    assert_eq!(with(64..65, &[2]), Err(SecpError::NotRecoverable));
    assert_eq!(with(64..65, &[3]), Err(SecpError::NotRecoverable));
}

#[test]
fn a_wrong_recovery_id_is_another_signer() {
    let key = SecretKey::from_lotus_bytes(KeyType::Secp256k1, &SECRET).unwrap();
    let mut signature = key.sign(b"payload");
    signature.bytes[64] ^= 1;
    let outcome = verify(&signature, &key.address(), b"payload");
    assert!(matches!(outcome, Err(VerifyError::Signer { .. })), "{outcome:?}");
}

#[test]
fn out_of_range_secrets_sign_nothing() {
    for secret in [[0; 32], [0xff; 32]] {
        assert_eq!(sign_digest(&secret, &[1; 32]), Err(SecpError::SecretKey));
        assert_eq!(public_key(&secret), Err(SecpError::SecretKey));
    }
}
