//! Keys, signatures and the password, in Lotus's and Venus's shapes.

use hesper_chain::json::LotusJson;
use hesper_chain::signature::{Signature, SignatureKind, message_payload, verify};
use hesper_chain::{Message, SignedMessage};
use hesper_jsonrpc::code;
use serde_json::{Value, json};

use sha2::{Digest, Sha256};

use super::super::METHODS;
use super::super::records::LOOK_BACK;
use super::{Fixture, PASSWORD, base64};
use crate::signlog::Decision;
use crate::{Caller, ObjectType, Order, RefusalKind, SignRequest};

/// A Lotus KeyInfo for a key of bytes 1.
fn key_info(key_type: Value) -> Value {
    json!({"Type": key_type, "PrivateKey": base64(&[1; 32])})
}

fn message(from: &str) -> Value {
    json!({
        "Version": 0, "To": "f01000", "From": from, "Nonce": 7, "Value": "1000",
        "GasLimit": 1_000_000, "GasFeeCap": "100", "GasPremium": "10", "Method": 0, "Params": null,
        "CID": {"/": "bafy2bzacebbpdegvr3i4cosewthysg5xkxpqfn2wfcz6mv2hmoktwbdxkax4s"},
    })
}

#[test]
fn every_method_of_the_interfaces_is_in_the_table_once() {
    let lotus = [
        "WalletNew",
        "WalletHas",
        "WalletList",
        "WalletSign",
        "WalletSignMessage",
        "WalletExport",
        "WalletImport",
        "WalletDelete",
        "WalletDefaultAddress",
        "WalletSetDefault",
        "WalletValidateAddress",
        "WalletVerify",
        "AuthVerify",
        "AuthNew",
    ];
    let venus = [
        "SetPassword",
        "Unlock",
        "Lock",
        "LockState",
        "VerifyPassword",
        "AddSupportAccount",
        "AddNewAddress",
        "LogList",
        "LogSetLevel",
        "ListSignedRecord",
    ];
    for name in lotus.iter().chain(&venus) {
        let name = format!("Filecoin.{name}");
        assert_eq!(METHODS.iter().filter(|method| method.name == name).count(), 1, "{name}");
    }
    for method in METHODS {
        assert!(!method.about.is_empty() && method.params.0 <= method.params.1);
        assert_eq!(METHODS.iter().filter(|other| other.name == method.name).count(), 1);
        assert_eq!(method.is_local, method.name.starts_with("Hesper."));
    }
}

#[tokio::test]
async fn keys_of_all_types_are_made_listed_and_deleted() {
    let fixture = Fixture::new().await;
    for (key_type, prefix) in [
        (json!("bls"), "f3"),
        (json!("secp256k1"), "f1"),
        (json!("delegated"), "f410f"),
        (json!(1), "f1"),
        (json!(2), "f3"),
        (json!(3), "f410f"),
    ] {
        let made = fixture.local("Filecoin.WalletNew", json!([key_type])).await.unwrap();
        assert!(made.as_str().unwrap().starts_with(prefix), "{made} for {key_type}");
        assert_eq!(fixture.local("Filecoin.WalletHas", json!([made])).await.unwrap(), true);
        let list = fixture.local("Filecoin.WalletList", json!([])).await.unwrap();
        assert_eq!(list, json!([made]));
        assert_eq!(fixture.local("Filecoin.WalletDefaultAddress", json!([])).await.unwrap(), made);
        fixture.local("Filecoin.WalletDelete", json!([made])).await.unwrap();
        assert_eq!(fixture.local("Filecoin.WalletHas", json!([made])).await.unwrap(), false);
        let none = fixture.local("Filecoin.WalletDefaultAddress", json!([])).await.unwrap_err();
        assert!(none.message.contains("no default address"));
    }
    for bad in [json!("ed25519"), json!(4), json!(null), json!(-1)] {
        let error = fixture.local("Filecoin.WalletNew", json!([bad])).await.unwrap_err();
        assert_eq!(error.code, code::INVALID_PARAMS);
    }
}

#[tokio::test]
async fn a_key_goes_in_and_out_in_lotus_form_and_out_only_with_a_rule() {
    let fixture = Fixture::new().await;
    let params = json!([key_info(json!("secp256k1"))]);
    let address = fixture.local("Filecoin.WalletImport", params.clone()).await.unwrap();
    // Old Lotus and Venus write the type as a number; the key is the same.
    let again = fixture.local("Filecoin.WalletImport", json!([key_info(json!(1))])).await;
    assert!(again.unwrap_err().message.contains(address.as_str().unwrap()));
    let refused = fixture.local("Filecoin.WalletExport", json!([address])).await.unwrap_err();
    assert_eq!(refused.data, Some(json!({"kind": "policy"})));
    fixture.policy(&format!(
        "[[rule]]\nid = \"backup\"\nkeys = [{address}]\nobjects = [\"export\"]\n"
    ));
    let info = fixture.local("Filecoin.WalletExport", json!([address])).await.unwrap();
    assert_eq!(info, params[0]);
    let text = fixture.local("Hesper.WalletExportHex", json!([address])).await.unwrap();
    fixture.local("Filecoin.WalletDelete", json!([address])).await.unwrap();
    let back = fixture.local("Hesper.WalletImportHex", json!([text])).await.unwrap();
    assert_eq!(back, address);
}

#[tokio::test]
async fn a_bad_key_is_refused_without_being_shown() {
    let fixture = Fixture::new().await;
    for info in [
        json!({"Type": "secp256k1", "PrivateKey": base64(&[0; 32])}),
        json!({"Type": "secp256k1", "PrivateKey": base64(&[7; 31])}),
        json!({"Type": "secp256k1", "PrivateKey": "c2VjcmV0!"}),
        json!({"Type": "nothing", "PrivateKey": base64(&[7; 32])}),
        json!({"PrivateKey": base64(&[7; 32])}),
        json!("c2VjcmV0"),
    ] {
        let error = fixture.local("Filecoin.WalletImport", json!([info])).await.unwrap_err();
        assert_eq!(error.code, code::INVALID_PARAMS, "for {info}");
        assert!(!error.message.contains("c2Vj") && !error.message.contains("BwcH"));
    }
}

#[tokio::test]
async fn a_message_is_signed_in_both_forms_by_each_kind_of_key() {
    let fixture = Fixture::new().await;
    for key_type in ["bls", "secp256k1", "delegated"] {
        let from = fixture.key(key_type).await;
        let mut shown = message(&from);
        if key_type == "delegated" {
            // An Ethereum transaction to an f0 actor has no form, so it goes to an f410 address.
            shown["To"] = json!(from);
            shown["Method"] = json!(3_844_450_837_u64);
        }
        let signed =
            fixture.local("Filecoin.WalletSignMessage", json!([from, shown])).await.unwrap();
        let signed_message = SignedMessage::from_lotus_json(&signed).unwrap();
        let signer = hesper_chain::address::parse(&from).unwrap();
        let kind = SignatureKind::of_protocol(signer.protocol()).unwrap();
        let payload = message_payload(&signed_message.message, kind, 314).unwrap();
        verify(&signed_message.signature, &signer, &payload).unwrap();
        assert_eq!(signed["Message"]["Nonce"], 7);

        // Venus's form: the bytes to sign, and the message as CBOR beside them.
        let plain = Message::from_lotus_json(&shown).unwrap();
        let extra = hesper_chain::message::encode(&plain).unwrap();
        let meta = json!({"Type": "message", "Extra": base64(&extra)});
        let params = json!([from, base64(&payload), meta]);
        let value = fixture.local("Filecoin.WalletSign", params).await.unwrap();
        assert_eq!(value["Type"], json!(kind.code()));
        let signature = Signature::from_lotus_json(&value).unwrap();
        verify(&signature, &signer, &payload).unwrap();
        let params = json!([from, base64(&payload), value]);
        assert_eq!(fixture.local("Filecoin.WalletVerify", params).await.unwrap(), true);
        let params = json!([from, base64(b"other"), value]);
        assert_eq!(fixture.local("Filecoin.WalletVerify", params).await.unwrap(), false);

        // One byte of the digest changed: refused.
        let mut other = payload.clone();
        *other.last_mut().unwrap() ^= 1;
        let meta = json!({"Type": "message", "Extra": base64(&extra)});
        let refused =
            fixture.local("Filecoin.WalletSign", json!([from, base64(&other), meta])).await;
        assert_eq!(refused.unwrap_err().data, Some(json!({"kind": "mismatch"})));
    }
}

#[tokio::test]
async fn lotus_form_without_type_is_unknown_and_refused() {
    let fixture = Fixture::new().await;
    let key = fixture.key("secp256k1").await;
    for params in [
        json!([key, base64(b"anything")]),
        json!([key, base64(b"anything"), null]),
        json!([key, base64(b"anything"), {"Type": "", "Extra": null}]),
        json!([key, base64(b"anything"), {"Type": "unknown", "Extra": null}]),
    ] {
        let error = fixture.local("Filecoin.WalletSign", params).await.unwrap_err();
        assert_eq!(error.code, code::APPLICATION);
    }
    let records = fixture.local("Filecoin.ListSignedRecord", json!([])).await.unwrap();
    assert_eq!(records.as_array().unwrap().len(), 4, "each refusal is in the log");
    assert_eq!(records[0]["Type"], "unknown");
    let params = json!([key, base64(b"a"), {"Type": "nonsense"}]);
    let error = fixture.local("Filecoin.WalletSign", params).await.unwrap_err();
    assert_eq!(error.code, code::INVALID_PARAMS);
}

#[tokio::test]
async fn the_password_locks_and_unlocks() {
    let fixture = Fixture::locked();
    assert_eq!(fixture.local("Filecoin.LockState", json!([])).await.unwrap(), true);
    assert!(fixture.local("Filecoin.WalletNew", json!(["bls"])).await.is_err());
    fixture.local("Filecoin.SetPassword", json!([PASSWORD])).await.unwrap();
    assert!(fixture.local("Filecoin.SetPassword", json!(["again"])).await.is_err());
    let key = fixture.key("bls").await;
    assert!(fixture.local("Filecoin.Lock", json!(["wrong"])).await.is_err());
    assert_eq!(fixture.local("Filecoin.LockState", json!([])).await.unwrap(), false);
    fixture.local("Filecoin.Lock", json!([PASSWORD])).await.unwrap();
    let error = fixture.local("Filecoin.WalletSignMessage", json!([key, message(&key)])).await;
    assert_eq!(error.unwrap_err().data, Some(json!({"kind": "locked"})));
    let error = fixture.local("Filecoin.Unlock", json!(["wrong too"])).await.unwrap_err();
    assert!(!error.message.contains("wrong too"));
    assert_eq!(fixture.local("Filecoin.LockState", json!([])).await.unwrap(), true);
}

#[tokio::test]
async fn addresses_are_judged_by_prefix_and_checksum() {
    let fixture = Fixture::new().await;
    let key = fixture.key("secp256k1").await;
    let valid = fixture.local("Filecoin.WalletValidateAddress", json!([key])).await.unwrap();
    assert_eq!(valid, json!(key));
    let other_network = key.replacen('f', "t", 1);
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    let broken = format!("{}{last}", &key[..key.len() - 1]);
    for bad in [json!(other_network), json!(broken), json!("f9abc"), json!(""), json!(7)] {
        let error =
            fixture.local("Filecoin.WalletValidateAddress", json!([bad])).await.unwrap_err();
        assert_eq!(error.code, code::INVALID_PARAMS, "for {bad}");
    }
}

#[tokio::test]
async fn wrong_counts_of_parameters_are_refused_as_go_does() {
    let fixture = Fixture::new().await;
    let error = fixture.local("Filecoin.WalletHas", json!([])).await.unwrap_err();
    assert_eq!(error.code, code::INVALID_PARAMS);
    assert_eq!(error.message, "wrong param count (method 'Filecoin.WalletHas'): 0 != 1");
    let error = fixture.local("Filecoin.WalletNothing", json!([])).await.unwrap_err();
    assert_eq!(error.code, code::METHOD_NOT_FOUND);
}

#[tokio::test]
async fn the_log_shows_what_was_signed_and_refused() {
    let fixture = Fixture::new().await;
    let key = fixture.key("bls").await;
    fixture.local("Filecoin.WalletSignMessage", json!([key, message(&key)])).await.unwrap();
    let query = json!([{"Type": "message", "Signer": key, "After": "0001-01-01T00:00:00Z"}]);
    let records = fixture.local("Filecoin.ListSignedRecord", query).await.unwrap();
    assert_eq!(records.as_array().unwrap().len(), 1);
    assert_eq!(records[0]["Err"], Value::Null);
    let late = json!([{"After": "2200-01-01T00:00:00Z"}]);
    assert_eq!(fixture.local("Filecoin.ListSignedRecord", late).await.unwrap(), json!([]));
    let bad = fixture.local("Filecoin.ListSignedRecord", json!([{"After": "soon"}])).await;
    assert_eq!(bad.unwrap_err().code, code::INVALID_PARAMS);
    let summary = fixture.local("Hesper.LogVerify", json!([])).await.unwrap();
    let tail = fixture.local("Hesper.LogTail", json!([])).await.unwrap();
    assert_eq!(summary["records"], json!(tail.as_array().unwrap().len()));
    let listed = fixture.local("Hesper.LogList", json!([{"From": 1, "Limit": 1}])).await.unwrap();
    assert_eq!(listed[0], tail[0]);
}

#[tokio::test]
async fn a_policy_is_explained_and_reloaded_only_if_good() {
    let fixture = Fixture::new().await;
    let key = fixture.key("bls").await;
    let plain = Message::from_lotus_json(&message(&key)).unwrap();
    let question = json!([{
        "Signer": key,
        "Type": "message",
        "ToSign": base64(&message_payload(&plain, SignatureKind::Bls, 314).unwrap()),
        "Extra": base64(&hesper_chain::message::encode(&plain).unwrap()),
    }]);
    let explained = fixture.local("Hesper.PolicyExplain", question.clone()).await.unwrap();
    assert_eq!(explained["allowed"], true);
    let file = fixture.dir.join("policy.toml");
    std::fs::write(
        &file,
        format!("[[rule]]\nid = \"no\"\nkeys = [\"{key}\"]\nobjects = [\"block\"]\n"),
    )
    .unwrap();
    fixture.local("Hesper.PolicyReload", json!([])).await.unwrap();
    let explained = fixture.local("Hesper.PolicyExplain", question.clone()).await.unwrap();
    assert_eq!(explained["allowed"], false);
    std::fs::write(&file, "[[rule]]\nnonsense = 1\n").unwrap();
    let error = fixture.local("Hesper.PolicyReload", json!([])).await.unwrap_err();
    assert!(error.message.contains("policy.toml"));
    let explained = fixture.local("Hesper.PolicyExplain", question).await.unwrap();
    assert_eq!(explained["allowed"], false, "the policy in force stays");
}

#[tokio::test]
async fn a_reload_of_the_policy_is_recorded_with_the_hash_of_its_text() {
    let fixture = Fixture::new().await;
    let file = fixture.dir.join("policy.toml");
    let text = "keys_without_rules = \"deny\"\n";
    std::fs::write(&file, text).unwrap();
    fixture.local("Hesper.PolicyReload", json!([])).await.unwrap();
    let newest = fixture.wallet.log().tail(1).unwrap().pop().unwrap();
    assert_eq!(newest.record.object, "set-policy");
    assert_eq!(newest.record.decision, Decision::Done);
    assert_eq!(newest.record.caller, "local:0");
    let sha256 = hex::encode(Sha256::digest(text));
    assert_eq!(newest.record.shown, json!({"sha256": sha256, "rules": 0, "groups": 0}));
    // A bad file puts nothing into force, and no record says that it did.
    std::fs::write(&file, "nonsense = 1\n").unwrap();
    fixture.local("Hesper.PolicyReload", json!([])).await.unwrap_err();
    assert_eq!(fixture.wallet.log().tail(1).unwrap().pop().unwrap(), newest);
    // Signatures only are Venus's records.
    assert_eq!(fixture.local("Filecoin.ListSignedRecord", json!([])).await.unwrap(), json!([]));
}

#[tokio::test]
async fn orders_are_forgotten_over_the_socket_alone() {
    let fixture = Fixture::new().await;
    let key = fixture.key("secp256k1").await;
    let admin = fixture.token("admin", Value::Null).await;
    let params = json!([key]);
    let error = fixture.with(&admin, "Hesper.ForgetOrders", params.clone()).await.unwrap_err();
    assert_eq!(error.code, code::METHOD_NOT_FOUND);
    let order = |intent| Some(Order { generation: 1, intent, deadline_ms: u64::MAX });
    let signer = hesper_chain::address::parse(&key).unwrap();
    let plain = Message::from_lotus_json(&message(&key)).unwrap();
    let request = |order| SignRequest {
        signer,
        object_type: ObjectType::Message,
        to_sign: message_payload(&plain, SignatureKind::Secp256k1, 314).unwrap(),
        extra: hesper_chain::message::encode(&plain).unwrap(),
        caller: Caller::local(),
        order,
    };
    fixture.wallet.sign(&request(order(u64::MAX))).unwrap();
    let stale = fixture.wallet.sign(&request(order(7))).unwrap_err();
    assert_eq!(stale.kind, RefusalKind::Stale);
    assert_eq!(fixture.local("Hesper.ForgetOrders", params).await.unwrap(), Value::Null);
    fixture.wallet.sign(&request(order(7))).unwrap();
    for bad in [json!(["f01"]), json!(["nonsense"]), json!([])] {
        fixture.local("Hesper.ForgetOrders", bad).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_list_of_signed_records_looks_at_the_newest_only() {
    let fixture = Fixture::new().await;
    let key = fixture.key("secp256k1").await;
    let meta = json!({"Type": "unknown"});
    // A refusal, and then more records of others than the list looks at.
    let refused = fixture.local("Filecoin.WalletSign", json!([key, base64(b"first"), meta]));
    refused.await.unwrap_err();
    let all = json!([{"Signer": key}]);
    let found = fixture.local("Filecoin.ListSignedRecord", all.clone()).await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    let mut filler = fixture.wallet.log().tail(1).unwrap().pop().unwrap().record;
    filler.key = "f01000".to_owned();
    // Many at once share an fsync.
    let threads = 64;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..LOOK_BACK.div_ceil(threads) {
                    fixture.wallet.log().append(&filler).unwrap();
                }
            });
        }
    });
    let found = fixture.local("Filecoin.ListSignedRecord", all).await.unwrap();
    assert_eq!(found, json!([]));
    let newest = fixture.local("Filecoin.ListSignedRecord", json!([{"Limit": 1}])).await.unwrap();
    assert_eq!(newest[0]["Signer"], "f01000");
    let old = fixture.local("Hesper.LogList", json!([{"Key": key, "Limit": 100}])).await.unwrap();
    assert!(old.as_array().unwrap().iter().any(|entry| entry["record"]["object"] == "unknown"));
}

#[tokio::test]
async fn what_the_wallet_does_not_do_says_so() {
    let fixture = Fixture::new().await;
    let key = fixture.key("bls").await;
    assert_eq!(fixture.local("Filecoin.AddNewAddress", json!([[key]])).await.unwrap(), Value::Null);
    let error = fixture.local("Filecoin.AddNewAddress", json!([["f01"]])).await.unwrap_err();
    assert!(error.message.contains("f01"));
    let error = fixture.local("Filecoin.AddSupportAccount", json!(["alice"])).await.unwrap_err();
    assert!(error.message.contains("hesper auth signer"));
    let error = fixture.local("Filecoin.LogSetLevel", json!(["*", "debug"])).await.unwrap_err();
    assert!(error.message.contains("restart"));
    let error = fixture.local("Filecoin.LogSetLevel", json!(["*", "loud"])).await.unwrap_err();
    assert_eq!(error.code, code::INVALID_PARAMS);
    let types = fixture.local("Hesper.ObjectTypes", json!([])).await.unwrap();
    assert_eq!(types.as_array().unwrap().len(), 13);
}
