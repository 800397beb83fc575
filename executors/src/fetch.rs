//! **Purpose**: find an input of a stage: here, or on another executor.
//!
//! **Invariants**
//! - A fetched file has its final name only after length and BLAKE3 were verified.
//! - A broken transfer goes on where it stopped; a copy that does not verify is thrown away and the
//!   next source is tried.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::executor::{InputFile, Source};
use hesper_protos::transfer::ReadRequest;
use hesper_protos::transfer::transfer_client::TransferClient;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::agent::Context;
use crate::capability::capability;
use crate::metrics::Metrics;
use crate::transfer::MESSAGE_BYTES_MAX;

/// Broken streams of one source that are taken up again.
const RESUMES_MAX: u32 = 4;
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
const RESUME_PAUSE: Duration = Duration::from_millis(100);

/// What a fetch came to; bytes moved count even if it failed.
pub(crate) struct Fetched {
    pub(crate) bytes: u64,
    pub(crate) result: Result<(), String>,
}

enum FetchError {
    /// The stream broke; the same source may go on.
    Broken(String),
    /// This source has no good copy.
    Source(String),
    /// Nothing can be written here.
    Target(String),
}

/// The input on a path of this executor, with the length that it should have.
pub(crate) fn local(context: &Context, input: &InputFile) -> Option<Utf8PathBuf> {
    input.sources.iter().find_map(|source| {
        let path = if source.token == 0 {
            context.storage.blob(&blake3::Hash::from_hex(&source.path).ok()?)?
        } else {
            context.storage.file(source.token, &source.path)?
        };
        let length = std::fs::metadata(&path).ok()?.len();
        // A truncated copy is no copy: another source may have a good one. Its content is compared
        // with its hash by the stage before use.
        (length == input.length || input.blake3.is_empty()).then_some(path)
    })
}

/// Fetches the input from any of its sources into `target`.
pub(crate) async fn fetch(context: &Context, input: &InputFile, target: &Utf8Path) -> Fetched {
    let mut bytes = 0;
    let mut reasons = Vec::new();
    for source in input.sources.iter().filter(|source| !source.address.is_empty()) {
        if is_own(context, source) {
            reasons.push(format!(
                "{} (this executor): no copy of {} bytes",
                source.path, input.length
            ));
            continue;
        }
        let mut resumes = 0;
        loop {
            match from_source(context, input, source, target, &mut bytes).await {
                Ok(()) => {
                    return Fetched { bytes, result: Ok(()) };
                }
                Err(FetchError::Broken(_)) if resumes < RESUMES_MAX => {
                    resumes += 1;
                    tokio::time::sleep(RESUME_PAUSE * resumes).await;
                }
                Err(FetchError::Broken(reason) | FetchError::Source(reason)) => {
                    reasons.push(format!("{}: {reason}", source.address));
                    break;
                }
                Err(FetchError::Target(reason)) => {
                    return Fetched { bytes, result: Err(reason) };
                }
            }
        }
    }
    if reasons.is_empty() {
        reasons.push("no executor is known to have it".to_owned());
    }
    let result =
        Err(format!("no good copy of input `{}` was found: {}", input.name, reasons.join("; ")));
    Fetched { bytes, result }
}

fn is_own(context: &Context, source: &Source) -> bool {
    context.identity.read().is_some_and(|(id, _)| id == source.executor_id)
}

async fn from_source(
    context: &Context,
    input: &InputFile,
    source: &Source,
    target: &Utf8Path,
    moved: &mut u64,
) -> Result<(), FetchError> {
    let target_failed = |error: io::Error| {
        FetchError::Target(format!("could not write the fetched input `{target}`: {error}"))
    };
    let Some((reader, key)) = *context.identity.read() else {
        return Err(FetchError::Broken("no node has told the transfer key yet".to_owned()));
    };
    let partial = Utf8PathBuf::from(format!("{target}.partial"));
    if let Some(dir) = target.parent() {
        fs::create_dir_all(dir).await.map_err(target_failed)?;
    }
    let (mut hasher, offset) = take_up(&partial).await.map_err(target_failed)?;
    let channel = context
        .connect
        .connect(&source.address)
        .map_err(|error| FetchError::Source(error.to_string()))?;
    let mut client = TransferClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = ReadRequest {
        token: source.token,
        path: source.path.clone(),
        offset,
        reader,
        capability: capability(&key, source.token, &source.path, reader).to_vec().into(),
    };
    let mut chunks = client.read(request).await.map_err(sorted)?.into_inner();
    let mut file =
        OpenOptions::new().append(true).create(true).open(&partial).await.map_err(target_failed)?;
    let mut length = offset;
    loop {
        let next = timeout(CHUNK_PATIENCE, chunks.message()).await.map_err(|_| {
            FetchError::Broken(format!("nothing came for {} s", CHUNK_PATIENCE.as_secs()))
        })?;
        let Some(chunk) = next.map_err(sorted)? else {
            break;
        };
        length += chunk.data.len() as u64;
        if length > input.length && !input.blake3.is_empty() {
            discard(&partial).await.map_err(target_failed)?;
            return Err(FetchError::Source(format!(
                "it sent more than the {} bytes of the manifest",
                input.length
            )));
        }
        hasher.update(&chunk.data);
        file.write_all(&chunk.data).await.map_err(target_failed)?;
        *moved += chunk.data.len() as u64;
        Metrics::add(&context.metrics.bytes_fetched, chunk.data.len() as u64);
    }
    file.flush().await.map_err(target_failed)?;
    if length < input.length {
        return Err(FetchError::Source(format!(
            "it has {length} bytes, the manifest says {}",
            input.length
        )));
    }
    let found = hasher.finalize().to_hex();
    if !input.blake3.is_empty() && found.as_str() != input.blake3 {
        discard(&partial).await.map_err(target_failed)?;
        return Err(FetchError::Source(format!(
            "its BLAKE3 is {found}, the manifest says {}",
            input.blake3
        )));
    }
    fs::rename(&partial, target).await.map_err(target_failed)
}

/// Hash state and length of what an earlier try left.
async fn take_up(partial: &Utf8Path) -> io::Result<(blake3::Hasher, u64)> {
    let file = match File::open(partial).await {
        Ok(file) => file.into_std().await,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((blake3::Hasher::new(), 0));
        }
        Err(error) => return Err(error),
    };
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file)?;
        let length = hasher.count();
        Ok::<_, io::Error>((hasher, length))
    });
    hashed.await?
}

async fn discard(partial: &Utf8Path) -> io::Result<()> {
    match fs::remove_file(partial).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A refusal is final for the source, everything else may pass.
fn sorted(status: tonic::Status) -> FetchError {
    let text = format!("{}: {}", status.code(), status.message());
    match status.code() {
        tonic::Code::NotFound
        | tonic::Code::PermissionDenied
        | tonic::Code::InvalidArgument
        | tonic::Code::Unimplemented
        | tonic::Code::OutOfRange => FetchError::Source(text),
        _ => FetchError::Broken(text),
    }
}
