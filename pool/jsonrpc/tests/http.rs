//! JSON-RPC over raw HTTP, each error with its code and status.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use hesper_jsonrpc::Limits;
use serde_json::{Value, json};
use support::{Server, read_response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn server() -> Server {
    Server::start(Limits::default()).await
}

#[tokio::test]
async fn a_request_is_answered_on_both_paths() {
    let server = server().await;
    for path in ["/rpc/v0", "/rpc/v1"] {
        let body = r#"{"jsonrpc":"2.0","id":"x-1","method":"Test.Echo","params":[1,"a",null]}"#;
        let (status, text) = server.post(path, "", body).await;
        assert_eq!(status, 200);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"jsonrpc":"2.0","id":"x-1","result":[1,"a",null]}));
    }
    let (status, _) = server.post("/rpc/v9", "", "{}").await;
    assert_eq!(status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_method_without_result_answers_null() {
    let server = server().await;
    let (status, value) = server.call(r#"{"id":1,"method":"Test.Void"}"#).await;
    assert_eq!((status, value), (200, json!({"jsonrpc":"2.0","id":1,"result":null})));
    server.stop().await;
}

#[tokio::test]
async fn each_error_has_its_code_and_status() {
    let server = server().await;
    for (body, status, code) in [
        ("{", 500, -32700),
        ("", 500, -32700),
        ("7", 400, -32600),
        (r#"{"id":1}"#, 400, -32600),
        (r#"{"id":1,"method":"Test.None"}"#, 500, -32601),
        (r#"{"id":1,"method":"Test.Params","params":[]}"#, 500, -32602),
        (r#"{"id":1,"method":"Test.Echo","params":{"a":1}}"#, 500, -32602),
        (r#"{"id":1,"method":"Test.Fail"}"#, 200, 1),
        ("[]", 400, -32600),
    ] {
        let (got, value) = server.call(body).await;
        assert_eq!((got, value["error"]["code"].as_i64()), (status, Some(code)), "for {body}");
        assert!(value.get("result").is_none());
    }
    let (_, value) = server.call(r#"{"id":1,"method":"Test.Fail"}"#).await;
    assert_eq!(value["error"], json!({"code":1,"message":"it failed","data":{"why":7}}));
    server.stop().await;
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let server = server().await;
    let (status, text) = server.post("/rpc/v1", "", r#"{"id":1,"method":"Test.Sign"}"#).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert_eq!(value["error"]["code"], 1);
    assert_eq!(value["error"]["message"], "missing permission to invoke 'Sign' (need 'sign')");
    server.stop().await;
}

#[tokio::test]
async fn a_bad_token_is_a_401_and_calls_nothing() {
    let server = server().await;
    for header in [
        "Authorization: Bearer bad\r\n",
        "Authorization: good\r\n",
        "Authorization: Basic good\r\n",
        "Authorization: Bearer \r\n",
    ] {
        let (status, text) =
            server.post("/rpc/v1", header, r#"{"id":1,"method":"Test.Who"}"#).await;
        assert_eq!(status, 401, "for {header}");
        assert!(text.contains("\"error\""));
    }
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_token_in_the_address_is_not_taken_on_http() {
    let server = server().await;
    let body = r#"{"id":1,"method":"Test.Who"}"#;
    let (_, text) = server.post("/rpc/v1?token=good", "", body).await;
    assert!(text.contains("nothing"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_notification_is_called_and_not_answered() {
    let server = server().await;
    let (status, text) = server.post("/rpc/v1", "", r#"{"method":"Test.Void"}"#).await;
    assert_eq!((status, text.as_str()), (200, ""));
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_bounded() {
    let server = Server::start(Limits { batch_max: 3, ..Limits::default() }).await;
    let one = r#"{"id":1,"method":"Test.Echo","params":[1]}"#;
    let note = r#"{"method":"Test.Void"}"#;
    let bad = r#"{"id":2,"method":"Test.None"}"#;
    let (status, value) = server.call(&format!("[{one},{note},{bad}]")).await;
    assert_eq!(status, 200);
    assert_eq!(value.as_array().unwrap().len(), 2);
    assert_eq!(value[0]["result"], json!([1]));
    assert_eq!((&value[1]["id"], &value[1]["error"]["code"]), (&json!(2), &json!(-32601)));
    let (status, value) = server.call(&format!("[{one},{one},{one},{one}]")).await;
    assert_eq!((status, &value["error"]["code"]), (400, &json!(-32600)));
    assert!(value["error"]["message"].as_str().unwrap().contains("at most 3"));
    server.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let server = Server::start(Limits { body_bytes_max: 1000, ..Limits::default() }).await;
    let long = format!(r#"{{"id":1,"method":"Test.Echo","params":["{}"]}}"#, "a".repeat(2000));
    let (status, _) = server.post("/rpc/v1", "", &long).await;
    assert_eq!(status, 413);
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
    let (status, _) = server.call(r#"{"id":1,"method":"Test.Void"}"#).await;
    assert_eq!(status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_head_ends() {
    let header_timeout = Duration::from_millis(50);
    let server = Server::start(Limits { header_timeout, ..Limits::default() }).await;
    // Waits for the server to end the connection: without limit it would hang.
    let mut head = TcpStream::connect(server.address).await.unwrap();
    head.write_all(b"POST /rpc/v1 HTT").await.unwrap();
    assert_ne!(read_response(&mut head).await.0, 200);
    assert_eq!(server.service.calls.load(Ordering::SeqCst), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_slow_body_ends() {
    let body_timeout = Duration::from_millis(50);
    let server = Server::start(Limits { body_timeout, ..Limits::default() }).await;
    let mut body = TcpStream::connect(server.address).await.unwrap();
    body.write_all(b"POST /rpc/v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        .await
        .unwrap();
    assert_eq!(read_response(&mut body).await.0, 408);
    server.stop().await;
}

#[tokio::test]
async fn beyond_the_bound_connections_wait() {
    let server = Server::start(Limits { connections_max: 1, ..Limits::default() }).await;
    let held = TcpStream::connect(server.address).await.unwrap();
    {
        let waiting = server.call(r#"{"id":1,"method":"Test.Void"}"#);
        let mut waiting = std::pin::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("served beyond the bound"),
            () = async { for _ in 0..200 { tokio::task::yield_now().await } } => {}
        }
        drop(held);
        assert_eq!(waiting.await.0, 200);
    }
    server.stop().await;
}
