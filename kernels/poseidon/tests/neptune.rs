//! Every backend of this machine against neptune, which the proofs' library hashes with.

use blstrs::Scalar;
use ff::{Field, PrimeField};
use generic_array::typenum::{U2, U4, U8, U11};
use hesper_poseidon::{Arity, Backend, hash_columns, hash_pairs_tagged, hash_rows};
use neptune::Strength;
use neptune::hash_type::{CType, HashType};
use neptune::poseidon::{Arity as NeptuneArity, Poseidon, PoseidonConstants};

const NODE: usize = 32;

/// The field element of any 256-bit integer.
fn scalar(bytes: &[u8]) -> Scalar {
    let byte = Scalar::from(256);
    bytes.iter().rev().fold(Scalar::ZERO, |sum, next| sum * byte + Scalar::from(u64::from(*next)))
}

fn peer<A: NeptuneArity<Scalar>>(constants: &PoseidonConstants<Scalar, A>, row: &[u8]) -> [u8; 32] {
    let preimage: Vec<Scalar> = row.chunks(NODE).map(scalar).collect();
    Poseidon::new_with_preimage(&preimage, constants).hash().to_repr()
}

fn expected(arity: Arity, input: &[u8]) -> Vec<u8> {
    fn all<A: NeptuneArity<Scalar>>(input: &[u8], row: usize) -> Vec<u8> {
        let constants = PoseidonConstants::<Scalar, A>::new();
        input.chunks(row).flat_map(|row| peer(&constants, row)).collect()
    }
    let row = arity.len() * NODE;
    match arity {
        Arity::Two => all::<U2>(input, row),
        Arity::Four => all::<U4>(input, row),
        Arity::Eight => all::<U8>(input, row),
        Arity::Eleven => all::<U11>(input, row),
    }
}

/// Bytes of a fixed xorshift stream.
fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn check(arity: Arity, input: &[u8]) {
    let expected = expected(arity, input);
    for backend in Backend::available() {
        let mut output = vec![0xa5; expected.len()];
        hash_rows(backend, arity, input, &mut output);
        assert_eq!(output, expected, "{backend}, arity {arity:?}");
    }
}

fn edges() -> Vec<[u8; NODE]> {
    let less = (-Scalar::ONE).to_repr();
    let mut order = less;
    order[0] += 1;
    let mut above = order;
    above[0] += 5;
    let mut half = [0xff; NODE];
    half[NODE - 1] = 0x7f;
    vec![[0; NODE], Scalar::ONE.to_repr(), less, order, above, half, [0xff; NODE]]
}

#[test]
fn random_rows_small() {
    for arity in Arity::ALL {
        for count in [0, 1, 7, 8, 9, 15, 16, 17, 40] {
            check(arity, &random(count as u64 + 1, count * arity.len() * NODE));
        }
    }
}

#[test]
fn many_random_rows() {
    for arity in Arity::ALL {
        check(arity, &random(99, 1_000 * arity.len() * NODE));
    }
}

/// Every edge value in all places at once, then in each place alone between random neighbours.
#[test]
fn edge_values_small() {
    for arity in Arity::ALL {
        let mut input = Vec::new();
        for edge in edges() {
            input.extend(edge.repeat(arity.len()));
            for place in 0..arity.len() {
                let mut row = random(place as u64, arity.len() * NODE);
                row[place * NODE..][..NODE].copy_from_slice(&edge);
                input.extend(row);
            }
        }
        check(arity, &input);
    }
}

/// A digest goes into the next row, a thousand times, in all lanes: no error may grow.
#[test]
fn chains_of_hashes() {
    const LANES: usize = 9;
    for arity in Arity::ALL {
        let row = arity.len() * NODE;
        let start = random(5, LANES * row);
        let mut ends = Vec::new();
        for backend in Backend::available() {
            let mut rows = start.clone();
            let mut digests = vec![0; LANES * NODE];
            for step in 0..1_000 {
                hash_rows(backend, arity, &rows, &mut digests);
                let place = step % arity.len() * NODE;
                for (row, digest) in rows.chunks_mut(row).zip(digests.chunks(NODE)) {
                    row[place..][..NODE].copy_from_slice(digest);
                }
            }
            assert_eq!(digests[..NODE], chain(arity, &start[..row])[..], "{backend}, {arity:?}");
            ends.push(digests);
        }
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "arity {arity:?}");
    }
}

/// The chain of one row by neptune.
fn chain(arity: Arity, row: &[u8]) -> [u8; NODE] {
    fn run<A: NeptuneArity<Scalar>>(row: &[u8]) -> [u8; NODE] {
        let constants = PoseidonConstants::<Scalar, A>::new();
        let mut row = row.to_vec();
        let mut digest = [0; NODE];
        for step in 0..1_000 {
            digest = peer(&constants, &row);
            let place = step * NODE % row.len();
            row[place..][..NODE].copy_from_slice(&digest);
        }
        digest
    }
    match arity {
        Arity::Two => run::<U2>(row),
        Arity::Four => run::<U4>(row),
        Arity::Eight => run::<U8>(row),
        Arity::Eleven => run::<U11>(row),
    }
}

#[test]
fn columns_equal_rows_small() {
    for arity in Arity::ALL {
        for count in [0, 1, 8, 15, 16, 17, 41] {
            let layers: Vec<Vec<u8>> =
                (0..arity.len()).map(|layer| random(layer as u64 + 7, count * NODE)).collect();
            let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
            let rows: Vec<u8> = (0..count)
                .flat_map(|i| layers.iter().flat_map(move |layer| &layer[i * NODE..][..NODE]))
                .copied()
                .collect();
            let expected = expected(arity, &rows);
            for backend in Backend::available() {
                let mut output = vec![0xa5; count * NODE];
                hash_columns(backend, &layers, &mut output);
                assert_eq!(output, expected, "{backend}, arity {arity:?}, {count} columns");
            }
        }
    }
}

/// All lanes, not only the first, and in their order: equal rows give equal digests, and a changed
/// row changes its own digest alone.
#[test]
fn a_changed_row_changes_one_digest_small() {
    for backend in Backend::available() {
        let mut input = random(3, 8 * NODE).repeat(17);
        let mut before = vec![0; 17 * NODE];
        hash_rows(backend, Arity::Eight, &input, &mut before);
        assert!(before.chunks(NODE).all(|digest| digest == &before[..NODE]));
        for row in 0..17 {
            input[row * 8 * NODE] ^= 1;
            let mut after = vec![0; 17 * NODE];
            hash_rows(backend, Arity::Eight, &input, &mut after);
            for other in 0..17 {
                let is_equal = after[other * NODE..][..NODE] == before[other * NODE..][..NODE];
                assert_eq!(is_equal, other != row, "{backend}, row {row}, digest {other}");
            }
            input[row * 8 * NODE] ^= 1;
        }
    }
}

/// The domain of SnapDeals' randomness: neptune's custom type 1, tag 2^40.
#[test]
fn tagged_pairs_equal_the_custom_type_small() {
    let kind = HashType::Custom(CType::Arbitrary(1));
    let constants =
        PoseidonConstants::<Scalar, U2>::new_with_strength_and_type(Strength::Standard, kind);
    for count in [0, 1, 9] {
        let mut input = random(count as u64 + 11, count * 2 * NODE);
        if let Some(node) = input.first_chunk_mut::<NODE>() {
            node.fill(0xff);
        }
        let expected: Vec<u8> =
            input.chunks(2 * NODE).flat_map(|row| peer(&constants, row)).collect();
        let mut output = vec![0xa5; count * NODE];
        hash_pairs_tagged(1 << 40, &input, &mut output);
        assert_eq!(output, expected);
    }
}

#[test]
#[should_panic(expected = "hash_rows of arity 8")]
fn a_short_input_is_refused() {
    hash_rows(Backend::Portable, Arity::Eight, &[0; 7 * NODE], &mut [0; NODE]);
}

#[test]
#[should_panic(expected = "there is no such arity")]
fn an_unknown_number_of_layers_is_refused() {
    hash_columns(Backend::Portable, &[[0; NODE].as_slice(); 3], &mut [0; NODE]);
}
