//! **Purpose**: the newest records, read from the end, so that the work does not grow with the log.
//!
//! **Invariants**
//! - The chain of the files that are read is checked, and that they follow each other; older files
//!   are not opened. Whether those are whole, `verify` says.

use camino::Utf8Path;
use std::collections::VecDeque;

use super::{
    error::LogError,
    frame::{self, Step},
    read::{Entry, Raw, TAIL_BYTES_MAX, is_unacknowledged},
    segment::{self, Checkpoint, Mark, Position},
};

/// The newest `limit` lines, fewer if they are very large; oldest first.
///
/// # Errors
/// `Damaged` names the file and the offset, in the files that were read.
pub fn newest(dir: &Utf8Path, limit: usize) -> Result<Vec<Entry>, LogError> {
    // As in a walk, the mark is read first: what is appended meanwhile lies behind it.
    let mark = Mark::read_in(dir).map_err(|source| LogError::read(dir, source))?;
    let pruned = Checkpoint::read(dir)?.map_or(0, |(checkpoint, _)| checkpoint.through);
    let mut found = VecDeque::new();
    let mut held = 0;
    let mut following: Option<Position> = None;
    for first in segment::list(dir)?.into_iter().rev().filter(|first| *first > pruned) {
        if found.len() >= limit {
            break;
        }
        let (bytes, before) = segment::read(dir, first)?;
        let damaged =
            |offset, reason: &str| LogError::damaged(&segment::path_of(dir, first), offset, reason);
        let mut records = Vec::new();
        let (mut end, mut offset) = (before, segment::HEADER_BYTES);
        loop {
            match frame::next(&bytes, offset, &end.hash) {
                Step::End => break,
                Step::Record { body, hash, end: after } => {
                    let sequence = end.sequence + 1;
                    records.push(Raw { sequence, previous: end.hash, hash, body, segment: first });
                    end = Position { sequence, hash };
                    offset = after;
                }
                Step::Bad(bad) => {
                    let is_last = following.is_none();
                    if is_last && is_unacknowledged(mark.as_ref(), first, offset, bad) {
                        break;
                    }
                    return Err(damaged(offset, bad.reason()));
                }
            }
        }
        if following.is_some_and(|following| following != end) {
            return Err(damaged(offset, "the next file does not continue it"));
        }
        following = Some(before);
        for raw in records.iter().rev() {
            held += raw.body.len();
            if found.len() >= limit || held > TAIL_BYTES_MAX {
                return Ok(found.into());
            }
            found.push_front(raw.entry(dir)?);
        }
    }
    Ok(found.into())
}
