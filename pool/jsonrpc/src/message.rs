//! **Purpose**: requests and answers as JSON.
//!
//! **Invariants**
//! - An id is echoed as it came: a string, a number or null. Without id a request is a notification
//!   and gets no answer.
//! - Parameters are positional, as every method of Lotus and Venus has them.
//!
//! **Source**: JSON-RPC 2.0 sections 4 and 5.

use serde_json::{Value, json};

use crate::error::RpcError;

/// A request that can be served.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    /// `None`: a notification.
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
}

/// A request that cannot be served, with the id under which to say so.
#[derive(Debug, PartialEq)]
pub(crate) struct BadRequest {
    pub(crate) id: Value,
    pub(crate) error: RpcError,
}

impl Request {
    /// Reads one request.
    pub(crate) fn read(value: Value) -> Result<Self, BadRequest> {
        let Value::Object(mut fields) = value else {
            return Err(BadRequest {
                id: Value::Null,
                error: RpcError::invalid_request("a request is a JSON object"),
            });
        };
        let id = match fields.remove("id") {
            None => None,
            Some(id @ (Value::Null | Value::String(_) | Value::Number(_))) => Some(id),
            Some(_) => {
                return Err(BadRequest {
                    id: Value::Null,
                    error: RpcError::invalid_request("`id` is a string, a number or null"),
                });
            }
        };
        let refuse = |error: RpcError| BadRequest { id: id.clone().unwrap_or(Value::Null), error };
        // go-jsonrpc does not look at the version, so some of its clients leave it out.
        match fields.remove("jsonrpc") {
            None => {}
            Some(Value::String(version)) if version == "2.0" => {}
            Some(_) => {
                return Err(refuse(RpcError::invalid_request("`jsonrpc` must be \"2.0\"")));
            }
        }
        let Some(Value::String(method)) = fields.remove("method") else {
            return Err(refuse(RpcError::invalid_request("`method` must be a string")));
        };
        let params = match fields.remove("params") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(params)) => params,
            Some(_) => {
                return Err(refuse(RpcError::invalid_params(format!(
                    "parameters of '{method}' must be an array, in the order of its definition"
                ))));
            }
        };
        Ok(Request { id, method, params })
    }
}

/// The answer to a request.
pub(crate) fn answer(id: &Value, outcome: Result<&Value, &RpcError>) -> Value {
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code;

    fn read(text: &str) -> Result<Request, BadRequest> {
        Request::read(serde_json::from_str(text).unwrap())
    }

    fn refused(text: &str) -> (Value, i64) {
        let bad = read(text).unwrap_err();
        (bad.id, bad.error.code)
    }

    #[test]
    fn scalar_ids_are_kept_as_they_came() {
        for id in ["1", "1.5", "\"a\"", "null", "-7", "18446744073709551615"] {
            let request =
                read(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"A.B"}}"#)).unwrap();
            assert_eq!(request.id.unwrap().to_string(), id);
            assert!(request.params.is_empty());
        }
    }

    #[test]
    fn without_id_it_is_a_notification() {
        assert_eq!(read(r#"{"method":"A.B","params":[1]}"#).unwrap().id, None);
    }

    #[test]
    fn what_is_no_request_is_refused_under_its_own_id() {
        assert_eq!(refused("7"), (Value::Null, code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":[1],"method":"A"}"#), (Value::Null, code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":true,"method":"A"}"#), (Value::Null, code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":4}"#), (json!(4), code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":4,"method":5}"#), (json!(4), code::INVALID_REQUEST));
        let old = r#"{"jsonrpc":"1.0","id":4,"method":"A"}"#;
        assert_eq!(refused(old), (json!(4), code::INVALID_REQUEST));
    }

    #[test]
    fn parameters_by_name_are_refused() {
        let named = r#"{"id":"x","method":"A.B","params":{"a":1}}"#;
        assert_eq!(refused(named), (json!("x"), code::INVALID_PARAMS));
    }
}
