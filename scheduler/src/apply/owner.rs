//! Limits of owners: set by command, checked at submission and again at each grant.
//!
//! Invariants: a limit that is lowered below what is in use ends nothing; nothing new starts
//! until the use is below it again. Work that a proof depends on passes every limit, and is stopped
//! only when its owner is disabled.

use crate::command::SetOwnerLimits;
use crate::model::{Demand, JobId, JobKind, OwnerLimits, QuotaShortage, quota_shortage};
use crate::reply::{Rejected, Reply};
use crate::state::State;

use super::Run;
use super::submit::{bad, limit};

const OWNER_BYTES_MAX: usize = 256;

impl State {
    pub(super) fn set_owner_limits(
        &mut self,
        set: SetOwnerLimits,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        let SetOwnerLimits { owner, limits } = set;
        limit("bytes of the owner's name", owner.len(), OWNER_BYTES_MAX)?;
        if owner.is_empty() {
            return Err(bad("owner", "is empty; name the user"));
        }
        if limits == OwnerLimits::default() {
            self.owners.remove(owner);
        } else if self.owners.find(owner.as_str()) != Some(&limits) {
            self.owners.insert(owner, limits);
        }
        run.ready_work = true;
        Ok(Reply::Done)
    }

    /// Whether nothing new of this owner starts.
    pub(crate) fn is_held(&self, owner: &str) -> bool {
        self.owners.find(owner).is_some_and(|limits| limits.held)
    }

    pub(crate) fn is_proof(&self, job: JobId) -> bool {
        self.specs
            .get(job)
            .is_some_and(|spec| matches!(spec.kind(), JobKind::WinningPost | JobKind::WindowPost))
    }

    /// The quota that a lease of `demand` would break now.
    pub(crate) fn quota_short(&self, owner: &str, demand: &Demand) -> Option<QuotaShortage> {
        let limits = self.owners.find(owner)?;
        quota_shortage(limits, &self.owner_usage(owner), demand)
    }

    /// Whether the principal's owner may have `adding` more jobs.
    pub(super) fn check_owner(
        &self,
        adding: u64,
        proves: bool,
        run: &Run<'_>,
    ) -> Result<(), Rejected> {
        let owner = run.principal.owner.as_str();
        let Some(limits) = self.owners.find(owner) else {
            return Ok(());
        };
        if limits.held {
            return Err(Rejected::OwnerHeld { owner: owner.to_owned() });
        }
        let used = self.owner_usage(owner).jobs;
        match limits.jobs_max {
            Some(max) if !proves && used.saturating_add(adding) > max => {
                Err(exceeded(owner, "jobs", used, max, adding))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the principal's owner may begin something that stores files.
    pub(super) fn check_storage(&self, run: &Run<'_>) -> Result<(), Rejected> {
        let owner = run.principal.owner.as_str();
        let max = self.owners.find(owner).and_then(|limits| limits.storage_bytes_max);
        let used = self.owner_usage(owner).storage_bytes();
        match max {
            Some(max) if used >= max => Err(exceeded(owner, "storage bytes", used, max, 1)),
            Some(_) | None => Ok(()),
        }
    }
}

fn exceeded(owner: &str, what: &str, used: u64, max: u64, adding: u64) -> Rejected {
    Rejected::QuotaExceeded { owner: owner.to_owned(), what: what.to_owned(), used, max, adding }
}
