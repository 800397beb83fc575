use super::*;
use crate::signature::Signature;
use crate::{Message, SignedMessage};

fn message() -> Value {
    json!({
        "Version": 0,
        "To": "f01234",
        "From": "t01",
        "Nonce": 7,
        "Value": "100",
        "GasLimit": 9,
        "GasFeeCap": "2",
        "GasPremium": "1",
        "Method": 16,
        "Params": "gUA=",
    })
}

/// The error of a message with one field replaced, all causes in one line.
fn refusal(field: &str, value: Value) -> String {
    let mut json = message();
    json[field] = value;
    let error = Message::from_lotus_json(&json).unwrap_err();
    let mut line = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

#[test]
fn a_message_reads_and_writes_with_either_prefix() {
    let read = Message::from_lotus_json(&message()).unwrap();
    let shown = read.to_lotus_json_on(Network::Testnet);
    assert_eq!((&shown["To"], &shown["From"]), (&json!("t01234"), &json!("t01")));
    assert_eq!(shown["CID"], crate::message::cid(&read).unwrap().to_lotus_json());
    assert_eq!(Message::from_lotus_json(&shown).unwrap(), read);
}

#[test]
fn absent_numbers_are_zero_but_absent_addresses_are_refused() {
    let bare = json!({ "To": "f01", "From": "f02" });
    let read = Message::from_lotus_json(&bare).unwrap();
    assert_eq!((read.sequence, read.method_num, read.params.len()), (0, 0, 0));
    let error = Message::from_lotus_json(&json!({ "To": "f01" })).unwrap_err();
    assert_eq!(error.to_string(), "the field From of a Message is missing");
    assert!(Message::from_lotus_json(&json!([])).is_err());
}

#[test]
fn a_cid_from_outside_is_not_believed() {
    let mut json = message();
    json["CID"] = crate::cid::of_cbor(b"another").to_lotus_json();
    let read = Message::from_lotus_json(&json).unwrap();
    assert_ne!(read.to_lotus_json()["CID"], json["CID"]);
}

#[test]
fn wrong_fields_are_refused_and_named() {
    assert!(refusal("Nonce", json!(-1)).starts_with("the field Nonce of a Message was refused"));
    assert!(refusal("Nonce", json!(1.5)).contains("number"));
    assert!(refusal("Nonce", json!("1")).contains("number"));
    assert!(refusal("GasLimit", json!(-1)).contains("GasLimit"));
    assert!(refusal("GasLimit", json!(1_u64 << 63)).contains("GasLimit"));
    assert!(refusal("Value", json!(100)).contains("decimal string"));
    assert!(refusal("Value", json!("")).contains("amount"));
    assert!(refusal("Value", json!("9".repeat(310))).contains("128 are allowed"));
    assert!(refusal("To", json!("f0007")).contains("canonical"));
    assert!(refusal("To", Value::Null).contains("address"));
    for base64 in ["gUA", "gUB=", "gU A=", "g-A="] {
        assert!(refusal("Params", json!(base64)).contains("base64"), "{base64}");
    }
}

#[test]
fn a_link_is_an_object_with_one_text() {
    let cid = crate::cid::of_cbor(b"x");
    assert_eq!(Cid::from_lotus_json(&json!({ "/": cid.to_string() })).unwrap(), cid);
    for json in [
        json!(cid.to_string()),
        json!({ "/": 1 }),
        json!({ "/": "x" }),
        json!({}),
        json!({
            "/": cid.to_string(), "more": 1
        }),
    ] {
        assert!(Cid::from_lotus_json(&json).is_err(), "{json}");
    }
}

#[test]
fn signatures_of_unknown_kind_or_length_are_refused() {
    for kind in [0, 4, 257] {
        let json = json!({ "Type": kind, "Data": "AA==" });
        assert!(matches!(Signature::from_lotus_json(&json), Err(JsonError::SignatureKind(_))));
    }
    let read = |length: usize| {
        Signature::from_lotus_json(&json!({ "Type": 1, "Data": bytes_to_json(&vec![0; length]) }))
    };
    assert!(read(199).is_ok());
    assert!(matches!(read(200), Err(JsonError::Bytes { .. })));
    let signed = json!({ "Message": message(), "Signature": { "Type": 1, "Data": "AA==" } });
    let read = SignedMessage::from_lotus_json(&signed).unwrap();
    assert_eq!(SignedMessage::from_lotus_json(&read.to_lotus_json()).unwrap(), read);
}

#[test]
fn lists_name_the_item_that_was_refused() {
    assert_eq!(Vec::<Cid>::from_lotus_json(&Value::Null).unwrap(), []);
    let error = Vec::<Address>::from_lotus_json(&json!(["f01", "f0x"])).unwrap_err();
    assert_eq!(error.to_string(), "item 1 of a list was refused");
    assert!(Vec::<Address>::from_lotus_json(&json!({})).is_err());
    assert_eq!(Option::<Address>::from_lotus_json(&Value::Null).unwrap(), None);
}
