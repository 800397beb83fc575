//! **Purpose**: asks for the parents of a later node before a kernel needs them.
//!
//! **Invariants**: a prefetch has no effect but on caches, so it may name any address.

use super::{BASE_PARENTS, Job, PARENTS};

/// Nodes between the one that is labelled and the one whose parents are asked for.
const AHEAD: usize = 8;

/// Prefetches to the second-level cache the parents of the node [`AHEAD`] rows after row `index`.
#[inline(always)]
pub(super) fn node(job: &Job<'_>, index: usize, node_bytes: usize) {
    let Some(row) = job.rows.get((index + AHEAD) * PARENTS..(index + AHEAD + 1) * PARENTS) else {
        return;
    };
    // The first base parent is the node before: it will have been written just then.
    let (base, expander) = row.split_at(BASE_PARENTS);
    for &parent in &base[1..] {
        lines(job.current.cast_const().cast(), parent as usize * node_bytes, node_bytes);
    }
    if job.layer > 1 {
        for &parent in expander {
            lines(job.previous.cast(), parent as usize * node_bytes, node_bytes);
        }
    }
}

#[inline(always)]
fn lines(buffer: *const i8, offset: usize, bytes: usize) {
    for line in (0..bytes).step_by(64) {
        let at = buffer.wrapping_add(offset + line);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has the instruction, and any address is allowed.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}
