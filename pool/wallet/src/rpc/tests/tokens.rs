//! Tokens: what they allow, and which are refused.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hesper_jsonrpc::{Credentials, code};
use serde_json::{Value, json};

use super::super::{METHODS, TokenError, Tokens};
use super::{Claims, Fixture, claims, unbase64};

fn tokens() -> (tempfile::TempDir, Tokens) {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(camino::Utf8Path::from_path(dir.path()).unwrap()).unwrap();
    (dir, tokens)
}

#[test]
fn a_token_is_what_lotus_makes_and_reads() {
    let (_dir, tokens) = tokens();
    let token = tokens.issue(claims(&["read", "write"])).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(URL_SAFE_NO_PAD.decode(parts[0]).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
    let payload: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    assert_eq!(payload["Allow"], json!(["read", "write"]));
    assert!(payload.get("exp").is_none());
    assert_eq!(tokens.verify(&token, 0).unwrap().allow, ["read", "write"]);
}

#[test]
fn a_foreign_token_is_refused() {
    let (_dir, tokens) = tokens();
    let (_other_dir, other) = self::tokens();
    let token = other.issue(claims(&["admin"])).unwrap();
    assert!(matches!(tokens.verify(&token, 0), Err(TokenError::Foreign)));
}

#[test]
fn a_token_without_algorithm_is_refused() {
    let (_dir, tokens) = tokens();
    let payload = URL_SAFE_NO_PAD.encode(r#"{"Allow":["admin"]}"#);
    for alg in ["none", "None", "HS512", "RS256", ""] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        for tag in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{tag}");
            assert!(matches!(tokens.verify(&token, 0), Err(TokenError::Algorithm)), "for {alg}");
        }
    }
    // The right name of the algorithm does not help a missing signature.
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let unsigned = format!("{header}.{payload}.");
    assert!(matches!(tokens.verify(&unsigned, 0), Err(TokenError::Foreign)));
}

#[test]
fn a_token_with_other_claims_under_an_old_signature_is_refused() {
    let (_dir, tokens) = tokens();
    let token = tokens.issue(claims(&["read"])).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let payload = URL_SAFE_NO_PAD.encode(r#"{"Allow":["admin"]}"#);
    let forged = format!("{}.{payload}.{}", parts[0], parts[2]);
    assert!(matches!(tokens.verify(&forged, 0), Err(TokenError::Foreign)));
    let shortened = &token[..token.len() - 2];
    assert!(tokens.verify(shortened, 0).is_err());
}

#[test]
fn a_token_ends_with_its_time() {
    let (_dir, tokens) = tokens();
    let claims = Claims { expires_at_s: Some(1000), ..claims(&["sign"]) };
    let token = tokens.issue(claims).unwrap();
    assert!(tokens.verify(&token, 999_999).is_ok());
    assert!(matches!(tokens.verify(&token, 1_000_000), Err(TokenError::Expired { .. })));
}

#[test]
fn a_revoked_token_stays_refused_after_a_restart() {
    let (dir, tokens) = tokens();
    let token = tokens.issue(claims(&["sign"])).unwrap();
    let other = tokens.issue(claims(&["sign"])).unwrap();
    tokens.revoke(&tokens.id_of(&token).unwrap()).unwrap();
    let again = Tokens::open(camino::Utf8Path::from_path(dir.path()).unwrap()).unwrap();
    for tokens in [&tokens, &again] {
        assert!(matches!(tokens.verify(&token, 0), Err(TokenError::Revoked)));
        assert!(tokens.verify(&other, 0).is_ok());
    }
}

#[test]
fn a_new_secret_ends_all_tokens_and_outlives_a_restart() {
    let (dir, tokens) = tokens();
    let old = tokens.issue(claims(&["sign"])).unwrap();
    tokens.rotate().unwrap();
    let new = tokens.issue(claims(&["sign"])).unwrap();
    let again = Tokens::open(camino::Utf8Path::from_path(dir.path()).unwrap()).unwrap();
    for tokens in [&tokens, &again] {
        assert!(matches!(tokens.verify(&old, 0), Err(TokenError::Foreign)));
        assert!(tokens.verify(&new, 0).is_ok());
    }
}

#[test]
fn garbage_is_refused_and_permissions_must_be_known() {
    let (_dir, tokens) = tokens();
    for text in ["", ".", "..", "a.b", "a.b.c", "\u{e9}.\u{e9}.\u{e9}", &"a".repeat(10_000)] {
        assert!(tokens.verify(text, 0).is_err(), "for {text}");
    }
    assert!(matches!(tokens.issue(claims(&[])), Err(TokenError::NoPermissions)));
    assert!(matches!(tokens.issue(claims(&["root"])), Err(TokenError::NoPermission(_))));
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let (dir, tokens) = tokens();
    drop(tokens);
    let path = camino::Utf8Path::from_path(dir.path()).unwrap().join("jwt-secret");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Tokens::open(path.parent().unwrap()), Err(TokenError::Open { .. })));
}

#[tokio::test]
async fn each_method_needs_its_permission_and_says_which() {
    let fixture = Fixture::new().await;
    let words = ["read", "write", "sign", "admin"];
    let mut tokens = Vec::new();
    for word in words {
        tokens.push(fixture.token(word, Value::Null).await);
    }
    for method in METHODS.iter().filter(|method| !method.is_local) {
        let needed = words.iter().position(|word| *word == method.permission.word()).unwrap();
        let name = method.name.rsplit('.').next().unwrap();
        let missing = format!("missing permission to invoke '{name}' (need '{}')", words[needed]);
        // So many parameters that the method itself is never reached.
        let params = json!(vec![0; 9]);
        let none = fixture.call(&Credentials::Bearer(None), method.name, params.clone()).await;
        assert_eq!(none.unwrap_err().message, missing);
        for (held, token) in tokens.iter().enumerate() {
            let error = fixture.with(token, method.name, params.clone()).await.unwrap_err();
            match held < needed {
                true => assert_eq!((error.code, &error.message), (code::APPLICATION, &missing)),
                false => assert_eq!(error.code, code::INVALID_PARAMS, "{}", method.name),
            }
        }
    }
}

#[tokio::test]
async fn own_methods_exist_on_the_socket_only() {
    let fixture = Fixture::new().await;
    let admin = fixture.token("admin", Value::Null).await;
    let error = fixture.with(&admin, "Hesper.State", json!([])).await.unwrap_err();
    assert_eq!(error.code, code::METHOD_NOT_FOUND);
    assert_eq!(fixture.local("Hesper.State", json!([])).await.unwrap()["is_locked"], false);
}

#[tokio::test]
async fn auth_new_and_verify_speak_lotus() {
    let fixture = Fixture::new().await;
    let bytes = fixture.local("Filecoin.AuthNew", json!([["read", "sign"]])).await.unwrap();
    let token = String::from_utf8(unbase64(&bytes)).unwrap();
    let permissions = fixture.local("Filecoin.AuthVerify", json!([token])).await.unwrap();
    // Permissions are nested, so those below are shown too.
    assert_eq!(permissions, json!(["read", "write", "sign"]));
    let error = fixture.local("Filecoin.AuthVerify", json!(["a.b.c"])).await.unwrap_err();
    assert_eq!(error.code, code::APPLICATION);
    let id = fixture.local("Hesper.TokenRevoke", json!([token])).await.unwrap();
    assert_eq!(id.as_str().unwrap().len(), 16);
    let error = fixture.with(&token, "Filecoin.WalletList", json!([])).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code::UNAUTHORIZED, "the token was revoked"));
}

/// A token that `maker` makes through the API.
async fn child(fixture: &Fixture, maker: &str, permission: &str) -> String {
    let made = fixture.with(maker, "Filecoin.AuthNew", json!([[permission]])).await.unwrap();
    String::from_utf8(unbase64(&made)).unwrap()
}

fn claims_of(token: &str) -> Claims {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_that_a_token_makes_ends_no_later() {
    let fixture = Fixture::new().await;
    let hour = json!(["admin", null, 3_600_000]);
    let admin = fixture.local("Hesper.TokenNew", hour).await.unwrap();
    let admin = admin.as_str().unwrap();
    let child = child(&fixture, admin, "sign").await;
    let ends = claims_of(admin).expires_at_s;
    assert!(ends.is_some());
    assert_eq!(claims_of(&child).expires_at_s, ends);
    let ruler = self::child(&fixture, admin, "admin").await;
    let grandchild = self::child(&fixture, &ruler, "read").await;
    assert_eq!(claims_of(&grandchild).expires_at_s, ends);
    // The socket's own tokens are bound to nothing.
    let free = fixture.local("Filecoin.AuthNew", json!([["admin"]])).await.unwrap();
    let free = claims_of(&String::from_utf8(unbase64(&free)).unwrap());
    assert_eq!((free.expires_at_s, free.parents.len()), (None, 0));
}

#[tokio::test]
async fn a_token_is_revoked_with_the_one_that_made_it() {
    let fixture = Fixture::new().await;
    let admin = fixture.token("admin", Value::Null).await;
    let other = fixture.token("admin", Value::Null).await;
    let child = child(&fixture, &admin, "admin").await;
    let grandchild = self::child(&fixture, &child, "sign").await;
    let sibling = self::child(&fixture, &other, "sign").await;
    for token in [&child, &grandchild, &sibling] {
        fixture.with(token, "Filecoin.WalletList", json!([])).await.unwrap();
    }
    fixture.local("Hesper.TokenRevoke", json!([admin])).await.unwrap();
    let again = Tokens::open(&fixture.dir).unwrap();
    for token in [&child, &grandchild] {
        let error = fixture.with(token, "Filecoin.WalletList", json!([])).await.unwrap_err();
        assert_eq!(error.code, code::UNAUTHORIZED);
        assert!(error.message.contains(&claims_of(&admin).id), "{}", error.message);
        assert!(matches!(again.verify(token, 0), Err(TokenError::ParentRevoked { .. })));
    }
    fixture.with(&sibling, "Filecoin.WalletList", json!([])).await.unwrap();
}

#[test]
fn a_token_makes_none_that_is_wider_or_after_its_end() {
    let (_dir, tokens) = tokens();
    let parent =
        Claims { groups: vec!["a".to_owned()], expires_at_s: Some(1000), ..claims(&["sign"]) };
    let parent = tokens.issue(parent).unwrap();
    let asked =
        Claims { groups: vec!["b".to_owned()], expires_at_s: Some(2000), ..claims(&["sign"]) };
    let made = claims_of(&tokens.issue_with(&parent, asked.clone(), 0).unwrap());
    assert_eq!((made.groups, made.expires_at_s), (vec!["a".to_owned()], Some(1000)));
    let shorter = Claims { expires_at_s: Some(10), ..asked.clone() };
    let shorter = tokens.issue_with(&parent, shorter, 0).unwrap();
    assert_eq!(claims_of(&shorter).expires_at_s, Some(10));
    let wider = tokens.issue_with(&parent, claims(&["admin"]), 0);
    assert!(matches!(wider, Err(TokenError::Wider { held: "sign", asked: "admin" })));
    let late = tokens.issue_with(&parent, asked.clone(), 1_000_000);
    assert!(matches!(late, Err(TokenError::Expired { .. })));
    tokens.revoke(&claims_of(&parent).id).unwrap();
    assert!(matches!(tokens.issue_with(&parent, asked.clone(), 0), Err(TokenError::Revoked)));
    let old = tokens.issue(claims(&["sign"])).unwrap();
    tokens.rotate().unwrap();
    assert!(matches!(tokens.issue_with(&old, asked, 0), Err(TokenError::Foreign)));
}

#[test]
fn generations_of_tokens_and_their_texts_are_bounded() {
    let (_dir, tokens) = tokens();
    let mut token = tokens.issue(claims(&["admin"])).unwrap();
    for _ in 0..8 {
        token = tokens.issue_with(&token, claims(&["admin"]), 0).unwrap();
    }
    assert_eq!(tokens.verify(&token, 0).unwrap().parents.len(), 8);
    let ninth = tokens.issue_with(&token, claims(&["admin"]), 0);
    assert!(matches!(ninth, Err(TokenError::TooManyParents)));
    for name in ["n".repeat(257), "a\u{1b}[2J".to_owned()] {
        let named = Claims { name, ..claims(&["read"]) };
        assert!(matches!(tokens.issue(named), Err(TokenError::BadName)));
    }
    let many = Claims { groups: vec!["g".repeat(100); 100], ..claims(&["read"]) };
    assert!(matches!(tokens.issue(many), Err(TokenError::TooLong)));
}
