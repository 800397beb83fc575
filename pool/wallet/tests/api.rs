//! The wallet's API as foreign clients reach it: raw HTTP, and the Unix socket of the command line.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_jsonrpc::{Limits, UnixClient, UnixServer, serve_http};
use hesper_wallet::keystore::Scrypt;
use hesper_wallet::rpc::{Extras, Tokens, WalletService};
use hesper_wallet::session::Board;
use hesper_wallet::{Settings, Wallet};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

struct Running {
    address: SocketAddr,
    socket: Utf8PathBuf,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<std::io::Result<()>>>,
    _dir: tempfile::TempDir,
}

async fn start() -> Running {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("wallet");
    let mut settings = Settings::new(path.clone());
    settings.scrypt = Scrypt { log_n: 2, r: 1, p: 1 };
    let wallet = Arc::new(Wallet::open(settings).unwrap());
    let tokens = Tokens::open(&path).unwrap();
    let service = WalletService::new(wallet, tokens, Board::new(), Extras::default());
    let service = Arc::new(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = path.join("wallet.sock");
    let unix = UnixServer::bind(&socket).await.unwrap();
    let stop = watch::Sender::new(false);
    let stopped = |mut stopped: watch::Receiver<bool>| async move {
        let _asked_or_gone = stopped.wait_for(|stop| *stop).await;
    };
    let tasks = vec![
        tokio::spawn(serve_http(
            listener,
            service.clone(),
            Limits::default(),
            stopped(stop.subscribe()),
        )),
        tokio::spawn(unix.run(service, Limits::default(), stopped(stop.subscribe()))),
    ];
    Running { address, socket, stop, tasks, _dir: dir }
}

impl Running {
    async fn post(&self, token: &str, body: &Value) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let body = body.to_string();
        let request = format!(
            "POST /rpc/v0 HTTP/1.1\r\nHost: wallet\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\
             X-VENUS-API-NAMESPACE: wallet.IFullAPI\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn an_operator_sets_up_over_the_socket_and_a_client_signs_over_http() {
    let running = start().await;
    let mut operator = UnixClient::connect(&running.socket).await.unwrap();
    operator.call("Filecoin.SetPassword", vec![json!("correct horse")]).await.unwrap();
    let key = operator.call("Filecoin.WalletNew", vec![json!("secp256k1")]).await.unwrap();
    let token = operator.call("Hesper.TokenNew", vec![json!("sign")]).await.unwrap();
    let token = token.as_str().unwrap();

    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "Filecoin.WalletList", "params": []});
    let (status, value) = running.post(token, &list).await;
    assert_eq!((status, value), (200, json!({"jsonrpc": "2.0", "id": 1, "result": [key]})));

    let message = json!({
        "Version": 0, "To": "f01000", "From": key, "Nonce": 0, "Value": "0", "GasLimit": 1,
        "GasFeeCap": "0", "GasPremium": "0", "Method": 0, "Params": "",
    });
    let params = json!([key, message]);
    let sign = json!({"id": "s", "method": "Filecoin.WalletSignMessage", "params": params});
    let (status, value) = running.post(token, &sign).await;
    assert_eq!(status, 200, "{value}");
    assert_eq!(value["result"]["Signature"]["Type"], 1);
    assert!(value["result"]["CID"]["/"].as_str().unwrap().starts_with("bafy2bzace"));

    let delete = json!({"id": 2, "method": "Filecoin.WalletDelete", "params": [key]});
    let (status, value) = running.post(token, &delete).await;
    let words = "missing permission to invoke 'WalletDelete' (need 'admin')";
    assert_eq!((status, &value["error"]["message"]), (200, &json!(words)));

    let revoked = operator.call("Hesper.TokenRevoke", vec![json!(token)]).await.unwrap();
    assert!(revoked.is_string());
    let (status, value) = running.post(token, &list).await;
    assert_eq!((status, &value["error"]["message"]), (401, &json!("the token was revoked")));
    drop(operator);
    running.stop().await;
}
