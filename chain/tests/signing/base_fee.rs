//! The base fee: the cases of filecoin-project/lotus `chain/store/basefee_test.go` (MIT /
//! Apache-2.0), the second group also stated in FIP-0115.

use hesper_chain::TokenAmount;
use hesper_chain::base_fee::{
    BLOCK_GAS_TARGET, MINIMUM_BASE_FEE, TARGET_INDEX, Tip, effective_premium, next_before_nv28,
    next_before_smoke, next_from_nv28, next_from_premium, premium_at,
};
use hesper_chain::limits::BLOCK_GAS_LIMIT;
use proptest::prelude::*;

fn atto(amount: u64) -> TokenAmount {
    TokenAmount::from_atto(amount)
}

fn tips(premiums: &[u64], limits: &[u64]) -> Vec<Tip> {
    premiums
        .iter()
        .zip(limits)
        .map(|(premium, gas_limit)| Tip { premium: atto(*premium), gas_limit: *gas_limit })
        .collect()
}

#[test]
fn utilisation_moves_the_fee_as_in_lotus() {
    const BASE: u64 = 100_000_000;
    for (gas, blocks, before_smoke, after_smoke) in [
        (0, 1, 87_500_000, 87_500_000),
        (0, 5, 87_500_000, 87_500_000),
        (BLOCK_GAS_TARGET, 1, 103_125_000, 100_000_000),
        (BLOCK_GAS_TARGET * 2, 2, 103_125_000, 100_000_000),
        (BLOCK_GAS_LIMIT * 2, 2, 112_500_000, 112_500_000),
        (BLOCK_GAS_LIMIT * 15 / 10, 2, 110_937_500, 106_250_000),
    ] {
        assert_eq!(next_before_smoke(&atto(BASE), gas, blocks), atto(before_smoke), "{gas}");
        assert_eq!(next_before_nv28(&atto(BASE), gas, blocks), atto(after_smoke), "{gas}");
    }
}

#[test]
fn falling_fees_round_down_twice_and_stop_at_the_minimum() {
    // 101 - 101/8 = 88.375 rounds down to 88, below the minimum.
    assert_eq!(next_before_nv28(&atto(101), 0, 1), atto(MINIMUM_BASE_FEE));
    // -1001 / 8 = -125.125 rounds to -126.
    assert_eq!(next_before_nv28(&atto(1001), 0, 1), atto(875));
    assert_eq!(next_before_nv28(&atto(0), u64::MAX, 0), atto(MINIMUM_BASE_FEE));
}

#[test]
fn the_premium_at_the_target_is_that_of_lotus() {
    let giga = 1_000_000_000;
    for (premiums, limits, expected) in [
        (&[][..], &[][..], 0),
        (&[123, 100], &[5_999_999_999, 2_000_000_000], 0),
        (&[123, 0], &[5_999_999_999, 2_000_000_001], 0),
        (&[123, 100], &[5_999_999_999, 2_000_000_001], 100),
        (&[123, 100], &[7_999_999_999, 2_000_000_001], 100),
        (&[123, 100], &[8_000_000_000, 2_000_000_000], 123),
        (&[123, 100], &[8_000_000_000, 9_000_000_000], 123),
        (
            &[100, 200, 300, 400, 500, 600, 700],
            &[4 * giga, giga, 2 * giga, giga, 2 * giga, 2 * giga, 3 * giga],
            400,
        ),
    ] {
        let mut offers = tips(premiums, limits);
        assert_eq!(premium_at(&offers, TARGET_INDEX), atto(expected), "{premiums:?}");
        offers.reverse();
        assert_eq!(premium_at(&offers, TARGET_INDEX), atto(expected), "{premiums:?} reversed");
    }
}

#[test]
fn the_premium_moves_the_fee_as_in_lotus() {
    for (base, premium, expected) in [
        (100, 0, 100),
        (100, 13, 100),
        (100, 14, 101),
        (100, 26, 113),
        (801, 0, 700),
        (801, 20, 720),
        (801, 40, 740),
        (801, 60, 760),
        (801, 80, 780),
        (801, 100, 800),
        (801, 120, 820),
        (801, 140, 840),
        (801, 160, 860),
        (801, 180, 880),
        (801, 200, 900),
        (801, 201, 901),
        (808, 0, 707),
        (808, 1, 708),
        (808, 201, 908),
        (808, 202, 909),
        (808, 203, 909),
    ] {
        let next = next_from_premium(&atto(base), &atto(premium));
        assert_eq!(next, atto(expected), "base {base}, premium {premium}");
    }
    let full = tips(&[203], &[BLOCK_GAS_LIMIT]);
    assert_eq!(next_from_nv28(&atto(808), &full), atto(909));
    assert_eq!(next_from_nv28(&atto(808), &[]), atto(707));
}

#[test]
fn the_effective_premium_is_what_the_cap_leaves() {
    let effective = |base, cap, premium| effective_premium(&atto(base), &atto(cap), &atto(premium));
    assert_eq!(effective(100, 150, 20), atto(20));
    assert_eq!(effective(100, 110, 20), atto(10));
    assert_eq!(effective(100, 100, 20), atto(0));
    assert_eq!(effective(100, 90, 20), atto(0));
}

proptest! {
    #[test]
    fn no_rule_moves_the_fee_by_more_than_an_eighth(
        base in MINIMUM_BASE_FEE..u64::MAX / 2,
        premium: u64,
        gas: u64,
        blocks in 1u64..20,
    ) {
        let step = base.div_ceil(8);
        for next in [
            next_from_premium(&atto(base), &atto(premium)),
            next_before_nv28(&atto(base), gas, blocks),
            next_before_smoke(&atto(base), gas, blocks),
        ] {
            prop_assert!(next >= atto(MINIMUM_BASE_FEE));
            prop_assert!(next <= atto(base + step));
            prop_assert!(next >= atto((base - step).max(MINIMUM_BASE_FEE)));
        }
    }
}
