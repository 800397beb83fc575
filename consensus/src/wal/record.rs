//! **Purpose**: the frame of one record in a log segment.
//!
//! A record is a 24-byte header and a payload, padded to 8 bytes. All numbers are little-endian:
//! `magic u32, crc u32, length u32, kind u32, synced u64`. The CRC-32C covers the segment's sequence
//! number and the record's offset (so that a misplaced record is not valid), the rest of the header
//! and the payload.
//!
//! **Invariants**
//! - `synced` is an offset in the same segment that was durable *before* this record was written. A
//!   valid record therefore proves that everything before its `synced` once was on the disc, which
//!   is how recovery tells damage from a torn tail.

use prost::Message;

const MAGIC: u32 = 0x4c41_5748;
/// Bytes of a record before its payload.
pub const HEADER_BYTES: usize = 24;
/// Records start at multiples of this.
pub const ALIGNMENT: usize = 8;

/// What a record says. Numbers are on disc: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Base = 1,
    Vote = 2,
    Entry = 3,
    Committed = 4,
    Truncate = 5,
    Purge = 6,
    Close = 7,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Kind::Base,
            2 => Kind::Vote,
            3 => Kind::Entry,
            4 => Kind::Committed,
            5 => Kind::Truncate,
            6 => Kind::Purge,
            7 => Kind::Close,
            _ => return None,
        })
    }
}

/// A record found in a segment.
#[derive(Debug)]
pub struct Record<'a> {
    pub kind: Kind,
    pub payload: &'a [u8],
    pub synced: u64,
    /// Offset behind the record and its padding.
    pub end: usize,
}

/// What lies at an offset of a segment.
#[derive(Debug)]
pub enum Found<'a> {
    Record(Record<'a>),
    /// Nothing but zeros in the place of the header, or the end of the file.
    Nothing,
    /// Something that is no valid record.
    Invalid(&'static str),
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(long)
}

fn checksum(sequence: u64, offset: u64, record: &[u8]) -> u32 {
    let seed = crc32c::crc32c(&sequence.to_le_bytes());
    let seed = crc32c::crc32c_append(seed, &offset.to_le_bytes());
    crc32c::crc32c_append(seed, &record[8..])
}

/// Appends a record to `buffer`, whose first byte lies at `buffer_offset` of segment `sequence`.
/// Returns the record's offset in the segment and its length without padding.
pub fn encode(
    buffer: &mut Vec<u8>,
    sequence: u64,
    buffer_offset: u64,
    synced: u64,
    kind: Kind,
    payload: &impl Message,
) -> (u64, u32) {
    let start = buffer.len();
    let offset = buffer_offset + start as u64;
    buffer.resize(start + HEADER_BYTES, 0);
    payload.encode(buffer).expect("a vector grows as needed");
    let length = (buffer.len() - start - HEADER_BYTES) as u32;
    let header = &mut buffer[start..start + HEADER_BYTES];
    header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[8..12].copy_from_slice(&length.to_le_bytes());
    header[12..16].copy_from_slice(&(kind as u32).to_le_bytes());
    header[16..24].copy_from_slice(&synced.to_le_bytes());
    let crc = checksum(sequence, offset, &buffer[start..]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
    (offset, HEADER_BYTES as u32 + length)
}

/// Reads what lies at `at` of `segment`, the bytes of segment `sequence` from its start.
pub fn find(segment: &[u8], sequence: u64, at: usize) -> Found<'_> {
    find_in(segment, sequence, at, at as u64)
}

/// As `find`, for a record that was cut out of its segment: `bytes[at]` lies at `offset`.
pub fn find_in(bytes: &[u8], sequence: u64, at: usize, offset: u64) -> Found<'_> {
    let Some(header) = bytes.get(at..at + HEADER_BYTES) else {
        return Found::Nothing;
    };
    if header.iter().all(|b| *b == 0) {
        return Found::Nothing;
    }
    if word(header, 0) != MAGIC {
        return Found::Invalid("no record starts here");
    }
    let length = word(header, 8) as usize;
    let Some(record) = bytes.get(at..at + HEADER_BYTES + length) else {
        return Found::Invalid("the record is longer than the segment");
    };
    if checksum(sequence, offset, record) != word(header, 4) {
        return Found::Invalid("the checksum does not match");
    }
    let Some(kind) = Kind::from_number(word(header, 12)) else {
        return Found::Invalid("the record is of a kind that this version does not know");
    };
    Found::Record(Record {
        kind,
        payload: &record[HEADER_BYTES..],
        synced: long(header, 16),
        end: (at + record.len()).next_multiple_of(ALIGNMENT),
    })
}

/// The largest `synced` of any valid record at or behind `from`: proof of what was durable.
pub fn proven_synced(segment: &[u8], sequence: u64, from: usize) -> Option<u64> {
    let magic = MAGIC.to_le_bytes();
    let mut proof = None;
    let mut at = from.next_multiple_of(ALIGNMENT);
    while at + HEADER_BYTES <= segment.len() {
        if segment[at..at + 4] == magic
            && let Found::Record(record) = find(segment, sequence, at)
        {
            proof = proof.max(Some(record.synced));
            at = record.end;
            continue;
        }
        at += ALIGNMENT;
    }
    proof
}

#[cfg(test)]
mod tests {
    use super::*;
    use hesper_protos::raft as pb;

    fn one() -> Vec<u8> {
        let mut buffer = Vec::new();
        let vote = pb::Vote { term: 3, node_id: 1, committed: true };
        encode(&mut buffer, 5, 0, 0, Kind::Vote, &vote);
        buffer
    }

    #[test]
    fn a_record_is_found_where_it_was_written() {
        let buffer = one();
        let Found::Record(record) = find(&buffer, 5, 0) else { panic!("no record") };
        assert_eq!(record.kind, Kind::Vote);
        assert_eq!(record.end, buffer.len());
        assert_eq!(pb::Vote::decode(record.payload).expect("a vote").term, 3);
    }

    #[test]
    fn a_record_of_another_segment_or_offset_is_not_valid() {
        let buffer = one();
        assert!(matches!(find(&buffer, 6, 0), Found::Invalid(_)));
        let mut moved = vec![0; 8];
        moved.extend_from_slice(&buffer);
        assert!(matches!(find(&moved, 5, 8), Found::Invalid(_)));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let clean = one();
        let used = HEADER_BYTES + word(&clean, 8) as usize;
        for bit in 0..used * 8 {
            let mut damaged = clean.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(find(&damaged, 5, 0), Found::Invalid(_)), "bit {bit}");
        }
    }
}
