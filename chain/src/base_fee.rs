//! **Purpose**: the base fee of the next tipset, by the three rules that the network has had.
//!
//! **Invariants**: the result is at least [`MINIMUM_BASE_FEE`] attoFIL and differs from the base by
//! at most an eighth, rounded up.
//!
//! **Source**: FIP-0115 (premium rule, from network version 28); Lotus `chain/store/basefee.go`.

use fvm_shared::econ::TokenAmount;
use num_bigint::BigInt;
use num_integer::Integer as _;
use num_traits::Zero as _;

use crate::limits::BLOCK_GAS_LIMIT;

/// attoFIL per unit of gas below which the base fee never falls.
pub const MINIMUM_BASE_FEE: u64 = 100;
/// The share by which the base fee may change in one tipset.
pub const MAX_CHANGE_DENOMINATOR: u64 = 8;
/// Gas per block at which the fee stays as it is, before network version 28.
pub const BLOCK_GAS_TARGET: u64 = BLOCK_GAS_LIMIT / 2;
/// The unit of gas, counted from the highest premium, whose premium decides from version 28 on.
pub const TARGET_INDEX: u64 = BLOCK_GAS_LIMIT / 100 * 80 - 1;

/// Up to the Smoke height gas is counted as if blocks were packed to four fifths.
const PACKING_NUMERATOR: u64 = 4;
const PACKING_DENOMINATOR: u64 = 5;

/// What one message of a tipset offers. A message counts once per tipset; from version 28 on
/// messages are the same when sender and nonce are, before that when the CID is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// What the message pays above the base fee, see [`effective_premium`].
    pub premium: TokenAmount,
    pub gas_limit: u64,
}

/// The next base fee up to network version 27. `gas_limit_sum` counts each distinct message once;
/// `blocks` below 1 counts as 1.
pub fn next_before_nv28(base: &TokenAmount, gas_limit_sum: u64, blocks: u64) -> TokenAmount {
    by_utilisation(base, u128::from(gas_limit_sum) / u128::from(blocks.max(1)))
}

/// The next base fee up to the Smoke height.
pub fn next_before_smoke(base: &TokenAmount, gas_limit_sum: u64, blocks: u64) -> TokenAmount {
    let sum = u128::from(PACKING_DENOMINATOR) * u128::from(gas_limit_sum);
    by_utilisation(base, sum / (u128::from(blocks.max(1)) * u128::from(PACKING_NUMERATOR)))
}

fn by_utilisation(base: &TokenAmount, gas_per_block: u128) -> TokenAmount {
    let target = BigInt::from(BLOCK_GAS_TARGET);
    let delta = (BigInt::from(gas_per_block) - &target).clamp(-target.clone(), target.clone());
    // Two divisions, each rounding down: one division by the product differs for negative deltas.
    let change =
        (base.atto() * delta).div_floor(&target).div_floor(&BigInt::from(MAX_CHANGE_DENOMINATOR));
    at_least_minimum(base.atto() + change)
}

/// The next base fee from network version 28 on.
pub fn next_from_nv28(base: &TokenAmount, tips: &[Tip]) -> TokenAmount {
    next_from_premium(base, &premium_at(tips, TARGET_INDEX))
}

/// The next base fee for the premium at the target.
pub fn next_from_premium(base: &TokenAmount, premium: &TokenAmount) -> TokenAmount {
    let adjustment_max = base.atto().div_ceil(&BigInt::from(MAX_CHANGE_DENOMINATOR));
    let change = (premium.atto() - &adjustment_max).min(adjustment_max);
    at_least_minimum(base.atto() + change)
}

/// The premium that the unit of gas at `index` pays when all gas is lined up from the highest
/// premium down; zero when there is less gas.
pub fn premium_at(tips: &[Tip], index: u64) -> TokenAmount {
    let mut sorted: Vec<&Tip> = tips.iter().collect();
    sorted.sort_by(|a, b| b.premium.cmp(&a.premium));
    let mut seen = 0u128;
    for tip in sorted {
        seen += u128::from(tip.gas_limit);
        if u128::from(index) < seen {
            return tip.premium.clone();
        }
    }
    TokenAmount::zero()
}

/// What a message pays above the base fee: its premium, bounded by what its fee cap leaves.
pub fn effective_premium(
    base: &TokenAmount,
    fee_cap: &TokenAmount,
    premium: &TokenAmount,
) -> TokenAmount {
    (fee_cap - base).min(premium.clone()).max(TokenAmount::zero())
}

fn at_least_minimum(atto: BigInt) -> TokenAmount {
    TokenAmount::from_atto(atto.max(BigInt::from(MINIMUM_BASE_FEE)))
}
