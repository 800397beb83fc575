//! **Purpose**: walk the chain: for opening, verifying, listing and exporting.
//!
//! **Invariants**
//! - Reading needs no lock and changes nothing, so that an auditor can look while the wallet signs.
//! - Only what lies behind the acknowledged mark, at the very end, may be missing or half-written.
//!
//! **Source**: DESIGN of the consensus log: damage behind the last synced offset is a torn tail,
//! damage before it stops the owner.

use std::{fmt, io};

use camino::Utf8Path;
use serde::Serialize;

use super::{
    error::LogError,
    frame::{self, Bad, Hash, Step},
    record::Record,
    segment::{self, Checkpoint, Mark, Position},
};

/// One line with its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1, without gaps.
    pub sequence: u64,
    /// Link of the record before it.
    pub previous: [u8; 32],
    /// Its own link.
    pub hash: [u8; 32],
    /// What it says.
    pub record: Record,
}

/// What a list should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only lines of this key.
    pub key: Option<String>,
    /// First sequence.
    pub from: u64,
    /// Most lines.
    pub limit: usize,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// First sequence that is still there.
    pub first: u64,
    /// Last sequence; below `first` when there is none.
    pub last: u64,
    /// How many.
    pub records: u64,
    /// In how many files.
    pub segments: u64,
    /// Link of the last record, hex: whoever keeps it can prove later what stood before it.
    pub head: String,
    /// Sequence of the last record that was pruned.
    pub pruned_through: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records verified (sequence {} to {}, {} files, pruned through {}); head {}",
            self.records, self.first, self.last, self.segments, self.pruned_through, self.head
        )
    }
}

/// A record as it stands in a file.
pub(crate) struct Raw<'a> {
    pub(crate) sequence: u64,
    pub(crate) previous: Hash,
    pub(crate) hash: Hash,
    pub(crate) body: &'a [u8],
    /// First sequence of its segment.
    pub(crate) segment: u64,
}

impl Raw<'_> {
    pub(crate) fn entry(&self, dir: &Utf8Path) -> Result<Entry, LogError> {
        let record = serde_json::from_slice(self.body).map_err(|error| {
            let path = segment::path_of(dir, self.segment);
            LogError::damaged(&path, 0, format!("record {}: {error}", self.sequence))
        })?;
        Ok(Entry { sequence: self.sequence, previous: self.previous, hash: self.hash, record })
    }
}

/// Where a walk came to.
pub(crate) struct Walked {
    pub(crate) end: Position,
    pub(crate) segments: Vec<u64>,
    /// Segments that a checkpoint covers and that should be gone.
    pub(crate) leftovers: Vec<u64>,
    /// Length of the last segment up to its last good record.
    pub(crate) offset: usize,
    /// True when bytes after `offset` are to be cut.
    pub(crate) torn: bool,
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// Visits every record in order and checks the chain, the mark and the checkpoint.
pub(crate) fn walk(
    dir: &Utf8Path,
    visit: &mut dyn FnMut(&Raw<'_>) -> Result<(), LogError>,
) -> Result<Walked, LogError> {
    // The mark is read first: what is appended meanwhile lies behind it.
    let mark = Mark::read_in(dir).map_err(|source| LogError::read(dir, source))?;
    let checkpoint = Checkpoint::read(dir)?;
    let start = match &checkpoint {
        None => Position::START,
        Some((checkpoint, _)) => checkpoint.position().ok_or_else(|| {
            LogError::damaged(&Checkpoint::path(dir), 0, "its hash is not 64 hex digits")
        })?,
    };
    let all = segment::list(dir)?;
    let kept_from = all.partition_point(|first| *first <= start.sequence);
    let (leftovers, segments) = all.split_at(kept_from);
    let mut walked = Walked {
        end: start,
        segments: segments.to_vec(),
        leftovers: leftovers.to_vec(),
        offset: segment::HEADER_BYTES,
        torn: false,
        checkpoint: None,
    };
    let mut is_checkpoint_named = false;
    // A mark from before a prune says nothing more; one exactly at its end must agree with it.
    let mut is_mark_met =
        mark.is_none_or(|mark| mark.position.sequence < start.sequence || mark.position == start);
    for (index, first) in segments.iter().enumerate() {
        let path = segment::path_of(dir, *first);
        let (bytes, continues) = segment::read(dir, *first)?;
        if continues != walked.end {
            return Err(LogError::damaged(
                &path,
                0,
                format!(
                    "it does not continue record {}; a file is missing or was exchanged",
                    walked.end.sequence
                ),
            ));
        }
        let is_last = index + 1 == segments.len();
        let mut offset = segment::HEADER_BYTES;
        loop {
            match frame::next(&bytes, offset, &walked.end.hash) {
                Step::End => break,
                Step::Record { body, hash, end } => {
                    let previous = walked.end.hash;
                    let sequence = walked.end.sequence + 1;
                    let raw = Raw { sequence, previous, hash, body, segment: *first };
                    if let Some((checkpoint, digest)) = &checkpoint {
                        is_checkpoint_named |= names(body, checkpoint, digest);
                    }
                    visit(&raw)?;
                    walked.end = Position { sequence, hash };
                    is_mark_met |= mark.is_some_and(|mark| mark.position == walked.end);
                    offset = end;
                }
                Step::Bad(bad) => {
                    if !is_last || !is_unacknowledged(mark.as_ref(), *first, offset, bad) {
                        return Err(LogError::damaged(&path, offset, bad.reason()));
                    }
                    walked.torn = true;
                    break;
                }
            }
        }
        walked.offset = offset;
    }
    if let Some(mark) = mark
        && !is_mark_met
    {
        return Err(LogError::damaged(
            &segment::path_of(dir, mark.segment),
            usize::try_from(mark.offset).unwrap_or(usize::MAX),
            format!(
                "record {} was acknowledged, but the log has other records there or ends at {}",
                mark.position.sequence, walked.end.sequence
            ),
        ));
    }
    if checkpoint.is_some() && !is_checkpoint_named {
        return Err(LogError::damaged(
            &Checkpoint::path(dir),
            0,
            "no record of the log names it; it was changed, or the log belongs to another wallet",
        ));
    }
    walked.checkpoint = checkpoint.map(|(checkpoint, _)| checkpoint);
    Ok(walked)
}

/// True when what is wrong at `offset` of the segment `first` lies behind what was acknowledged.
pub(crate) fn is_unacknowledged(mark: Option<&Mark>, first: u64, offset: usize, bad: Bad) -> bool {
    match mark {
        Some(mark) => {
            first > mark.segment || (first == mark.segment && offset as u64 >= mark.offset)
        }
        None => bad.is_interrupted_append(),
    }
}

/// All records of one complete segment.
pub(crate) fn segment_entries(dir: &Utf8Path, first: u64) -> Result<Vec<Entry>, LogError> {
    let (bytes, mut end) = segment::read(dir, first)?;
    let mut entries = Vec::new();
    let mut offset = segment::HEADER_BYTES;
    loop {
        match frame::next(&bytes, offset, &end.hash) {
            Step::End => return Ok(entries),
            Step::Bad(bad) => {
                return Err(LogError::damaged(&segment::path_of(dir, first), offset, bad.reason()));
            }
            Step::Record { body, hash, end: after } => {
                let sequence = end.sequence + 1;
                let raw = Raw { sequence, previous: end.hash, hash, body, segment: first };
                entries.push(raw.entry(dir)?);
                end = Position { sequence, hash };
                offset = after;
            }
        }
    }
}

/// The act that a prune leaves in the chain.
pub(crate) const PRUNE: &str = "prune";

/// True when `body` is the record of the prune that wrote `checkpoint`.
fn names(body: &[u8], checkpoint: &Checkpoint, digest: &str) -> bool {
    // Most records are told apart without parsing.
    let needle = digest.as_bytes();
    if !body.windows(needle.len()).any(|window| window == needle) {
        return false;
    }
    let Ok(record) = serde_json::from_slice::<Record>(body) else { return false };
    record.object == PRUNE
        && record.shown.get("through").and_then(serde_json::Value::as_u64)
            == Some(checkpoint.through)
        && record.shown.get("checkpoint").and_then(serde_json::Value::as_str) == Some(digest)
}

/// Verifies the whole chain in `dir`, also while a wallet appends to it.
///
/// # Errors
/// `Damaged` names the file and the offset.
pub fn verify(dir: &Utf8Path) -> Result<Summary, LogError> {
    let mut records = 0;
    let walked = walk(dir, &mut |raw| {
        raw.entry(dir)?;
        records += 1;
        Ok(())
    })?;
    let pruned_through = walked.checkpoint.map_or(0, |checkpoint| checkpoint.through);
    Ok(Summary {
        first: pruned_through + 1,
        last: walked.end.sequence,
        records,
        segments: walked.segments.len() as u64,
        head: hex::encode(walked.end.hash),
        pruned_through,
    })
}

/// Lines from `query.from` on, oldest first.
///
/// # Errors
/// As `verify`.
pub fn list(dir: &Utf8Path, query: &Query) -> Result<Vec<Entry>, LogError> {
    let mut found = Vec::new();
    walk(dir, &mut |raw| {
        if raw.sequence < query.from || found.len() >= query.limit {
            return Ok(());
        }
        let entry = raw.entry(dir)?;
        if query.key.as_ref().is_none_or(|key| *key == entry.record.key) {
            found.push(entry);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Bodies that `tail` and `newest` hold at once, bytes: records of large objects have far more than
/// others.
pub(crate) const TAIL_BYTES_MAX: usize = 64 << 20;

/// The newest `limit` lines, fewer if they are very large; oldest first.
///
/// # Errors
/// As `verify`.
pub fn tail(dir: &Utf8Path, limit: usize) -> Result<Vec<Entry>, LogError> {
    let mut newest = std::collections::VecDeque::new();
    let mut held = 0;
    walk(dir, &mut |raw| {
        newest.push_back((raw.sequence, raw.previous, raw.hash, raw.body.to_vec(), raw.segment));
        held += raw.body.len();
        while newest.len() > limit || held > TAIL_BYTES_MAX {
            let Some((.., body, _)) = newest.pop_front() else { break };
            held -= body.len();
        }
        Ok(())
    })?;
    newest
        .into_iter()
        .map(|(sequence, previous, hash, body, segment)| {
            Raw { sequence, previous, hash, body: &body, segment }.entry(dir)
        })
        .collect()
}

/// Writes every record as one JSON line, `record` being exactly the bytes that the chain covers.
///
/// # Errors
/// As `verify`, and when `out` fails.
pub fn export(dir: &Utf8Path, out: &mut dyn io::Write) -> Result<u64, LogError> {
    let mut lines = 0;
    walk(dir, &mut |raw| {
        let head = format!(
            "{{\"sequence\":{},\"previous\":\"{}\",\"hash\":\"{}\",\"record\":",
            raw.sequence,
            hex::encode(raw.previous),
            hex::encode(raw.hash)
        );
        out.write_all(head.as_bytes())
            .and_then(|()| out.write_all(raw.body))
            .and_then(|()| out.write_all(b"}\n"))
            .map_err(LogError::Export)?;
        lines += 1;
        Ok(())
    })?;
    out.flush().map_err(LogError::Export)?;
    Ok(lines)
}

/// Verifies lines that `export` wrote, anywhere.
///
/// # Errors
/// `BadExport` names the line.
pub fn verify_export(mut lines: impl io::BufRead) -> Result<Summary, LogError> {
    let mut first = None;
    let mut end = Position::START;
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(LogError::Export)? == 0 {
            break;
        }
        number += 1;
        let bad = |reason: &str| LogError::BadExport { line: number, reason: reason.to_owned() };
        let (sequence, previous, hash, body) =
            split_export(&line).ok_or_else(|| bad("it is not a line of an export"))?;
        if first.is_none() {
            first = Some(sequence);
            end = Position { sequence: sequence.saturating_sub(1), hash: previous };
        }
        if Some(sequence) != end.sequence.checked_add(1) || previous != end.hash {
            return Err(bad("it does not continue the line before it"));
        }
        if frame::link(&previous, body) != hash {
            return Err(bad("its hash is not the hash of its record"));
        }
        serde_json::from_slice::<Record>(body).map_err(|_| bad("its record is not readable"))?;
        end = Position { sequence, hash };
    }
    let first = first.unwrap_or(1);
    Ok(Summary {
        first,
        last: end.sequence,
        records: number,
        segments: 0,
        head: hex::encode(end.hash),
        pruned_through: first - 1,
    })
}

/// Cuts a line at the fixed words that `export` writes.
fn split_export(line: &[u8]) -> Option<(u64, Hash, Hash, &[u8])> {
    let rest = line.strip_suffix(b"\n").unwrap_or(line).strip_suffix(b"}")?;
    let rest = rest.strip_prefix(b"{\"sequence\":")?;
    let comma = rest.iter().position(|byte| *byte == b',')?;
    let sequence = std::str::from_utf8(rest.get(..comma)?).ok()?.parse().ok()?;
    let rest = rest.get(comma..)?.strip_prefix(b",\"previous\":\"")?;
    let (previous, rest) = hex_of(rest)?;
    let (hash, rest) = hex_of(rest.strip_prefix(b"\",\"hash\":\"")?)?;
    (sequence > 0).then_some((sequence, previous, hash, rest.strip_prefix(b"\",\"record\":")?))
}

fn hex_of(text: &[u8]) -> Option<(Hash, &[u8])> {
    let (digits, rest) = text.split_at_checked(64)?;
    let mut hash = Hash::default();
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some((hash, rest))
}
