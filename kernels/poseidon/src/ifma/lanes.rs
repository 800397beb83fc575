//! **Purpose**: arithmetic on eight field elements at once, each in five 52-bit limbs.
//!
//! **Invariants**
//! - Limbs are carried but not masked: bits 52 and up of a limb have been added to the next one and
//!   must be ignored, as `vpmadd52` does. The highest limb has no such bits: a value is below 2^260.
//! - Nothing is subtracted before the last step, because no value grows. Let `p` be the order,
//!   0.453 x 2^256. A Montgomery product is below `a * b / 2^260 + p` (the multiple of `p` that it
//!   adds has quotient digits below 2^260 in all), so operands below 2^257 give a result below
//!   `p + 2^254` < 2^255.5. An input plus its key is below 2^256 + p < 1.46 x 2^256, and each
//!   input goes into an S-box first. A row sums at most 12 products of a value below 2^256 with a
//!   factor below 2^44: over 2^52 that is below 2^251.6 = 0.048 x 2^256, and with its key and the
//!   step's multiple, each at most `p`, below 0.954 x 2^256. So a state stays below 2^256 round by
//!   round, those elements too that a partial round does not S-box.
//! - What is stored is a product of a value below 2^258 with a canonical one: below `p / 4 + p`, so
//!   that one subtraction makes it canonical. (The sum of two products in [`mul_add`] has operands
//!   below `p + 2^252` times 2^256, and 2^256 times `p`: below `p + p / 7`.)
//! - No column overflows its 64 bits: [`mul_add`] adds 20 halves below 2^52 to one, the reduction 9
//!   more with carries below 2^6, a row 24 and a key; all below 2^57.
//!
//! **Source**: Montgomery multiplication in radix 2^52 (Intel IFMA guides); the order is 1 modulo
//! 2^32, which makes the quotient digit a shift and a subtraction, and the lowest product limb a
//! carry that needs no multiplication.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_sub_epi64,
};

use crate::field::{Fr, MODULUS};

pub(super) const LIMBS: usize = 5;
pub(super) const MASK: u64 = (1 << 52) - 1;

/// Eight field elements, limb by limb.
pub(super) type Lanes = [__m512i; LIMBS];

/// The order in 52-bit limbs.
pub(super) const ORDER: [u64; LIMBS] = split(MODULUS);

/// Five 52-bit limbs of a 256-bit integer.
pub(super) const fn split(x: Fr) -> [u64; LIMBS] {
    [
        x[0] & MASK,
        (x[0] >> 52 | x[1] << 12) & MASK,
        (x[1] >> 40 | x[2] << 24) & MASK,
        (x[2] >> 28 | x[3] << 36) & MASK,
        x[3] >> 16,
    ]
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn broadcast(limb: u64) -> __m512i {
    _mm512_set1_epi64(limb.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn broadcast_all(limbs: &[u64; LIMBS]) -> Lanes {
    [
        broadcast(limbs[0]),
        broadcast(limbs[1]),
        broadcast(limbs[2]),
        broadcast(limbs[3]),
        broadcast(limbs[4]),
    ]
}

/// Adds `a * b` into the two columns that its halves belong to.
macro_rules! multiply_into {
    ($sum:ident, $column:expr, $a:expr, $b:expr) => {
        $sum[$column] = _mm512_madd52lo_epu64($sum[$column], $a, $b);
        $sum[$column + 1] = _mm512_madd52hi_epu64($sum[$column + 1], $a, $b);
    };
}

/// One Montgomery step: makes column `$i` a multiple of 2^52 and carries it into the next. The carry
/// is the column over 2^52, rounded up: adding the quotient's product clears the low 52 bits, and so
/// carries one more wherever they are not zero already.
macro_rules! reduce_column {
    ($sum:ident, $i:expr) => {
        let low = $sum[$i];
        let carry = _mm512_srli_epi64::<52>(_mm512_add_epi64(low, broadcast(MASK)));
        // -low / order modulo 2^52, the inverse being 1 + 2^32.
        let q = _mm512_sub_epi64(
            _mm512_sub_epi64(_mm512_setzero_si512(), low),
            _mm512_slli_epi64::<32>(low),
        );
        let carry = _mm512_madd52hi_epu64(carry, q, broadcast(ORDER[0]));
        $sum[$i + 1] = _mm512_madd52lo_epu64($sum[$i + 1], q, broadcast(ORDER[1]));
        $sum[$i + 1] = _mm512_add_epi64($sum[$i + 1], carry);
        $sum[$i + 2] = _mm512_madd52hi_epu64($sum[$i + 2], q, broadcast(ORDER[1]));
        $sum[$i + 2] = _mm512_madd52lo_epu64($sum[$i + 2], q, broadcast(ORDER[2]));
        $sum[$i + 3] = _mm512_madd52hi_epu64($sum[$i + 3], q, broadcast(ORDER[2]));
        $sum[$i + 3] = _mm512_madd52lo_epu64($sum[$i + 3], q, broadcast(ORDER[3]));
        $sum[$i + 4] = _mm512_madd52hi_epu64($sum[$i + 4], q, broadcast(ORDER[3]));
        $sum[$i + 4] = _mm512_madd52lo_epu64($sum[$i + 4], q, broadcast(ORDER[4]));
        $sum[$i + 5] = _mm512_madd52hi_epu64($sum[$i + 5], q, broadcast(ORDER[4]));
    };
}

/// Adds the bits above 52 of each limb to the next one.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn carry(x: Lanes) -> Lanes {
    let x1 = _mm512_add_epi64(x[1], _mm512_srli_epi64::<52>(x[0]));
    let x2 = _mm512_add_epi64(x[2], _mm512_srli_epi64::<52>(x1));
    let x3 = _mm512_add_epi64(x[3], _mm512_srli_epi64::<52>(x2));
    let x4 = _mm512_add_epi64(x[4], _mm512_srli_epi64::<52>(x3));
    [x[0], x1, x2, x3, x4]
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce(mut sum: [__m512i; 2 * LIMBS]) -> Lanes {
    reduce_column!(sum, 0);
    reduce_column!(sum, 1);
    reduce_column!(sum, 2);
    reduce_column!(sum, 3);
    reduce_column!(sum, 4);
    carry([sum[5], sum[6], sum[7], sum[8], sum[9]])
}

/// Adds all limb products of `$a` and `$b` into the ten columns of `$sum`.
macro_rules! multiply_all_into {
    ($sum:ident, $a:expr, $b:expr) => {
        for i in 0..LIMBS {
            multiply_into!($sum, i, $a[i], $b[0]);
            multiply_into!($sum, i + 1, $a[i], $b[1]);
            multiply_into!($sum, i + 2, $a[i], $b[2]);
            multiply_into!($sum, i + 3, $a[i], $b[3]);
            multiply_into!($sum, i + 4, $a[i], $b[4]);
        }
    };
}

/// `a * b / 2^260`, below the order plus `a * b / 2^260`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul(a: &Lanes, b: &Lanes) -> Lanes {
    let mut sum = [_mm512_setzero_si512(); 2 * LIMBS];
    multiply_all_into!(sum, a, b);
    reduce(sum)
}

/// `(a * b + c * d) / 2^260`, below the order plus that.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul_add(a: &Lanes, b: &Lanes, c: &Lanes, d: &Lanes) -> Lanes {
    let mut sum = [_mm512_setzero_si512(); 2 * LIMBS];
    multiply_all_into!(sum, a, b);
    multiply_all_into!(sum, c, d);
    reduce(sum)
}

/// `a * a / 2^260`, below the order plus that.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn square(a: &Lanes) -> Lanes {
    let mut sum = [_mm512_setzero_si512(); 2 * LIMBS];
    multiply_into!(sum, 1, a[0], a[1]);
    multiply_into!(sum, 2, a[0], a[2]);
    multiply_into!(sum, 3, a[0], a[3]);
    multiply_into!(sum, 4, a[0], a[4]);
    multiply_into!(sum, 3, a[1], a[2]);
    multiply_into!(sum, 4, a[1], a[3]);
    multiply_into!(sum, 5, a[1], a[4]);
    multiply_into!(sum, 5, a[2], a[3]);
    multiply_into!(sum, 6, a[2], a[4]);
    multiply_into!(sum, 7, a[3], a[4]);
    for column in &mut sum[1..9] {
        *column = _mm512_add_epi64(*column, *column);
    }
    multiply_into!(sum, 0, a[0], a[0]);
    multiply_into!(sum, 2, a[1], a[1]);
    multiply_into!(sum, 4, a[2], a[2]);
    multiply_into!(sum, 6, a[3], a[3]);
    multiply_into!(sum, 8, a[4], a[4]);
    reduce(sum)
}

/// `ROWS` rows of a Hankel matrix with one-limb elements, each plus its key, over 2^52: row `r` is
/// `sum of matrix[r + j] * state[j]`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn rows<const WIDTH: usize, const ROWS: usize>(
    matrix: &[u64],
    state: &[Lanes; WIDTH],
    keys: [&[u64; LIMBS]; ROWS],
    results: &mut [Lanes; ROWS],
) {
    let matrix = &matrix[..WIDTH + ROWS - 1];
    let zero = _mm512_setzero_si512();
    let mut sums = [[zero; LIMBS + 1]; ROWS];
    for (sum, key) in sums.iter_mut().zip(keys) {
        for (column, limb) in sum[1..].iter_mut().zip(key) {
            *column = broadcast(*limb);
        }
    }
    for j in 0..WIDTH {
        let x = &state[j];
        for (r, sum) in sums.iter_mut().enumerate() {
            let factor = broadcast(matrix[r + j]);
            multiply_into!(sum, 0, x[0], factor);
            multiply_into!(sum, 1, x[1], factor);
            multiply_into!(sum, 2, x[2], factor);
            multiply_into!(sum, 3, x[3], factor);
            multiply_into!(sum, 4, x[4], factor);
        }
    }
    for (result, mut sum) in results.iter_mut().zip(sums) {
        reduce_column!(sum, 0);
        *result = carry([sum[1], sum[2], sum[3], sum[4], sum[5]]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use crate::field;

    /// Largest values that a state, and an input with its key, may have.
    const STATE_MAX: Fr = [u64::MAX; 4];
    const FACTOR_MAX: u64 = (1 << 44) - 1;
    const WIDTH: usize = 12;

    /// The integer in lane 0, which must be below 2^256.
    fn value(x: &Lanes) -> Fr {
        let limb = |i: usize| {
            // SAFETY: a vector and its eight lanes have the same size, and any bits are an integer.
            let lanes = unsafe { std::mem::transmute::<__m512i, [u64; 8]>(x[i]) };
            lanes[0] & MASK
        };
        assert!(limb(4) < 1 << 48, "a value is below 2^256");
        let (a, b, c, d, e) = (limb(0), limb(1), limb(2), limb(3), limb(4));
        [a | b << 52, b >> 12 | c << 40, c >> 24 | d << 28, d >> 36 | e << 16]
    }

    /// `x * 2^bits` modulo the order.
    fn raised(x: Fr, bits: u32) -> Fr {
        field::mul(field::reduce(x), field::power_of_two(bits))
    }

    /// The largest operands of each product and of a row, next to the bounds of the module's text.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn check_largest_operands() {
        let max = field::reduce(STATE_MAX);
        let mut less_one = MODULUS;
        less_one[0] -= 1;
        // 2^257 - 2: more than an input and its key are together.
        let mut twice = [broadcast(MASK); LIMBS];
        twice[0] = broadcast(MASK - 1);
        twice[4] = broadcast((1 << 49) - 1);
        let twice_value = field::add(max, max);
        let state = broadcast_all(&split(STATE_MAX));

        let square_value = field::mul(twice_value, twice_value);
        assert_eq!(raised(value(&square(&twice)), 260), square_value);
        assert_eq!(raised(value(&mul(&twice, &twice)), 260), square_value);
        let sum = mul_add(&state, &state, &state, &broadcast_all(&split(less_one)));
        let expected = field::sub(field::mul(max, max), max);
        assert_eq!(raised(value(&sum), 260), expected);

        let matrix = [FACTOR_MAX; WIDTH + 1];
        let (key, none) = (split(less_one), [0; LIMBS]);
        let mut results = [state; 2];
        rows(&matrix, &[state; WIDTH], [&key, &none], &mut results);
        let factor = field::from_u64(FACTOR_MAX * WIDTH as u64);
        let expected = field::mul(max, factor);
        assert_eq!(raised(value(&results[1]), 52), expected);
        let key = field::mul(less_one, field::power_of_two(52));
        assert_eq!(raised(value(&results[0]), 52), field::add(expected, key));
    }

    #[test]
    fn the_largest_operands_stay_in_their_bounds_small() {
        if Backend::Avx512Ifma.is_available() {
            // SAFETY: the features `avx512f` and `avx512ifma` were found by the line above.
            unsafe { check_largest_operands() }
        }
    }
}
