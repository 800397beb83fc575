//! JSON-RPC over a Unix socket.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::os::unix::fs::PermissionsExt;

use camino::Utf8PathBuf;
use hesper_jsonrpc::{CallError, Limits, UnixClient, UnixServer};
use serde_json::json;
use support::Echo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

struct Fixture {
    path: Utf8PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
    _dir: tempfile::TempDir,
}

async fn start(limits: Limits) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("s.sock")).unwrap();
    let server = UnixServer::bind(&path).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(Echo::new(), limits, async move {
        let _asked_or_gone = stopped.await;
    }));
    Fixture { path, stop: Some(stop), task, _dir: dir }
}

impl Fixture {
    async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap().unwrap();
        assert!(!self.path.exists(), "the socket is removed");
    }
}

#[tokio::test]
async fn the_client_calls_and_hears_refusals() {
    let fixture = start(Limits::default()).await;
    let mut client = UnixClient::connect(&fixture.path).await.unwrap();
    assert_eq!(client.call("Test.Who", vec![]).await.unwrap(), json!("admin"));
    assert_eq!(client.call("Test.Echo", vec![json!(1)]).await.unwrap(), json!([1]));
    let Err(CallError::Rpc(error)) = client.call("Test.Fail", vec![]).await else {
        panic!("no refusal")
    };
    assert_eq!((error.code, error.data), (1, Some(json!({"why": 7}))));
    drop(client);
    fixture.stop().await;
}

#[tokio::test]
async fn only_the_owner_may_open_the_socket() {
    let fixture = start(Limits::default()).await;
    let mode = std::fs::metadata(&fixture.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fixture.stop().await;
}

#[tokio::test]
async fn a_live_socket_is_not_taken_over_and_a_dead_one_is() {
    let fixture = start(Limits::default()).await;
    let Err(error) = UnixServer::bind(&fixture.path).await else { panic!("taken over") };
    assert!(error.to_string().contains("another process answers"));
    let dead = fixture.path.with_file_name("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert!(dead.exists());
    assert!(UnixServer::bind(&dead).await.is_ok());
    fixture.stop().await;
}

#[tokio::test]
async fn a_line_beyond_the_limit_ends_the_connection() {
    let fixture = start(Limits { body_bytes_max: 100, ..Limits::default() }).await;
    let stream = UnixStream::connect(&fixture.path).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    writer.write_all(&[b'a'; 200]).await.unwrap();
    let mut lines = BufReader::new(reader).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("may have 100 bytes"));
    // The rest of the line was never read, so the end may be a reset.
    assert!(!matches!(lines.next_line().await, Ok(Some(_))));
    fixture.stop().await;
}

#[tokio::test]
async fn without_server_the_error_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("none.sock")).unwrap();
    let Err(error) = UnixClient::connect(&path).await else { panic!("connected") };
    assert!(error.to_string().contains("none.sock"));
    assert!(error.to_string().contains("is the process running"));
}
