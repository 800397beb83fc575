//! Zondax/filecoin-signing-tools `test_vectors` (Apache-2.0) and filecoin-project/
//! serialization-vectors `message_signing.json` (MIT / Apache-2.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hesper_chain::address;
use hesper_chain::json::LotusJson;
use hesper_chain::key::{KeyType, SecretKey};
use hesper_chain::signature::{
    Signature, SignatureKind, VerifyError, message_payload, verify, verify_message,
};
use hesper_chain::{Message, SignedMessage, message};
use serde_json::Value;

use crate::support::{text, vector, vectors};

/// Every file of the folder, and every entry that is not used, with the reason.
const FILES: [(&str, &str); 10] = [
    ("bls_signature.json", "all"),
    ("bls_wallet.json", "all"),
    ("signed_message.json", "all"),
    ("verify_signature.json", "all"),
    ("get_cid.json", "the signature; the CID is checked in foreign_core"),
    (
        "wallet.json",
        "private_key, bls_private_key, bls_address and the address of childs[3]; left out: mnemonic, \
         master_key and childs[0..=2], because keys are not derived from mnemonics here",
    ),
    ("mnemonics.json", "left out: keys are not derived from mnemonics here"),
    ("multisig.json", "left out: structure only, checked in foreign_core and chain/actors"),
    ("serialize_params.json", "left out: actor parameters, checked in chain/actors"),
    ("deserialize_params.json", "left out: actor parameters, checked in chain/actors"),
];

/// Chain id, without influence on the kinds of these vectors.
const CHAIN: u64 = 314;

#[test]
fn every_file_is_used_or_left_out_by_name() {
    let Some(folder) = vectors() else { return };
    let mut found: Vec<String> = std::fs::read_dir(folder.join("signing"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut named: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    assert_eq!(found, named);
}

fn key(kind: KeyType, json: &Value, member: &str) -> SecretKey {
    let bytes = STANDARD.decode(text(json, member)).unwrap();
    SecretKey::from_lotus_bytes(kind, &bytes).unwrap()
}

/// A different signature of the same length for each byte of the original.
fn tampered(signature: &Signature) -> impl Iterator<Item = Signature> + '_ {
    (0..signature.bytes.len()).map(|position| {
        let mut changed = signature.clone();
        changed.bytes[position] ^= 1;
        changed
    })
}

#[test]
fn the_bls_key_and_signature_are_those_of_the_vector() {
    let (Some(wallet), Some(signed)) =
        (vector("signing/bls_wallet.json"), vector("signing/bls_signature.json"))
    else {
        return;
    };
    let key = key(KeyType::Bls, &wallet, "bls_private_key");
    assert_eq!(hex::encode(key.public_key()), text(&wallet, "bls_public_key"));

    let bytes = hex::decode(text(&signed, "cbor")).unwrap();
    let parsed = message::decode(&bytes).unwrap();
    assert_eq!(parsed.from, key.address());
    let payload = message_payload(&parsed, SignatureKind::Bls, CHAIN).unwrap();
    let signature = key.sign(&payload);
    assert_eq!(hex::encode(&signature.bytes), text(&signed, "sig"));
    verify_message(&parsed, &signature, &key.address(), CHAIN).unwrap();
    for changed in tampered(&signature) {
        assert!(verify_message(&parsed, &changed, &key.address(), CHAIN).is_err());
    }
}

#[test]
fn the_secp_message_has_the_vectors_signature() {
    let Some(case) = vector("signing/signed_message.json") else { return };
    let key = key(KeyType::Secp256k1, &case, "pk");
    let signed = SignedMessage::from_lotus_json(&case["tx"]).unwrap();
    assert_eq!(signed.message.from, key.address());
    let (parsed, signature) = (&signed.message, &signed.signature);
    verify_message(parsed, signature, &key.address(), CHAIN).unwrap();
    let payload = message_payload(parsed, SignatureKind::Secp256k1, CHAIN).unwrap();
    assert_eq!(payload, message::cid(parsed).unwrap().to_bytes());
    // Nonces are deterministic (RFC 6979) on both sides, so even the bytes agree.
    assert_eq!(key.sign(&payload), *signature);
}

#[test]
fn a_tampered_secp_signature_is_refused() {
    let Some(case) = vector("signing/verify_signature.json") else { return };
    let case = &case["verify_invalid_signature"];
    let key = key(KeyType::Secp256k1, case, "private_key");
    let parsed = Message::from_lotus_json(&case["message"]).unwrap();
    let payload = message_payload(&parsed, SignatureKind::Secp256k1, CHAIN).unwrap();
    let signature = key.sign(&payload);
    verify_message(&parsed, &signature, &parsed.from, CHAIN).unwrap();
    for changed in tampered(&signature) {
        assert!(verify_message(&parsed, &changed, &parsed.from, CHAIN).is_err());
    }
    let mut other = parsed.clone();
    other.sequence += 1;
    assert!(matches!(
        verify_message(&other, &signature, &parsed.from, CHAIN),
        Err(VerifyError::Signer { .. })
    ));
}

#[test]
fn the_signature_of_the_cid_vector_is_valid() {
    let Some(case) = vector("signing/get_cid.json") else { return };
    let signed = SignedMessage::from_lotus_json(&case["signed_message"]).unwrap();
    verify_message(&signed.message, &signed.signature, &signed.message.from, CHAIN).unwrap();
}

#[test]
fn wallet_keys_have_the_vectors_addresses() {
    let Some(case) = vector("signing/wallet.json") else { return };
    let secp = key(KeyType::Secp256k1, &case, "private_key");
    let child = &case["childs"][3];
    assert_eq!(secp.address(), address::parse(text(child, "address")).unwrap());
    let bls = key(KeyType::Bls, &case, "bls_private_key");
    assert_eq!(bls.address(), address::parse(text(&case, "bls_address")).unwrap());
}

#[test]
fn message_signing_vectors_agree_in_key_payload_and_signature() {
    let Some(cases) = vector("serialization/message_signing.json") else { return };
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let parsed = Message::from_lotus_json(&case["Unsigned"]).unwrap();
        let key = key(KeyType::Bls, case, "PrivateKey");
        assert_eq!(key.address(), parsed.from);
        let payload = message_payload(&parsed, SignatureKind::Bls, CHAIN).unwrap();
        assert_eq!(hex::encode(&payload), text(case, "CidHexBytes"));
        let expected = Signature::from_lotus_json(&case["Signature"]).unwrap();
        assert_eq!(key.sign(&payload), expected);
        verify(&expected, &parsed.from, &payload).unwrap();
    }
}
