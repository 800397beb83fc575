//! Where pieces lie in a sector, and what that makes of their commitments.
//!
//! **Purpose**: alignment of pieces and `comm_d` from their CommPs.
//!
//! **Invariants**: a piece lies at a multiple of its size; gaps and the rest of the sector are
//! zeros.
//!
//! **Source**: Filecoin specification, "CommD".

use hesper_sha256::Backend;

use super::hasher::{join, zero};
use super::{Error, PIECE_BYTES_MIN, Piece};

/// Zeros around a piece, in padded bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Before it, so that it lies at a multiple of its size.
    pub left: u64,
    /// Behind it, up to a power of two.
    pub right: u64,
}

/// The zeros around a piece of `padded_bytes` in a sector that holds `written` padded bytes, both at
/// most 2^63.
pub fn alignment(written: u64, padded_bytes: u64) -> Alignment {
    let whole = padded_bytes.next_power_of_two().max(PIECE_BYTES_MIN);
    Alignment { left: written.next_multiple_of(whole) - written, right: whole - padded_bytes }
}

/// `comm_d` of a sector of `sector_bytes` with `pieces` in their order, each at the next multiple of
/// its size, zeros elsewhere.
///
/// # Errors
///
/// Sizes that no sector or piece has; pieces that do not fit.
pub fn comm_d(sector_bytes: u64, pieces: &[Piece]) -> Result<[u8; 32], Error> {
    if !sector_bytes.is_power_of_two() || sector_bytes < PIECE_BYTES_MIN {
        return Err(Error::SectorSize { sector_bytes });
    }
    // Complete subtrees with their sizes, which fall from bottom to top.
    let mut stack: Vec<Piece> = Vec::new();
    let mut needed = 0u64;
    for piece in pieces {
        let size = piece.padded_bytes;
        if !size.is_power_of_two() || size < PIECE_BYTES_MIN {
            return Err(Error::Size { padded_bytes: size });
        }
        let full = |needed| Error::SectorFull { pieces: pieces.len(), needed, sector_bytes };
        if size > sector_bytes {
            return Err(full(size));
        }
        let left = alignment(needed, size).left;
        needed = needed.saturating_add(left).saturating_add(size);
        if needed > sector_bytes {
            return Err(full(needed));
        }
        while let Some(top) = stack.last().filter(|top| top.padded_bytes < size) {
            let zeros = zeros(top.padded_bytes)?;
            push(&mut stack, zeros);
        }
        push(&mut stack, *piece);
    }
    loop {
        match stack.last() {
            None => return zero(sector_bytes),
            Some(top) if top.padded_bytes == sector_bytes => return Ok(top.comm_p),
            Some(top) => {
                let zeros = zeros(top.padded_bytes)?;
                push(&mut stack, zeros);
            }
        }
    }
}

fn zeros(padded_bytes: u64) -> Result<Piece, Error> {
    Ok(Piece { comm_p: zero(padded_bytes)?, padded_bytes })
}

fn push(stack: &mut Vec<Piece>, mut piece: Piece) {
    while let Some(left) = stack.pop_if(|top| top.padded_bytes == piece.padded_bytes) {
        let comm_p = join(Backend::detect(), &left.comm_p, &piece.comm_p);
        piece = Piece { comm_p, padded_bytes: 2 * piece.padded_bytes };
    }
    stack.push(piece);
}
