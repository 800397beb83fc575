//! What one owner may hold, and what it holds.
//!
//! Invariants: all amounts are integers; a limit that is absent bounds nothing; work that a proof
//! depends on is charged like any other, but a limit never stops it.

use minicbor::{Decode, Encode};

use super::{Demand, Holding};

/// Limits of one owner. The default bounds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct OwnerLimits {
    /// Jobs that have not ended.
    #[n(0)]
    pub jobs_max: Option<u64>,
    /// Cores of its running leases.
    #[n(1)]
    pub cores_max: Option<u64>,
    /// GPUs of its running leases.
    #[n(2)]
    pub gpus_max: Option<u64>,
    /// Bytes of its sectors' files, and those reserved by its running leases.
    #[n(3)]
    pub storage_bytes_max: Option<u64>,
    /// The owner is disabled: nothing new of it starts; running attempts go on.
    #[n(4)]
    pub held: bool,
}

/// What one owner holds, by the model's account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnerUsage {
    /// Jobs that have not ended.
    pub jobs: u64,
    pub cores: u64,
    pub gpus: u64,
    /// Space that running leases may take.
    pub reserved_bytes: u64,
    /// Files of sectors.
    pub sector_bytes: u64,
    pub leases: u64,
}

impl OwnerUsage {
    /// Bytes that count against the storage limit.
    pub fn storage_bytes(&self) -> u64 {
        self.reserved_bytes.saturating_add(self.sector_bytes)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, holding: &Holding) {
        self.cores = self.cores.saturating_add(holding.cores.into());
        self.gpus = self.gpus.saturating_add(count(holding.gpus.len()));
        self.reserved_bytes = self.reserved_bytes.saturating_add(holding.disc_bytes);
        self.leases += 1;
    }

    pub(crate) fn remove(&mut self, holding: &Holding) {
        self.cores = self.cores.saturating_sub(holding.cores.into());
        self.gpus = self.gpus.saturating_sub(count(holding.gpus.len()));
        self.reserved_bytes = self.reserved_bytes.saturating_sub(holding.disc_bytes);
        self.leases = self.leases.saturating_sub(1);
    }

    /// As [`Self::add`], for a lease that is only planned.
    pub(crate) fn plan(&mut self, demand: &Demand) {
        self.cores = self.cores.saturating_add(demand.cores.into());
        self.gpus = self.gpus.saturating_add(demand.gpus.into());
        self.reserved_bytes = self.reserved_bytes.saturating_add(demand.disc_bytes);
        self.leases += 1;
    }
}

/// The quota that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuotaShortage {
    pub what: &'static str,
    pub needed: u64,
    pub used: u64,
    pub max: u64,
}

/// Checks a lease of `demand` against the limits, given what is in use.
pub(crate) fn quota_shortage(
    limits: &OwnerLimits,
    used: &OwnerUsage,
    demand: &Demand,
) -> Option<QuotaShortage> {
    [
        ("cores", u64::from(demand.cores), used.cores, limits.cores_max),
        ("gpus", u64::from(demand.gpus), used.gpus, limits.gpus_max),
        ("storage bytes", demand.disc_bytes, used.storage_bytes(), limits.storage_bytes_max),
    ]
    .into_iter()
    .filter(|(_, needed, ..)| *needed > 0)
    .find_map(|(what, needed, used, max)| {
        let max = max?;
        (used.saturating_add(needed) > max).then_some(QuotaShortage { what, needed, used, max })
    })
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
