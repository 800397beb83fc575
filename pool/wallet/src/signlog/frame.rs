//! **Purpose**: one record in a file: `length (u32, little-endian) ‖ body ‖ BLAKE3(previous ‖ body)`.
//!
//! **Invariants**
//! - A record is read only if its hash continues the chain; the reader says what is wrong otherwise.
//! - Reading is total: no input panics or allocates more than the input.

/// A link of the chain.
pub(crate) type Hash = [u8; 32];

/// What stands before the first record.
pub(crate) const GENESIS: Hash = [0; 32];

/// Longest body, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

const LENGTH_BYTES: usize = 4;

/// What stands at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Record { body: &'a [u8], hash: Hash, end: usize },
    End,
    Bad(Bad),
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The file ends inside the record.
    Short,
    /// Nothing but zeros follows: the file was extended, its data never arrived.
    Zeros,
    Length,
    Hash,
}

impl Bad {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Short => "the file ends inside a record",
            Self::Zeros => "zeros stand where a record should be",
            Self::Length => "the length of the record is impossible",
            Self::Hash => "the record does not continue the hash chain",
        }
    }

    /// True for what an interrupted append leaves and a changed byte does not.
    pub(crate) fn is_interrupted_append(self) -> bool {
        matches!(self, Self::Short | Self::Zeros)
    }
}

/// The link after `body`.
pub(crate) fn link(previous: &Hash, body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

/// Appends a record to `out` and returns its link; the body is at most `BODY_BYTES_MAX` long.
pub(crate) fn push(out: &mut Vec<u8>, previous: &Hash, body: &[u8]) -> Hash {
    let length = u32::try_from(body.len()).expect("callers refuse bodies over 1 MiB");
    let hash = link(previous, body);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&hash);
    hash
}

/// Reads the record at `offset`, which is at most the length of `bytes`.
pub(crate) fn next<'a>(bytes: &'a [u8], offset: usize, previous: &Hash) -> Step<'a> {
    let rest = bytes.get(offset..).unwrap_or_default();
    if rest.is_empty() {
        return Step::End;
    }
    // A record never starts with four zeros, so that the rest is looked at only where one is missing.
    if rest.iter().take(LENGTH_BYTES).all(|byte| *byte == 0) && rest.iter().all(|byte| *byte == 0) {
        return Step::Bad(Bad::Zeros);
    }
    let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
        return Step::Bad(Bad::Short);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || length > BODY_BYTES_MAX {
        return Step::Bad(Bad::Length);
    }
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Step::Bad(Bad::Short);
    };
    let Some(stored) = rest.first_chunk::<32>() else {
        return Step::Bad(Bad::Short);
    };
    let hash = link(previous, body);
    if hash != *stored {
        return Step::Bad(Bad::Hash);
    }
    Step::Record { body, hash, end: offset + LENGTH_BYTES + length + stored.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_follow_each_other() {
        let mut bytes = Vec::new();
        let first = push(&mut bytes, &GENESIS, b"one");
        let middle = bytes.len();
        let second = push(&mut bytes, &first, b"two");
        assert_eq!(
            next(&bytes, 0, &GENESIS),
            Step::Record { body: b"one", hash: first, end: middle }
        );
        assert_eq!(
            next(&bytes, middle, &first),
            Step::Record { body: b"two", hash: second, end: bytes.len() }
        );
        assert_eq!(next(&bytes, bytes.len(), &second), Step::End);
        assert_eq!(next(&bytes, middle, &GENESIS), Step::Bad(Bad::Hash));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_seen() {
        let mut bytes = Vec::new();
        push(&mut bytes, &GENESIS, b"a body");
        for cut in 1..bytes.len() {
            assert!(matches!(next(&bytes[..cut], 0, &GENESIS), Step::Bad(_)), "cut at {cut}");
        }
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(matches!(next(&changed, 0, &GENESIS), Step::Bad(_)), "byte {index}");
        }
    }

    #[test]
    fn zeros_are_told_from_garbage() {
        assert_eq!(next(&[0; 100], 0, &GENESIS), Step::Bad(Bad::Zeros));
        assert_eq!(next(&[0xff; 100], 0, &GENESIS), Step::Bad(Bad::Length));
    }
}
