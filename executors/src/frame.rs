//! **Purpose**: length- and CRC-framed records, for the sockets and append-only files of this crate.
//!
//! **Invariants**
//! - A frame is `length: u32 LE | crc32c(payload): u32 LE | payload`.
//! - A reader never trusts a length above [`FRAME_BYTES_MAX`].

use minicbor::{Decode, Encode};

/// The longest payload that is written or accepted.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 20;
const HEADER_BYTES: usize = 8;

/// What the front of a buffer holds.
pub(crate) enum Front<'a> {
    /// A whole frame: its payload and the bytes that it takes in all.
    Whole { payload: &'a [u8], bytes: usize },
    /// The buffer ends inside a frame (or is empty).
    Partial,
    /// The bytes cannot be a frame.
    Damaged,
}

/// Appends one framed payload.
pub(crate) fn append(out: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("payloads are bounded by their callers");
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Appends one value in CBOR.
pub(crate) fn append_value<T: Encode<()>>(out: &mut Vec<u8>, value: &T) {
    let payload = minicbor::to_vec(value).expect("a vector takes all bytes");
    append(out, &payload);
}

/// Looks at the front of `buffer`.
pub(crate) fn front(buffer: &[u8]) -> Front<'_> {
    let Some((header, rest)) = buffer.split_at_checked(HEADER_BYTES) else {
        return Front::Partial;
    };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if length > FRAME_BYTES_MAX || length == 0 {
        return Front::Damaged;
    }
    match rest.get(..length) {
        None => Front::Partial,
        Some(payload) if crc32c::crc32c(payload) != crc => Front::Damaged,
        Some(payload) => Front::Whole { payload, bytes: HEADER_BYTES + length },
    }
}

/// Decodes one value from a payload.
pub(crate) fn value<'a, T: Decode<'a, ()>>(payload: &'a [u8]) -> Option<T> {
    minicbor::decode(payload).ok()
}

/// Takes whole values off the front of `buffer`; `Err` when the bytes are no frames of this type.
pub(crate) fn drain<T: for<'a> Decode<'a, ()>>(buffer: &mut Vec<u8>) -> Result<Vec<T>, ()> {
    let mut values = Vec::new();
    let mut used = 0;
    let outcome = loop {
        match front(&buffer[used..]) {
            Front::Partial => break Ok(()),
            Front::Damaged => break Err(()),
            Front::Whole { payload, bytes } => match value(payload) {
                Some(found) => {
                    values.push(found);
                    used += bytes;
                }
                None => break Err(()),
            },
        }
    };
    buffer.drain(..used);
    outcome.map(|()| values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_frame_is_partial_and_every_flip_is_damaged_or_partial() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"hello");
        for cut in 0..bytes.len() {
            assert!(matches!(front(&bytes[..cut]), Front::Partial));
        }
        assert!(matches!(front(&bytes), Front::Whole { payload: b"hello", bytes: 13 }));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            assert!(!matches!(front(&flipped), Front::Whole { .. }), "flip at {at}");
        }
    }
}
