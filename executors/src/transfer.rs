//! **Purpose**: the transfer service: files of attempts out, blobs in and out.
//!
//! **Invariants**
//! - Nothing is read, told or stored without the capability for exactly that.
//! - Names are plain: no request leads out of an attempt's `files` or the blob directory.
//! - A blob has its name only after its BLAKE3 was verified and its bytes were synced.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::transfer::transfer_server::{Transfer, TransferServer};
use hesper_protos::transfer::{Chunk, PutChunk, PutReply, ReadRequest, StatReply, StatRequest};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::agent::Context;
use crate::capability::verify;
use crate::error::AgentError;
use crate::metrics::Metrics;
use crate::output::is_plain_name;
use crate::storage::PlaceError;

pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;
const CHUNK_BYTES: usize = 512 << 10;
const CHUNKS_AHEAD: usize = 4;

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, AgentError> {
    TcpListener::bind(address).await.map_err(|source| AgentError::Listen { address, source })
}

/// Serves until `tasks` is dropped.
pub(crate) fn serve(
    context: &Arc<Context>,
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    tasks: &mut JoinSet<()>,
) -> Result<(), AgentError> {
    let service = TransferService {
        context: Arc::clone(context),
        pace: Arc::new(Pace {
            bytes_per_second: context.config.transfer_bytes_per_second,
            free_at: Mutex::new(None),
        }),
        uploads: Arc::new(Mutex::new(BTreeSet::new())),
    };
    let service = TransferServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let address = context.config.listen;
    let mut server = Server::builder().tcp_nodelay(true);
    if let Some(tls) = tls {
        server = server.tls_config(tls).map_err(|source| AgentError::Tls { address, source })?;
    }
    let serving = server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
    tasks.spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the transfer service ended; restart the executor");
        }
    });
    Ok(())
}

/// A bound on what is sent in all: every chunk books its time after the one before.
struct Pace {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    async fn wait(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let start = {
            let mut free_at = self.free_at.lock();
            let start = free_at.map_or_else(Instant::now, |at| at.max(Instant::now()));
            *free_at = Some(start + takes);
            start
        };
        tokio::time::sleep_until(start).await;
    }
}

struct TransferService {
    context: Arc<Context>,
    pace: Arc<Pace>,
    /// Blobs that are being written right now.
    uploads: Arc<Mutex<BTreeSet<String>>>,
}

/// Frees the blob for the next upload.
struct Upload {
    uploads: Arc<Mutex<BTreeSet<String>>>,
    name: String,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.lock().remove(&self.name);
    }
}

impl TransferService {
    fn check(&self, token: u64, path: &str, reader: u64, presented: &[u8]) -> Result<(), Status> {
        let Some((_, key)) = *self.context.identity.read() else {
            return Err(Status::unavailable(
                "this executor has not met a pool node yet; try again",
            ));
        };
        if !verify(&key, token, path, reader, presented) {
            return Err(Status::permission_denied(format!(
                "the capability is not for `{path}` of attempt {token} and reader {reader}"
            )));
        }
        if !is_plain_name(path) {
            return Err(Status::invalid_argument(format!("`{path}` is no plain file name")));
        }
        Ok(())
    }

    fn find(&self, token: u64, path: &str) -> Result<Utf8PathBuf, Status> {
        let found = if token == 0 {
            self.context.storage.blob(&hash_of(path)?)
        } else {
            self.context.storage.file(token, path)
        };
        found.ok_or_else(|| {
            Status::not_found(format!("this executor has no `{path}` of attempt {token}"))
        })
    }
}

fn hash_of(text: &str) -> Result<blake3::Hash, Status> {
    blake3::Hash::from_hex(text)
        .map_err(|_| Status::invalid_argument(format!("`{text}` is no BLAKE3 in hex")))
}

#[tonic::async_trait]
impl Transfer for TransferService {
    type ReadStream = ReceiverStream<Result<Chunk, Status>>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let ReadRequest { token, path, offset, reader, capability } = request.into_inner();
        self.check(token, &path, reader, &capability)?;
        let found = self.find(token, &path)?;
        let failed =
            |error: io::Error| Status::internal(format!("could not read `{found}`: {error}"));
        let file = std::fs::File::open(&found).map_err(failed)?;
        let total = file.metadata().map_err(failed)?.len();
        if offset > total {
            return Err(Status::out_of_range(format!(
                "`{path}` has {total} bytes, {offset} were to be skipped"
            )));
        }
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (context, pace) = (Arc::clone(&self.context), Arc::clone(&self.pace));
        tokio::spawn(async move {
            let file = Arc::new(file);
            let mut at = offset;
            while at < total {
                let length = CHUNK_BYTES.min(usize::try_from(total - at).unwrap_or(CHUNK_BYTES));
                pace.wait(length).await;
                let reader = Arc::clone(&file);
                let read = tokio::task::spawn_blocking(move || {
                    let mut data = vec![0; length];
                    reader.read_exact_at(&mut data, at).map(|()| data)
                });
                let chunk = match read.await.unwrap_or_else(|error| Err(error.into())) {
                    Ok(data) => Ok(Chunk { data: Bytes::from(data), total }),
                    Err(error) => {
                        Err(Status::internal(format!("could not read `{found}` at {at}: {error}")))
                    }
                };
                let is_last = chunk.is_err();
                if sender.send(chunk).await.is_err() || is_last {
                    return; // the reader has gone, or knows
                }
                at += length as u64;
                Metrics::add(&context.metrics.bytes_served, length as u64);
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<PutChunk>>,
    ) -> Result<Response<PutReply>, Status> {
        let mut chunks = request.into_inner();
        let first = chunks
            .message()
            .await?
            .ok_or_else(|| Status::invalid_argument("the upload has no header"))?;
        self.check(0, &first.blake3, 0, &first.capability)?;
        let hash = hash_of(&first.blake3)?;
        if self.context.storage.blob(&hash).is_some() {
            return Ok(Response::new(PutReply { stored: first.length }));
        }
        let name = hash.to_hex().to_string();
        if !self.uploads.lock().insert(name.clone()) {
            return Err(Status::aborted(format!(
                "blob {name} is being uploaded by somebody else; try again"
            )));
        }
        let _upload = Upload { uploads: Arc::clone(&self.uploads), name };
        let (length, offset) = (first.length, first.offset);
        let more = length.checked_sub(offset);
        let more =
            more.ok_or_else(|| Status::out_of_range("the upload resumes beyond its length"))?;
        let (partial, target) = self.context.storage.blob_place(&hash, more).map_err(no_place)?;
        write_blob(chunks, first, &partial).await?;
        let checked = partial.clone();
        let found = tokio::task::spawn_blocking(move || hash_file(&checked)).await;
        let found = found
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(|error| storage_status(&partial, &error))?;
        if found != hash {
            tokio::fs::remove_file(&partial)
                .await
                .map_err(|error| storage_status(&partial, &error))?;
            return Err(Status::data_loss(format!(
                "the {length} bytes have BLAKE3 {}, announced was {}; send them again from the start",
                found.to_hex(),
                hash.to_hex()
            )));
        }
        commit(&partial, &target).await.map_err(|error| storage_status(&target, &error))?;
        Metrics::add(&self.context.metrics.bytes_stored, length);
        Ok(Response::new(PutReply { stored: length }))
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatReply>, Status> {
        let StatRequest { blake3, capability } = request.into_inner();
        self.check(0, &blake3, 0, &capability)?;
        let hash = hash_of(&blake3)?;
        if self.context.storage.blob(&hash).is_some() {
            return Ok(Response::new(StatReply { complete: true, partial_bytes: 0 }));
        }
        let (partial, _) = self.context.storage.blob_place(&hash, 0).map_err(no_place)?;
        let partial_bytes = std::fs::metadata(partial).map_or(0, |found| found.len());
        Ok(Response::new(StatReply { complete: false, partial_bytes }))
    }
}

/// Appends what comes to the partial file; what has come stays there when the stream breaks.
async fn write_blob(
    mut chunks: Streaming<PutChunk>,
    first: PutChunk,
    partial: &Utf8Path,
) -> Result<(), Status> {
    let failed = |error: io::Error| storage_status(partial, &error);
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.append(true).create(true).open(partial).await.map_err(failed)?;
    let present = file.metadata().await.map_err(failed)?.len();
    if first.offset > present {
        return Err(Status::out_of_range(format!(
            "the upload resumes at {}, but only {present} bytes are here; ask Stat",
            first.offset
        )));
    }
    file.set_len(first.offset).await.map_err(failed)?;
    let (length, mut at, mut data) = (first.length, first.offset, first.data);
    loop {
        at += data.len() as u64;
        if at > length {
            return Err(Status::out_of_range(format!(
                "more than the announced {length} bytes came"
            )));
        }
        file.write_all(&data).await.map_err(failed)?;
        match chunks.message().await {
            Ok(Some(chunk)) => data = chunk.data,
            Ok(None) => break,
            Err(status) => {
                file.flush().await.map_err(failed)?;
                return Err(status);
            }
        }
    }
    file.flush().await.map_err(failed)?;
    if at < length {
        return Err(Status::aborted(format!(
            "the upload ended at {at} of {length} bytes; resume there"
        )));
    }
    file.sync_data().await.map_err(failed)
}

fn hash_file(path: &Utf8Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize())
}

async fn commit(partial: &Utf8Path, target: &Utf8Path) -> io::Result<()> {
    tokio::fs::rename(partial, target).await?;
    if let Some(dir) = target.parent() {
        tokio::fs::File::open(dir).await?.sync_all().await?;
    }
    Ok(())
}

fn no_place(error: PlaceError) -> Status {
    match error {
        PlaceError::NoSpace(_) => Status::resource_exhausted(error.to_string()),
        PlaceError::NoPath | PlaceError::Directory { .. } => Status::internal(error.to_string()),
    }
}

fn storage_status(path: &Utf8Path, error: &io::Error) -> Status {
    if error.kind() == io::ErrorKind::StorageFull {
        return Status::resource_exhausted(format!("no space left at `{path}`; free space there"));
    }
    Status::internal(format!("could not write `{path}`: {error}"))
}
