//! **Purpose**: the server on a Unix socket: one request per line, one answer per line.
//!
//! **Invariants**
//! - The peer's user id, as the kernel gives it, is root's or this process's own; others get an
//!   error and no more.
//! - The socket never exists under its name with wider rights than 0600: it is made beside, its
//!   rights set, and then renamed.
//! - A socket on which a server answers is never taken over.
//!
//! **Source**: unix(7), `SO_PEERCRED`.

use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use zeroize::Zeroize;

use crate::dispatch::{Answer, serve};
use crate::error::RpcError;
use crate::{Credentials, Limits, Service};

const DRAIN: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket that does not answer yet.
pub struct UnixServer {
    listener: UnixListener,
    path: Utf8PathBuf,
    own_uid: u32,
}

/// Binds and answers until `stop` resolves.
///
/// # Errors
/// As [`UnixServer::bind`].
pub async fn serve_unix<S: Service>(
    path: &Utf8Path,
    service: Arc<S>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    UnixServer::bind(path).await?.run(service, limits, stop).await
}

impl UnixServer {
    /// Binds the socket; one that a dead server left behind is replaced.
    ///
    /// # Errors
    /// When a live server answers on it, or the directory does not allow it; the message names the
    /// path.
    pub async fn bind(path: &Utf8Path) -> io::Result<Self> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("another process answers on `{path}`; stop it first"),
            ));
        }
        let beside = Utf8PathBuf::from(format!("{path}.{}", std::process::id()));
        let named = |what: &str, error: io::Error| {
            io::Error::new(error.kind(), format!("could not {what} the socket `{path}`: {error}"))
        };
        remove_if_there(&beside).map_err(|error| named("clear the way for", error))?;
        let listener = UnixListener::bind(&beside).map_err(|error| named("bind", error))?;
        std::fs::set_permissions(&beside, Permissions::from_mode(0o600))
            .map_err(|error| named("set the rights of", error))?;
        // The owner of what this process makes is this process.
        let own_uid = std::fs::metadata(&beside).map_err(|error| named("look at", error))?.uid();
        std::fs::rename(&beside, path).map_err(|error| named("put in place", error))?;
        Ok(UnixServer { listener, path: path.to_owned(), own_uid })
    }

    /// Answers until `stop` resolves, then removes the socket; open requests get up to five
    /// seconds.
    ///
    /// # Errors
    /// None today; a failed accept is logged and tried again.
    pub async fn run<S: Service>(
        self,
        service: Arc<S>,
        limits: Limits,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let permits = Arc::new(Semaphore::new(limits.connections_max));
        let limits = Arc::new(limits);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                next = next => next,
                () = &mut stop => break,
            };
            let Ok(permit) = permit else { break };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) => {
                    let (service, limits) = (service.clone(), limits.clone());
                    let (stopped, own_uid) = (stopped.clone(), self.own_uid);
                    connections.spawn(async move {
                        let _permit = permit;
                        if let Err(error) =
                            connection(stream, own_uid, service, &limits, stopped).await
                        {
                            tracing::debug!(%error, "local connection ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a local connection, trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if let Err(error) = remove_if_there(&self.path) {
            tracing::warn!(%error, path = %self.path, "could not remove the socket");
        }
        stopping.send_replace(true);
        let drain = async { while connections.join_next().await.is_some() {} };
        if timeout(DRAIN, drain).await.is_err() {
            tracing::warn!(open = connections.len(), "local connections dropped at the end");
        }
        Ok(())
    }
}

async fn connection<S: Service>(
    stream: UnixStream,
    own_uid: u32,
    service: Arc<S>,
    limits: &Limits,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    if !may_enter(uid, own_uid) {
        let error = RpcError::unauthorized(format!(
            "user id {uid} may not use this socket; only root and user id {own_uid} may"
        ));
        return send(&mut writer, Answer::refusal(&error), limits).await;
    }
    let credentials = Credentials::Local { uid };
    let mut reader = BufReader::new(reader);
    loop {
        let read = tokio::select! {
            read = read_line(&mut reader, limits.body_bytes_max) => read?,
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        let mut line = match read {
            Line::End => return Ok(()),
            Line::TooLong => {
                let error = RpcError::invalid_request(format!(
                    "a request may have {} bytes",
                    limits.body_bytes_max
                ));
                return send(&mut writer, Answer::refusal(&error), limits).await;
            }
            Line::Full(line) => line,
        };
        let answer = serve(service.as_ref(), &credentials, limits, &line).await;
        // A password or a key may have been in it.
        line.zeroize();
        send(&mut writer, answer, limits).await?;
    }
}

fn may_enter(uid: u32, own_uid: u32) -> bool {
    uid == 0 || uid == own_uid
}

async fn send(
    writer: &mut (impl AsyncWriteExt + Unpin),
    answer: Answer,
    limits: &Limits,
) -> io::Result<()> {
    let Some(mut body) = answer.body else { return Ok(()) };
    body.push(b'\n');
    let sent = timeout(limits.body_timeout, writer.write_all(&body)).await;
    body.zeroize();
    sent.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer takes no answers"))?
}

pub(crate) enum Line {
    Full(Vec<u8>),
    TooLong,
    End,
}

/// Reads one line without its end; a last line without end counts.
pub(crate) async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    bytes_max: usize,
) -> io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(if line.is_empty() { Line::End } else { Line::Full(line) });
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        if line.len() + part.len() > bytes_max {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(part);
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Line::Full(line));
        }
    }
}

fn remove_if_there(path: &Utf8Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_owner_enter() {
        assert!(may_enter(0, 1000));
        assert!(may_enter(1000, 1000));
        assert!(!may_enter(1001, 1000));
        assert!(!may_enter(1000, 0));
    }
}
