//! **Purpose**: the HTTP server: POST and WebSocket on `/rpc/v0` and `/rpc/v1`.
//!
//! **Invariants**
//! - A connection holds one of a bounded number of permits from its acceptance until its end, also
//!   after it has become a WebSocket.
//! - A request's head and body each have a time limit, so that slow senders do not hold permits.
//! - A token in the address is taken on a WebSocket only: elsewhere addresses end up in logs.
//!
//! **Source**: go-jsonrpc `server.go`, `auth/handler.go`: status 401 for a bad token, the query
//! parameter `token`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::dispatch::{Answer, http_status, serve};
use crate::error::RpcError;
use crate::held::Held;
use crate::{Credentials, Limits, Service, websocket};

/// For open requests when the server stops.
const DRAIN: Duration = Duration::from_secs(5);
/// After a failed accept, which is most often a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

struct Shared<S> {
    service: Arc<S>,
    limits: Limits,
    stopped: watch::Receiver<bool>,
}

/// Answers until `stop` resolves; then open requests get up to five seconds.
///
/// # Errors
/// None today; a failed accept is logged and tried again.
pub async fn serve_http<S: Service>(
    listener: TcpListener,
    service: Arc<S>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let header_timeout = limits.header_timeout;
    let shared = Arc::new(Shared { service, limits, stopped: stopped.clone() });
    let app = Router::new()
        .route("/rpc/v0", get(on_websocket::<S>).post(on_post::<S>))
        .route("/rpc/v1", get(on_websocket::<S>).post(on_post::<S>))
        .with_state(shared);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let Ok(permit) = permit else { break };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let stopped = stopped.clone();
                connections.spawn(connection(stream, permit, app.clone(), header_timeout, stopped));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let drained = timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(open = connections.len(), "connections dropped at the end");
    }
    Ok(())
}

async fn connection(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    app: Router,
    header_timeout: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        // Only latency is lost.
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let io = TokioIo::new(Held::new(stream, permit));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(io, TowerToHyperService::new(app))
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        // An error means that the server is gone, which is the other way to stop.
        _ = stopped.wait_for(|stop| *stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn on_post<S: Service>(
    State(shared): State<Arc<Shared<S>>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let credentials = match bearer(&headers) {
        Ok(token) => Credentials::Bearer(token),
        Err(error) => return respond(StatusCode::UNAUTHORIZED, Answer::refusal(&error)),
    };
    let limits = &shared.limits;
    let body = match timeout(limits.body_timeout, to_bytes(body, limits.body_bytes_max)).await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => {
            let error = RpcError::invalid_request(format!(
                "could not read the request, which may have {} bytes: {error}",
                limits.body_bytes_max
            ));
            return respond(StatusCode::PAYLOAD_TOO_LARGE, Answer::refusal(&error));
        }
        Err(_) => {
            let error = RpcError::invalid_request(format!(
                "the request did not arrive within {} ms",
                limits.body_timeout.as_millis()
            ));
            return respond(StatusCode::REQUEST_TIMEOUT, Answer::refusal(&error));
        }
    };
    let answer = serve(shared.service.as_ref(), &credentials, limits, &body).await;
    let status = StatusCode::from_u16(http_status(answer.failed)).unwrap_or_default();
    respond(status, answer)
}

fn respond(status: StatusCode, answer: Answer) -> Response {
    match answer.body {
        Some(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        None => StatusCode::OK.into_response(),
    }
}

#[derive(serde::Deserialize)]
struct TokenQuery {
    token: Option<String>,
}

async fn on_websocket<S: Service>(
    State(shared): State<Arc<Shared<S>>>,
    headers: HeaderMap,
    Query(query): Query<TokenQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let token = match bearer(&headers) {
        Ok(token) => token.or(query.token.filter(|token| !token.is_empty())),
        Err(error) => return respond(StatusCode::UNAUTHORIZED, Answer::refusal(&error)),
    };
    let credentials = Credentials::Bearer(token);
    if let Err(error) = shared.service.authenticate(&credentials).await {
        return respond(StatusCode::UNAUTHORIZED, Answer::refusal(&error));
    }
    upgrade
        .max_message_size(shared.limits.body_bytes_max)
        .max_frame_size(shared.limits.body_bytes_max)
        .on_upgrade(move |socket| async move {
            let service = shared.service.clone();
            websocket::run(socket, service, credentials, &shared.limits, shared.stopped.clone())
                .await;
        })
}

/// The token of the header `Authorization`, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<String>, RpcError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let refused =
        || RpcError::unauthorized("the header `Authorization` must read `Bearer <token>`");
    let text = value.to_str().map_err(|_| refused())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(refused());
    }
    Ok(Some(token.trim().to_owned()))
}
