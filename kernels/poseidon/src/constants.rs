//! **Purpose**: every constant of one Poseidon instance, in the scaled form that the kernels use.
//!
//! The MDS matrix is `1 / (i + j + t)`. Times `L`, the least common multiple of its denominators,
//! it is a matrix of integers below 2^44 (32 bits for arity 8, 44 for arity 11), so that a product
//! with it costs one limb instead of all, and a whole row is brought back by one Montgomery step.
//! The factors `L`, one step and the Montgomery factors of the S-box pile up in one scale which is
//! the same for all elements of the state: a kernel holds `scale(round) * x` instead of `x`. Full
//! rounds raise the scale to its fifth power; in a partial round one constant (`rescale`) brings
//! the one S-boxed element back to the scale of the others. The last constant takes the scale away.
//!
//! **Invariants**: all elements are canonical; nothing is in Montgomery form: inputs enter as they
//! are (scale 1). The domain element of the first round is constant, and so is folded into the
//! next keys; keys of partial rounds are pushed forward until only element 0 has one.
//!
//! **Source**: Poseidon (eprint 2019/458) with x^5, 8 full rounds, and the partial rounds and the
//! domain tag 2^arity - 1 of Filecoin's proofs (specification, section 2.4.4.1).

use crate::Arity;
use crate::field::{self, Fr};
use crate::grain;

pub(crate) const FULL_ROUNDS: usize = 8;
pub(crate) const HALF_FULL_ROUNDS: usize = FULL_ROUNDS / 2;

/// How a kernel counts limbs: a whole Montgomery product divides by 2^`whole_bits`, one step by
/// 2^`step_bits`.
#[derive(Clone, Copy)]
pub(crate) struct Radix {
    pub whole_bits: u32,
    pub step_bits: u32,
}

pub(crate) struct Constants {
    /// `L / (t + k)` for k in 0..2t-1; the matrix element (i, j) is `matrix[i + j]`.
    pub matrix: Vec<u64>,
    /// Added to the inputs (elements 1..t) before the first S-box, scale 1.
    pub first_keys: Vec<Fr>,
    /// What is added to the first elements after the matrix of each round but the last: to all `t`
    /// where all are changed before the next S-box that sees them, else to element 0 alone.
    pub keys: Vec<Vec<Fr>>,
    /// Per partial round, the factor of the S-boxed element.
    pub rescales: Vec<Fr>,
    /// A Montgomery product with it turns element 1 into the digest.
    pub unscale: Fr,
}

pub(crate) const fn partial_rounds(arity: Arity) -> usize {
    match arity {
        Arity::Two => 55,
        Arity::Four => 56,
        Arity::Eight | Arity::Eleven => 57,
    }
}

const fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// `L` of the module's text.
pub(crate) fn denominator(width: u64) -> u64 {
    (width..=3 * width - 2).fold(1, |multiple, k| multiple / gcd(multiple, k) * k)
}

impl Constants {
    /// The instance of Merkle trees.
    pub(crate) fn new(arity: Arity, radix: Radix) -> Self {
        Self::with_tag(arity, radix, (1 << arity.len()) - 1)
    }

    /// The instance with another domain tag.
    pub(crate) fn with_tag(arity: Arity, radix: Radix, tag: u64) -> Self {
        let width = arity.len() + 1;
        let partial_rounds = partial_rounds(arity);
        let denominator = denominator(width as u64);
        let matrix: Vec<u64> =
            (0..2 * width - 1).map(|k| denominator / (width + k) as u64).collect();
        let keys = push_forward(
            grain::round_keys(width, FULL_ROUNDS, partial_rounds),
            width,
            HALF_FULL_ROUNDS + 1..HALF_FULL_ROUNDS + partial_rounds,
        );

        let whole = field::power_of_two(radix.whole_bits);
        let whole_inverse = field::invert(whole);
        let step_inverse = field::invert(field::power_of_two(radix.step_bits));
        let row = field::mul(field::from_u64(denominator), step_inverse);
        let sboxed = |x: Fr| {
            field::mul(field::pow(x, field::from_u64(5)), field::pow(whole_inverse, [4, 0, 0, 0]))
        };
        let domain = field::add(field::from_u64(tag), keys[0][0]);
        let domain = field::mul(sboxed(domain), step_inverse);
        let partial = HALF_FULL_ROUNDS..HALF_FULL_ROUNDS + partial_rounds;
        let mut scale = field::ONE;
        let mut rescales = Vec::new();
        let mut keys_after = Vec::new();
        for round in 0..FULL_ROUNDS + partial_rounds {
            if partial.contains(&round) {
                let fourth = field::pow(scale, field::from_u64(4));
                let fifth = field::pow(whole, field::from_u64(5));
                rescales.push(field::mul(fifth, field::invert(fourth)));
            } else {
                scale = sboxed(scale);
            }
            scale = field::mul(scale, row);
            let Some(next) = keys.get(round + 1) else { break };
            let count = if partial.contains(&round) && round + 1 < partial.end { 1 } else { width };
            keys_after.push(next[..count].iter().map(|key| field::mul(*key, scale)).collect());
        }
        let first: &mut Vec<Fr> = &mut keys_after[0];
        for (key, factor) in first.iter_mut().zip(&matrix) {
            *key = field::add(*key, field::mul(domain, field::from_u64(*factor)));
        }
        let unscale = field::mul(whole, field::invert(scale));
        let first_keys = keys[0][1..].to_vec();
        Self { matrix, first_keys, keys: keys_after, rescales, unscale }
    }
}

/// Moves the keys of the given rounds, but for element 0, through the matrix into the next round:
/// a partial round leaves those elements as they are.
fn push_forward(
    mut keys: Vec<Vec<Fr>>,
    width: usize,
    rounds: std::ops::Range<usize>,
) -> Vec<Vec<Fr>> {
    let inverses: Vec<Fr> =
        (0..2 * width - 1).map(|k| field::invert(field::from_u64((width + k) as u64))).collect();
    for round in rounds {
        for i in 0..width {
            let moved = (1..width).fold(field::ZERO, |sum, j| {
                field::add(sum, field::mul(inverses[i + j], keys[round][j]))
            });
            keys[round + 1][i] = field::add(keys[round + 1][i], moved);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use blstrs::Scalar;
    use ff::PrimeField;
    use generic_array::typenum::{U2, U4, U8, U11};
    use neptune::poseidon::{Arity as NeptuneArity, PoseidonConstants};

    use super::*;

    fn scalar(value: Fr) -> Scalar {
        let mut bytes = [0; 32];
        field::store(value, &mut bytes);
        Option::from(Scalar::from_repr(bytes)).expect("constants are canonical")
    }

    fn check<A: NeptuneArity<Scalar>>(arity: Arity) {
        let peer = PoseidonConstants::<Scalar, A>::new();
        let width = arity.len() + 1;
        assert_eq!(peer.full_rounds, FULL_ROUNDS);
        assert_eq!(peer.partial_rounds, partial_rounds(arity));
        assert_eq!(peer.domain_tag, Scalar::from((1 << arity.len()) - 1));

        let keys = grain::round_keys(width, FULL_ROUNDS, partial_rounds(arity));
        let keys: Vec<Scalar> = keys.concat().into_iter().map(scalar).collect();
        assert_eq!(Some(keys), peer.round_constants);

        let radix = Radix { whole_bits: 260, step_bits: 52 };
        let matrix = Constants::new(arity, radix).matrix;
        let denominator = Scalar::from(denominator(width as u64));
        for (i, row) in peer.mds_matrices.m.iter().enumerate() {
            for (j, element) in row.iter().enumerate() {
                assert_eq!(Scalar::from(matrix[i + j]), *element * denominator);
            }
        }
        // A row of integers must stay below 2^308, so that one step brings it below 2^256.
        assert!(matrix.iter().all(|element| *element < 1 << 44));
    }

    #[test]
    fn keys_and_matrices_equal_neptune_small() {
        check::<U2>(Arity::Two);
        check::<U4>(Arity::Four);
        check::<U8>(Arity::Eight);
        check::<U11>(Arity::Eleven);
    }
}
