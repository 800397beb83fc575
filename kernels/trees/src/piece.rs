//! Pieces: their commitments and their place in a sector.
//!
//! **Purpose**: bring the bytes of a piece into Fr32 form, write them and make CommP in the same
//! pass; join pieces to `comm_d`.
//!
//! **Invariants**
//! - A piece fills a power of two of at least 128 padded bytes; what the source does not fill is
//!   zeros.
//! - Memory is bounded: a block of 256 KiB, whatever the size of the piece.
//!
//! **Source**: Filecoin specification, "Piece" and "CommD"; FRC-0058 (CommP).

mod hasher;
mod place;

use std::io::{self, Read, Write};

pub use hasher::{Hasher, zero};
pub use place::{Alignment, alignment, comm_d};

use crate::fr32::{self, Backend, PADDED_UNIT, UNPADDED_UNIT};

/// The smallest piece, padded.
pub const PIECE_BYTES_MIN: u64 = 128;

/// Units of 127 bytes that are read at once.
const BLOCK_UNITS: usize = 2048;

/// A piece: its commitment and the padded bytes that it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The root of the binary SHA-256 tree over the padded bytes.
    pub comm_p: [u8; 32],
    /// A power of two.
    pub padded_bytes: u64,
}

/// Why a piece could not be made or placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such piece.
    #[error(
        "a piece cannot fill {padded_bytes} padded bytes; give a power of two of at least 128 \
         (127 bytes of data make 128 padded bytes)"
    )]
    Size {
        /// The size given.
        padded_bytes: u64,
    },
    /// The source does not end.
    #[error(
        "the source has more than the {unpadded_bytes} bytes that a piece of {padded_bytes} padded \
         bytes holds; declare a larger piece or check the source"
    )]
    TooLong {
        /// What the piece holds.
        unpadded_bytes: u64,
        /// What was declared.
        padded_bytes: u64,
    },
    /// The hasher got other bytes than the piece has.
    #[error(
        "a piece of {padded_bytes} padded bytes was given {found} bytes; give whole nodes of 32 \
         bytes and no more than the piece"
    )]
    Hashed {
        /// What was declared.
        padded_bytes: u64,
        /// What came.
        found: u64,
    },
    /// The source failed.
    #[error("could not read the piece after {offset} bytes; fetch it again")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The target failed.
    #[error(
        "could not write the piece after {offset} padded bytes; check the room on the disc of the \
         unsealed sector and add the piece again"
    )]
    Write {
        /// Bytes written before.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No such sector.
    #[error("a sector cannot hold {sector_bytes} bytes; give the power of two of the proof type")]
    SectorSize {
        /// The size given.
        sector_bytes: u64,
    },
    /// The pieces are larger than the sector.
    #[error(
        "{pieces} pieces and the zeros that align them need {needed} bytes, the sector has \
         {sector_bytes}; take pieces out or use a larger sector"
    )]
    SectorFull {
        /// How many.
        pieces: usize,
        /// What they need.
        needed: u64,
        /// What the sector has.
        sector_bytes: u64,
    },
}

/// The smallest padded size of a piece that holds `raw_bytes`; `None` beyond 2^62 bytes.
pub fn padded_size_for(raw_bytes: u64) -> Option<u64> {
    if raw_bytes > 1 << 62 {
        return None;
    }
    Some(fr32::padded_bytes(raw_bytes).next_power_of_two().max(PIECE_BYTES_MIN))
}

/// CommP of all bytes of `source`, filled with zeros up to `padded_bytes`.
///
/// # Errors
///
/// A size that no piece has, a source that is longer or cannot be read.
pub fn commitment(source: impl Read, padded_bytes: u64) -> Result<Piece, Error> {
    write(source, io::sink(), padded_bytes)
}

/// As [`commitment`], and write exactly `padded_bytes` in Fr32 form to `target`.
///
/// # Errors
///
/// As [`commitment`]; a target that cannot be written.
pub fn write(source: impl Read, mut target: impl Write, padded_bytes: u64) -> Result<Piece, Error> {
    if !padded_bytes.is_power_of_two() || padded_bytes < PIECE_BYTES_MIN {
        return Err(Error::Size { padded_bytes });
    }
    let unpadded_bytes = fr32::unpadded_bytes(padded_bytes);
    // One byte more than the piece holds is enough to see that a source is too long.
    let mut source = source.take(unpadded_bytes + 1);
    let backend = Backend::detect();
    let mut hasher = Hasher::new();
    let mut raw = vec![0u8; BLOCK_UNITS * UNPADDED_UNIT];
    let mut padded = vec![0u8; BLOCK_UNITS * PADDED_UNIT];
    let (mut read, mut written) = (0u64, 0u64);
    while written < padded_bytes {
        let units = usize::try_from((padded_bytes - written) / PADDED_UNIT as u64)
            .map_or(BLOCK_UNITS, |units| units.min(BLOCK_UNITS));
        let (raw, padded) = (&mut raw[..units * UNPADDED_UNIT], &mut padded[..units * PADDED_UNIT]);
        let filled = fill(&mut source, raw)
            .map_err(|(count, source)| Error::Read { offset: read + count as u64, source })?;
        read += filled as u64;
        if filled == 0 {
            break;
        }
        raw[filled..].fill(0);
        fr32::pad(backend, raw, padded);
        target.write_all(padded).map_err(|source| Error::Write { offset: written, source })?;
        hasher.update(padded);
        written += padded.len() as u64;
    }
    let mut more = [0u8; 1];
    let rest = fill(&mut source, &mut more)
        .map_err(|(count, source)| Error::Read { offset: read + count as u64, source })?;
    if rest > 0 {
        return Err(Error::TooLong { unpadded_bytes, padded_bytes });
    }
    padded.fill(0);
    while written < padded_bytes {
        let count = usize::try_from(padded_bytes - written)
            .map_or(padded.len(), |rest| rest.min(padded.len()));
        target
            .write_all(&padded[..count])
            .map_err(|source| Error::Write { offset: written, source })?;
        written += count as u64;
    }
    target.flush().map_err(|source| Error::Write { offset: written, source })?;
    Ok(Piece { comm_p: hasher.finish(padded_bytes)?, padded_bytes })
}

/// Read until `buffer` is full or the source ends; with an error come the bytes read before it.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize, (usize, io::Error)> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((filled, error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
