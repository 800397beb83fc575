//! Messages and parameters that others made: `venus/parsed_messages.json` (24 messages of the main
//! network) and the files of filecoin-signing-tools.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hesper_actors::{Actor, decode_params, decode_return, encode_params};
use serde_json::{Value, json};

/// The file, or `None` where the folder of vectors is not there (a failure in CI).
fn vectors(file: &str) -> Option<Value> {
    let folder = std::env::var_os("HESPER_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let path = folder.join(file);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).expect("the vectors are JSON")),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{}: {error}", path.display());
            eprintln!("skipped: {} is not there ({error})", path.display());
            None
        }
    }
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field].as_str().unwrap_or_default()
}

/// Go prints an empty slice as null, as `""` or as `[]`, whichever it was made from.
fn same(ours: &Value, theirs: &Value) -> bool {
    let empty = |value: &Value| {
        value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty)
    };
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, value)| theirs.get(key).is_some_and(|t| same(value, t)))
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(o, t)| same(o, t))
        }
        _ => ours == theirs || (empty(ours) && empty(theirs)),
    }
}

/// Which actor a message of the file goes to; the file names methods alone.
fn actor(entry: &Value) -> Option<Actor> {
    match text(entry, "to") {
        "f01" => Some(Actor::Init),
        "f04" => Some(Actor::Power),
        "f05" => Some(Actor::Market),
        "f06" => Some(Actor::VerifiedRegistry),
        _ => match text(entry, "name") {
            "Approve" | "Propose" => Some(Actor::Multisig),
            "transfer" | "not-exist-method" => None,
            _ => Some(Actor::Miner),
        },
    }
}

#[test]
fn messages_of_the_main_network_decode_as_venus_decodes_them() {
    let Some(messages) = vectors("venus/parsed_messages.json") else { return };
    let messages = messages.as_array().expect("an array");
    let mut checked = 0;
    for entry in messages {
        let name = text(entry, "name");
        let Some(actor) = actor(entry) else {
            // A transfer (method 0) and a call of a method that does not exist: no parameters.
            assert_eq!(text(entry, "params"), "", "{name}");
            continue;
        };
        let number = entry["method"].as_u64().expect("a number");
        let bytes = BASE64.decode(text(entry, "params")).expect("base64");
        let ours = decode_params(actor, number, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        let theirs: Value = match text(entry, "args") {
            "" | "{}" => Value::Null,
            args => serde_json::from_str(args).expect("args are JSON"),
        };
        assert!(same(&ours, &theirs), "{name}:\nours   {ours}\ntheirs {theirs}");
        assert_eq!(encode_params(actor, number, &ours).expect("encodes"), bytes, "{name}");
        let bytes = BASE64.decode(text(entry, "return")).expect("base64");
        let theirs: Value = match text(entry, "returns") {
            "" | "{}" => Value::Null,
            returns => serde_json::from_str(returns).expect("returns are JSON"),
        };
        let ours = decode_return(actor, number, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(same(&ours, &theirs), "{name}:\nours   {ours}\ntheirs {theirs}");
        checked += 1;
    }
    assert_eq!((messages.len(), checked), (24, 22));
}

/// The file's spelling of the one CID in it, in Lotus's form.
fn renamed(params: &Value) -> Value {
    match params {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match key.as_str() {
                "CodeCid" => ("CodeCID".to_owned(), json!({ "/": value })),
                _ => (key.clone(), value.clone()),
            })
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn parameters_serialize_as_in_filecoin_signing_tools() {
    let Some(entries) = vectors("signing/serialize_params.json") else { return };
    // The file does not name methods: they follow from the fields, in the order of the file.
    let methods = [
        (Actor::Multisig, 1),
        (Actor::Init, 2),
        (Actor::Multisig, 2),
        (Actor::Multisig, 2),
        (Actor::Multisig, 3),
        (Actor::Miner, 16),
        (Actor::Miner, 23),
    ];
    let entries = entries.as_array().expect("an array");
    assert_eq!(entries.len(), methods.len());
    for (entry, (actor, number)) in entries.iter().zip(methods) {
        let params = match entry["params"].get("NewOwner") {
            // The parameter is the bare address; the file gives it a field.
            Some(owner) => owner.clone(),
            None => renamed(&entry["params"]),
        };
        let ours = encode_params(actor, number, &params).unwrap_or_else(|e| panic!("{entry}: {e}"));
        assert_eq!(BASE64.encode(ours), text(entry, "serialized_params"), "{entry}");
    }
}

#[test]
fn parameters_deserialize_as_in_filecoin_signing_tools() {
    let Some(entries) = vectors("signing/deserialize_params.json") else { return };
    let entries = entries.as_array().expect("an array");
    for entry in entries {
        let actor: Actor = text(entry, "code_cid").parse().expect("an actor");
        let number = entry["method"].as_u64().expect("a number");
        let bytes = BASE64.decode(text(entry, "serialized_params")).expect("base64");
        let ours = decode_params(actor, number, &bytes);
        if entry["valid"] == json!(true) {
            let ours = ours.unwrap_or_else(|e| panic!("{entry}: {e}"));
            assert!(same(&ours, &renamed(&entry["params"])), "{ours}\n{entry}");
        } else {
            let error = ours.expect_err("the file says it is invalid").to_string();
            assert!(error.contains("has no method 7"), "{error}");
        }
    }
    assert_eq!(entries.len(), 4);
}

#[test]
fn multisig_parameters_are_those_of_filecoin_signing_tools() {
    let Some(cases) = vectors("signing/multisig.json") else { return };
    let mut checked = 0;
    for (name, case) in cases.as_object().expect("an object") {
        let number = case["message"]["Method"].as_u64().expect("a number");
        let bytes = BASE64.decode(text(&case["message"], "Params")).expect("base64");
        let actor = if name == "create" { Actor::Init } else { Actor::Multisig };
        let ours = decode_params(actor, number, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        match name.as_str() {
            "create" => {
                let inner = BASE64.decode(text(&ours, "ConstructorParams")).expect("base64");
                let inner = decode_params(Actor::Multisig, 1, &inner).expect("decodes");
                assert!(same(&inner, &with_f(&case["constructor_params"])), "{inner}");
            }
            "propose" => assert!(same(&ours, &with_f(&case["proposal_params"])), "{ours}"),
            // The file gives the transaction's number under another name, and for `cancel` no hash.
            "approve" => {
                assert_eq!(ours["ID"], case["approval_params"]["TxnID"]);
                assert_eq!(ours["ProposalHash"], case["approval_params"]["ProposalHashData"]);
            }
            "cancel" => assert_eq!(ours["ID"], case["cancel_params"]["TxnID"]),
            other => panic!("a case that this test does not know: {other}"),
        }
        checked += 1;
    }
    assert_eq!(checked, 4);
}

/// The file prints addresses with the prefix of the test networks; the prefix is no part of them.
fn with_f(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("t1") => format!("f{}", &text[1..]).into(),
        Value::Array(items) => items.iter().map(with_f).collect(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), with_f(v))).collect(),
        other => other.clone(),
    }
}
