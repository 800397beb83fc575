//! **Purpose**: the vector label kernels of x86-64, each compiled for the instructions it uses.
//!
//! **Invariants**: with `KEEP`, message schedules are stored and used again; see [`lanes::label`].

use hesper_sha256::vectors::{Avx2, Ymm, Zmm};

use super::{Job, lanes};

/// Sixteen sectors.
///
/// # Safety
/// As [`super::run`] for buffers of sixteen lanes; the processor has the features.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx2")]
pub(super) unsafe fn avx512_16<const KEEP: bool>(job: &Job<'_>, rows: usize) {
    // SAFETY: the caller's guarantees; this function enables the instructions of the vector.
    unsafe { lanes::label::<Zmm, KEEP>(job, rows, 16) }
}

/// Eight sectors.
///
/// # Safety
/// As [`super::run`] for buffers of eight lanes; the processor has the features.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx2")]
pub(super) unsafe fn avx512_8(job: &Job<'_>, rows: usize) {
    // SAFETY: the caller's guarantees; this function enables the instructions of the vector.
    unsafe { lanes::label::<Ymm, true>(job, rows, 8) }
}

/// Eight or sixteen sectors, eight at a time.
///
/// # Safety
/// As [`super::run`] for buffers of `lanes` lanes, 8 or 16; the processor has the features.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2(job: &Job<'_>, rows: usize, lanes: usize) {
    // SAFETY: the caller's guarantees; this function enables the instructions of the vector.
    unsafe { lanes::label::<Avx2, true>(job, rows, lanes) }
}
