//! **Purpose**: the label kernels with the SHA instructions: one, two or four sectors as streams
//! side by side, and wider groups four lanes at a time.
//!
//! **Invariants**: `N` streams are the lanes from some multiple of `N` on of buffers of `W` lanes.

use std::arch::x86_64::{
    __m128i, _mm_and_si128, _mm_castps_si128, _mm_castsi128_ps, _mm_loadu_si128, _mm_set_epi32,
    _mm_setzero_si128, _mm_shuffle_ps, _mm_storeu_si128, _mm_unpackhi_epi32, _mm_unpackhi_epi64,
    _mm_unpacklo_epi32, _mm_unpacklo_epi64,
};

use hesper_sha256::shani::{Registers, Sums, Words, compress, rounds};
use hesper_sha256::{FIELD_MASK, INITIAL, padding_block};

use super::{BASE_PARENTS, Job, LABEL_WORDS, PARENTS, portable, prefetch};

/// Eight words of a stream.
type Half = [__m128i; 2];

/// Labels the first `rows` nodes of the job in `W` lanes, `N` at a time.
///
/// # Safety
/// As [`super::run`] for buffers of `W` lanes, a multiple of `N`; the processor has the features.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) unsafe fn label<const N: usize, const W: usize>(job: &Job<'_>, rows: usize) {
    let zero = _mm_setzero_si128();
    let end = padding_block(portable::MESSAGE_BYTES).map(u32::cast_signed);
    let padding = [_mm_set_epi32(0, 0, 0, end[0]), _mm_set_epi32(end[15], 0, 0, 0)];
    let initial = Registers::new(&INITIAL);
    let prefix_end =
        |node: u32| [_mm_set_epi32(0, node.cast_signed(), 0, job.layer.cast_signed()), zero];
    let mut replicas = [[zero; 2]; W];
    for (lane, replica) in replicas.iter_mut().enumerate() {
        let word = |index: usize| job.replicas[index][lane].cast_signed();
        *replica = [
            _mm_set_epi32(word(3), word(2), word(1), word(0)),
            _mm_set_epi32(word(7), word(6), word(5), word(4)),
        ];
    }
    let mut next = [initial; W];
    let mut unused = [[[zero; 16]; 1]; 1];
    for lane in 0..W {
        let mut words = [join(replicas[lane], prefix_end(job.start))];
        let mut state = [initial];
        compress::<1, false>(&mut state, &mut words, &mut unused[0]);
        next[lane] = state[0];
    }
    let node_words = LABEL_WORDS * W;
    let distinct = if job.layer == 1 { BASE_PARENTS / 2 } else { PARENTS / 2 };
    let mut kept: [[Sums; N]; PARENTS / 2] = [[[zero; 16]; N]; PARENTS / 2];
    for index in 0..rows {
        prefetch::node(job, index, node_words * 4);
        let row = &job.rows[index * PARENTS..][..PARENTS];
        for lane in (0..W).step_by(N) {
            let parent = |slot: usize| {
                let buffer =
                    if slot < BASE_PARENTS { job.current.cast_const() } else { job.previous };
                // SAFETY: the caller guarantees that the parent lies in its buffer.
                unsafe { load::<N, W>(buffer.add(row[slot] as usize * node_words + lane)) }
            };
            let mut states: [Registers; N] = std::array::from_fn(|i| next[lane + i]);
            for (block, kept) in kept[..distinct].iter_mut().enumerate() {
                let (left, right) = (parent(2 * block), parent(2 * block + 1));
                let mut words = std::array::from_fn(|i| join(left[i], right[i]));
                compress::<N, true>(&mut states, &mut words, kept);
            }
            let mut left = 18 - distinct;
            while left > 0 {
                let now = left.min(distinct);
                for kept in &kept[..now] {
                    rounds(&mut states, kept);
                }
                left -= now;
            }
            let last = parent(36 % (2 * distinct));
            let following = prefix_end(job.start.wrapping_add(index as u32 + 1));
            if N == 1 {
                // A single stream leaves half of the unit idle: the prefix of the next node, which
                // depends on nothing, takes it.
                let mut both = [states[0], initial];
                let mut words = [join(last[0], padding), join(replicas[lane], following)];
                compress::<2, false>(&mut both, &mut words, &mut [[zero; 16]; 2]);
                [states[0], next[lane]] = both;
            } else {
                let mut words = std::array::from_fn(|i| join(last[i], padding));
                compress::<N, false>(&mut states, &mut words, &mut [[zero; 16]; N]);
                let mut prefixes = [initial; N];
                let mut words = std::array::from_fn(|i| join(replicas[lane + i], following));
                compress::<N, false>(&mut prefixes, &mut words, &mut [[zero; 16]; N]);
                next[lane..lane + N].copy_from_slice(&prefixes);
            }
            let mask = _mm_set_epi32(FIELD_MASK.cast_signed(), -1, -1, -1);
            let labels = states.map(|state| {
                let [low, high] = state.words();
                [low, _mm_and_si128(high, mask)]
            });
            let at = (job.start as usize + index) * node_words + lane;
            // SAFETY: the caller guarantees that the node lies in the buffer.
            unsafe { store::<N, W>(labels, job.current.add(at)) };
        }
    }
}

#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn join(left: Half, right: Half) -> Words {
    [left[0], left[1], right[0], right[1]]
}

/// The words of `N` lanes of a node of `W` lanes whose first word of the first lane is at `from`.
///
/// # Safety
/// The node's words of these lanes must be valid for reads. `N` is 1 or 2 and equal to `W`, or 4.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
unsafe fn load<const N: usize, const W: usize>(from: *const u32) -> [Half; N] {
    let mut lanes = [[_mm_setzero_si128(); 2]; N];
    for half in 0..2 {
        // SAFETY: the caller guarantees the words; the loads need no alignment.
        let row = |index: usize, words: usize| unsafe {
            _mm_loadu_si128(from.add(half * 4 * W + index * words).cast())
        };
        match N {
            1 => lanes[0][half] = row(0, 0),
            2 => {
                let [even, odd] = split([row(0, 4), row(1, 4)]);
                lanes[0][half] = even;
                lanes[1][half] = odd;
            }
            _ => {
                let columns = transpose([row(0, W), row(1, W), row(2, W), row(3, W)]);
                for (lane, column) in lanes.iter_mut().zip(columns) {
                    lane[half] = column;
                }
            }
        }
    }
    lanes
}

/// The reverse of [`load`].
///
/// # Safety
/// As [`load`], for writes.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
unsafe fn store<const N: usize, const W: usize>(lanes: [Half; N], to: *mut u32) {
    for half in [0, 1] {
        // SAFETY: the caller guarantees the words; the stores need no alignment.
        let row = |index: usize, words: usize, value: __m128i| unsafe {
            _mm_storeu_si128(to.add(half * 4 * W + index * words).cast(), value);
        };
        match N {
            1 => row(0, 0, lanes[0][half]),
            2 => {
                row(0, 4, _mm_unpacklo_epi32(lanes[0][half], lanes[1][half]));
                row(1, 4, _mm_unpackhi_epi32(lanes[0][half], lanes[1][half]));
            }
            _ => {
                let columns = [0, 1, 2, 3].map(|lane| lanes[lane % N][half]);
                for (index, value) in transpose(columns).into_iter().enumerate() {
                    row(index, W, value);
                }
            }
        }
    }
}

/// The words of even and of odd index.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn split(pairs: [__m128i; 2]) -> [__m128i; 2] {
    let [low, high] = pairs.map(|pair| _mm_castsi128_ps(pair));
    [
        _mm_castps_si128(_mm_shuffle_ps::<0x88>(low, high)),
        _mm_castps_si128(_mm_shuffle_ps::<0xdd>(low, high)),
    ]
}

/// The transpose of four rows of four words.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn transpose(rows: [__m128i; 4]) -> [__m128i; 4] {
    let [low01, low23] =
        [_mm_unpacklo_epi32(rows[0], rows[1]), _mm_unpacklo_epi32(rows[2], rows[3])];
    let [high01, high23] =
        [_mm_unpackhi_epi32(rows[0], rows[1]), _mm_unpackhi_epi32(rows[2], rows[3])];
    [
        _mm_unpacklo_epi64(low01, low23),
        _mm_unpackhi_epi64(low01, low23),
        _mm_unpacklo_epi64(high01, high23),
        _mm_unpackhi_epi64(high01, high23),
    ]
}
