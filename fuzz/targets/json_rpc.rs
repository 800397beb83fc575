//! Requests and batches of JSON-RPC: every answer is JSON under the id that came.
#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hesper_jsonrpc::{Credentials, Limits, RpcError, Service, testing};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Answers with the parameters, or refuses when there are none.
struct Echo;

impl Service for Echo {
    type Caller = ();

    async fn authenticate(&self, _credentials: &Credentials) -> Result<(), RpcError> {
        Ok(())
    }

    async fn call(&self, (): &(), method: &str, params: Vec<Value>) -> Result<Value, RpcError> {
        if params.is_empty() { Err(RpcError::method_not_found(method)) } else { Ok(params.into()) }
    }
}

fn check(answer: &Value) {
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.get("result").is_some() != answer["error"].is_object());
    assert!(!answer["id"].is_array() && !answer["id"].is_object() && !answer["id"].is_boolean());
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    // The service never waits, so one poll is enough.
    let answered =
        pin!(testing::answer(&Echo, &limits, data)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(answered) = answered else { panic!("an answer without waiting") };
    let request = serde_json::from_slice::<Value>(data);
    let Some(body) = answered else {
        assert!(request.is_ok(), "only notifications have no answer");
        return;
    };
    match serde_json::from_slice::<Value>(&body).expect("an answer is JSON") {
        Value::Array(answers) => {
            let asked = request.expect("it was read");
            assert!(answers.len() <= asked.as_array().map_or(0, Vec::len));
            answers.iter().for_each(check);
        }
        answer => {
            check(&answer);
            if let Ok(Value::Object(asked)) = request
                && let Some(id) = asked.get("id").filter(|id| id.is_string() || id.is_i64())
            {
                assert_eq!(answer["id"], *id);
            }
        }
    }
});
