//! Zondax/filecoin-signing-tools: what concerns structure; signatures are checked elsewhere.

use hesper_chain::json::LotusJson;
use hesper_chain::{Message, SignedMessage, cbor, message};

use crate::support::{text, vector, vectors};

/// What this file checks, and why it leaves the rest of the folder out.
const FILES: [(&str, &str); 10] = [
    ("get_cid.json", "checked here"),
    ("multisig.json", "checked here: the four messages; the parameters belong to chain/actors"),
    ("bls_signature.json", "checked here: the message; the signature belongs to tests/signing"),
    ("signed_message.json", "left out: signatures belong to tests/signing"),
    ("verify_signature.json", "left out: signatures belong to tests/signing"),
    ("bls_wallet.json", "left out: keys belong to tests/signing"),
    ("wallet.json", "left out: keys belong to tests/signing"),
    ("mnemonics.json", "left out: the wallet has no mnemonics"),
    ("serialize_params.json", "left out: actor parameters belong to chain/actors"),
    ("deserialize_params.json", "left out: actor parameters belong to chain/actors"),
];

#[test]
fn every_file_is_checked_or_left_out_by_name() {
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

#[test]
fn a_signed_message_has_the_vectors_cid() {
    let Some(case) = vector("signing/get_cid.json") else { return };
    let signed = SignedMessage::from_lotus_json(&case["signed_message"]).unwrap();
    assert_eq!(signed.cid().unwrap().to_string(), text(&case, "cid"));
    assert_ne!(signed.cid().unwrap(), message::cid(&signed.message).unwrap());
}

#[test]
fn multisig_messages_have_the_vectors_bytes() {
    let Some(cases) = vector("signing/multisig.json") else { return };
    let cases = cases.as_object().unwrap();
    assert_eq!(cases.len(), 4);
    for (name, case) in cases {
        let parsed = Message::from_lotus_json(&case["message"]).unwrap();
        let bytes = hex::decode(text(case, "cbor")).unwrap();
        assert_eq!(message::encode(&parsed).unwrap(), bytes, "{name}");
        assert_eq!(message::decode(&bytes).unwrap(), parsed, "{name}");
        cbor::validate(parsed.params.bytes()).unwrap();
    }
}

#[test]
fn a_signers_message_decodes_to_itself() {
    let Some(case) = vector("signing/bls_signature.json") else { return };
    let bytes = hex::decode(text(&case, "cbor")).unwrap();
    let parsed = message::decode(&bytes).unwrap();
    assert_eq!(message::encode(&parsed).unwrap(), bytes);
    let again = Message::from_lotus_json(&parsed.to_lotus_json()).unwrap();
    assert_eq!(again, parsed);
}
