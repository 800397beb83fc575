//! **Purpose**: sends files to executors and fetches files from them, directly, resumably, verified.
//!
//! **Invariants**
//! - What is fetched appears under its name only after length and BLAKE3 are right.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::sector::{LocateReply, PlacePieceReply};
use hesper_protos::transfer::transfer_client::TransferClient;
use hesper_protos::transfer::{PutChunk, ReadRequest, StatRequest};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::Client;
use crate::identity::{Expect, IdentityError, client_tls, endpoint};
use crate::output::causes;

const CHUNK_BYTES: usize = 512 << 10;
const CHUNKS_AHEAD: usize = 4;
const ATTEMPTS: u32 = 5;

/// Why a file could not be sent or fetched.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A local file.
    #[error("could not {action} `{path}`: {source}; check that it exists and that there is space")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The own certificates or the executor's address.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The local socket leads to a node only.
    #[error(
        "files go between this machine and executors, which ask for a certificate; use an identity instead of --socket"
    )]
    NoIdentity,
    /// The executor.
    #[error(
        "could not {action} at executor {address}: {reason}; is that address reachable from here?"
    )]
    Executor {
        /// What was tried.
        action: &'static str,
        /// Where.
        address: String,
        /// Its words, or the network's.
        reason: String,
    },
    /// Something else than what was promised.
    #[error(
        "what arrived from {address} is not the file: expected {length} bytes with BLAKE3 {expected}, got {got_length} bytes with {got}; the copy there is damaged: see `hesper sector show`"
    )]
    Altered {
        /// From where.
        address: String,
        /// Bytes promised.
        length: u64,
        /// Hash promised.
        expected: String,
        /// Bytes received.
        got_length: u64,
        /// Hash received.
        got: String,
    },
}

impl TransferError {
    fn file(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| TransferError::File { action, path, source }
    }
}

/// Length and BLAKE3 (hex) of a file.
///
/// # Errors
/// When it cannot be read.
pub async fn hash_file(path: &Utf8Path) -> Result<(u64, String), TransferError> {
    let owned = path.to_owned();
    let hash = move || -> io::Result<(u64, String)> {
        let mut file = std::fs::File::open(&owned)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file)?;
        Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
    };
    tokio::task::spawn_blocking(hash)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(TransferError::file("read", path))
}

impl Client {
    /// Sends a file to the executor that was named for it; `progress` gets the bytes that are there.
    ///
    /// # Errors
    /// When the file or the executor fails, also after some repetitions.
    pub async fn upload(
        &self,
        path: &Utf8Path,
        blake3: &str,
        length: u64,
        place: &PlacePieceReply,
        progress: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), TransferError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let sent = self.upload_once(path, blake3, length, place, progress.clone()).await;
            match sent {
                Err(TransferError::Executor { .. }) if tries < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                }
                sent => return sent,
            }
        }
    }

    async fn upload_once(
        &self,
        path: &Utf8Path,
        blake3: &str,
        length: u64,
        place: &PlacePieceReply,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), TransferError> {
        let mut executor = self.executor(&place.address).await?;
        let failed =
            |action| move |status: tonic::Status| executor_error(action, &place.address, &status);
        let stat = StatRequest { blake3: blake3.to_owned(), capability: place.capability.clone() };
        let there = executor.stat(stat).await.map_err(failed("ask for the piece"))?.into_inner();
        if there.complete {
            progress(length);
            return Ok(());
        }
        let offset = there.partial_bytes.min(length);
        let mut file = File::open(path).await.map_err(TransferError::file("open", path))?;
        file.seek(SeekFrom::Start(offset)).await.map_err(TransferError::file("read", path))?;
        let header = PutChunk {
            blake3: blake3.to_owned(),
            length,
            offset,
            capability: place.capability.clone(),
            data: Default::default(),
        };
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let reader = tokio::spawn(read_chunks(file, header, sender, progress));
        let stored = executor.put_blob(ReceiverStream::new(receiver)).await;
        let read = reader.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(TransferError::file("read", path))?;
        let stored = stored.map_err(failed("put the piece"))?.into_inner().stored;
        if stored == length {
            return Ok(());
        }
        Err(TransferError::Executor {
            action: "put the piece",
            address: place.address.clone(),
            reason: format!("it stored {stored} of {length} bytes"),
        })
    }

    /// Fetches a file to `to`; `progress` gets the bytes that are there. A partial file beside `to`
    /// is continued.
    ///
    /// # Errors
    /// When the executor fails, also after some repetitions, or what arrives is not the file.
    pub async fn download(
        &self,
        from: &LocateReply,
        to: &Utf8Path,
        progress: impl Fn(u64),
    ) -> Result<(), TransferError> {
        let part = Utf8PathBuf::from(format!("{to}.{}.part", from.blake3.get(..8).unwrap_or("")));
        let mut tries = 0;
        loop {
            tries += 1;
            match self.fetch(from, &part, &progress).await {
                Err(TransferError::Executor { .. }) if tries < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        let (got_length, got) = hash_file(&part).await?;
        if got_length != from.length || got != from.blake3 {
            fs::remove_file(&part).await.map_err(TransferError::file("remove", &part))?;
            return Err(TransferError::Altered {
                address: from.address.clone(),
                length: from.length,
                expected: from.blake3.clone(),
                got_length,
                got,
            });
        }
        fs::rename(&part, to).await.map_err(TransferError::file("write", to))
    }

    async fn fetch(
        &self,
        from: &LocateReply,
        part: &Utf8Path,
        progress: &impl Fn(u64),
    ) -> Result<(), TransferError> {
        let failed =
            |status: tonic::Status| executor_error("read the file", &from.address, &status);
        let write = || TransferError::file("write", part);
        let mut executor = self.executor(&from.address).await?;
        let mut file =
            File::options().append(true).create(true).open(part).await.map_err(write())?;
        let mut offset = file.metadata().await.map_err(write())?.len();
        if offset > from.length {
            file.set_len(0).await.map_err(write())?;
            offset = 0;
        }
        let request = ReadRequest {
            token: from.token,
            path: from.path.clone(),
            offset,
            reader: 0,
            capability: from.capability.clone(),
        };
        let mut stream = executor.read(request).await.map_err(failed)?.into_inner();
        while let Some(chunk) = stream.message().await.map_err(failed)? {
            file.write_all(&chunk.data).await.map_err(write())?;
            offset += u64::try_from(chunk.data.len()).unwrap_or(u64::MAX);
            progress(offset);
        }
        file.sync_all().await.map_err(write())
    }

    async fn executor(&self, address: &str) -> Result<TransferClient<Channel>, TransferError> {
        let identity = self.identity().ok_or(TransferError::NoIdentity)?;
        let tls = client_tls(identity, Expect::Executor);
        let channel =
            endpoint(address, &tls)?.connect().await.map_err(|error| TransferError::Executor {
                action: "connect",
                address: address.to_owned(),
                reason: causes(&error),
            })?;
        Ok(TransferClient::new(channel).max_decoding_message_size(8 << 20))
    }
}

fn executor_error(action: &'static str, address: &str, status: &tonic::Status) -> TransferError {
    TransferError::Executor {
        action,
        address: address.to_owned(),
        reason: status.message().to_owned(),
    }
}

/// Reads the file ahead of the network by a few chunks. Ends early when the receiver is gone: then
/// the call itself has failed and says why.
async fn read_chunks(
    mut file: File,
    mut header: PutChunk,
    sender: mpsc::Sender<PutChunk>,
    progress: impl Fn(u64),
) -> io::Result<()> {
    let mut sent = header.offset;
    let mut is_first = true;
    loop {
        let mut buffer = bytes::BytesMut::with_capacity(CHUNK_BYTES);
        while buffer.len() < CHUNK_BYTES && file.read_buf(&mut buffer).await? > 0 {}
        if buffer.is_empty() && !is_first {
            return Ok(());
        }
        sent += u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        header.data = buffer.freeze();
        if sender.send(std::mem::take(&mut header)).await.is_err() {
            return Ok(());
        }
        is_first = false;
        progress(sent);
    }
}
