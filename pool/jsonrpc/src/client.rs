//! **Purpose**: a client of the Unix socket, for command lines.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zeroize::Zeroize;

use crate::error::RpcError;
use crate::unix::{Line, read_line};

/// The server is trusted; the bound only stops a runaway.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection that calls one method after the other.
pub struct UnixClient {
    path: Utf8PathBuf,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    last_id: u64,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(
        "could not connect to `{path}`: {source}; is the process running, and are you root or its \
         user?"
    )]
    Connect { path: Utf8PathBuf, source: std::io::Error },
    #[error("the connection to `{path}` broke: {source}")]
    Broken { path: Utf8PathBuf, source: std::io::Error },
    #[error("the process behind `{path}` closed the connection without an answer")]
    Closed { path: Utf8PathBuf },
    #[error("what came from `{path}` is no answer to the request: {reason}")]
    BadAnswer { path: Utf8PathBuf, reason: String },
    /// What the server refuses, in its words.
    #[error("{}", .0.message)]
    Rpc(RpcError),
}

impl UnixClient {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there, or the rights do not suffice.
    pub async fn connect(path: &Utf8Path) -> Result<Self, CallError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|source| CallError::Connect { path: path.to_owned(), source })?;
        let (reader, writer) = stream.into_split();
        Ok(UnixClient { path: path.to_owned(), reader: BufReader::new(reader), writer, last_id: 0 })
    }

    /// Calls one method and waits for its answer.
    ///
    /// # Errors
    /// When the server refuses, or the connection breaks.
    pub async fn call(&mut self, method: &str, params: Vec<Value>) -> Result<Value, CallError> {
        self.last_id += 1;
        let request =
            json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        let sent = self.writer.write_all(&line).await;
        line.zeroize();
        sent.map_err(|source| self.broken(source))?;
        let read = read_line(&mut self.reader, ANSWER_BYTES_MAX).await;
        match read.map_err(|source| self.broken(source))? {
            Line::End => Err(CallError::Closed { path: self.path.clone() }),
            Line::TooLong => Err(self.bad_answer("it is too long")),
            Line::Full(mut line) => {
                let answer = serde_json::from_slice::<Value>(&line);
                line.zeroize();
                self.read_answer(answer.map_err(|error| self.bad_answer(error))?)
            }
        }
    }

    fn read_answer(&self, mut answer: Value) -> Result<Value, CallError> {
        if let Some(error) = answer.get("error") {
            let error = RpcError::from_json(error);
            return Err(match error {
                Some(error) => CallError::Rpc(error),
                None => self.bad_answer("its error has no code or message"),
            });
        }
        if answer.get("id").and_then(Value::as_u64) != Some(self.last_id) {
            return Err(self.bad_answer("it has another id"));
        }
        answer
            .get_mut("result")
            .map(Value::take)
            .ok_or_else(|| self.bad_answer("it has neither result nor error"))
    }

    fn broken(&self, source: std::io::Error) -> CallError {
        CallError::Broken { path: self.path.clone(), source }
    }

    fn bad_answer(&self, reason: impl ToString) -> CallError {
        CallError::BadAnswer { path: self.path.clone(), reason: reason.to_string() }
    }
}
