//! **Purpose**: BLS and secp256k1 against `bls-signatures` on its blst backend, one thread each.
//!
//! **Invariants**: both sides begin with bytes (keys and signatures are decompressed and checked
//! inside the measured time) and both answers are checked before anything is measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bls_signatures::{PrivateKey, PublicKey, Serialize as _, Signature};
use hesper_chain::bls::{self, BatchError, Secret, Signed};

use crate::case::Case;
use crate::row::Peer;
use crate::stats::Better;

/// Signatures of one aggregate and of one batch.
const MANY: usize = 100;
/// One side works for so long per sample.
const SLICE: Duration = Duration::from_millis(700);

/// A key with a message and its signature, in bytes.
struct Entry {
    secret: [u8; 32],
    public_key: [u8; 48],
    message: Vec<u8>,
    signature: [u8; 96],
}

pub fn measure(case: &mut Case) -> Result<()> {
    // The peer's own parallelism is switched off at build; this holds should another crate switch
    // it on.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("one thread")?;
    pool.install(|| on_this_thread(case))
}

fn on_this_thread(case: &mut Case) -> Result<()> {
    let entries = (0..MANY).map(entry).collect::<Result<Vec<Entry>>>()?;
    let first = entries.first().context("there are entries")?;
    check(&entries)?;

    let ours = Secret::from_le_bytes(&first.secret)?;
    let theirs = PrivateKey::from_bytes(&first.secret)?;
    alternate(
        case,
        "bls_sign",
        1,
        || {
            black_box(ours.sign(black_box(&first.message)));
        },
        || {
            black_box(theirs.sign(black_box(&first.message)).as_bytes());
        },
    )?;
    alternate(
        case,
        "bls_verify",
        1,
        || {
            let verdict =
                bls::verify(&first.public_key, black_box(&first.message), &first.signature);
            assert!(verdict.is_ok());
        },
        || assert!(their_verdict(&[first], &first.signature)),
    )?;
    let signatures: Vec<[u8; 96]> = entries.iter().map(|entry| entry.signature).collect();
    let aggregate = bls::aggregate(&signatures)?;
    let keys: Vec<[u8; 48]> = entries.iter().map(|entry| entry.public_key).collect();
    let messages: Vec<&[u8]> = entries.iter().map(|entry| entry.message.as_slice()).collect();
    let all: Vec<&Entry> = entries.iter().collect();
    alternate(
        case,
        "bls_aggregate_verify_100",
        1,
        || assert!(bls::verify_aggregate(black_box(&keys), &messages, &aggregate).is_ok()),
        || assert!(their_verdict(&all, &aggregate)),
    )?;
    let batch: Vec<Signed<'_>> = entries.iter().map(signed).collect();
    alternate(
        case,
        "bls_verify_batch_100",
        MANY,
        || assert!(bls::verify_batch(black_box(&batch)).is_ok()),
        || assert!(entries.iter().all(|entry| their_verdict(&[entry], &entry.signature))),
    )?;
    secp(case)
}

/// The peer from bytes to a verdict.
fn their_verdict(entries: &[&Entry], signature: &[u8; 96]) -> bool {
    let Ok(signature) = Signature::from_bytes(black_box(signature)) else { return false };
    let keys: Result<Vec<PublicKey>, _> =
        entries.iter().map(|entry| PublicKey::from_bytes(&entry.public_key)).collect();
    let messages: Vec<&[u8]> = entries.iter().map(|entry| entry.message.as_slice()).collect();
    keys.is_ok_and(|keys| bls_signatures::verify_messages(&signature, &messages, &keys))
}

fn signed(entry: &Entry) -> Signed<'_> {
    Signed { public_key: &entry.public_key, message: &entry.message, signature: &entry.signature }
}

fn entry(at: usize) -> Result<Entry> {
    let mut secret = *blake_like(at);
    // Below the order of the group, little-endian: the top byte is the last.
    secret[31] = 0;
    let key = Secret::from_le_bytes(&secret)?;
    let message = format!("message {at} of the benchmark, forty bytes or so").into_bytes();
    let signature = key.sign(&message);
    Ok(Entry { secret, public_key: key.public_key(), message, signature })
}

/// Distinct bytes per position; no secrets, so no randomness is needed.
fn blake_like(at: usize) -> Box<[u8; 32]> {
    let mut state = at as u64 + 1;
    Box::new(std::array::from_fn(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    }))
}

/// Both sides take the good and find the bad before they are timed.
fn check(entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let theirs = PrivateKey::from_bytes(&entry.secret)?.sign(&entry.message).as_bytes();
        ensure!(theirs == entry.signature, "the two sides sign differently");
    }
    let mut batch: Vec<Signed<'_>> = entries.iter().map(signed).collect();
    let (bad, other) = (entries.get(41).context("41")?, entries.get(42).context("42")?);
    if let Some(place) = batch.get_mut(41) {
        *place = Signed { signature: &other.signature, ..signed(bad) };
    }
    match bls::verify_batch(&batch) {
        Err(BatchError::Invalid { bad }) => ensure!(bad == [41], "named {bad:?}, not 41"),
        other => anyhow::bail!("a bad signature in the batch was not found: {other:?}"),
    }
    ensure!(!their_verdict(&[bad], &other.signature), "the peer took a bad signature");
    Ok(())
}

/// Measures both in turn; `per_call` operations are one call.
fn alternate(
    case: &mut Case,
    name: &str,
    per_call: usize,
    ours: impl Fn(),
    theirs: impl Fn(),
) -> Result<()> {
    if !case.wants(name) {
        return Ok(());
    }
    let (mut our_samples, mut their_samples) = (Vec::new(), Vec::new());
    for _ in 0..case.plan.samples.max(3) {
        our_samples.push(rate(per_call, &ours));
        their_samples.push(rate(per_call, &theirs));
    }
    let peer = Peer {
        name: "bls-signatures (blst)".to_owned(),
        version: "0.15".to_owned(),
        samples: their_samples,
    };
    case.median(name, "/s", Better::Higher, &our_samples, Some(&peer))
}

/// Operations per second of one thread.
fn rate(per_call: usize, call: &impl Fn()) -> f64 {
    call();
    let begun = Instant::now();
    let mut calls = 0;
    while begun.elapsed() < SLICE {
        call();
        calls += 1;
    }
    (calls * per_call) as f64 / begun.elapsed().as_secs_f64()
}

fn secp(case: &mut Case) -> Result<()> {
    if !case.wants("secp_sign") {
        return Ok(());
    }
    let key = hesper_chain::key::SecretKey::from_lotus_bytes(
        hesper_chain::key::KeyType::Secp256k1,
        &*blake_like(7),
    )?;
    let payload = [7; 38];
    let samples: Vec<f64> = (0..case.plan.samples.max(3))
        .map(|_| {
            rate(1, &|| {
                black_box(key.sign(black_box(&payload)));
            })
        })
        .collect();
    case.median("secp_sign", "/s", Better::Higher, &samples, None)
}
