//! What the tests share: a service, a server, and a client that speaks raw HTTP.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hesper_jsonrpc::{Credentials, Limits, RpcError, Service, serve_http};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};

/// Knows the token `good`; counts its calls.
pub struct Echo {
    pub calls: AtomicU32,
    pub is_revoked: std::sync::atomic::AtomicBool,
    /// `Test.Wait` takes one.
    pub gate: Semaphore,
}

impl Echo {
    pub fn new() -> Arc<Self> {
        Arc::new(Echo {
            calls: AtomicU32::new(0),
            is_revoked: false.into(),
            gate: Semaphore::new(0),
        })
    }
}

impl Service for Echo {
    type Caller = &'static str;

    async fn authenticate(&self, credentials: &Credentials) -> Result<&'static str, RpcError> {
        match credentials {
            Credentials::Local { .. } => Ok("admin"),
            Credentials::Bearer(None) => Ok("nothing"),
            Credentials::Bearer(Some(token)) if token == "good" => {
                if self.is_revoked.load(Ordering::SeqCst) {
                    return Err(RpcError::unauthorized("the token was revoked"));
                }
                Ok("sign")
            }
            Credentials::Bearer(Some(_)) => Err(RpcError::unauthorized("unknown token")),
        }
    }

    async fn call(
        &self,
        caller: &&'static str,
        method: &str,
        params: Vec<Value>,
    ) -> Result<Value, RpcError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match method {
            "Test.Echo" => Ok(json!(params)),
            "Test.Who" => Ok(json!(caller)),
            "Test.Void" => Ok(Value::Null),
            "Test.Fail" => Err(RpcError::application("it failed").with_data(json!({"why": 7}))),
            "Test.Params" => Err(RpcError::invalid_params("wrong param count")),
            "Test.Sign" if *caller == "nothing" => {
                Err(RpcError::missing_permission(method, "sign"))
            }
            "Test.Wait" => {
                self.gate.acquire().await.map_err(|_| RpcError::internal("closed"))?.forget();
                Ok(json!("waited"))
            }
            _ => Err(RpcError::method_not_found(method)),
        }
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub service: Arc<Echo>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Echo::new();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve_http(listener, service.clone(), limits, async move {
            let _asked_or_gone = stopped.await;
        }));
        Server { address, service, stop: Some(stop), task }
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap().unwrap();
    }

    /// Sends one request on a connection of its own: status and body.
    pub async fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // A server that refuses a body may close before it has read it all.
        let _early = stream.write_all(request.as_bytes()).await;
        read_response(&mut stream).await
    }

    pub async fn call(&self, body: &str) -> (u16, Value) {
        let (status, text) = self.post("/rpc/v1", "Authorization: Bearer good\r\n", body).await;
        (status, serde_json::from_str(&text).unwrap())
    }
}

pub async fn read_response(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let _reset_after_refusal = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}
