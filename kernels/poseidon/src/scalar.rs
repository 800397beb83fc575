//! **Purpose**: one hash at a time in 64-bit limbs: the portable kernel, and the same code compiled
//! for `mulx`.
//!
//! **Invariants**: let `p` be the order. A row of the matrix is summed without reduction and brought
//! back by one step: at most 12 elements below `p + 2^241` times integers below 2^44 are below
//! 2^303, so the step gives less than `p + 2^240`, and a key added after it less than `p + 2^241`.
//! That is what a state element is below before an S-box; elements without a key come from a row
//! again, so nothing grows. The S-box's products are canonical all the same: two operands below
//! `p + 2^241` multiply to less than 2^256 `p`, and one subtraction suffices below `2 p`.
//!
//! **Source**: [`crate::constants`].

use std::sync::LazyLock;

use crate::Arity;
use crate::constants::{Constants, HALF_FULL_ROUNDS, Radix};
use crate::field::{self, Fr};

static CONSTANTS: [LazyLock<Constants>; 4] = [
    LazyLock::new(|| Constants::new(Arity::Two, RADIX)),
    LazyLock::new(|| Constants::new(Arity::Four, RADIX)),
    LazyLock::new(|| Constants::new(Arity::Eight, RADIX)),
    LazyLock::new(|| Constants::new(Arity::Eleven, RADIX)),
];

const RADIX: Radix = Radix { whole_bits: 256, step_bits: 64 };

/// The constants of arity 2 with the domain tag `tag`, made anew.
pub(crate) fn pair_constants(tag: u64) -> Constants {
    Constants::with_tag(Arity::Two, RADIX, tag)
}

pub(crate) fn constants(arity: Arity) -> &'static Constants {
    &CONSTANTS[arity as usize]
}

/// The fifth power of each element.
#[inline(always)]
fn full_sbox(state: &mut [Fr]) {
    for x in state {
        let square = field::mont_mul(*x, *x);
        *x = field::mont_mul(field::mont_mul(square, square), *x);
    }
}

/// Row `i` of the matrix times the state's elements from `skip` on. A column sums at most 12
/// products below 2^108.
#[inline(always)]
fn row<const WIDTH: usize>(matrix: &[u64], i: usize, state: &[Fr; WIDTH], skip: usize) -> Fr {
    let mut columns = [0_u128; 4];
    for (factor, x) in matrix[i + skip..].iter().zip(&state[skip..]) {
        for (column, limb) in columns.iter_mut().zip(x) {
            *column += u128::from(*limb) * u128::from(*factor);
        }
    }
    let mut sum = [0_u64; 5];
    let mut carry = 0;
    for (sum, column) in sum.iter_mut().zip(columns) {
        let column = column + carry;
        *sum = column as u64;
        carry = column >> 64;
    }
    sum[4] = carry as u64;
    field::step(sum)
}

/// The matrix times the state's elements from `skip` on, plus the keys.
#[inline(always)]
fn mix<const WIDTH: usize>(matrix: &[u64], state: &mut [Fr; WIDTH], skip: usize, keys: &[Fr]) {
    let before = *state;
    for (i, x) in state.iter_mut().enumerate() {
        *x = row(matrix, i, &before, skip);
    }
    for (x, key) in state.iter_mut().zip(keys) {
        *x = field::add(*x, *key);
    }
}

/// The digest of the inputs in `state[1..]`, any 256-bit integers.
#[inline(always)]
pub(crate) fn hash<const WIDTH: usize>(constants: &Constants, state: &mut [Fr; WIDTH]) -> Fr {
    let matrix = &constants.matrix[..2 * WIDTH - 1];
    for (x, key) in state[1..].iter_mut().zip(&constants.first_keys) {
        *x = field::add(field::reduce(*x), *key);
    }
    let (early, rest) = constants.keys.split_at(HALF_FULL_ROUNDS);
    let (partial, late) = rest.split_at(constants.rescales.len());
    for (round, keys) in early.iter().enumerate() {
        let skip = usize::from(round == 0);
        full_sbox(&mut state[skip..]);
        mix(matrix, state, skip, keys);
    }
    for (keys, rescale) in partial.iter().zip(&constants.rescales) {
        let x = state[0];
        let square = field::mont_mul(x, x);
        let fourth = field::mont_mul(square, square);
        state[0] = field::mont_mul(fourth, field::mont_mul(x, *rescale));
        mix(matrix, state, 0, keys);
    }
    for keys in late {
        full_sbox(state);
        mix(matrix, state, 0, keys);
    }
    full_sbox(state);
    field::mont_mul(row(matrix, 1, state, 0), constants.unscale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::MODULUS;

    /// The largest elements that the module's text allows, with the largest factors.
    #[test]
    fn the_largest_rows_stay_in_their_bounds_small() {
        const WIDTH: usize = 12;
        const FACTOR_MAX: u64 = (1 << 44) - 1;
        let mut largest = MODULUS;
        largest[3] += 1 << 49;
        let value = field::reduce(largest);
        let result = row(&[FACTOR_MAX; WIDTH], 0, &[largest; WIDTH], 0);
        let mut bound = MODULUS;
        bound[3] += 1 << 48;
        assert!(result.iter().rev().lt(bound.iter().rev()), "below the order plus 2^240");
        let expected = field::mul(value, field::from_u64(FACTOR_MAX * WIDTH as u64));
        let result = field::reduce(result);
        assert_eq!(field::mul(result, field::power_of_two(64)), expected);

        let mut state = [largest];
        full_sbox(&mut state);
        assert_eq!(state[0], field::reduce_once(state[0]), "an S-box's result is canonical");
        let scale = field::pow(field::power_of_two(256), field::from_u64(4));
        assert_eq!(field::mul(state[0], scale), field::pow(value, field::from_u64(5)));
    }
}
