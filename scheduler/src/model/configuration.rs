//! Replicated settings. Every node decides with the same ones; they change only by `Configure`.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::{JobKind, Stage, Work};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Configuration {
    /// Tasks that have not ended, over all jobs.
    #[n(0)]
    pub queued_tasks_max: u64,
    #[n(1)]
    pub queued_jobs_max: u64,
    /// Ended jobs that stay in memory.
    #[n(2)]
    pub ended_jobs_in_memory: u32,
    /// Ended jobs that stay in the archive; older ones are deleted and refused.
    #[n(3)]
    pub history_jobs_max: u64,
    #[n(4)]
    pub supersede_after: SupersedeAfter,
    /// A new leader gives connected executors this long to open their session again.
    #[n(5)]
    pub reconnect_grace_ms: u64,
    /// A disconnected executor is shown as lost after this.
    #[n(6)]
    pub lost_after_ms: u64,
    #[n(7)]
    pub back_off_base_ms: u64,
    #[n(8)]
    pub back_off_max_ms: u64,
    #[n(9)]
    pub attempts_default: u32,
    #[n(10)]
    pub losses_max: u32,
    /// Consecutive attempts that could not begin until the executor is cordoned; 0: never.
    #[n(11)]
    pub suspicion_max: u32,
    /// Most tasks in one lease.
    #[n(12)]
    pub chain_max: u32,
    /// Tasks whose mean is shorter are chained.
    #[n(13)]
    pub chain_mean_below_us: u64,
    /// Expected length of a chained lease.
    #[n(14)]
    pub chain_lease_us: u64,
    /// A task that waited this long for room gets an executor reserved.
    #[n(15)]
    pub reserve_after_ms: u64,
    /// Assumed transfer rate when bytes to move are weighed against waiting.
    #[n(16)]
    pub transfer_bytes_per_ms: u64,
    /// Longest wait for the executor that holds the bytes.
    #[n(17)]
    pub locality_wait_max_ms: u64,
    /// Digest by parameter name; an executor that reports another one is refused.
    #[n(18)]
    pub verifying_key_digests: BTreeMap<String, String>,
    /// Tickets and seeds may be derived: never on a real network.
    #[n(19)]
    pub development: bool,
    /// As set; see [`Self::pc1_group_wait_ms`].
    #[n(20)]
    pub pc1_group_wait_ms: Option<u64>,
    /// As set; see [`Self::pc1_group_max`].
    #[n(21)]
    pub pc1_group_max: Option<u32>,
}

/// Sectors that one PC1 process can label in lockstep: the widest label kernel.
pub const PC1_GROUP_MAX: u32 = 16;
const PC1_GROUP_WAIT_MS: u64 = 2 * SECOND;

impl Default for Configuration {
    fn default() -> Self {
        Self {
            queued_tasks_max: 2_000_000,
            queued_jobs_max: 100_000,
            ended_jobs_in_memory: 1_000,
            history_jobs_max: 1_000_000,
            supersede_after: SupersedeAfter::default(),
            reconnect_grace_ms: 15 * SECOND,
            lost_after_ms: 10 * MINUTE,
            back_off_base_ms: SECOND,
            back_off_max_ms: 2 * MINUTE,
            attempts_default: 3,
            losses_max: 20,
            suspicion_max: 5,
            chain_max: 256,
            chain_mean_below_us: 100_000,
            chain_lease_us: 1_000_000,
            reserve_after_ms: 10 * SECOND,
            transfer_bytes_per_ms: 100_000,
            locality_wait_max_ms: 10 * MINUTE,
            verifying_key_digests: BTreeMap::new(),
            development: true,
            pc1_group_wait_ms: None,
            pc1_group_max: None,
        }
    }
}

/// How long an executor may be away before its attempts are superseded, by kind of work.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SupersedeAfter {
    #[n(0)]
    pub command_ms: u64,
    #[n(1)]
    pub post_ms: u64,
    #[n(2)]
    pub pc1_ms: u64,
    #[n(3)]
    pub c2_ms: u64,
    /// All other stages.
    #[n(4)]
    pub stage_ms: u64,
}

impl Default for SupersedeAfter {
    fn default() -> Self {
        Self {
            command_ms: 5 * MINUTE,
            post_ms: 10 * SECOND,
            pc1_ms: 4 * HOUR,
            c2_ms: 5 * MINUTE,
            stage_ms: 10 * MINUTE,
        }
    }
}

impl Configuration {
    /// How long a sector waits for others to join its PC1 group; 0: not at all.
    pub fn pc1_group_wait_ms(&self) -> u64 {
        self.pc1_group_wait_ms.unwrap_or(PC1_GROUP_WAIT_MS)
    }

    /// Most sectors of one PC1 group, 1 to [`PC1_GROUP_MAX`].
    pub fn pc1_group_max(&self) -> u32 {
        self.pc1_group_max.unwrap_or(PC1_GROUP_MAX).clamp(1, PC1_GROUP_MAX)
    }

    /// How long the executor of task `index` may be away.
    pub fn supersede_after_ms(&self, work: &Work, index: u32) -> u64 {
        let after = &self.supersede_after;
        match work {
            Work::Command(_) => after.command_ms,
            Work::Stages(stages) => {
                if matches!(stages.kind, JobKind::WinningPost | JobKind::WindowPost) {
                    return after.post_ms;
                }
                let node = usize::try_from(index).ok().and_then(|i| stages.nodes.get(i));
                match node.map(|node| node.stage) {
                    Some(Stage::Pc1) => after.pc1_ms,
                    Some(Stage::C2) => after.c2_ms,
                    _ => after.stage_ms,
                }
            }
        }
    }
}

/// Settings to change; `None` leaves a setting as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct ConfigurationChange {
    #[n(0)]
    pub queued_tasks_max: Option<u64>,
    #[n(1)]
    pub queued_jobs_max: Option<u64>,
    #[n(2)]
    pub ended_jobs_in_memory: Option<u32>,
    #[n(3)]
    pub history_jobs_max: Option<u64>,
    #[n(4)]
    pub supersede_after: Option<SupersedeAfter>,
    #[n(5)]
    pub reconnect_grace_ms: Option<u64>,
    #[n(6)]
    pub lost_after_ms: Option<u64>,
    #[n(7)]
    pub back_off_base_ms: Option<u64>,
    #[n(8)]
    pub back_off_max_ms: Option<u64>,
    #[n(9)]
    pub attempts_default: Option<u32>,
    #[n(10)]
    pub losses_max: Option<u32>,
    #[n(11)]
    pub suspicion_max: Option<u32>,
    #[n(12)]
    pub chain_max: Option<u32>,
    #[n(13)]
    pub chain_mean_below_us: Option<u64>,
    #[n(14)]
    pub chain_lease_us: Option<u64>,
    #[n(15)]
    pub reserve_after_ms: Option<u64>,
    #[n(16)]
    pub transfer_bytes_per_ms: Option<u64>,
    #[n(17)]
    pub locality_wait_max_ms: Option<u64>,
    /// Replaces the whole map.
    #[n(18)]
    pub verifying_key_digests: Option<BTreeMap<String, String>>,
    #[n(19)]
    pub development: Option<bool>,
    /// How long a sector waits for others to join its PC1 group; 0: not at all.
    #[n(20)]
    pub pc1_group_wait_ms: Option<u64>,
    /// Most sectors of one PC1 group.
    #[n(21)]
    pub pc1_group_max: Option<u32>,
}

impl Configuration {
    pub(crate) fn change(&mut self, change: ConfigurationChange) {
        macro_rules! set {
            ($($field:ident),* $(,)?) => {
                $(if let Some(value) = change.$field { self.$field = value; })*
            };
        }
        set!(
            queued_tasks_max,
            queued_jobs_max,
            ended_jobs_in_memory,
            history_jobs_max,
            supersede_after,
            reconnect_grace_ms,
            lost_after_ms,
            back_off_base_ms,
            back_off_max_ms,
            attempts_default,
            losses_max,
            suspicion_max,
            chain_max,
            chain_mean_below_us,
            chain_lease_us,
            reserve_after_ms,
            transfer_bytes_per_ms,
            locality_wait_max_ms,
            verifying_key_digests,
            development,
        );
        self.pc1_group_wait_ms = change.pc1_group_wait_ms.or(self.pc1_group_wait_ms);
        self.pc1_group_max = change.pc1_group_max.or(self.pc1_group_max);
        self.attempts_default = self.attempts_default.max(1);
        self.chain_max = self.chain_max.clamp(1, 4096);
        self.transfer_bytes_per_ms = self.transfer_bytes_per_ms.max(1);
    }
}
