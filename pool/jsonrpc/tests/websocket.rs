//! JSON-RPC over WebSocket.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hesper_jsonrpc::Limits;
use serde_json::{Value, json};
use support::Server;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &Server, query: &str, token: Option<&str>) -> Result<Socket, Error> {
    let url = format!("ws://{}/rpc/v1{query}", server.address);
    let mut request = url.into_client_request().unwrap();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("Authorization", value);
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn send(socket: &mut Socket, text: &str) {
    socket.send(Message::Text(text.to_owned().into())).await.unwrap();
}

/// The next answer; pings in between are answered.
async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn status(error: Error) -> u16 {
    match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("unexpected {other}"),
    }
}

#[tokio::test]
async fn the_token_comes_by_header_or_by_query() {
    let server = Server::start(Limits::default()).await;
    for (query, token) in [("", Some("good")), ("?token=good", None)] {
        let mut socket = connect(&server, query, token).await.unwrap();
        send(&mut socket, r#"{"jsonrpc":"2.0","id":9,"method":"Test.Who"}"#).await;
        let expected = json!({"jsonrpc":"2.0","id":9,"result":"sign"});
        assert_eq!(next(&mut socket).await, expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_token_gets_no_socket() {
    let server = Server::start(Limits::default()).await;
    assert_eq!(status(connect(&server, "", Some("bad")).await.unwrap_err()), 401);
    assert_eq!(status(connect(&server, "?token=bad", None).await.unwrap_err()), 401);
    server.stop().await;
}

#[tokio::test]
async fn a_token_revoked_meanwhile_ends_with_the_next_request() {
    let server = Server::start(Limits::default()).await;
    let mut socket = connect(&server, "", Some("good")).await.unwrap();
    send(&mut socket, r#"{"id":1,"method":"Test.Who"}"#).await;
    assert_eq!(next(&mut socket).await["result"], "sign");
    server.service.is_revoked.store(true, Ordering::SeqCst);
    send(&mut socket, r#"{"id":2,"method":"Test.Who"}"#).await;
    assert_eq!(next(&mut socket).await["error"]["message"], "the token was revoked");
    server.stop().await;
}

#[tokio::test]
async fn a_quick_answer_overtakes_a_slow_one() {
    let server = Server::start(Limits::default()).await;
    let mut socket = connect(&server, "", Some("good")).await.unwrap();
    send(&mut socket, r#"{"id":1,"method":"Test.Wait"}"#).await;
    send(&mut socket, r#"{"id":2,"method":"Test.Void"}"#).await;
    assert_eq!(next(&mut socket).await["id"], 2);
    server.service.gate.add_permits(1);
    assert_eq!(next(&mut socket).await, json!({"jsonrpc":"2.0","id":1,"result":"waited"}));
    server.stop().await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    let server = Server::start(Limits { in_flight_max: 2, ..Limits::default() }).await;
    let mut socket = connect(&server, "", Some("good")).await.unwrap();
    for id in 1..=2 {
        send(&mut socket, &format!(r#"{{"id":{id},"method":"Test.Wait"}}"#)).await;
    }
    send(&mut socket, r#"{"id":3,"method":"Test.Void"}"#).await;
    server.service.gate.add_permits(1);
    let first = next(&mut socket).await["id"].as_u64().unwrap();
    assert!(first < 3, "the third was served beyond the bound");
    server.service.gate.add_permits(1);
    let mut rest = [next(&mut socket).await["id"].clone(), next(&mut socket).await["id"].clone()];
    rest.sort_by_key(|id| id.as_u64());
    assert_eq!(rest, [json!(3 - first), json!(3)]);
    server.stop().await;
}

#[tokio::test]
async fn errors_and_batches_are_as_over_http() {
    let server = Server::start(Limits::default()).await;
    let mut socket = connect(&server, "", Some("good")).await.unwrap();
    send(&mut socket, "{").await;
    let answer = next(&mut socket).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32700)));
    send(&mut socket, r#"[{"id":1,"method":"Test.Void"},{"id":2,"method":"Test.None"}]"#).await;
    let answer = next(&mut socket).await;
    assert_eq!((&answer[0]["id"], &answer[1]["error"]["code"]), (&json!(1), &json!(-32601)));
    server.stop().await;
}

#[tokio::test]
async fn a_silent_peer_is_closed() {
    let limits = Limits { ping_every: Duration::from_millis(20), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut socket = connect(&server, "", Some("good")).await.unwrap();
    // The pings answer only when the socket is read, so nothing is read until the server has given
    // up: its permit comes back when the connection ends.
    let raw = socket.get_mut();
    let MaybeTlsStream::Plain(raw) = raw else { panic!("no TLS here") };
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(raw, &mut bytes).await.unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("silent"));
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye() {
    let server = Server::start(Limits::default()).await;
    let mut socket = connect(&server, "", Some("good")).await.unwrap();
    send(&mut socket, r#"{"id":1,"method":"Test.Void"}"#).await;
    next(&mut socket).await;
    server.stop().await;
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(frame.reason.as_str(), "the server stops");
                return;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}
