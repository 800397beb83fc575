//! **Purpose**: from the bytes of a request or batch to the bytes of the answer.
//!
//! **Invariants**
//! - Requests of a batch are served one after the other, each under its own judgement of the
//!   caller.
//! - A notification is served and answered with nothing, also when it fails.

use std::time::Instant;

use serde_json::Value;

use crate::error::{RpcError, code};
use crate::message::{Request, answer};
use crate::{Credentials, Limits, Service};

/// What goes back.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    /// `None`: nothing but notifications came.
    pub(crate) body: Option<Vec<u8>>,
    /// Code of the error, when a single request failed.
    pub(crate) failed: Option<i64>,
}

impl Answer {
    /// An answer to bytes under whose id nothing can be said.
    pub(crate) fn refusal(error: &RpcError) -> Self {
        Answer { body: Some(bytes(&answer(&Value::Null, Err(error)))), failed: Some(error.code) }
    }
}

/// Serves what `body` asks.
pub(crate) async fn serve<S: Service>(
    service: &S,
    credentials: &Credentials,
    limits: &Limits,
    body: &[u8],
) -> Answer {
    match serde_json::from_slice::<Value>(body) {
        Err(error) => {
            // The text of the error has a position and a kind, never a piece of the request.
            Answer::refusal(&RpcError::parse(format!("could not parse the request: {error}")))
        }
        Ok(Value::Array(requests)) => serve_batch(service, credentials, limits, requests).await,
        Ok(request) => match serve_one(service, credentials, request).await {
            None => Answer { body: None, failed: None },
            Some((value, failed)) => Answer { body: Some(bytes(&value)), failed },
        },
    }
}

async fn serve_batch<S: Service>(
    service: &S,
    credentials: &Credentials,
    limits: &Limits,
    requests: Vec<Value>,
) -> Answer {
    if requests.is_empty() {
        return Answer::refusal(&RpcError::invalid_request("a batch has at least one request"));
    }
    if requests.len() > limits.batch_max {
        return Answer::refusal(&RpcError::invalid_request(format!(
            "a batch has at most {} requests, this one has {}; send it in parts",
            limits.batch_max,
            requests.len()
        )));
    }
    let mut answers = Vec::new();
    for request in requests {
        if let Some((value, _)) = serve_one(service, credentials, request).await {
            answers.push(value);
        }
    }
    let body = (!answers.is_empty()).then(|| bytes(&Value::Array(answers)));
    Answer { body, failed: None }
}

/// `None` for a notification; with the code when it failed.
async fn serve_one<S: Service>(
    service: &S,
    credentials: &Credentials,
    request: Value,
) -> Option<(Value, Option<i64>)> {
    let request = match Request::read(request) {
        Ok(request) => request,
        Err(bad) => return Some((answer(&bad.id, Err(&bad.error)), Some(bad.error.code))),
    };
    let begun = Instant::now();
    let Request { id, method, params } = request;
    let outcome = match service.authenticate(credentials).await {
        Ok(caller) => service.call(&caller, &method, params).await,
        Err(error) => Err(error),
    };
    let micros = begun.elapsed().as_micros();
    match &outcome {
        Ok(_) => tracing::debug!(method, micros, "request served"),
        Err(error) => tracing::debug!(method, micros, code = error.code, "request refused"),
    }
    let failed = outcome.as_ref().err().map(|error| error.code);
    id.map(|id| (answer(&id, outcome.as_ref()), failed))
}

fn bytes(value: &Value) -> Vec<u8> {
    // A `Value` has string keys and finite numbers, which is all that could fail here.
    serde_json::to_vec(value).expect("a JSON value can always be written")
}

/// Status of an HTTP answer, as go-jsonrpc gives it: what a method refuses is a 200.
pub(crate) fn http_status(failed: Option<i64>) -> u16 {
    match failed {
        None | Some(code::APPLICATION) => 200,
        Some(code::UNAUTHORIZED) => 401,
        Some(code::INVALID_REQUEST) => 400,
        Some(code::PARSE | code::METHOD_NOT_FOUND | code::INVALID_PARAMS | code::INTERNAL) => 500,
        // Codes that an application chose are errors of the method.
        Some(_) => 200,
    }
}
