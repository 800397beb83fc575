//! **Purpose**: the label kernel that every machine runs, one lane after the other.
//!
//! **Invariants**: as in the module above; the other kernels are compared with this one.

use hesper_sha256::{FIELD_MASK, INITIAL, PAIR_PADDING, State, padding_block, portable};

use super::{BASE_PARENTS, Job, LABEL_WORDS, PARENTS};

/// Bytes hashed for a node other than node 0: a prefix of 64 and 37 parents.
pub(super) const MESSAGE_BYTES: u32 = 64 + 37 * 32;

/// Parents that a message names, in their order, before the one that shares a block with the
/// padding.
const WHOLE_PARENTS: usize = 36;

/// Labels the first `rows` nodes of the job in `lanes` lanes.
///
/// # Safety
/// As [`super::run`] for a buffer of `lanes` lanes.
pub(super) unsafe fn label(job: &Job<'_>, rows: usize, lanes: usize) {
    let distinct = if job.layer == 1 { BASE_PARENTS } else { PARENTS };
    for (node, row) in (job.start..).zip(job.rows.as_chunks::<PARENTS>().0.iter().take(rows)) {
        for lane in 0..lanes {
            let parent = |slot: usize| -> [u32; LABEL_WORDS] {
                let index = slot % distinct;
                let buffer = if index < BASE_PARENTS { job.current } else { job.previous };
                std::array::from_fn(|word| {
                    let at = (row[index] as usize * LABEL_WORDS + word) * lanes + lane;
                    // SAFETY: the caller guarantees that the parent lies in its buffer.
                    unsafe { *buffer.add(at) }
                })
            };
            let mut state = prefix_state(job, node, lane);
            let mut block = [0; 16];
            for slot in (0..WHOLE_PARENTS).step_by(2) {
                block[..8].copy_from_slice(&parent(slot));
                block[8..].copy_from_slice(&parent(slot + 1));
                portable::compress(&mut state, &block);
            }
            block = padding_block(MESSAGE_BYTES);
            block[8] = block[0];
            block[..8].copy_from_slice(&parent(WHOLE_PARENTS));
            portable::compress(&mut state, &block);
            // SAFETY: the caller guarantees that the node lies in the buffer.
            unsafe { store(job, node, lane, lanes, state) };
        }
    }
}

/// Labels node 0 in `lanes` lanes.
///
/// # Safety
/// Node 0 must lie in `current`, a buffer of `lanes` lanes.
pub(super) unsafe fn label_node_zero(job: &Job<'_>, lanes: usize) {
    for lane in 0..lanes {
        let mut state = prefix_state(job, 0, lane);
        portable::rounds(&mut state, &PAIR_PADDING);
        // SAFETY: the caller guarantees that node 0 lies in the buffer.
        unsafe { store(job, 0, lane, lanes, state) };
    }
}

/// The state after the prefix block.
pub(super) fn prefix_state(job: &Job<'_>, node: u32, lane: usize) -> State {
    let mut block = [0; 16];
    for (word, replica) in block.iter_mut().zip(&job.replicas) {
        *word = replica[lane];
    }
    block[8] = job.layer;
    block[10] = node;
    let mut state = INITIAL;
    portable::compress(&mut state, &block);
    state
}

/// Writes a hash as the label of a node.
///
/// # Safety
/// The node must lie in `current`, a buffer of `lanes` lanes.
unsafe fn store(job: &Job<'_>, node: u32, lane: usize, lanes: usize, mut state: State) {
    state[7] &= FIELD_MASK;
    for (word, value) in state.into_iter().enumerate() {
        let at = (node as usize * LABEL_WORDS + word) * lanes + lane;
        // SAFETY: the caller guarantees that the node lies in the buffer.
        unsafe { *job.current.add(at) = value };
    }
}
