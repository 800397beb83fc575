//! Hashes per CPU second of each backend, neptune alternating with it in one process.
//! `cargo run --release -p hesper-poseidon --example rate`; the peer is at its best with
//! `RUSTFLAGS="-C target-cpu=native"`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use blstrs::Scalar;
use ff::{Field, PrimeField};
use generic_array::typenum::{U2, U8, U11};
use hesper_poseidon::{Arity, Backend, add_fr, hash_rows, mul_add_fr};
use neptune::poseidon::{Arity as NeptuneArity, Poseidon, PoseidonConstants};

const BATCH: usize = 1 << 10;
const WINDOWS: usize = 40;

fn main() {
    rate::<U2>(Arity::Two);
    rate::<U8>(Arity::Eight);
    rate::<U11>(Arity::Eleven);
    batches();
}

/// Nodes of the encodings, from and to the cache.
fn batches() {
    let nodes = vec![0x5a; BATCH * 32];
    let mut out = nodes.clone();
    for backend in Backend::available() {
        let (mut add, mut mul_add) = (Duration::MAX, Duration::MAX);
        for _ in 0..WINDOWS {
            let start = Instant::now();
            add_fr(backend, black_box(&nodes), &nodes, &mut out);
            add = add.min(start.elapsed() / BATCH as u32);
            let start = Instant::now();
            mul_add_fr(backend, black_box(&nodes), &nodes, &nodes, &mut out);
            mul_add = mul_add.min(start.elapsed() / BATCH as u32);
        }
        println!(
            "{backend:12} add {} ns, mul_add {} ns a node",
            add.as_nanos(),
            mul_add.as_nanos()
        );
    }
}

/// The shortest of many windows, since other work disturbs only some of them.
fn rate<A: NeptuneArity<Scalar>>(arity: Arity) {
    let constants = PoseidonConstants::<Scalar, A>::new();
    let mut state = Scalar::from(7);
    let elements: Vec<Scalar> = (0..BATCH * arity.len())
        .map(|_| {
            state = state.square() + Scalar::ONE;
            state
        })
        .collect();
    let input: Vec<u8> = elements.iter().flat_map(Scalar::to_repr).collect();
    let mut output = vec![0; BATCH * 32];
    let backends = Backend::available();
    let mut ours = vec![Duration::MAX; backends.len()];
    let mut peer = Duration::MAX;
    let peer_hashes = 64;
    for window in 0..WINDOWS {
        let at = window * peer_hashes % BATCH;
        let start = Instant::now();
        for row in elements[at * arity.len()..].chunks(arity.len()).take(peer_hashes) {
            black_box(Poseidon::new_with_preimage(row, &constants).hash());
        }
        peer = peer.min(start.elapsed() / peer_hashes as u32);
        for (backend, best) in backends.iter().zip(&mut ours) {
            let hashes = if *backend == Backend::Avx512Ifma { BATCH } else { peer_hashes };
            let start = Instant::now();
            let input = black_box(&input[..hashes * arity.len() * 32]);
            hash_rows(*backend, arity, input, &mut output[..hashes * 32]);
            *best = (*best).min(start.elapsed() / hashes as u32);
            black_box(&output);
        }
    }
    println!("arity {:2}: neptune {:6} ns", arity.len(), peer.as_nanos());
    for (backend, best) in backends.iter().zip(&ours) {
        let ratio = peer.as_secs_f64() / best.as_secs_f64();
        println!("    {backend:12} {:6} ns  {ratio:5.2}x", best.as_nanos());
    }
}
