//! **Purpose**: the error object of JSON-RPC, with the codes that go-jsonrpc uses.
//!
//! **Source**: JSON-RPC 2.0 section 5.1; filecoin-project/go-jsonrpc `handler.go`, `auth/auth.go`.

use serde_json::{Value, json};

/// Numbers of the kinds of errors.
pub mod code {
    /// The request is no JSON.
    pub const PARSE: i64 = -32700;
    /// JSON, but no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Wrong number, type or content of parameters.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The server failed.
    pub const INTERNAL: i64 = -32603;
    /// What the method itself refuses; go-jsonrpc gives it to every error without own code.
    pub const APPLICATION: i64 = 1;
    /// The token is not valid. Over HTTP the status is 401, as go-jsonrpc answers it.
    pub const UNAUTHORIZED: i64 = 401;
}

/// An error as the client sees it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        RpcError { code, message: message.into(), data: None }
    }

    /// What the method itself refuses.
    pub fn application(message: impl Into<String>) -> Self {
        Self::new(code::APPLICATION, message)
    }

    /// No method of this name.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(code::METHOD_NOT_FOUND, format!("method '{method}' not found"))
    }

    /// Parameters that cannot be used; `message` says which and why.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }

    /// JSON that is no request.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_REQUEST, message)
    }

    /// The server failed; the client can do nothing about it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(code::INTERNAL, message)
    }

    /// A token that is not valid.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(code::UNAUTHORIZED, message)
    }

    /// The caller lacks a permission, in the words of go-jsonrpc. `method` is the whole name; like
    /// there, the name is shown without its namespace.
    #[must_use]
    pub fn missing_permission(method: &str, need: &str) -> Self {
        let name = method.rsplit('.').next().unwrap_or(method);
        Self::application(format!("missing permission to invoke '{name}' (need '{need}')"))
    }

    pub(crate) fn parse(message: impl Into<String>) -> Self {
        Self::new(code::PARSE, message)
    }

    /// With machine-readable details.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Some(fields)) = (&self.data, object.as_object_mut()) {
            fields.insert("data".to_owned(), data.clone());
        }
        object
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        Some(RpcError {
            code: value.get("code")?.as_i64()?,
            message: value.get("message")?.as_str()?.to_owned(),
            data: value.get("data").cloned(),
        })
    }
}
