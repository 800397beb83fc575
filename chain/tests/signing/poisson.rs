//! The win count against filecoin-project/lotus `chain/types/testdata` (MIT / Apache-2.0), bit by
//! bit.

use std::path::PathBuf;

use hesper_chain::election::{PoissonTail, exp_neg, expected_wins};
use num_bigint::BigInt;

use crate::support::vectors;

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn number(text: &str) -> BigInt {
    text.trim().parse().unwrap()
}

/// The files of a folder with the two numbers in their names.
fn parameters(folder: &str, prefix: &str) -> Vec<(u64, u64, String)> {
    let Some(root) = vectors() else { return Vec::new() };
    let mut found: Vec<(u64, u64, String)> = std::fs::read_dir(root.join("poisson").join(folder))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let stem = name.strip_suffix(".golden").unwrap().strip_prefix(prefix).unwrap();
            let (first, second) = stem.split_once('-').unwrap();
            (first.parse().unwrap(), second.parse().unwrap(), read(entry.path()))
        })
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn the_exponential_has_the_networks_bits() {
    let Some(root) = vectors() else { return };
    let golden = read(root.join("poisson/TestExpFunction.golden"));
    let mut lines = golden.lines();
    assert_eq!(lines.next(), Some("x, y"));
    let mut count = 0;
    for line in lines {
        let (x, y) = line.split_once(',').unwrap();
        assert_eq!(exp_neg(&number(x)), number(y), "x = {x}");
        count += 1;
    }
    assert_eq!(count, 256);
}

#[test]
fn expected_wins_have_the_networks_bits() {
    for (power, total, golden) in parameters("TestLambdaFunction", "") {
        assert_eq!(expected_wins(&power.into(), &total.into()), number(&golden), "{power}/{total}");
    }
}

#[test]
fn the_tail_of_the_distribution_has_the_networks_bits() {
    for (base, shift, golden) in parameters("TestPoissonFunction", "lam-") {
        // `base / 2^shift` in Q.256.
        let rate = (BigInt::from(base) << 256) >> shift;
        let mut lines = golden.lines();
        assert_eq!(lines.next(), Some("icdf"));
        let mut tail = PoissonTail::new(rate);
        let values: Vec<BigInt> = lines.map(number).collect();
        assert_eq!(values.len(), 16, "lam-{base}-{shift}");
        for (step, value) in values.iter().enumerate() {
            assert_eq!(tail.value(), value, "lam-{base}-{shift}, step {step}");
            tail.advance();
        }
    }
}
