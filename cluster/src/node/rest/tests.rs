//! The routes as a Venus component calls them: requests as its client writes them, answers with the
//! fields that it reads.

use axum::http::HeaderValue;

use super::*;
use crate::node::auth::tests::Alone;

/// An address with its check sum, from the tests of `filecoin-project/go-address` (`address_test.go`,
/// MIT or Apache-2.0).
const SIGNER: &str = "f15ihq5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq";

struct Http<'a> {
    node: &'a Shared,
    token: &'a str,
}

impl Http<'_> {
    async fn call(&self, method: &str, uri: &str, body: &str) -> Result<Value, Status> {
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {}", self.token);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&bearer).unwrap());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = uri.parse().unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        reply(self.node, &method, &uri, &headers, &body)
            .await
            .map(|value| value.unwrap_or(Value::Null))
    }

    async fn code(&self, method: &str, uri: &str, body: &str) -> StatusCode {
        match self.call(method, uri, body).await {
            Ok(value) => panic!("{method} {uri} was answered: {value}"),
            Err(status) => refusal(&status).status(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venus_component_finds_its_auth_server() {
    let alone = Alone::start().await;
    alone.add_user("ops").await;
    let (_, root) = alone.token("ops", "admin").await;
    let admin = Http { node: &alone.node, token: &root };

    // Users.
    let made = admin
        .call("PUT", "/user/new", r#"{"Name":"acme","Comment":"a member","State":1}"#)
        .await
        .unwrap();
    assert_eq!((&made["name"], &made["state"]), (&json!("acme"), &json!(1)));
    assert!(made["createTime"].as_u64().unwrap() > 1_000_000_000, "in seconds: {made}");
    assert_eq!(admin.call("GET", "/user/has?name=acme", "").await.unwrap(), json!(true));
    assert_eq!(admin.call("GET", "/user/has?name=nobody", "").await.unwrap(), json!(false));
    let change = r#"{"Name":"acme","Comment":"","State":0}"#;
    assert_eq!(admin.call("POST", "/user/update", change).await.unwrap(), Value::Null);
    let shown = admin.call("GET", "/user?name=acme", "").await.unwrap();
    assert_eq!((&shown["comment"], &shown["state"]), (&json!(""), &json!(1)));
    let list = admin.call("GET", "/user/list?skip=0&limit=10&state=0", "").await.unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let both = r#"{"Names":["acme","ops"]}"#;
    assert_eq!(admin.call("POST", "/user/verify", both).await.unwrap(), Value::Null);
    assert_eq!(
        admin.code("POST", "/user/verify", r#"{"Names":["acme","x"]}"#).await,
        StatusCode::BAD_REQUEST
    );

    // Tokens.
    let body = r#"{"name":"acme","perm":"write","extra":"e"}"#;
    let token = admin.call("POST", "/genToken", body).await.unwrap()["token"].clone();
    let token = token.as_str().unwrap().to_owned();
    let verified =
        admin.call("POST", "/verify", &json!({ "Token": token }).to_string()).await.unwrap();
    assert_eq!(verified, json!({ "name": "acme", "perm": "write", "ext": "e" }));
    let found = admin.call("GET", &format!("/token?token={token}"), "").await.unwrap();
    assert_eq!((&found[0]["token"], &found[0]["perm"]), (&json!(token), &json!("write")));
    assert!(found[0]["createTime"].as_str().unwrap().ends_with('Z'));
    let member = Http { node: &alone.node, token: &token };
    let own = member.call("GET", "/token?name=acme", "").await.unwrap();
    assert_eq!(own.as_array().unwrap().len(), 1);

    // Miners.
    let add = r#"{"User":"acme","Miner":"t01000","OpenMining":false}"#;
    assert_eq!(admin.call("POST", "/user/miner/add", add).await.unwrap(), json!(true));
    assert_eq!(admin.call("POST", "/miner/add-miner", add).await.unwrap(), json!(false));
    let owner = member.call("GET", "/user/miner?miner=f01000", "").await.unwrap();
    assert_eq!(owner["name"], json!("acme"));
    let miners = member.call("GET", "/user/miner/list?user=acme", "").await.unwrap();
    assert_eq!(
        (&miners[0]["Miner"], &miners[0]["User"], &miners[0]["OpenMining"]),
        (&json!("f01000"), &json!("acme"), &json!(false))
    );
    let exist = "/user/miner/exist?miner=f01000&user=acme";
    assert_eq!(member.call("GET", exist, "").await.unwrap(), json!(true));
    assert_eq!(admin.call("GET", "/miner/has?miner=f01001", "").await.unwrap(), json!(false));

    // Signers.
    let body = json!({ "User": "acme", "Signers": [SIGNER] }).to_string();
    assert_eq!(admin.call("POST", "/user/signer/register", &body).await.unwrap(), Value::Null);
    let has = format!("/signer/has?signer={SIGNER}");
    assert_eq!(member.call("GET", &has, "").await.unwrap(), json!(true));
    let list = member.call("GET", "/user/signer/list?user=acme", "").await.unwrap();
    assert_eq!(list[0]["Signer"], json!(SIGNER));
    let users = admin.call("GET", &format!("/user/signer?signer={SIGNER}"), "").await.unwrap();
    assert_eq!(users[0]["name"], json!("acme"));
    let exist = format!("/user/signer/exist?signer={SIGNER}&user=ops");
    assert_eq!(admin.call("GET", &exist, "").await.unwrap(), json!(false));
    let body = json!({ "signer": SIGNER }).to_string();
    assert_eq!(admin.call("POST", "/signer/del", &body).await.unwrap(), json!(true));
    assert_eq!(admin.call("POST", "/signer/del", &body).await.unwrap(), json!(false));

    // Rate limits.
    let body = r#"{"Id":"0b8c-new","Name":"acme","Service":"","API":"",
                   "ReqLimit":{"Cap":10,"ResetDur":60000000000}}"#;
    let id = admin.call("POST", "/user/ratelimit/upsert", body).await.unwrap();
    let limits = member.call("GET", "/user/ratelimit?name=acme", "").await.unwrap();
    assert_eq!(limits[0]["Id"], id);
    assert_eq!(limits[0]["ReqLimit"], json!({ "Cap": 10, "ResetDur": 60_000_000_000u64 }));
    let body = json!({ "Name": "acme", "Id": id }).to_string();
    assert_eq!(admin.call("POST", "/user/ratelimit/del", &body).await.unwrap(), id);

    // The end of a token and of a user.
    let body = json!({ "token": token }).to_string();
    assert_eq!(admin.call("DELETE", "/token", &body).await.unwrap(), Value::Null);
    assert_eq!(member.code("GET", "/user?name=acme", "").await, StatusCode::UNAUTHORIZED);
    assert_eq!(admin.call("POST", "/recoverToken", &body).await.unwrap(), Value::Null);
    member.call("GET", "/user?name=acme", "").await.unwrap();
    let body = r#"{"Name":"acme"}"#;
    assert_eq!(admin.call("POST", "/user/del", body).await.unwrap(), Value::Null);
    assert_eq!(admin.call("GET", "/user/has?name=acme", "").await.unwrap(), json!(false));
    assert_eq!(admin.call("GET", "/miner/has?miner=f01000", "").await.unwrap(), json!(false));
    assert_eq!(admin.call("POST", "/user/recover", body).await.unwrap(), Value::Null);
    assert_eq!(admin.call("GET", "/user/has?name=acme", "").await.unwrap(), json!(true));
    alone.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_see_themselves_only_and_bad_requests_say_why() {
    let alone = Alone::start().await;
    alone.add_user("acme").await;
    alone.add_user("bob").await;
    let (_, acme) = alone.token("acme", "sign").await;
    let (_, strong) = alone.token("acme", "admin").await;
    let (_, bob) = alone.token("bob", "write").await;
    let member = Http { node: &alone.node, token: &bob };
    for uri in [
        "/user?name=acme",
        "/user/has?name=acme",
        "/user/list",
        "/tokens",
        "/token?name=acme",
        "/user/miner/list?user=acme",
        "/user/signer/list?user=acme",
        "/user/ratelimit?name=acme",
    ] {
        assert_eq!(member.code("GET", uri, "").await, StatusCode::FORBIDDEN, "{uri}");
    }
    let body = json!({ "token": acme }).to_string();
    assert_eq!(member.code("DELETE", "/token", &body).await, StatusCode::FORBIDDEN);
    let body = r#"{"name":"bob","perm":"admin"}"#;
    assert_eq!(member.code("POST", "/genToken", body).await, StatusCode::FORBIDDEN);
    // A weaker token does not get a stronger one by looking.
    let weak = Http { node: &alone.node, token: &acme };
    let list = weak.call("GET", "/token?name=acme", "").await.unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert!(!list.to_string().contains(&strong));

    let admin = Http { node: &alone.node, token: &strong };
    for (method, uri, body) in [
        ("POST", "/user/miner/add", r#"{"User":"acme","Miner":"f1abc","OpenMining":true}"#),
        ("POST", "/user/miner/add", r#"{"User":"nobody","Miner":"f01","OpenMining":true}"#),
        ("POST", "/user/signer/register", r#"{"User":"acme","Signers":["f01000"]}"#),
        ("POST", "/genToken", r#"{"name":"acme","perm":"root"}"#),
        ("POST", "/genToken", r#"{"perm":"read"}"#),
        ("PUT", "/user/new", r#"{"Name":"a/b"}"#),
        ("PUT", "/user/new", "[]"),
        ("GET", "/token", ""),
    ] {
        let code = admin.code(method, uri, body).await;
        assert_eq!(code, StatusCode::BAD_REQUEST, "{method} {uri} {body}");
    }
    // One changed letter breaks the check sum.
    let altered = SIGNER.replace("ihq5", "ihq6");
    let body = json!({ "User": "acme", "Signers": [altered] }).to_string();
    assert_eq!(admin.code("POST", "/user/signer/register", &body).await, StatusCode::BAD_REQUEST);
    assert_eq!(admin.code("GET", "/nothing", "").await, StatusCode::NOT_FOUND);
    let foreign = Http { node: &alone.node, token: "a.b.c" };
    assert_eq!(foreign.code("GET", "/user?name=acme", "").await, StatusCode::UNAUTHORIZED);
    alone.stop().await;
}
