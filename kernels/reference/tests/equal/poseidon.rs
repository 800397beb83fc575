//! **Purpose**: Poseidon hashes equal `neptune`'s, also of edge values and of unreduced inputs.

use std::fs;

use hesper_poseidon::{Arity, Backend, hash_columns, hash_rows};
use serde_json::json;

use crate::library::{assert_same, read};
use crate::sector::{Workshop, drawn};

/// p, little-endian.
const MODULUS: [u8; 32] = [
    0x01, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0x02, 0xa4, 0xbd, 0x53,
    0x05, 0xd8, 0xa1, 0x09, 0x08, 0xd8, 0x39, 0x33, 0x48, 0x7d, 0x9d, 0x29, 0x53, 0xa7, 0xed, 0x73,
];

/// Rows of elements below p; every edge value stands in every place of some row.
fn canonical(arity: usize) -> Vec<u8> {
    let mut less_one = MODULUS;
    less_one[0] = 0;
    let mut one = [0; 32];
    one[0] = 1;
    let mut bytes = Vec::new();
    for edge in [[0; 32], one, less_one] {
        bytes.extend(edge.repeat(arity));
        for place in 0..arity {
            let mut row = drawn(77, arity * 32);
            for element in row.chunks_exact_mut(32) {
                element[31] &= 0x3f;
            }
            row[place * 32..][..32].copy_from_slice(&edge);
            bytes.extend(row);
        }
    }
    let mut random = drawn(arity as u64, 1000 * arity * 32);
    for element in random.chunks_exact_mut(32) {
        element[31] &= 0x3f;
    }
    bytes.extend(random);
    bytes
}

/// The same elements plus p, where 256 bits hold the sum.
fn unreduced(canonical: &[u8]) -> Vec<u8> {
    let mut bytes = canonical.to_vec();
    for element in bytes.chunks_exact_mut(32) {
        let mut carry = 0;
        for (byte, modulus) in element.iter_mut().zip(MODULUS) {
            let sum = u16::from(*byte) + u16::from(modulus) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
    }
    bytes
}

#[test]
fn hashes_equal_neptune_small() {
    let shop = Workshop::new();
    for arity in Arity::ALL {
        let input = canonical(arity.len());
        let path = shop.path().join("input");
        let out = shop.path().join("output");
        fs::write(&path, &input).expect("writing the input");
        shop.library
            .call("poseidon", &json!({ "arity": arity.len(), "input": path, "output": out }));
        let library = read(&out);

        for backend in Backend::available() {
            let what = format!("arity {} by {backend}", arity.len());
            let mut ours = vec![0xaa; library.len()];
            hash_rows(backend, arity, &input, &mut ours);
            assert_same(&ours, &library, &what);
            hash_rows(backend, arity, &unreduced(&input), &mut ours);
            assert_same(&ours, &library, &format!("{what}, unreduced"));
            // Every remainder of a group of lanes.
            for rows in 0..40 {
                let mut few = vec![0; rows * 32];
                hash_rows(backend, arity, &input[..rows * arity.len() * 32], &mut few);
                assert_same(&few, &library[..rows * 32], &format!("{what}, {rows} rows"));
            }
            let columns: Vec<Vec<u8>> = (0..arity.len())
                .map(|place| {
                    input
                        .chunks_exact(arity.len() * 32)
                        .flat_map(|row| row[place * 32..][..32].to_vec())
                        .collect()
                })
                .collect();
            let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
            hash_columns(backend, &columns, &mut ours);
            assert_same(&ours, &library, &format!("{what}, columns"));
        }
    }
}
