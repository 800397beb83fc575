//! **Purpose**: JSON-RPC 2.0 over HTTP, WebSocket and Unix sockets, in the dialect that Lotus and
//! Venus speak.
//!
//! **Invariants**
//! - Every request is judged by [`Service::authenticate`] at the moment it is served, also on an
//!   open WebSocket: a token that expired or was revoked ends with the next request.
//! - Bodies, batches, connections and requests in flight are bounded, and a client that is slow to
//!   send or to receive is dropped.
//! - Parameters and answers are never logged: they may hold passwords and keys.
//!
//! **Source**: the JSON-RPC 2.0 specification; filecoin-project/go-jsonrpc (`handler.go`,
//! `auth/handler.go`) for error codes, HTTP statuses and the words of a permission error.

mod client;
mod dispatch;
mod error;
mod held;
mod http;
mod message;
#[doc(hidden)]
pub mod testing;
mod unix;
mod websocket;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use serde_json::Value;

pub use client::{CallError, UnixClient};
pub use error::{RpcError, code};
pub use http::serve_http;
pub use unix::{UnixServer, serve_unix};

/// Who a request comes from, before it is judged.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// HTTP or WebSocket: the token of the header `Authorization: Bearer`, or of `?token=` on a
    /// WebSocket; `None` when none came.
    Bearer(Option<String>),
    /// Unix socket; the server has checked that the user id is root or its own.
    Local { uid: u32 },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Bearer(Some(_)) => f.write_str("Bearer(hidden)"),
            Credentials::Bearer(None) => f.write_str("Bearer(none)"),
            Credentials::Local { uid } => write!(f, "Local({uid})"),
        }
    }
}

/// What answers the requests.
pub trait Service: Send + Sync + 'static {
    /// Who calls, as [`Service::call`] wants to know it.
    type Caller: Send + Sync + 'static;

    /// Judges who calls; asked anew for every request.
    fn authenticate(
        &self,
        credentials: &Credentials,
    ) -> impl Future<Output = Result<Self::Caller, RpcError>> + Send;

    /// Answers one request. `method` is the whole name, such as `Filecoin.WalletList`.
    fn call(
        &self,
        caller: &Self::Caller,
        method: &str,
        params: Vec<Value>,
    ) -> impl Future<Output = Result<Value, RpcError>> + Send;
}

/// Bounds of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a request: an HTTP body, a WebSocket message, a line.
    pub body_bytes_max: usize,
    /// Open at once; more wait in the listener's backlog.
    pub connections_max: usize,
    /// Requests served at once on one WebSocket; more wait unread.
    pub in_flight_max: usize,
    /// Requests in one batch.
    pub batch_max: usize,
    /// For the head of a request, and between two requests of one connection.
    pub header_timeout: Duration,
    /// For a request's body, and for a peer to take an answer on a WebSocket.
    pub body_timeout: Duration,
    /// Between pings on a WebSocket; one on which nothing came for two of these is closed.
    pub ping_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes_max: 4 << 20,
            connections_max: 256,
            in_flight_max: 64,
            batch_max: 50,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(20),
        }
    }
}
