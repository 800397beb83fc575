//! **Purpose**: answer a node's request for the output of an attempt.

use std::io;

use hesper_protos::executor as wire;

use crate::output::{self, Piece, Stream, is_plain_name};
use crate::storage::{FILES, Storage};

/// Reads what was asked for; every failure is an answer in words.
pub(crate) fn output(
    storage: &Storage,
    request: &wire::ReadOutput,
    is_known: bool,
    is_running: bool,
) -> wire::OutputChunk {
    let mut chunk = wire::OutputChunk { request: request.request, end: true, ..Default::default() };
    let (token, name) = (request.token, &request.name);
    match find(storage, request, is_running) {
        Ok(Some(piece)) => {
            chunk.data = piece.bytes.into();
            chunk.end = piece.is_end && !is_known;
            chunk.total = piece.total;
        }
        // It has printed nothing because it has not begun.
        Ok(None) if is_known => chunk.end = false,
        Ok(None) => chunk.error = format!("this executor keeps no `{name}` of attempt {token}"),
        Err(error) => chunk.error = format!("could not read `{name}` of attempt {token}: {error}"),
    }
    chunk
}

fn find(
    storage: &Storage,
    request: &wire::ReadOutput,
    is_running: bool,
) -> io::Result<Option<Piece>> {
    let wire::ReadOutput { token, name, offset, length, .. } = request;
    let stream = match name.as_str() {
        "stdout" => Some(Stream::Stdout),
        "stderr" => Some(Stream::Stderr),
        name if is_plain_name(name) => None,
        _ => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name"));
        }
    };
    if let Some(dir) = storage.attempt_dir(*token) {
        let path = if stream.is_some() { dir.join(name) } else { dir.join(FILES).join(name) };
        return absent_is_none(output::read_file(&path, *offset, *length));
    }
    for dir in storage.lease_dirs(*token) {
        let found = match stream {
            Some(stream) => {
                output::read_packed(&dir, *token, is_running, stream, *offset, *length)?
            }
            None => absent_is_none(output::read_file(
                &dir.join(token.to_string()).join(name),
                *offset,
                *length,
            ))?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn absent_is_none(read: io::Result<Piece>) -> io::Result<Option<Piece>> {
    match read {
        Ok(piece) => Ok(Some(piece)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
