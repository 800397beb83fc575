//! **Purpose**: the routes of the auth server that Venus components expect, over plain HTTP, so that
//! they can use a node as theirs.
//!
//! **Invariants**
//! - A route does what the service of the same name does, with the same caller, permission and limit;
//!   nothing is decided here.
//! - Bodies are JSON or a form, names of fields in any case; answers have the fields of that server.
//!   Differences: a refused caller gets 401 or 403 and nothing else, a reached limit 429, a node that is
//!   cut off 503; `id` of a user is its name.
//!
//! **Source**: routes and field names of `ipfs-force-community/sophon-auth` (`auth/route.go`,
//! `auth/transport.go`, MIT or Apache-2.0), versions 1.6 and later.

mod fields;
mod routes;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::auth::RETRY_AFTER;
use super::{Node, Shared};
use crate::shutdown::{self, Shutdown};
use fields::Fields;

/// Larger bodies are refused: the largest request names a thousand signers.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Serves the routes until shutdown.
///
/// # Errors
/// When the address is taken.
pub async fn serve(
    node: Shared,
    listen: Option<SocketAddr>,
    mut ended: Shutdown,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    let Some(listen) = listen else { return Ok(None) };
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| {
        format!("could not serve the auth routes on {listen}; choose another `auth_http`, or `off`")
    })?;
    let router = router(node);
    Ok(Some(tokio::spawn(async move {
        let served = axum::serve(listener, router)
            .with_graceful_shutdown(async move { shutdown::requested(&mut ended).await })
            .await;
        if let Err(error) = served {
            tracing::warn!(%error, "the auth routes are no longer served");
        }
    })))
}

/// All routes; which there are is decided by the path alone, so that one place reads the request.
pub fn router(node: Shared) -> Router {
    Router::new().fallback(answer).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(node)
}

async fn answer(
    State(node): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match reply(&node, &method, &uri, &headers, &body).await {
        Ok(Some(value)) => axum::Json(value).into_response(),
        Ok(None) => StatusCode::OK.into_response(),
        Err(status) => refusal(&status),
    }
}

async fn reply(
    node: &Shared,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Option<Value>, Status> {
    let path = uri.path().trim_end_matches('/');
    match (method.as_str(), path) {
        ("GET", "/version") => return Ok(Some(json!({ "Version": env!("CARGO_PKG_VERSION") }))),
        ("GET", "/healthcheck") => {
            return match super::metrics::health(node).problems.first() {
                None => Ok(Some(json!({ "status": "OK" }))),
                Some(problem) => Err(Status::unavailable(problem.clone())),
            };
        }
        _ => {}
    }
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let fields = Fields::read(uri.query().unwrap_or_default(), content, body)?;
    let token = bearer(headers)?;
    let caller = node.holder_of(&token)?;
    routes::call(&Arc::clone(node), &caller, method.as_str(), path, &fields).await
}

fn bearer(headers: &HeaderMap) -> Result<String, Status> {
    let missing =
        || Status::unauthenticated("this call needs a token: `Authorization: Bearer <token>`");
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    match token.map(str::trim) {
        Some(token) if !token.is_empty() => Ok(token.to_owned()),
        Some(_) | None => Err(missing()),
    }
}

fn refusal(status: &Status) -> Response {
    let code = match status.code() {
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::Aborted => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal | Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = (code, axum::Json(json!({ "error": status.message() }))).into_response();
    let retry_ms = status.metadata().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    if let Some(retry_ms) = retry_ms.and_then(|text| text.parse::<u64>().ok()) {
        // In whole seconds, as the header wants it.
        let seconds = retry_ms.div_ceil(1_000);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

impl Node {
    /// The caller of a plain HTTP request, which shows nothing but a token.
    fn holder_of(&self, token: &str) -> Result<super::Caller, Status> {
        let caller = self.verify(token)?;
        self.require_standing(&caller)?;
        Ok(caller)
    }
}
