//! **Purpose**: a snapshot as a stream of its files.
//!
//! **Invariants**
//! - A file is taken only with the BLAKE3 of its bytes; the whole only when every announced file came.
//! - What a peer calls a file can only lie in the directory meant for it.

use std::fs;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use futures_util::Stream;
use hesper_protos::raft as pb;
use pb::snapshot_part::Part;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::codec::{
    log_id_from_pb, log_id_to_pb, required, stored_membership_from_pb, stored_membership_to_pb,
    vote_from_pb, vote_to_pb,
};
use crate::state::{SnapshotDir, SnapshotStore};
use crate::types::{Snapshot, SnapshotMeta, Vote};

const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_AHEAD: usize = 4;

fn part(part: Part) -> pb::SnapshotPart {
    pb::SnapshotPart { part: Some(part) }
}

/// The parts of `snapshot`, read by a thread as fast as they are taken. When reading fails the stream
/// ends without its end mark, and the receiver refuses it.
pub fn send(
    vote: Vote,
    snapshot: Snapshot,
) -> impl Stream<Item = pb::SnapshotPart> + Send + 'static {
    let (parts, taken) = mpsc::channel(CHUNKS_AHEAD);
    let header = pb::SnapshotHeader {
        vote: Some(vote_to_pb(&vote)),
        last: snapshot.meta.last_log_id.as_ref().map(log_id_to_pb),
        membership: Some(stored_membership_to_pb(&snapshot.meta.last_membership)),
    };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send_files(&parts, header, &snapshot.snapshot) {
            tracing::warn!(%error, "could not read a snapshot to send it");
        }
    });
    ReceiverStream::new(taken)
}

/// The receiver went away; that is its business.
fn push(parts: &mpsc::Sender<pb::SnapshotPart>, one: Part) -> std::io::Result<()> {
    parts.blocking_send(part(one)).map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
}

fn send_files(
    parts: &mpsc::Sender<pb::SnapshotPart>,
    header: pb::SnapshotHeader,
    snapshot: &SnapshotDir,
) -> std::io::Result<()> {
    push(parts, Part::Header(header))?;
    let mut files = 0;
    for entry in fs::read_dir(snapshot.path())? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // RocksDB's notes about the directory, not part of the data.
        if name.starts_with("LOG") || name == "LOCK" {
            continue;
        }
        let mut file = fs::File::open(entry.path())?;
        let length = file.metadata()?.len();
        push(parts, Part::File(pb::SnapshotFile { name, length }))?;
        let mut hasher = blake3::Hasher::new();
        let mut left = length;
        while left > 0 {
            let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
            file.read_exact(&mut chunk)?;
            hasher.update(&chunk);
            left -= chunk.len() as u64;
            push(parts, Part::Bytes(Bytes::from(chunk)))?;
        }
        let blake3 = Bytes::copy_from_slice(hasher.finalize().as_bytes());
        push(parts, Part::FileEnd(pb::SnapshotFileEnd { blake3 }))?;
        files += 1;
    }
    push(parts, Part::End(pb::SnapshotEnd { files }))
}

struct Open {
    file: tokio::fs::File,
    name: String,
    left: u64,
    hasher: blake3::Hasher,
}

fn refused(reason: impl ToString) -> Status {
    Status::invalid_argument(format!("snapshot refused: {}", reason.to_string()))
}

fn local(error: &dyn std::fmt::Display) -> Status {
    Status::internal(format!("could not store the snapshot: {error}; check the disc of this node"))
}

fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(allowed)
}

/// Takes a whole snapshot into a new directory.
pub async fn receive(
    store: &SnapshotStore,
    mut parts: Streaming<pb::SnapshotPart>,
) -> Result<(Vote, Snapshot), Status> {
    let first = parts.message().await?.and_then(|p| p.part);
    let Some(Part::Header(header)) = first else {
        return Err(refused("it does not start with its header"));
    };
    let vote = required(header.vote, "SnapshotHeader", "vote").map_err(refused)?;
    let membership =
        required(header.membership, "SnapshotHeader", "membership").map_err(refused)?;
    let meta = SnapshotMeta {
        last_log_id: header.last.as_ref().map(log_id_from_pb),
        last_membership: stored_membership_from_pb(&membership).map_err(refused)?,
    };
    let directory = store.new_incoming().map_err(|e| local(&e))?;
    let mut open: Option<Open> = None;
    let mut files = 0;
    loop {
        let message = parts.message().await?;
        match message.and_then(|p| p.part) {
            Some(Part::File(file)) if open.is_none() => {
                open = Some(start(directory.path(), file).await?)
            }
            Some(Part::Bytes(bytes)) => {
                let current = open.as_mut().ok_or_else(|| refused("bytes outside a file"))?;
                current.left = current.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                    refused(format!("`{}` is longer than announced", current.name))
                })?;
                current.hasher.update(&bytes);
                current.file.write_all(&bytes).await.map_err(|e| local(&e))?;
            }
            Some(Part::FileEnd(end)) => {
                let current = open.take().ok_or_else(|| refused("the end of no file"))?;
                finish(current, &end).await?;
                files += 1;
            }
            Some(Part::End(end)) if open.is_none() && end.files == files => break,
            Some(Part::Header(_) | Part::File(_) | Part::End(_)) => {
                return Err(refused("parts out of order"));
            }
            None => return Err(refused("it ended before it was complete")),
        }
    }
    Ok((vote_from_pb(&vote), Snapshot { meta, snapshot: directory }))
}

async fn start(directory: &Path, file: pb::SnapshotFile) -> Result<Open, Status> {
    if !is_plain(&file.name) {
        return Err(refused(format!("`{}` is no plain file name", file.name.escape_debug())));
    }
    let created =
        tokio::fs::File::create_new(directory.join(&file.name)).await.map_err(|e| local(&e))?;
    Ok(Open { file: created, name: file.name, left: file.length, hasher: blake3::Hasher::new() })
}

async fn finish(mut open: Open, end: &pb::SnapshotFileEnd) -> Result<(), Status> {
    if open.left != 0 {
        return Err(refused(format!("`{}` is shorter than announced", open.name)));
    }
    if open.hasher.finalize().as_bytes()[..] != end.blake3[..] {
        return Err(refused(format!("the checksum of `{}` does not match", open.name)));
    }
    open.file.flush().await.map_err(|e| local(&e))?;
    open.file.sync_all().await.map_err(|e| local(&e))
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_plain_names_are_taken() {
        for good in ["000012.sst", "MANIFEST-000004", "CURRENT", "OPTIONS-000007"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "..", "../x", "a/b", ".hidden", "a\0b", "/etc/passwd"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
