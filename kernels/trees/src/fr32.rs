//! Fr32: the form in which piece bytes lie in a sector.
//!
//! **Purpose**: put two zero bits behind every 254 bits, so that each 32 bytes are a field element,
//! and take them out again: 127 bytes of a piece are 128 bytes of a sector.
//!
//! **Invariants**
//! - [`unpad`] of [`pad`] gives the input; every [`Backend`] gives the same bytes.
//! - The top two bits of byte 31 of each padded node are zero, so a node is below the modulus.
//!
//! **Source**: Filecoin specification, section "Piece Padding"; crate `fr32`, which the comparison
//! with the library covers.

mod avx512;
mod portable;

use std::fmt;

/// Bytes of a piece in one unit.
pub const UNPADDED_UNIT: usize = 127;
/// Bytes of a sector in one unit: four nodes.
pub const PADDED_UNIT: usize = 128;

/// A way to run the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// 64-bit shifts.
    Portable,
    /// AVX-512 with funnel shifts (VBMI2).
    Avx512,
}

impl Backend {
    /// The fastest that this machine can run.
    pub fn detect() -> Backend {
        if Backend::Avx512.runs_here() { Backend::Avx512 } else { Backend::Portable }
    }

    /// All that this machine can run.
    pub fn available() -> Vec<Backend> {
        [Backend::Portable, Backend::Avx512].into_iter().filter(|one| one.runs_here()).collect()
    }

    fn runs_here(self) -> bool {
        match self {
            Backend::Portable => true,
            Backend::Avx512 => avx512::runs_here(),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Portable => "portable",
            Backend::Avx512 => "avx512",
        })
    }
}

/// Bytes of a sector that hold `unpadded` bytes of a piece, rounded up to whole units.
pub const fn padded_bytes(unpadded: u64) -> u64 {
    unpadded.div_ceil(UNPADDED_UNIT as u64) * PADDED_UNIT as u64
}

/// Bytes of a piece that `padded` bytes of a sector hold, rounded down to whole units.
pub const fn unpadded_bytes(padded: u64) -> u64 {
    padded / PADDED_UNIT as u64 * UNPADDED_UNIT as u64
}

/// Pad `input`, n units of 127 bytes, into `output`, n units of 128 bytes.
///
/// # Panics
///
/// When the lengths are not those of the same number of units, or the machine lacks the backend.
pub fn pad(backend: Backend, input: &[u8], output: &mut [u8]) {
    check(backend, input.len(), output.len());
    match backend {
        Backend::Portable => portable::pad(input, output),
        Backend::Avx512 => avx512::pad(input, output),
    }
}

/// Take the padding out of `input`, n units of 128 bytes, into `output`, n units of 127 bytes.
///
/// # Panics
///
/// When the lengths are not those of the same number of units, or the machine lacks the backend.
pub fn unpad(backend: Backend, input: &[u8], output: &mut [u8]) {
    check(backend, output.len(), input.len());
    match backend {
        Backend::Portable => portable::unpad(input, output),
        Backend::Avx512 => avx512::unpad(input, output),
    }
}

fn check(backend: Backend, unpadded: usize, padded: usize) {
    assert!(backend.runs_here(), "this machine cannot run the Fr32 backend {backend}");
    assert!(
        padded.is_multiple_of(PADDED_UNIT)
            && unpadded.is_multiple_of(UNPADDED_UNIT)
            && padded / PADDED_UNIT == unpadded / UNPADDED_UNIT,
        "{unpadded} bytes of a piece are not {padded} bytes of a sector"
    );
}

#[cfg(test)]
mod tests;
