//! One wallet, several tenants: a group's token sees and touches that group's keys only.

use serde_json::{Value, json};

use super::{Fixture, base64, unbase64};

async fn two_tenants() -> (Fixture, String, String) {
    let fixture = Fixture::new().await;
    let (a, b) = (fixture.key("bls").await, fixture.key("secp256k1").await);
    fixture.policy(&format!(
        "[[group]]\nname = \"a\"\nkeys = [\"{a}\"]\n[[group]]\nname = \"b\"\nkeys = [\"{b}\"]\n"
    ));
    (fixture, a, b)
}

#[tokio::test]
async fn a_token_of_a_group_sees_its_keys_only() {
    let (fixture, a, b) = two_tenants().await;
    let token = fixture.token("sign", json!("a")).await;
    let list = fixture.with(&token, "Filecoin.WalletList", json!([])).await.unwrap();
    assert_eq!(list, json!([a]));
    for (key, expected) in [(&a, true), (&b, false)] {
        let has = fixture.with(&token, "Filecoin.WalletHas", json!([key])).await.unwrap();
        assert_eq!(has, json!(expected));
    }
    let both = fixture.token("read", json!(["a", "b"])).await;
    let list = fixture.with(&both, "Filecoin.WalletList", json!([])).await.unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let nobody = fixture.token("read", json!("none")).await;
    let list = fixture.with(&nobody, "Filecoin.WalletList", json!([])).await.unwrap();
    assert_eq!(list, json!([]));
}

#[tokio::test]
async fn a_token_of_a_group_signs_with_no_other_key() {
    let (fixture, _, b) = two_tenants().await;
    let token = fixture.token("sign", json!("a")).await;
    let meta = json!({"Type": "f3", "Extra": null});
    let payload = base64(b"GPBFT:filecoin:a payload of some length, for any key");
    let refused = fixture.with(&token, "Filecoin.WalletSign", json!([b, payload, meta])).await;
    assert!(refused.is_err());
    let records = fixture.with(&token, "Filecoin.ListSignedRecord", json!([{}])).await.unwrap();
    assert_eq!(records, json!([]), "records of other tenants are not shown");
    let all = fixture.local("Filecoin.ListSignedRecord", json!([{"IsError": true}])).await.unwrap();
    assert_eq!(all[0]["Signer"], json!(b));
    assert!(all[0]["Err"].is_string());
}

#[tokio::test]
async fn an_admin_of_a_group_makes_no_wider_token_and_touches_no_whole() {
    let (fixture, a, _) = two_tenants().await;
    let admin = fixture.token("admin", json!("a")).await;
    let bytes = fixture.with(&admin, "Filecoin.AuthNew", json!([["admin"]])).await.unwrap();
    let child = String::from_utf8(unbase64(&bytes)).unwrap();
    let list = fixture.with(&child, "Filecoin.WalletList", json!([])).await.unwrap();
    assert_eq!(list, json!([a]));
    for (method, params) in [
        ("Filecoin.Lock", json!([])),
        ("Filecoin.SetPassword", json!(["x"])),
        ("Filecoin.LogSetLevel", json!(["*", "trace"])),
    ] {
        let error = fixture.with(&admin, method, params).await.unwrap_err();
        assert!(error.message.contains("whole wallet"), "{method}: {}", error.message);
    }
    assert_eq!(fixture.local("Filecoin.LockState", json!([])).await.unwrap(), Value::Bool(false));
}
