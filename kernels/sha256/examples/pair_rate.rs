//! Measures the hashes of pairs of each backend against the `sha2` crate, in CPU time of a thread
//! that does nothing else.

use std::hint::black_box;
use std::time::Instant;

use hesper_sha256::{Backend, hash_pairs};
use sha2::{Digest, Sha256};

const PAIRS: usize = 4096;

fn main() {
    let input: Vec<u8> = (0..PAIRS * 64).map(|i| (i * 31) as u8).collect();
    let mut output = vec![0; PAIRS * 32];
    let backends = Backend::available();
    let mut best = vec![f64::MAX; backends.len() + 1];
    for _ in 0..200 {
        for (kernel, best) in best.iter_mut().enumerate() {
            let start = Instant::now();
            if let Some(&backend) = backends.get(kernel) {
                hash_pairs(backend, &input, &mut output);
            } else {
                for (pair, digest) in input.chunks_exact(64).zip(output.chunks_exact_mut(32)) {
                    digest.copy_from_slice(&Sha256::digest(pair));
                }
            }
            black_box(&output);
            *best = best.min(start.elapsed().as_nanos() as f64 / PAIRS as f64);
        }
    }
    let peer = best[backends.len()];
    println!("sha2: {peer:.1} ns a pair");
    for (backend, best) in backends.iter().zip(&best) {
        println!("{backend}: {best:.1} ns a pair, {:.2}x", peer / best);
    }
}
