//! **Purpose**: the label kernel with one sector in each lane of a vector.
//!
//! **Invariants**: buffers are in lockstep layout of exactly [`Lanes::COUNT`] lanes, so that a word
//! of a node is one vector and nothing is transposed.

use hesper_sha256::lanes::{Lanes, compress, rounds};
use hesper_sha256::{FIELD_MASK, INITIAL, padding_block};

use super::{BASE_PARENTS, Job, LABEL_WORDS, PARENTS, portable, prefetch};

/// Half a block: eight words of sixteen lanes at most, in the layout of a node.
#[repr(C, align(64))]
struct Half([u32; LABEL_WORDS * 16]);

/// Schedules of the seven distinct blocks of two parents, and of one more that is not used again.
#[repr(C, align(64))]
struct Kept([u32; (PARENTS / 2 + 1) * 64 * 16]);

/// Blocks of two parents each in a message.
const PARENT_BLOCKS: usize = 18;

/// Labels the first `rows` nodes of the job in `lanes` lanes, a vector of them at a time.
///
/// With `KEEP`, the schedules of blocks that come again are stored and loaded; without, they are
/// computed anew, which costs nothing where the chain of the rounds leaves vector units idle.
///
/// # Safety
/// As [`super::run`] for buffers of `lanes` lanes, a multiple of `V::COUNT` and at most sixteen;
/// the caller enables the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn label<V: Lanes, const KEEP: bool>(job: &Job<'_>, rows: usize, lanes: usize) {
    // SAFETY: the caller guarantees the instructions and that every node that is read or written
    // lies in its buffer; the other pointers are to the halves below, which are laid out as a node
    // of `lanes` lanes, and to the schedules, whose last block is number PARENTS / 2.
    unsafe {
        let node_words = LABEL_WORDS * lanes;
        let mut replica = Half([0; _]);
        let mut prefix_end = Half([0; _]);
        let mut padding = Half([0; _]);
        let mut next = Half([0; _]);
        let mut kept = Kept([0; _]);
        let end = padding_block(portable::MESSAGE_BYTES);
        for lane in 0..lanes {
            let state = portable::prefix_state(job, job.start, lane);
            for (word, (value, ids)) in state.into_iter().zip(&job.replicas).enumerate() {
                replica.0[word * lanes + lane] = ids[lane];
                next.0[word * lanes + lane] = value;
            }
            prefix_end.0[lane] = job.layer;
            padding.0[lane] = end[0];
            padding.0[7 * lanes + lane] = end[15];
        }
        let initial = INITIAL.map(|word| V::splat(word));
        let blocks = if job.layer == 1 { BASE_PARENTS / 2 } else { PARENTS / 2 };
        for index in 0..rows {
            prefetch::node(job, index, node_words * 4);
            let row = &job.rows[index * PARENTS..][..PARENTS];
            prefix_end.0[2 * lanes..3 * lanes].fill(job.start.wrapping_add(index as u32 + 1));
            for lane in (0..lanes).step_by(V::COUNT) {
                let mut parents = [std::ptr::null::<u32>(); PARENTS];
                for (slot, parent) in parents.iter_mut().enumerate() {
                    let buffer =
                        if slot < BASE_PARENTS { job.current.cast_const() } else { job.previous };
                    *parent = buffer.wrapping_add(row[slot] as usize * node_words + lane);
                }
                let pairs = parents.as_chunks::<2>().0;
                let prefix = [replica.0.as_ptr().add(lane), prefix_end.0.as_ptr().add(lane)];
                let last = [parents[36 % (2 * blocks)], padding.0.as_ptr().add(lane)];
                let next = next.0.as_mut_ptr().add(lane);
                let mut state = load_half::<V>(next, lanes);
                let mut chain = state;
                // The prefix of the next node depends on nothing. It comes before the last block,
                // so that the processor runs into it, and out of it, while the chain is unfinished.
                let mut i = 0;
                while i < PARENT_BLOCKS + 2 {
                    let places = if i < PARENT_BLOCKS {
                        pairs[i % blocks]
                    } else if i == PARENT_BLOCKS {
                        chain = state;
                        state = initial;
                        prefix
                    } else {
                        store_half(state, next, lanes);
                        state = chain;
                        last
                    };
                    let slot = if i < PARENT_BLOCKS { i } else { PARENTS / 2 };
                    let keep = kept.0.as_mut_ptr().add(slot * 64 * V::COUNT);
                    compress::<V, KEEP>(&mut state, block(places, lanes), keep);
                    i += 1;
                    if KEEP && i == blocks {
                        while i < PARENT_BLOCKS {
                            let from = kept.0.as_ptr().add(i % blocks * 64 * V::COUNT);
                            rounds(&mut state, from);
                            i += 1;
                        }
                    }
                }
                state[7] = state[7].and(V::splat(FIELD_MASK));
                let to = job.current.add((job.start as usize + index) * node_words + lane);
                store_half(state, to, lanes);
            }
        }
    }
}

/// The words of a block whose halves lie at two places.
#[inline(always)]
unsafe fn block<V: Lanes>(places: [*const u32; 2], lanes: usize) -> [V; 16] {
    // SAFETY: the caller guarantees eight vectors at each place, and the instructions of `V`.
    let [left, right] = places.map(|place| unsafe { load_half::<V>(place, lanes) });
    std::array::from_fn(|word| if word < 8 { left[word] } else { right[word - 8] })
}

/// Eight vectors, `lanes` words apart.
#[inline(always)]
unsafe fn load_half<V: Lanes>(from: *const u32, lanes: usize) -> [V; LABEL_WORDS] {
    // SAFETY: the caller guarantees the vectors, and the instructions of `V`.
    std::array::from_fn(|word| unsafe { V::load(from.add(word * lanes)) })
}

/// The reverse of [`load_half`].
#[inline(always)]
unsafe fn store_half<V: Lanes>(words: [V; LABEL_WORDS], to: *mut u32, lanes: usize) {
    for (word, value) in words.into_iter().enumerate() {
        // SAFETY: the caller guarantees the vectors, and the instructions of `V`.
        unsafe { value.store(to.add(word * lanes)) };
    }
}
