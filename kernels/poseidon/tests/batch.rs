//! Field operations on buffers against blstrs, on random and edge values.

use blstrs::Scalar;
use ff::{Field, PrimeField};
use hesper_poseidon::{Backend, add_fr, invert_fr, mul_add_fr, sub_fr, sub_mul_fr};
use proptest::prelude::*;

const NODE: usize = 32;

/// The order of the scalar field, little-endian.
fn order() -> [u8; NODE] {
    let mut bytes = (-Scalar::ONE).to_repr();
    bytes[0] += 1;
    bytes
}

/// 0, 1, p-1, p, p+5, 2^255-1 and 2^256-1.
fn edges() -> Vec<[u8; NODE]> {
    let one = Scalar::ONE.to_repr();
    let mut above = order();
    above[0] += 5;
    let mut half = [0xff; NODE];
    half[NODE - 1] = 0x7f;
    vec![[0; NODE], one, (-Scalar::ONE).to_repr(), order(), above, half, [0xff; NODE]]
}

fn node() -> impl Strategy<Value = [u8; NODE]> {
    prop_oneof![4 => any::<[u8; NODE]>(), 1 => proptest::sample::select(edges())]
}

/// The field element of any 256-bit integer.
fn scalar(bytes: &[u8; NODE]) -> Scalar {
    let byte = Scalar::from(256);
    bytes.iter().rev().fold(Scalar::ZERO, |sum, next| sum * byte + Scalar::from(u64::from(*next)))
}

type Batch = fn(Backend, &[u8], &[u8], &[u8], &mut [u8]);

type Meaning = fn(Scalar, Scalar, Scalar) -> Scalar;

/// Each operation as a batch of three operands, and what it means.
fn operations() -> [(&'static str, Batch, Meaning); 4] {
    [
        ("add", |backend, a, b, _, out| add_fr(backend, a, b, out), |a, b, _| a + b),
        ("sub", |backend, a, b, _, out| sub_fr(backend, a, b, out), |a, b, _| a - b),
        ("mul_add", mul_add_fr, |a, b, c| a + b * c),
        ("sub_mul", sub_mul_fr, |a, b, c| (a - b) * c),
    ]
}

fn check(nodes: &[[[u8; NODE]; 3]]) {
    let column = |k: usize| nodes.iter().flat_map(|node| node[k]).collect::<Vec<u8>>();
    let (a, b, c) = (column(0), column(1), column(2));
    for (name, batch, meaning) in operations() {
        let expected: Vec<u8> = nodes
            .iter()
            .flat_map(|[a, b, c]| meaning(scalar(a), scalar(b), scalar(c)).to_repr())
            .collect();
        for backend in Backend::available() {
            let mut out = vec![0xa5; expected.len()];
            batch(backend, &a, &b, &c, &mut out);
            assert_eq!(out, expected, "{name} on {backend}");
        }
    }
}

#[test]
fn edge_values_small() {
    let edges = edges();
    let mut nodes = Vec::new();
    for a in &edges {
        for b in &edges {
            for c in &edges {
                nodes.push([*a, *b, *c]);
            }
        }
    }
    check(&nodes);
}

#[test]
fn inverses_small() {
    let mut nodes = edges();
    nodes.push(Scalar::from(12_345).to_repr());
    let mut inverses: Vec<u8> = nodes.concat();
    invert_fr(&mut inverses);
    for (node, inverse) in nodes.iter().zip(inverses.as_chunks().0) {
        let expected = scalar(node).invert().unwrap_or(Scalar::ZERO);
        assert_eq!(*inverse, expected.to_repr());
    }
    invert_fr(&mut []);
}

#[test]
#[should_panic(expected = "operands of the same length")]
fn different_lengths_are_refused() {
    add_fr(Backend::Portable, &[0; 32], &[0; 64], &mut [0; 64]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn operations_equal_blstrs_small(nodes in prop::collection::vec(
        (node(), node(), node()).prop_map(|(a, b, c)| [a, b, c]), 0..40)
    ) {
        check(&nodes);
    }
}
