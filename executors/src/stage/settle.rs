//! **Purpose**: read what an ended stage left and make its report.
//!
//! **Invariants**: nothing that a child wrote is believed: reports are bounded, names are plain,
//! every file named must be there with its length.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};

use camino::Utf8Path;
use hesper_protos::executor as wire;
use hesper_protos::executor::exit::Kind;
use serde::Deserialize;

use super::Tag;
use crate::agent::Context;
use crate::attempt;
use crate::output::is_plain_name;
use crate::protocol::Ended;
use crate::storage::{FILES, INPUTS};

const OUTCOME: &str = "outcome.json";
const ERROR: &str = "error.json";
/// A report longer than this is garbage.
const REPORT_BYTES_MAX: u64 = 4 << 20;
const FILES_MAX: usize = 1_024;
/// What a child of one order exits with when it leaves an error report.
const FAILED: i32 = 1;
/// How much of a child's last words goes into a report.
const TAIL_BYTES: usize = 512;

#[derive(Deserialize)]
struct Outcome {
    values: BTreeMap<String, String>,
    files: Vec<FileEntry>,
    reused_layers: u32,
}

#[derive(Deserialize)]
struct FileEntry {
    name: String,
    len: u64,
    blake3: Option<String>,
}

#[derive(Deserialize)]
struct ErrorReport {
    code: String,
    message: String,
    retryable: bool,
}

/// Reads what an ended stage left and makes the report; blocking.
pub(crate) fn settle(context: &Context, ended: Ended) -> wire::Finished {
    let tag = serde_json::from_str::<Tag>(&ended.tag);
    let mut finished = attempt::finished(ended);
    let Ok(tag) = tag else {
        set_exit(
            &mut finished,
            Kind::OutputBad,
            "the attempt's directory is not known any more".to_owned(),
            true,
        );
        return finished;
    };
    finished.bytes_fetched = tag.bytes_fetched;
    let kind = finished.exit.as_ref().map_or(Kind::Lost, wire::Exit::kind);
    let code = finished.exit.as_ref().map_or(0, |exit| exit.code);
    match kind {
        // Others of its process may have ended otherwise, or after it: its own report counts before
        // anything that is said of the process.
        Kind::Exited | Kind::Signaled | Kind::TimedOut | Kind::Lost
            if tag.group.is_some() && (code != 0 || kind != Kind::Exited) =>
        {
            if is_there(&tag.dir, OUTCOME) {
                set_exit(&mut finished, Kind::Exited, String::new(), false);
                if let Some(exit) = &mut finished.exit {
                    (exit.code, exit.signal) = (0, 0);
                }
                take_outcome(&mut finished, &tag.dir);
            } else if is_there(&tag.dir, ERROR) || kind == Kind::Exited {
                explain_failure(&mut finished, &tag.dir, code);
            } else {
                append_tail(&mut finished, &tag.dir);
            }
        }
        Kind::Exited if code == 0 && tag.group.is_some() && is_there(&tag.dir, ERROR) => {
            explain_failure(&mut finished, &tag.dir, FAILED);
            if let Some(exit) = &mut finished.exit {
                exit.code = FAILED;
            }
        }
        Kind::Exited if code == 0 => take_outcome(&mut finished, &tag.dir),
        Kind::Exited => explain_failure(&mut finished, &tag.dir, code),
        Kind::Signaled | Kind::TimedOut => append_tail(&mut finished, &tag.dir),
        Kind::Unknown
        | Kind::NotStarted
        | Kind::Cancelled
        | Kind::InputBad
        | Kind::NoSpace
        | Kind::OutputBad
        | Kind::Lost => {}
    }
    if let Err(error) = remove_inputs(&tag.dir) {
        tracing::warn!(dir = %tag.dir, %error, "fetched inputs could not be removed; they go with the attempt");
    }
    let left = crate::storage::bytes_below(&tag.dir).unwrap_or(0);
    context.storage.settle(finished.token, left);
    finished
}

fn take_outcome(finished: &mut wire::Finished, dir: &Utf8Path) {
    match read_outcome(dir) {
        Ok(outcome) => accept(finished, outcome),
        Err(message) => set_exit(finished, Kind::OutputBad, message, true),
    }
}

/// Whether an attempt has left its report.
pub(super) async fn has_report(dir: &Utf8Path) -> bool {
    for name in [OUTCOME, ERROR] {
        if tokio::fs::try_exists(dir.join(name)).await.unwrap_or(false) {
            return true;
        }
    }
    false
}

fn is_there(dir: &Utf8Path, name: &str) -> bool {
    fs::exists(dir.join(name)).unwrap_or(false)
}

fn accept(finished: &mut wire::Finished, outcome: Outcome) {
    finished.values = outcome.values.into_iter().collect();
    finished.reused_layers = outcome.reused_layers;
    finished.files = outcome
        .files
        .into_iter()
        .map(|file| wire::File {
            name: file.name,
            length: file.len,
            blake3: file.blake3.unwrap_or_default(),
        })
        .collect();
}

fn read_outcome(dir: &Utf8Path) -> Result<Outcome, String> {
    let path = dir.join(OUTCOME);
    let text = read_bounded(&path).map_err(|error| {
        format!("the stage ended with 0 but left no readable `{path}`: {error}")
    })?;
    let outcome: Outcome = serde_json::from_slice(&text)
        .map_err(|error| format!("the stage ended with 0 but `{path}` is garbage: {error}"))?;
    if outcome.files.len() > FILES_MAX {
        return Err(format!(
            "`{path}` names {} files, more than any stage makes",
            outcome.files.len()
        ));
    }
    for file in &outcome.files {
        if !is_plain_name(&file.name) {
            return Err(format!("`{path}` names `{}`, which is no plain file name", file.name));
        }
        if let Some(hash) = &file.blake3
            && blake3::Hash::from_hex(hash).is_err()
        {
            return Err(format!("`{path}` gives `{hash}` as the hash of `{}`", file.name));
        }
        let made = dir.join(FILES).join(&file.name);
        match fs::symlink_metadata(&made) {
            Ok(found) if found.is_file() && found.len() == file.len => {}
            Ok(found) => {
                return Err(format!(
                    "`{made}` has {} bytes, `{OUTCOME}` says {}",
                    found.len(),
                    file.len
                ));
            }
            Err(error) => {
                return Err(format!("`{made}`, named in `{OUTCOME}`, cannot be read: {error}"));
            }
        }
    }
    Ok(outcome)
}

fn explain_failure(finished: &mut wire::Finished, dir: &Utf8Path, code: i32) {
    let path = dir.join(ERROR);
    match read_bounded(&path) {
        Ok(text) => match serde_json::from_slice::<ErrorReport>(&text) {
            Ok(report) => {
                let kind = match report.code.as_str() {
                    "no_space" => Kind::NoSpace,
                    "cancelled" => Kind::Cancelled,
                    "input_absent" | "input_truncated" | "input_altered" => Kind::InputBad,
                    _ => Kind::Exited,
                };
                set_exit(
                    finished,
                    kind,
                    format!("{} ({})", report.message, report.code),
                    report.retryable,
                );
            }
            Err(error) => {
                set_exit(
                    finished,
                    Kind::OutputBad,
                    format!("the stage ended with {code} and `{path}` is garbage: {error}"),
                    true,
                );
            }
        },
        Err(_) => append_tail(finished, dir),
    }
}

fn append_tail(finished: &mut wire::Finished, dir: &Utf8Path) {
    let Ok(stderr) = fs::read(dir.join("stderr")) else {
        return;
    };
    let tail = &stderr[stderr.len().saturating_sub(TAIL_BYTES)..];
    let tail = String::from_utf8_lossy(tail);
    if let Some(exit) = &mut finished.exit
        && !tail.trim().is_empty()
    {
        let separator = if exit.message.is_empty() { "" } else { "; " };
        exit.message.push_str(&format!("{separator}its last words: {}", tail.trim()));
    }
}

fn set_exit(finished: &mut wire::Finished, kind: Kind, message: String, retryable: bool) {
    let exit = finished.exit.get_or_insert_default();
    exit.kind = kind as i32;
    exit.message = message;
    exit.retryable = retryable;
}

fn read_bounded(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?.take(REPORT_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > REPORT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than any report"));
    }
    Ok(text)
}

fn remove_inputs(dir: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(dir.join(INPUTS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
