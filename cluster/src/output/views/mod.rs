//! **Purpose**: what commands print, as structs with stable names.
//!
//! Units: `*_at_ms` are Unix milliseconds (0: not yet), `*_us` microseconds, `*_bytes` bytes.

mod auth;
mod cluster;
mod job;
mod sector;

pub use auth::{
    Audit, AuditRow, AuthToken, AuthTokens, Caller, Limit, Limits, Miner, Miners, Quotas, Signer,
    Signers, TokenText, User, UserDeleted, UserQuota, Users,
};
pub use cluster::{Done, Executor, Executors, Node, Prepared, Status, StoragePath, Token};
pub use job::{
    AllCancelled, Cancelled, ExecutorReason, Explanation, Job, Jobs, Submitted, Task, TaskCounts,
    Tasks,
};
pub use sector::{Proof, Sealing, Sector, SectorFile, Sectors, Unsealed, Verified};

use std::collections::BTreeMap;
use std::time::Duration;

use hesper_protos::job as wire;
use serde::Serialize;

use crate::values::{format_duration, format_size};

/// What a job or an executor has or asks for.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Resources {
    /// Cores.
    pub cores: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// GPUs.
    pub gpus: u32,
    /// Others by name.
    pub named: BTreeMap<String, u64>,
}

impl From<Option<wire::Resources>> for Resources {
    fn from(wire: Option<wire::Resources>) -> Self {
        let wire = wire.unwrap_or_default();
        Resources {
            cores: wire.cores,
            memory_bytes: wire.memory_bytes,
            gpus: wire.gpus,
            named: wire.named.into_iter().collect(),
        }
    }
}

impl Resources {
    fn text(&self) -> String {
        let mut parts = vec![format!("{} cores", self.cores), format_size(self.memory_bytes)];
        if self.gpus > 0 {
            parts.push(format!("{} GPUs", self.gpus));
        }
        parts.extend(self.named.iter().map(|(name, count)| format!("{count} {name}")));
        parts.join(", ")
    }
}

fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|row| row.0.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn with_reason(state: &str, reason: &str) -> String {
    if reason.is_empty() { state.to_owned() } else { format!("{state} ({reason})") }
}

fn span(from_ms: u64, to_ms: u64) -> String {
    match to_ms.checked_sub(from_ms) {
        Some(ms) if from_ms > 0 => format_duration(Duration::from_millis(ms)),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod tests;
