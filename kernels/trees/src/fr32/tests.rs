//! Fr32 against a bit-by-bit definition.

use proptest::prelude::*;

use super::*;

/// The definition: bit `254 e + b` of the piece is bit `b` of node `e`.
fn slow_pad(input: &[u8]) -> Vec<u8> {
    let nodes = input.len() / UNPADDED_UNIT * 4;
    let mut output = vec![0u8; nodes * 32];
    for bit in 0..input.len() * 8 {
        let (node, place) = (bit / 254, bit % 254);
        output[node * 32 + place / 8] |= (input[bit / 8] >> (bit % 8) & 1) << (place % 8);
    }
    output
}

fn check_all(input: &[u8]) {
    let expected = slow_pad(input);
    for backend in Backend::available() {
        let mut padded = vec![0xa5; expected.len()];
        pad(backend, input, &mut padded);
        assert!(padded == expected, "{backend}: padded bytes differ");
        let mut back = vec![0xa5; input.len()];
        unpad(backend, &padded, &mut back);
        assert!(back == input, "{backend}: unpadded bytes differ");
    }
}

#[test]
fn ones_zeros_and_single_bits_small() {
    check_all(&[]);
    check_all(&[0; 127]);
    check_all(&[0xff; 254]);
    for bit in 0..127 * 8 {
        let mut input = [0u8; 127];
        input[bit / 8] = 1 << (bit % 8);
        check_all(&input);
    }
}

#[test]
fn the_two_bits_between_elements_are_dropped_small() {
    let mut dirty = vec![0u8; 128];
    for node in dirty.chunks_exact_mut(32) {
        node[31] = 0xc0;
    }
    for backend in Backend::available() {
        let mut out = vec![1; 127];
        unpad(backend, &dirty, &mut out);
        let stray = out.iter().map(|byte| byte.count_ones()).sum::<u32>();
        assert_eq!(stray, 0, "{backend}: bits 254 and 255 of a node are no piece bits");
    }
}

#[test]
#[should_panic(expected = "are not")]
fn lengths_of_different_units_are_refused_small() {
    pad(Backend::Portable, &[0; 127], &mut [0; 256]);
}

#[test]
fn sizes_are_counted_in_units_small() {
    assert_eq!((padded_bytes(127), padded_bytes(128), padded_bytes(0)), (128, 256, 0));
    assert_eq!((unpadded_bytes(2048), unpadded_bytes(127)), (2032, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bytes_small(units in 0usize..6, seed in any::<u64>()) {
        let mut state = seed;
        let input: Vec<u8> = (0..units * UNPADDED_UNIT)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        check_all(&input);
    }
}
