//! **Purpose**: the BLS12-381 scalar field in four 64-bit limbs, for constants, batches and the scalar kernels.
//!
//! **Invariants**: an [`Fr`] made by this module is canonical (below [`MODULUS`]); it stands for
//! the plain integer, and [`mont_mul`] is the one operation that divides by 2^256.
//!
//! **Source**: the curve's group order (draft-irtf-cfrg-pairing-friendly-curves, BLS12-381, `r`).

/// Little-endian 64-bit limbs of a field element.
pub(crate) type Fr = [u64; 4];

/// The order of the scalar field.
pub(crate) const MODULUS: Fr =
    [0xffff_ffff_0000_0001, 0x53bd_a402_fffe_5bfe, 0x3339_d808_09a1_d805, 0x73ed_a753_299d_7d48];

/// `-MODULUS^-1` modulo 2^64.
const NEGATED_INVERSE: u64 = 0xffff_fffe_ffff_ffff;

/// 2^512 modulo the order: [`mont_mul`] by it multiplies by 2^256.
const R_SQUARED: Fr =
    [0xc999_e990_f3f2_9c6d, 0x2b6c_edcb_8792_5c23, 0x05d3_1496_7254_398f, 0x0748_d9d9_9f59_ff11];

pub(crate) const ZERO: Fr = [0; 4];
pub(crate) const ONE: Fr = [1, 0, 0, 0];

#[inline(always)]
fn add_carry(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(carry);
    (sum, u64::from(first) + u64::from(second))
}

#[inline(always)]
fn sub_borrow(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let (rest, first) = a.overflowing_sub(b);
    let (rest, second) = rest.overflowing_sub(borrow);
    (rest, u64::from(first) + u64::from(second))
}

/// `sum + a * b + carry` as (low, high); cannot overflow 128 bits.
#[inline(always)]
pub(crate) fn mul_add_carry(sum: u64, a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b) + u128::from(sum) + u128::from(carry);
    (wide as u64, (wide >> 64) as u64)
}

/// `value - MODULUS` where that is not negative, else `value`.
#[inline(always)]
pub(crate) fn reduce_once(value: Fr) -> Fr {
    let mut less = ZERO;
    let mut borrow = 0;
    for ((less, limb), modulus) in less.iter_mut().zip(value).zip(MODULUS) {
        (*less, borrow) = sub_borrow(limb, modulus, borrow);
    }
    let keep = borrow.wrapping_neg();
    let mut chosen = ZERO;
    for ((chosen, old), new) in chosen.iter_mut().zip(value).zip(less) {
        *chosen = (old & keep) | (new & !keep);
    }
    chosen
}

/// The canonical form of any 256-bit integer (which is below three times the order).
#[inline(always)]
pub(crate) fn reduce(value: Fr) -> Fr {
    reduce_once(reduce_once(value))
}

/// `a + b`, both below the order plus 2^240, the result below the order plus 2^241.
#[inline(always)]
pub(crate) fn add(a: Fr, b: Fr) -> Fr {
    let mut sum = ZERO;
    let mut carry = 0;
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        (*sum, carry) = add_carry(a, b, carry);
    }
    reduce_once(sum)
}

/// `a - b` of canonical values.
#[inline(always)]
pub(crate) fn sub(a: Fr, b: Fr) -> Fr {
    let mut rest = ZERO;
    let mut borrow = 0;
    for ((rest, a), b) in rest.iter_mut().zip(a).zip(b) {
        (*rest, borrow) = sub_borrow(a, b, borrow);
    }
    let add_back = borrow.wrapping_neg();
    let mut carry = 0;
    let mut result = ZERO;
    for ((result, rest), modulus) in result.iter_mut().zip(rest).zip(MODULUS) {
        (*result, carry) = add_carry(rest, modulus & add_back, carry);
    }
    result
}

/// One Montgomery step: `(t + q * MODULUS) / 2^64` for a five-limb `t`.
#[inline(always)]
pub(crate) fn step(t: [u64; 5]) -> Fr {
    let q = t[0].wrapping_mul(NEGATED_INVERSE);
    let (_, carry) = mul_add_carry(t[0], q, MODULUS[0], 0);
    let (r0, carry) = mul_add_carry(t[1], q, MODULUS[1], carry);
    let (r1, carry) = mul_add_carry(t[2], q, MODULUS[2], carry);
    let (r2, carry) = mul_add_carry(t[3], q, MODULUS[3], carry);
    [r0, r1, r2, t[4].wrapping_add(carry)]
}

/// `a * b / 2^256`, canonical where `a * b` is below 2^256 times the order.
#[inline(always)]
pub(crate) fn mont_mul(a: Fr, b: Fr) -> Fr {
    let mut sum = ZERO;
    for limb in a {
        let (t0, carry) = mul_add_carry(sum[0], limb, b[0], 0);
        let (t1, carry) = mul_add_carry(sum[1], limb, b[1], carry);
        let (t2, carry) = mul_add_carry(sum[2], limb, b[2], carry);
        let (t3, t4) = mul_add_carry(sum[3], limb, b[3], carry);
        sum = step([t0, t1, t2, t3, t4]);
    }
    reduce_once(sum)
}

/// `a * b` of canonical values, canonical.
#[inline(always)]
pub(crate) fn mul(a: Fr, b: Fr) -> Fr {
    mont_mul(mont_mul(a, b), R_SQUARED)
}

pub(crate) fn pow(base: Fr, exponent: Fr) -> Fr {
    let mut result = ONE;
    for limb in exponent.iter().rev() {
        for bit in (0..64).rev() {
            result = mul(result, result);
            if limb >> bit & 1 == 1 {
                result = mul(result, base);
            }
        }
    }
    result
}

/// The inverse by Fermat's theorem; zero gives zero.
pub(crate) fn invert(value: Fr) -> Fr {
    pow(value, sub(MODULUS_LESS_ONE, ONE))
}

const MODULUS_LESS_ONE: Fr = [MODULUS[0] - 1, MODULUS[1], MODULUS[2], MODULUS[3]];

pub(crate) const fn from_u64(value: u64) -> Fr {
    [value, 0, 0, 0]
}

/// 2^`bits` modulo the order.
pub(crate) fn power_of_two(bits: u32) -> Fr {
    pow(from_u64(2), from_u64(u64::from(bits)))
}

/// The integer of 32 little-endian bytes, not reduced.
#[inline(always)]
pub(crate) fn load(bytes: &[u8; 32]) -> Fr {
    let mut value = ZERO;
    for (limb, bytes) in value.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    value
}

#[inline(always)]
pub(crate) fn store(value: Fr, bytes: &mut [u8; 32]) {
    for (bytes, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(value) {
        *bytes = limb.to_le_bytes();
    }
}
