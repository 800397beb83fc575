//! Key files and exports, and what must not be taken as a key.

use hesper_chain::Network;
use hesper_chain::address::{format, parse};
use hesper_chain::key::{KeyError, KeyType, SecretKey, lotus_export, lotus_import};
use hesper_chain::signature::{Signature, SignatureError, SignatureKind, VerifyError, verify};

use crate::support::{text, vectors};

/// Order of the BLS12-381 scalar field, little-endian as key files are.
const BLS_ORDER: &str = "01000000fffffffffe5bfeff02a4bd5305d8a10908d83933487d9d2953a7ed73";
/// Order of secp256k1, big-endian.
const SECP_ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

/// filecoin-project/venus `fixtures/genesis-sectors/pre-seal-t0106.key` (MIT / Apache-2.0): a key
/// exported by Lotus' seed tool, whose address the file beside it names.
#[test]
fn the_genesis_key_file_of_another_implementation_is_read() {
    let Some(folder) = vectors() else { return };
    let folder = folder.join("venus/genesis-sectors");
    let export = std::fs::read_to_string(folder.join("pre-seal-t0106.key")).unwrap();
    let json = std::fs::read_to_string(folder.join("pre-seal-t0106.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let key = lotus_import(&export).unwrap();
    assert_eq!(key.key_type(), KeyType::Bls);
    assert_eq!(key.address(), parse(text(&json["t0106"], "Owner")).unwrap());
    assert_eq!(lotus_export(&key).as_str(), export.trim());
}

#[test]
fn keys_of_all_kinds_survive_export_and_sign_alike() {
    for kind in KeyType::ALL {
        let key = SecretKey::generate(kind).unwrap();
        let other = SecretKey::generate(kind).unwrap();
        assert_ne!(key.address(), other.address());
        let back = lotus_import(&format!(" {}\n", lotus_export(&key).as_str())).unwrap();
        assert_eq!((back.key_type(), back.address()), (kind, key.address()));
        assert_eq!(back.public_key(), key.public_key());
        assert_eq!(*back.to_lotus_bytes(), *key.to_lotus_bytes());
        let signature = key.sign(b"payload");
        assert_eq!(signature, back.sign(b"payload"));
        assert_eq!(signature.kind, kind.signature_kind());
        verify(&signature, &key.address(), b"payload").unwrap();
        assert!(verify(&signature, &key.address(), b"Payload").is_err());
        assert!(verify(&signature, &other.address(), b"payload").is_err());
    }
}

#[test]
fn a_signature_is_refused_for_an_address_of_another_protocol() {
    let keys = KeyType::ALL.map(|kind| SecretKey::generate(kind).unwrap());
    let id = parse("f0100").unwrap();
    let actor = parse("f24vg6ut43yw2h2jqydgbg2xq7x6f4kub3bg6as6i").unwrap();
    let robust = keys.iter().map(SecretKey::address).chain([id, actor]);
    for address in robust {
        for key in keys.iter().filter(|key| key.address() != address) {
            let outcome = verify(&key.sign(b"x"), &address, b"x");
            assert!(matches!(outcome, Err(VerifyError::Protocol { .. })), "{outcome:?}");
        }
    }
}

#[test]
fn a_signature_of_a_wrong_length_is_refused() {
    for kind in KeyType::ALL {
        let key = SecretKey::generate(kind).unwrap();
        let good = key.sign(b"x");
        for length in [0, 1, good.bytes.len() - 1, good.bytes.len() + 1, 199] {
            let mut bytes = good.bytes.clone();
            bytes.resize(length, 0);
            let outcome = verify(&Signature { kind: good.kind, bytes }, &key.address(), b"x");
            assert!(matches!(outcome, Err(VerifyError::Length { .. })), "{length}: {outcome:?}");
        }
    }
}

#[test]
fn numbers_out_of_range_are_no_keys() {
    let order = |text: &str| hex::decode(text).unwrap();
    for (kind, order) in [
        (KeyType::Bls, order(BLS_ORDER)),
        (KeyType::Secp256k1, order(SECP_ORDER)),
        (KeyType::Delegated, order(SECP_ORDER)),
    ] {
        for bytes in [vec![0u8; 32], order.clone(), vec![0xff; 32]] {
            let refused = SecretKey::from_lotus_bytes(kind, &bytes).unwrap_err();
            assert_eq!(refused, KeyError::Range(kind));
        }
        // One below the order is the largest key.
        let mut largest = order;
        let last = if kind == KeyType::Bls { 0 } else { 31 };
        largest[last] -= 1;
        if kind == KeyType::Bls {
            assert_eq!(largest[0], 0);
        }
        SecretKey::from_lotus_bytes(kind, &largest).unwrap();
        for length in [0, 31, 33] {
            let refused = SecretKey::from_lotus_bytes(kind, &vec![1; length]).unwrap_err();
            assert_eq!(refused, KeyError::Length(length));
        }
    }
}

fn import(json: &str) -> Result<SecretKey, KeyError> {
    lotus_import(&hex::encode(json))
}

#[test]
fn broken_exports_say_which_layer_is_broken() {
    let secret = "PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0=";
    let good = format!(r#"{{"Type":"secp256k1","PrivateKey":"{secret}"}}"#);
    let key = import(&good).unwrap();
    // Early versions stored the number of the signature kind.
    let old = import(&good.replace(r#""secp256k1""#, "1")).unwrap();
    assert_eq!(old.address(), key.address());
    assert_eq!(lotus_import("zz").unwrap_err(), KeyError::Hex);
    assert_eq!(lotus_import("7").unwrap_err(), KeyError::Hex);
    assert_eq!(import("{}").unwrap_err(), KeyError::Json);
    assert_eq!(import("").unwrap_err(), KeyError::Json);
    for word in [r#""secp256k1-ledger""#, r#""BLS""#, "7"] {
        let refused = import(&good.replace(r#""secp256k1""#, word)).unwrap_err();
        assert_eq!(refused, KeyError::Type(word.trim_matches('"').to_owned()));
    }
    let swapped = import(&good.replace("secp256k1", secret)).unwrap_err().to_string();
    assert!(!swapped.contains(&secret[..20]), "{swapped}");
    assert_eq!(import(&good.replace("PT09", "PT.9")).unwrap_err(), KeyError::Base64);
    assert_eq!(import(&good.replace("PT09PT0=", "PT0=")).unwrap_err(), KeyError::Length(29));
}

#[test]
fn debug_shows_no_secret() {
    for kind in KeyType::ALL {
        let key = SecretKey::generate(kind).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(&format(&key.address(), Network::Mainnet)), "{shown}");
        assert!(!shown.contains(&hex::encode(key.to_lotus_bytes().as_slice())));
        assert!(!shown.to_lowercase().contains("secret:"), "{shown}");
    }
}

#[test]
fn encoded_signatures_are_bounded_and_of_a_known_kind() {
    for kind in SignatureKind::ALL {
        let signature = Signature { kind, bytes: vec![7; 65] };
        assert_eq!(Signature::from_bytes(&signature.to_bytes()).unwrap(), signature);
        let cbor = fvm_ipld_encoding::to_vec(&signature).unwrap();
        assert_eq!(cbor[..3], [0x58, 66, kind.code()]);
        assert_eq!(fvm_ipld_encoding::from_slice::<Signature>(&cbor).unwrap(), signature);
    }
    assert_eq!(Signature::from_bytes(&[]), Err(SignatureError::Empty));
    assert_eq!(Signature::from_bytes(&[0, 1]), Err(SignatureError::Kind(0)));
    assert_eq!(Signature::from_bytes(&[4, 1]), Err(SignatureError::Kind(4)));
    assert!(Signature::from_bytes(&[1; 200]).is_ok());
    assert_eq!(Signature::from_bytes(&[1; 201]), Err(SignatureError::Oversize(201)));
    assert!(fvm_ipld_encoding::from_slice::<Signature>(&[0x40]).is_err());
    // An array of numbers is not a byte string.
    assert!(fvm_ipld_encoding::from_slice::<Signature>(&[0x82, 1, 1]).is_err());
}
