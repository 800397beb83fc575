//! **Purpose**: how often a miner wins an epoch, and how good a ticket is.
//!
//! **Invariants**
//! - All of the win count is integer arithmetic in Q.256 (a number x stands for x / 2^256), with the
//!   network's order of operations: every node must get the same bits.
//! - Right shifts and divisions round towards minus infinity.
//!
//! **Source**: Filecoin specification, "Running a leader election"; Lotus
//! `chain/types/electionproof.go`. The coefficients of the approximation are facts of the protocol.

use std::sync::LazyLock;

use num_bigint::{BigInt, Sign};
use num_integer::Integer as _;
use num_traits::{One as _, Signed as _, ToPrimitive as _, Zero as _};

use crate::hash::blake2b_256;

/// Blocks that an epoch has on average.
pub const BLOCKS_PER_EPOCH: u64 = 5;
/// The most wins that one miner can have in an epoch.
pub const WIN_COUNT_MAX: u64 = 3 * BLOCKS_PER_EPOCH;

/// Fractional bits of every number here.
const PRECISION: usize = 256;

/// Numerator of the rational approximation of e^-x, highest power first, in Q.128.
const NUMERATOR: [&str; 8] = [
    "-648770010757830093818553637600",
    "67469480939593786226847644286976",
    "-3197587544499098424029388939001856",
    "89244641121992890118377641805348864",
    "-1579656163641440567800982336819953664",
    "17685496037279256458459817590917169152",
    "-115682590513835356866803355398940131328",
    "340282366920938463463374607431768211456",
];

/// Denominator of the same.
const DENOMINATOR: [&str; 14] = [
    "1225524182432722209606361",
    "114095592300906098243859450",
    "5665570424063336070530214243",
    "194450132448609991765137938448",
    "5068267641632683791026134915072",
    "104716890604972796896895427629056",
    "1748338658439454459487681798864896",
    "23704654329841312470660182937960448",
    "259380097567996910282699886670381056",
    "2250336698853390384720606936038375424",
    "14978272436876548034486263159246028800",
    "72144088983913131323343765784380833792",
    "224599776407103106596571252037123047424",
    "340282366920938463463374607431768211456",
];

static NUMERATOR_Q256: LazyLock<Vec<BigInt>> = LazyLock::new(|| to_q256(&NUMERATOR));
static DENOMINATOR_Q256: LazyLock<Vec<BigInt>> = LazyLock::new(|| to_q256(&DENOMINATOR));

fn to_q256(coefficients: &[&str]) -> Vec<BigInt> {
    coefficients
        .iter()
        .map(|text| {
            text.parse::<BigInt>().expect("the coefficients are decimal") << (PRECISION / 2)
        })
        .collect()
}

/// Horner's method in Q.256.
fn evaluate(coefficients: &[BigInt], x: &BigInt) -> BigInt {
    coefficients
        .iter()
        .fold(BigInt::zero(), |sum, coefficient| ((sum * x) >> PRECISION) + coefficient)
}

/// e^-x, both in Q.256. The approximation is meant for x in [0, 5).
pub fn exp_neg(x: &BigInt) -> BigInt {
    let numerator = evaluate(&NUMERATOR_Q256, x) << PRECISION;
    numerator.div_floor(&evaluate(&DENOMINATOR_Q256, x))
}

/// The expected number of wins in Q.256: power's share of the total times the blocks per epoch. Zero
/// when there is no power at all.
pub fn expected_wins(power: &BigInt, total: &BigInt) -> BigInt {
    if !power.is_positive() || !total.is_positive() {
        return BigInt::zero();
    }
    ((power * BLOCKS_PER_EPOCH) << PRECISION).div_floor(total)
}

/// The values 1 - CDF(k) of a Poisson distribution, one after the other, in Q.256.
#[derive(Debug, Clone)]
pub struct PoissonTail {
    rate: BigInt,
    mass: BigInt,
    tail: BigInt,
    k: u64,
}

impl PoissonTail {
    /// Starts at k = 0 for a rate in Q.256.
    pub fn new(rate: BigInt) -> Self {
        let mass = exp_neg(&rate);
        let tail = (BigInt::one() << PRECISION) - &mass;
        Self { rate, mass, tail, k: 0 }
    }

    /// 1 - CDF(k) for the current k.
    pub fn value(&self) -> &BigInt {
        &self.tail
    }

    /// Goes to k + 1. Dividing before multiplying is what the network does; the other order gives
    /// other low bits.
    pub fn advance(&mut self) {
        self.k += 1;
        self.mass = (self.mass.div_floor(&BigInt::from(self.k)) * &self.rate) >> PRECISION;
        self.tail -= &self.mass;
    }
}

/// How many blocks' worth of reward the proof wins: 0 (no block) up to [`WIN_COUNT_MAX`]. Powers are
/// quality adjusted, in bytes, from the lookback state.
pub fn win_count(vrf_proof: &[u8], power: &BigInt, total: &BigInt) -> u64 {
    let draw = BigInt::from_bytes_be(Sign::Plus, &blake2b_256(vrf_proof));
    let mut tail = PoissonTail::new(expected_wins(power, total));
    let mut wins = 0;
    while draw < *tail.value() && wins < WIN_COUNT_MAX {
        tail.advance();
        wins += 1;
    }
    wins
}

/// Whether the proof wins the right to a block.
pub fn is_winner(vrf_proof: &[u8], power: &BigInt, total: &BigInt) -> bool {
    win_count(vrf_proof, power, total) > 0
}

/// The quality of a ticket in (0, 1], larger is better: the value that message selection compares
/// with the probability of other blocks. Not part of consensus.
pub fn ticket_quality(vrf_proof: &[u8]) -> f64 {
    let digest = BigInt::from_bytes_be(Sign::Plus, &blake2b_256(vrf_proof));
    // Scaling by a power of two is exact, so only the conversion rounds, to the nearest.
    let share = digest.to_f64().unwrap_or(f64::MAX) / 2f64.powi(256);
    1.0 - share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_power_never_wins() {
        let total = BigInt::from(1u64 << 40);
        for seed in 0u8..50 {
            assert_eq!(win_count(&[seed], &BigInt::zero(), &total), 0);
            assert_eq!(win_count(&[seed], &BigInt::from(-5), &total), 0);
            assert_eq!(win_count(&[seed], &total, &BigInt::zero()), 0);
            assert!(!is_winner(&[seed], &BigInt::zero(), &total));
        }
    }

    #[test]
    fn wins_follow_the_share_of_power() {
        let total = BigInt::from(1_000_000u64);
        let sum = |power: u64| -> u64 {
            (0u32..2000)
                .map(|seed| win_count(&seed.to_be_bytes(), &BigInt::from(power), &total))
                .sum()
        };
        // 2000 draws at a rate of 5 and of 0.5: the mean within five standard deviations.
        assert!((9500..=10500).contains(&sum(1_000_000)), "{}", sum(1_000_000));
        assert!((840..=1160).contains(&sum(100_000)), "{}", sum(100_000));
        let most = (0u32..2000).map(|seed| win_count(&seed.to_be_bytes(), &total, &total)).max();
        assert!(most.is_some_and(|most| most > 9 && most <= WIN_COUNT_MAX));
    }

    #[test]
    fn a_rate_far_beyond_the_network_stops_at_the_cap() {
        // Ten times the whole network: the draw stays below the tail for all steps.
        let wins = win_count(b"x", &BigInt::from(4u64), &BigInt::from(1u64));
        assert!(wins <= WIN_COUNT_MAX);
    }

    #[test]
    fn ticket_quality_orders_as_the_digest_does() {
        let mut tickets: Vec<u32> = (0..200).collect();
        tickets.sort_by_key(|ticket| blake2b_256(&ticket.to_be_bytes()));
        let qualities: Vec<f64> =
            tickets.iter().map(|ticket| ticket_quality(&ticket.to_be_bytes())).collect();
        assert!(qualities.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(qualities.iter().all(|quality| *quality > 0.0 && *quality <= 1.0));
        let digest = blake2b_256(&7u32.to_be_bytes());
        let leading = u64::from_be_bytes(digest[..8].try_into().unwrap());
        let rough = 1.0 - leading as f64 / 2f64.powi(64);
        assert!((ticket_quality(&7u32.to_be_bytes()) - rough).abs() < 1e-15);
    }
}
