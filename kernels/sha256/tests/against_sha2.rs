//! Every backend of this machine against the `sha2` crate.

use hesper_sha256::{Backend, DIGEST_BYTES, PAIR_BYTES, hash_pairs};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn expected(input: &[u8]) -> Vec<u8> {
    let node = |pair: &[u8]| {
        let mut digest: [u8; DIGEST_BYTES] = Sha256::digest(pair).into();
        digest[31] &= 0x3f;
        digest
    };
    input.chunks_exact(PAIR_BYTES).flat_map(node).collect()
}

fn random(mut seed: u64, bytes: usize) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// Hashes from and to places of any alignment, and looks at the bytes around the output.
fn check(backend: Backend, input: &[u8], shift: usize) {
    let mut moved = vec![0xa5; shift];
    moved.extend_from_slice(input);
    let bytes = input.len() / 2;
    let mut output = vec![0x5a; shift + bytes + 64];
    hash_pairs(backend, &moved[shift..], &mut output[shift..shift + bytes]);
    assert_eq!(&output[shift..shift + bytes], expected(input), "{backend}, {} bytes", input.len());
    assert!(output[..shift].iter().all(|&byte| byte == 0x5a), "{backend} wrote before its output");
    assert!(output[shift + bytes..].iter().all(|&byte| byte == 0x5a), "{backend} wrote past it");
}

#[test]
fn every_backend_equals_sha2_at_every_small_count() {
    assert!(Backend::available().contains(&Backend::Portable));
    for backend in Backend::available() {
        for pairs in 0..=67 {
            check(backend, &random(pairs as u64, pairs * PAIR_BYTES), pairs % 33);
        }
    }
}

#[test]
fn bytes_of_zeros_and_ones_hash_as_any_others_small() {
    for backend in Backend::available() {
        check(backend, &[0; 33 * PAIR_BYTES], 0);
        check(backend, &[0xff; 33 * PAIR_BYTES], 1);
    }
}

#[test]
fn each_lane_answers_for_its_own_pair_small() {
    for backend in Backend::available() {
        for changed in 0..16 {
            let mut input = vec![0; 16 * PAIR_BYTES];
            input[changed * PAIR_BYTES + changed * 4] = 1;
            check(backend, &input, 0);
        }
    }
}

#[test]
#[should_panic(expected = "32 bytes of output for each pair")]
fn an_output_of_the_wrong_length_is_refused() {
    hash_pairs(Backend::Portable, &[0; 64], &mut [0; 64]);
}

#[test]
fn detection_names_a_backend_that_runs() {
    assert!(Backend::detect().is_available());
    assert!(Backend::available().contains(&Backend::detect()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_buffers_hash_as_sha2_does(
        seed: u64, pairs in 0_usize..100, shift in 0_usize..64,
    ) {
        for backend in Backend::available() {
            check(backend, &random(seed, pairs * PAIR_BYTES), shift);
        }
    }
}
