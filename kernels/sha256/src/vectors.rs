//! **Purpose**: the vectors of x86-64 as [`Lanes`].
//!
//! **Invariants**: each method is one to four instructions of the features named at its type.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::lanes::Lanes;

/// Sixteen lanes; needs avx512f.
#[derive(Clone, Copy)]
pub struct Zmm(pub __m512i);

/// Eight lanes with ternary logic and rotations; needs avx512f and avx512vl.
#[derive(Clone, Copy)]
pub struct Ymm(pub __m256i);

/// Eight lanes; needs avx2.
#[derive(Clone, Copy)]
pub struct Avx2(pub __m256i);

/// An empty instruction that the compiler believes to change the value.
#[inline]
#[target_feature(enable = "avx512f")]
fn pin_zmm(mut vector: __m512i) -> __m512i {
    // SAFETY: the instruction is a comment.
    unsafe {
        asm!("/* {0} */", inout(zmm_reg) vector, options(pure, nomem, nostack, preserves_flags));
    }
    vector
}

/// As [`pin_zmm`].
#[inline]
#[target_feature(enable = "avx2")]
fn pin_ymm(mut vector: __m256i) -> __m256i {
    // SAFETY: the instruction is a comment.
    unsafe {
        asm!("/* {0} */", inout(ymm_reg) vector, options(pure, nomem, nostack, preserves_flags));
    }
    vector
}

macro_rules! avx512_lanes {
    ($type:ident, $count:literal, $load:ident, $store:ident, $splat:ident,
     $pin:ident, $add:ident, $sub:ident, $and:ident, $ternary:ident, $rotate:ident, $shift:ident) => {
        // SAFETY: loads and stores touch `COUNT` words; every method asks its caller for the
        // instructions and for pointers to a whole vector, which is all that its unsafe block needs.
        #[allow(clippy::undocumented_unsafe_blocks)]
        unsafe impl Lanes for $type {
            const COUNT: usize = $count;
            #[inline(always)]
            unsafe fn load(from: *const u32) -> Self {
                unsafe { Self($load(from.cast())) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut u32) {
                unsafe { $store(to.cast(), self.0) }
            }
            #[inline(always)]
            unsafe fn splat(word: u32) -> Self {
                unsafe { Self($splat(word as i32)) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                unsafe { Self($add(self.0, other.0)) }
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                unsafe { Self($sub(self.0, other.0)) }
            }
            #[inline(always)]
            unsafe fn and(self, other: Self) -> Self {
                unsafe { Self($and(self.0, other.0)) }
            }
            #[inline(always)]
            unsafe fn xor3(self, second: Self, third: Self) -> Self {
                unsafe { Self($ternary::<0x96>(self.0, second.0, third.0)) }
            }
            #[inline(always)]
            unsafe fn choose(self, yes: Self, no: Self) -> Self {
                unsafe { Self($ternary::<0xca>(self.0, yes.0, no.0)) }
            }
            #[inline(always)]
            unsafe fn majority(self, second: Self, third: Self) -> Self {
                unsafe { Self($ternary::<0xe8>(self.0, second.0, third.0)) }
            }
            #[inline(always)]
            unsafe fn rotate<const BITS: i32>(self) -> Self {
                unsafe { Self($rotate::<BITS>(self.0)) }
            }
            #[inline(always)]
            unsafe fn shift<const BITS: i32>(self) -> Self {
                unsafe { Self($shift(self.0, _mm_cvtsi32_si128(BITS))) }
            }
            #[inline(always)]
            unsafe fn pin(self) -> Self {
                unsafe { Self($pin(self.0)) }
            }
        }
    };
}

avx512_lanes!(
    Zmm,
    16,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_set1_epi32,
    pin_zmm,
    _mm512_add_epi32,
    _mm512_sub_epi32,
    _mm512_and_si512,
    _mm512_ternarylogic_epi32,
    _mm512_ror_epi32,
    _mm512_srl_epi32
);
avx512_lanes!(
    Ymm,
    8,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_set1_epi32,
    pin_ymm,
    _mm256_add_epi32,
    _mm256_sub_epi32,
    _mm256_and_si256,
    _mm256_ternarylogic_epi32,
    _mm256_ror_epi32,
    _mm256_srl_epi32
);

// SAFETY: as above, for avx2; again each block needs what its method asks for.
#[allow(clippy::undocumented_unsafe_blocks)]
unsafe impl Lanes for Avx2 {
    const COUNT: usize = 8;
    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self {
        unsafe { Self(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u32) {
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        unsafe { Self(_mm256_set1_epi32(word.cast_signed())) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(_mm256_add_epi32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        unsafe { Self(_mm256_sub_epi32(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        unsafe { Self(_mm256_and_si256(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn xor3(self, second: Self, third: Self) -> Self {
        unsafe { Self(_mm256_xor_si256(_mm256_xor_si256(self.0, second.0), third.0)) }
    }
    #[inline(always)]
    unsafe fn choose(self, yes: Self, no: Self) -> Self {
        unsafe {
            let differ = _mm256_xor_si256(yes.0, no.0);
            Self(_mm256_xor_si256(no.0, _mm256_and_si256(self.0, differ)))
        }
    }
    #[inline(always)]
    unsafe fn majority(self, second: Self, third: Self) -> Self {
        unsafe {
            let both = _mm256_and_si256(self.0, second.0);
            let one = _mm256_and_si256(third.0, _mm256_or_si256(self.0, second.0));
            Self(_mm256_or_si256(both, one))
        }
    }
    #[inline(always)]
    unsafe fn rotate<const BITS: i32>(self) -> Self {
        unsafe {
            let low = _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS));
            Self(_mm256_or_si256(low, _mm256_sll_epi32(self.0, _mm_cvtsi32_si128(32 - BITS))))
        }
    }
    #[inline(always)]
    unsafe fn shift<const BITS: i32>(self) -> Self {
        unsafe { Self(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS))) }
    }
    #[inline(always)]
    unsafe fn pin(self) -> Self {
        unsafe { Self(pin_ymm(self.0)) }
    }
}
