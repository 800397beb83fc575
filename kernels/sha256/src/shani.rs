//! SHA-256 with the SHA instructions of x86-64, several streams side by side.
//!
//! **Purpose**: one stream is a chain of 32 `sha256rnds2` a block, each of four cycles; cores that
//! start one every two cycles do two streams in the same time.
//!
//! **Invariants**: every function needs the features sha, sse4.1 and ssse3, which its attribute
//! names: only functions with the same attribute, or after a check, may call it.
//!
//! **Source**: FIPS 180-4, section 6.2.2; the layout of the registers is that of the instructions.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi32,
    _mm_storeu_si128,
};

use crate::{ROUND_CONSTANTS, State};

/// A state as the instructions want it.
#[derive(Clone, Copy)]
pub struct Registers {
    abef: __m128i,
    cdgh: __m128i,
}

/// Sixteen message words, four to a register.
pub type Words = [__m128i; 4];

/// A schedule with its constants, four words to a register.
pub type Sums = [__m128i; 16];

impl Registers {
    /// From the words `a` to `h`.
    ///
    /// # Safety
    /// The processor has the features.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    pub fn new(state: &State) -> Self {
        // SAFETY: both loads lie inside the 32 bytes of `state` and need no alignment.
        let (low, high) = unsafe {
            let words = state.as_ptr().cast::<__m128i>();
            (_mm_loadu_si128(words), _mm_loadu_si128(words.add(1)))
        };
        let badc = _mm_shuffle_epi32::<0xb1>(low);
        let hgfe = _mm_shuffle_epi32::<0x1b>(high);
        Self { abef: _mm_alignr_epi8::<8>(badc, hgfe), cdgh: _mm_blend_epi16::<0xf0>(hgfe, badc) }
    }

    /// The words `a` to `d` and `e` to `h`.
    ///
    /// # Safety
    /// The processor has the features.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    pub fn words(self) -> [__m128i; 2] {
        let feba = _mm_shuffle_epi32::<0x1b>(self.abef);
        let dchg = _mm_shuffle_epi32::<0xb1>(self.cdgh);
        [_mm_blend_epi16::<0xf0>(feba, dchg), _mm_alignr_epi8::<8>(dchg, feba)]
    }

    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn four_rounds(&mut self, sums: __m128i) {
        self.cdgh = _mm_sha256rnds2_epu32(self.cdgh, self.abef, sums);
        self.abef = _mm_sha256rnds2_epu32(self.abef, self.cdgh, _mm_shuffle_epi32::<0x0e>(sums));
    }

    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn add(&mut self, before: &Self) {
        self.abef = _mm_add_epi32(self.abef, before.abef);
        self.cdgh = _mm_add_epi32(self.cdgh, before.cdgh);
    }
}

/// The 64 rounds of one block of each stream from stored schedules.
///
/// # Safety
/// The processor has the features.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub fn rounds<const N: usize>(streams: &mut [Registers; N], sums: &[Sums; N]) {
    let before = *streams;
    for group in 0..16 {
        for (stream, sums) in streams.iter_mut().zip(sums) {
            stream.four_rounds(sums[group]);
        }
    }
    for (stream, before) in streams.iter_mut().zip(&before) {
        stream.add(before);
    }
}

/// Compresses one block of each stream. With `KEEP`, the schedules are stored in `keep`.
///
/// # Safety
/// The processor has the features.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub fn compress<const N: usize, const KEEP: bool>(
    streams: &mut [Registers; N],
    words: &mut [Words; N],
    keep: &mut [Sums; N],
) {
    let before = *streams;
    macro_rules! four_rounds {
        ($($group:literal)*) => {$(
            for i in 0..N {
                let [w0, w1, w2, w3] = [0, 1, 2, 3].map(|back| words[i][($group + back) % 4]);
                let now = if $group < 4 {
                    w0
                } else {
                    let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
                    let new = _mm_sha256msg2_epu32(sum, w3);
                    words[i][$group % 4] = new;
                    new
                };
                let sums = _mm_add_epi32(now, constants($group));
                if KEEP {
                    keep[i][$group] = sums;
                }
                streams[i].four_rounds(sums);
            }
        )*};
    }
    four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    for (stream, before) in streams.iter_mut().zip(&before) {
        stream.add(before);
    }
}

/// The round constants of four rounds.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn constants(group: usize) -> __m128i {
    let four = &ROUND_CONSTANTS[group * 4..group * 4 + 4];
    // SAFETY: the slice holds four words, and the load needs no alignment.
    unsafe { _mm_loadu_si128(four.as_ptr().cast()) }
}

/// A stored schedule that all messages share.
///
/// # Safety
/// The processor has the features.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub fn constant_sums(schedule: &crate::Schedule) -> Sums {
    let (groups, _) = schedule.as_chunks::<4>();
    std::array::from_fn(|group| {
        // SAFETY: a chunk holds four words, and the load needs no alignment.
        unsafe { _mm_loadu_si128(groups[group].as_ptr().cast()) }
    })
}

/// Writes the eight words of a state.
///
/// # Safety
/// `to` is valid for eight words; it needs no alignment.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub unsafe fn store(words: [__m128i; 2], to: *mut u32) {
    // SAFETY: the caller guarantees the 32 bytes.
    unsafe {
        _mm_storeu_si128(to.cast(), words[0]);
        _mm_storeu_si128(to.add(4).cast(), words[1]);
    }
}
