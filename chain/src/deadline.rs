//! **Purpose**: when the deadlines of a miner's proving period open, close and take faults.
//!
//! **Invariants**: no epoch arithmetic overflows; it stops at the ends of the 64 bit range, which no
//! chain reaches.
//!
//! **Source**: go-state-types `dline/deadline.go`, builtin-actors `miner` policy.

use fvm_shared::clock::ChainEpoch;
use serde::{Deserialize, Serialize};

/// The lengths that make up a proving period, in epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineParams {
    /// Deadlines per proving period.
    pub deadlines: u64,
    /// Length of a proving period.
    pub period: ChainEpoch,
    /// Length of a deadline.
    pub window: ChainEpoch,
    /// How long before its opening a deadline's challenge is fixed.
    pub challenge_lookback: ChainEpoch,
    /// How long before its opening a deadline takes no more fault declarations.
    pub fault_cutoff: ChainEpoch,
}

/// The lengths of mainnet, calibration and the 2k devnet.
pub const STANDARD: DeadlineParams = DeadlineParams {
    deadlines: 48,
    period: 2880,
    window: 60,
    challenge_lookback: 20,
    fault_cutoff: 70,
};

/// One deadline of one proving period, seen from an epoch. Field names in JSON are Lotus'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeadlineInfo {
    pub current_epoch: ChainEpoch,
    /// First epoch of the proving period; may lie in the future.
    pub period_start: ChainEpoch,
    /// Number of the deadline; one past the last stands for "after all of them".
    pub index: u64,
    /// First epoch that takes a proof.
    pub open: ChainEpoch,
    /// First epoch after the last that takes one.
    pub close: ChainEpoch,
    /// Epoch whose randomness the challenge comes from.
    pub challenge: ChainEpoch,
    /// First epoch that takes no more fault declarations.
    pub fault_cutoff: ChainEpoch,
    #[serde(rename = "WPoStPeriodDeadlines")]
    pub period_deadlines: u64,
    #[serde(rename = "WPoStProvingPeriod")]
    pub proving_period: ChainEpoch,
    #[serde(rename = "WPoStChallengeWindow")]
    pub challenge_window: ChainEpoch,
    #[serde(rename = "WPoStChallengeLookback")]
    pub challenge_lookback: ChainEpoch,
    #[serde(rename = "FaultDeclarationCutoff")]
    pub fault_declaration_cutoff: ChainEpoch,
}

impl DeadlineInfo {
    /// The deadline `index` of the period that starts at `period_start`.
    pub fn new(
        params: &DeadlineParams,
        period_start: ChainEpoch,
        index: u64,
        current_epoch: ChainEpoch,
    ) -> Self {
        let (open, close, challenge, fault_cutoff) = if index < params.deadlines {
            let offset = ChainEpoch::try_from(index)
                .unwrap_or(ChainEpoch::MAX)
                .saturating_mul(params.window);
            let open = period_start.saturating_add(offset);
            (
                open,
                open.saturating_add(params.window),
                open.saturating_sub(params.challenge_lookback),
                open.saturating_sub(params.fault_cutoff),
            )
        } else {
            let end = period_start.saturating_add(params.period);
            (end, end, end, 0)
        };
        Self {
            current_epoch,
            period_start,
            index,
            open,
            close,
            challenge,
            fault_cutoff,
            period_deadlines: params.deadlines,
            proving_period: params.period,
            challenge_window: params.window,
            challenge_lookback: params.challenge_lookback,
            fault_declaration_cutoff: params.fault_cutoff,
        }
    }

    /// The deadline that `epoch` falls into, for a miner whose periods start at multiples of the
    /// period's length from `offset`. `None` when a length in `params` is not positive.
    pub fn at(params: &DeadlineParams, offset: ChainEpoch, epoch: ChainEpoch) -> Option<Self> {
        if params.period <= 0 || params.window <= 0 || params.deadlines == 0 {
            return None;
        }
        let into = epoch.checked_sub(offset)?.rem_euclid(params.period);
        let index = u64::try_from(into / params.window).ok()? % params.deadlines;
        Some(Self::new(params, epoch.checked_sub(into)?, index, epoch))
    }

    /// The lengths this deadline was computed with.
    pub fn params(&self) -> DeadlineParams {
        DeadlineParams {
            deadlines: self.period_deadlines,
            period: self.proving_period,
            window: self.challenge_window,
            challenge_lookback: self.challenge_lookback,
            fault_cutoff: self.fault_declaration_cutoff,
        }
    }

    /// Whether the proving period has begun.
    pub fn is_period_started(&self) -> bool {
        self.current_epoch >= self.period_start
    }

    /// Whether the proving period is over.
    pub fn is_period_elapsed(&self) -> bool {
        self.current_epoch >= self.next_period_start()
    }

    /// Last epoch of the proving period.
    pub fn period_end(&self) -> ChainEpoch {
        self.next_period_start().saturating_sub(1)
    }

    /// First epoch of the next proving period.
    pub fn next_period_start(&self) -> ChainEpoch {
        self.period_start.saturating_add(self.proving_period)
    }

    /// Whether proofs are taken now.
    pub fn is_open(&self) -> bool {
        self.current_epoch >= self.open && self.current_epoch < self.close
    }

    /// Whether the deadline is over.
    pub fn has_elapsed(&self) -> bool {
        self.current_epoch >= self.close
    }

    /// Last epoch that takes a proof.
    pub fn last(&self) -> ChainEpoch {
        self.close.saturating_sub(1)
    }

    /// First epoch of the deadline after this one.
    pub fn next_open(&self) -> ChainEpoch {
        self.close
    }

    /// Whether it is too late to declare a fault for this deadline.
    pub fn is_fault_cutoff_passed(&self) -> bool {
        self.current_epoch >= self.fault_cutoff
    }

    /// This deadline, in the first proving period in which it is not over.
    pub fn next_not_elapsed(&self) -> Self {
        if !self.has_elapsed() || self.proving_period <= 0 {
            return *self;
        }
        let periods = self.current_epoch.saturating_sub(self.close) / self.proving_period;
        let shift = self.proving_period.saturating_mul(periods.saturating_add(1));
        let start = self.period_start.saturating_add(shift);
        Self::new(&self.params(), start, self.index, self.current_epoch)
    }
}
