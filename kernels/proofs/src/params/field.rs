//! Coordinates of curve points: the base field of BLS12-381 and its quadratic extension, in the
//! Montgomery form of `blst`, behind safe operators.
#![allow(unsafe_code)]

use blst::{blst_fp, blst_fp2};

/// A field of coordinates.
pub(super) trait Coordinate: Copy + Default + PartialEq + Send + Sync {
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn square(self) -> Self;
    fn invert(self) -> Self;
    fn one() -> Self;
}

macro_rules! coordinate {
    ($field:ty, $one:expr, $add:ident, $sub:ident, $mul:ident, $sqr:ident, $inverse:ident) => {
        impl Coordinate for $field {
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                let mut out = Self::default();
                // SAFETY: the function reads two initialised elements and writes one; all three
                // are live locals of the right type.
                unsafe { blst::$add(&mut out, &self, &other) };
                out
            }

            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                let mut out = Self::default();
                // SAFETY: as for `add`.
                unsafe { blst::$sub(&mut out, &self, &other) };
                out
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                let mut out = Self::default();
                // SAFETY: as for `add`.
                unsafe { blst::$mul(&mut out, &self, &other) };
                out
            }

            #[inline(always)]
            fn square(self) -> Self {
                let mut out = Self::default();
                // SAFETY: the function reads one initialised element and writes one; both are live
                // locals of the right type.
                unsafe { blst::$sqr(&mut out, &self) };
                out
            }

            fn invert(self) -> Self {
                let mut out = Self::default();
                // SAFETY: as for `square`. Zero gives zero.
                unsafe { blst::$inverse(&mut out, &self) };
                out
            }

            fn one() -> Self {
                $one
            }
        }
    };
}

/// One in Montgomery form, made by the library rather than written down.
fn fp_one() -> blst_fp {
    let mut out = blst_fp::default();
    let words: [u32; 12] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: the function reads twelve 32-bit words, the length of `words`, and writes one element.
    unsafe { blst::blst_fp_from_uint32(&mut out, words.as_ptr()) };
    out
}

coordinate!(
    blst_fp,
    fp_one(),
    blst_fp_add,
    blst_fp_sub,
    blst_fp_mul,
    blst_fp_sqr,
    blst_fp_eucl_inverse
);
coordinate!(
    blst_fp2,
    blst_fp2 { fp: [fp_one(), blst_fp::default()] },
    blst_fp2_add,
    blst_fp2_sub,
    blst_fp2_mul,
    blst_fp2_sqr,
    blst_fp2_eucl_inverse
);
