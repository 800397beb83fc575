//! Fr32 with AVX-512 funnel shifts.
//!
//! **Purpose**: a unit is two permutations, two funnel shifts and two stores in each direction.
//!
//! **Invariants**: reads and writes stay inside the unit: its second half is loaded and stored at
//! byte 63 of the 127, so byte 63 is touched twice with the same value.
//!
//! **Source**: Filecoin specification, section "Piece Padding"; Intel's manual for VPSHRDVQ.

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{pad, runs_here, unpad};

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn runs_here() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use super::portable::{pad, unpad};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::{PADDED_UNIT, UNPADDED_UNIT};

    pub(in super::super) fn runs_here() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vbmi2")
    }

    pub(in super::super) fn pad(input: &[u8], output: &mut [u8]) {
        assert!(runs_here(), "AVX-512 VBMI2 is absent");
        // SAFETY: the features were found on this machine by the line above.
        unsafe { pad_units(input, output) }
    }

    pub(in super::super) fn unpad(input: &[u8], output: &mut [u8]) {
        assert!(runs_here(), "AVX-512 VBMI2 is absent");
        // SAFETY: the features were found on this machine by the line above.
        unsafe { unpad_units(input, output) }
    }

    /// Elements 0 and 1 begin at bits 0 and 254 = 3 words + 62; elements 2 and 3 at bits 508 and
    /// 762, which are bits 4 and 258 = 4 words + 2 of the 64 bytes from byte 63 on.
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    fn pad_units(input: &[u8], output: &mut [u8]) {
        let mask = _mm512_setr_epi64(-1, -1, -1, i64::MAX >> 1, -1, -1, -1, i64::MAX >> 1);
        let low_first = _mm512_setr_epi64(0, 1, 2, 3, 3, 4, 5, 6);
        let high_first = _mm512_setr_epi64(1, 2, 3, 4, 4, 5, 6, 7);
        let shift_first = _mm512_setr_epi64(0, 0, 0, 0, 62, 62, 62, 62);
        let high_second = _mm512_setr_epi64(1, 2, 3, 4, 5, 6, 7, 7);
        let shift_second = _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2);
        let units = input.chunks_exact(UNPADDED_UNIT).zip(output.chunks_exact_mut(PADDED_UNIT));
        for (input, output) in units {
            // SAFETY: `input` has 127 bytes: 64 from byte 0 and 64 from byte 63 lie inside;
            // unaligned loads have no other condition.
            let (first, second) = unsafe {
                let start = input.as_ptr();
                (_mm512_loadu_si512(start.cast()), _mm512_loadu_si512(start.add(63).cast()))
            };
            let low = _mm512_permutexvar_epi64(low_first, first);
            let high = _mm512_permutexvar_epi64(high_first, first);
            let elements_0_1 = _mm512_shrdv_epi64(low, high, shift_first);
            let high = _mm512_permutexvar_epi64(high_second, second);
            let elements_2_3 = _mm512_shrdv_epi64(second, high, shift_second);
            // SAFETY: `output` has 128 bytes: 64 from byte 0 and 64 from byte 64 lie inside;
            // unaligned stores have no other condition.
            unsafe {
                let start = output.as_mut_ptr();
                _mm512_storeu_si512(start.cast(), _mm512_and_si512(elements_0_1, mask));
                _mm512_storeu_si512(start.add(64).cast(), _mm512_and_si512(elements_2_3, mask));
            }
        }
    }

    /// Each output word is cut out of two neighbours. Where the lower neighbour is the last word of
    /// an element, it is taken shifted up by two, so that its 62 bits touch the next element.
    #[target_feature(enable = "avx512f,avx512vbmi2")]
    fn unpad_units(input: &[u8], output: &mut [u8]) {
        let up = _mm512_setr_epi64(0, 0, 0, 2, 0, 0, 0, 2);
        // Indices below 8 select from the first register of a permutation, from 8 on from the second.
        let low_first = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
        let high_first = _mm512_setr_epi64(1, 2, 3, 4, 5, 6, 7, 8);
        let shift_first = _mm512_setr_epi64(0, 0, 0, 2, 2, 2, 2, 4);
        let low_second = _mm512_setr_epi64(7, 8, 9, 10, 11, 12, 13, 14);
        let shift_second = _mm512_setr_epi64(60, 60, 60, 60, 62, 62, 62, 62);
        let units = input.chunks_exact(PADDED_UNIT).zip(output.chunks_exact_mut(UNPADDED_UNIT));
        for (input, output) in units {
            // SAFETY: `input` has 128 bytes: 64 from byte 0 and 64 from byte 64 lie inside;
            // unaligned loads have no other condition.
            let (elements_0_1, elements_2_3) = unsafe {
                let start = input.as_ptr();
                (_mm512_loadu_si512(start.cast()), _mm512_loadu_si512(start.add(64).cast()))
            };
            let raised_0_1 = _mm512_sllv_epi64(elements_0_1, up);
            let raised_2_3 = _mm512_sllv_epi64(elements_2_3, up);
            let low = _mm512_permutexvar_epi64(low_first, raised_0_1);
            let high = _mm512_permutex2var_epi64(elements_0_1, high_first, elements_2_3);
            let first = _mm512_shrdv_epi64(low, high, shift_first);
            let low = _mm512_permutex2var_epi64(raised_0_1, low_second, raised_2_3);
            let second = _mm512_shrdv_epi64(low, elements_2_3, shift_second);
            // SAFETY: `output` has 127 bytes: 64 from byte 0 and 64 from byte 63 lie inside;
            // unaligned stores have no other condition.
            unsafe {
                let start = output.as_mut_ptr();
                _mm512_storeu_si512(start.cast(), first);
                _mm512_storeu_si512(start.add(63).cast(), second);
            }
        }
    }
}
