//! Orders to executors, derived from the state, so that a new leader can send them again.

use std::collections::BTreeMap;

use crate::model::{
    AttemptRow, AttemptToken, CommandWork, Digest, ExecutorId, Holding, JobKind, LeaseId, Liveness,
    ProofType, SectorId, Stage, StageNode, StageWork, StopCause, TaskId, Work,
};
use crate::sealing;
use crate::state::State;

use super::node_of;

/// What an executor is to start: one slot, its attempts one after the other or in lockstep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOrder {
    pub lease: LeaseId,
    pub executor: ExecutorId,
    pub holding: Holding,
    /// Sectors that label in lockstep in one process, as granted; 0 for other leases.
    pub width: u32,
    pub attempts: Vec<AttemptOrder>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOrder {
    pub token: AttemptToken,
    pub task: TaskId,
    pub number: u32,
    /// 0: none.
    pub time_limit_ms: u64,
    /// The job's name, for the attempt's environment.
    pub job_name: String,
    pub work: WorkOrder,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkOrder {
    Command(CommandWork),
    Stage(StageOrder),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOrder {
    pub stage: Stage,
    pub proof: ProofType,
    pub miner: u64,
    pub sector: u64,
    /// ticket, seed, comm_d, ... as earlier stages made them; for proofs `randomness`,
    /// `partition` and `sectors`, a JSON list of `{"number":N,"comm_r":"hex"}`.
    pub values: BTreeMap<String, String>,
    pub inputs: Vec<InputFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    pub name: String,
    pub length: u64,
    pub blake3: Option<Digest>,
    pub sources: Vec<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub executor: ExecutorId,
    pub address: String,
    /// 0: a blob named by its hash.
    pub token: AttemptToken,
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CancelOrder {
    pub token: AttemptToken,
    pub cause: StopCause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedFile {
    pub executor: ExecutorId,
    pub address: String,
    pub token: AttemptToken,
    pub name: String,
    pub length: u64,
    pub blake3: Option<Digest>,
}

impl State {
    /// Leases with attempts that this executor should have started or should be starting.
    pub fn leases_of(&self, executor: ExecutorId) -> Vec<LeaseId> {
        self.index
            .executor_leases
            .range((executor, LeaseId(0))..=(executor, LeaseId(u64::MAX)))
            .map(|&(_, lease)| lease)
            .collect()
    }

    /// The start order of a lease, with the attempts that have neither started nor been stopped.
    pub fn lease_order(&self, lease: LeaseId) -> Option<LeaseOrder> {
        let row = self.leases.get(lease)?;
        let last = AttemptToken(row.first.0 + u64::from(row.count));
        let attempts = self
            .attempts
            .range(row.first..last)
            .filter(|(_, attempt)| attempt.started_at.is_none() && attempt.stop.is_none())
            .filter_map(|(&token, attempt)| self.attempt_order(token, attempt))
            .collect();
        Some(LeaseOrder {
            lease,
            executor: *row.executors.first()?,
            holding: row.holding.clone(),
            width: row.width.as_ref().map_or(0, |_| row.count),
            attempts,
        })
    }

    fn attempt_order(&self, token: AttemptToken, attempt: &AttemptRow) -> Option<AttemptOrder> {
        let task = attempt.task;
        let spec = self.specs.get(task.job)?;
        let (work, time_limit_ms) = match &spec.work {
            Work::Command(command) => (WorkOrder::Command(command.clone()), spec.time_limit_ms),
            Work::Stages(stages) => {
                let order = self.stage_order(task, stages)?;
                let group = self.leases.get(attempt.lease).filter(|lease| lease.width.is_some());
                let limit = match group {
                    Some(lease) => sealing::lockstep_time_limit_ms(order.proof, lease.count),
                    None => sealing::time_limit_ms(order.stage, order.proof),
                };
                (WorkOrder::Stage(order), limit)
            }
        };
        Some(AttemptOrder {
            token,
            task,
            number: attempt.number,
            time_limit_ms,
            job_name: spec.name.clone(),
            work,
        })
    }

    fn stage_order(&self, task: TaskId, stages: &StageWork) -> Option<StageOrder> {
        let node = node_of(stages, task.index)?;
        let mut values = stages.values.clone();
        let mut sector = stages.sector;
        match stages.kind {
            JobKind::Seal | JobKind::Unseal => {
                if let Some(row) = self.sectors.get(SectorId::new(stages.miner, stages.sector)) {
                    values.extend(row.values.clone());
                }
            }
            JobKind::WinningPost | JobKind::WindowPost => {
                sector = node.sectors.first().copied().unwrap_or(0);
                if stages.kind == JobKind::WindowPost {
                    values.insert("partition".to_owned(), node.partition.to_string());
                }
                values.insert("sectors".to_owned(), self.proved_sectors(stages.miner, node));
            }
            JobKind::Command => {}
        }
        Some(StageOrder {
            stage: node.stage,
            proof: stages.proof,
            miner: stages.miner,
            sector,
            values,
            inputs: sealing::inputs(self, task.job, stages, node, false),
        })
    }

    /// Numbers and hexadecimal text only, so that no escaping is needed.
    fn proved_sectors(&self, miner: u64, node: &StageNode) -> String {
        let sectors: Vec<String> = node
            .sectors
            .iter()
            .map(|&number| {
                let comm_r = self
                    .sectors
                    .get(SectorId::new(miner, number))
                    .and_then(|row| row.values.get("comm_r"))
                    .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .map_or("", String::as_str);
                format!("{{\"number\":{number},\"comm_r\":\"{comm_r}\"}}")
            })
            .collect();
        format!("[{}]", sectors.join(","))
    }

    /// Attempts that the executor must stop.
    pub fn cancel_orders(&self, executor: ExecutorId) -> Vec<CancelOrder> {
        self.attempts_of(executor)
            .filter_map(|(token, row)| row.stop.map(|cause| CancelOrder { token, cause }))
            .collect()
    }

    /// Where a file that a stage made lies now.
    pub fn locate(&self, task: TaskId, name: &str) -> Option<LocatedFile> {
        let spec = self.specs.get(task.job)?;
        let Work::Stages(stages) = &spec.work else {
            return None;
        };
        let (manifest, file) = sealing::find_file(self, task, stages, name)?;
        // A connected holder if there is one.
        let holder = manifest.executors.iter().copied().max_by_key(|id| {
            self.executors
                .get(*id)
                .is_some_and(|row| matches!(row.liveness, Liveness::Connected { .. }))
        })?;
        Some(LocatedFile {
            executor: holder,
            address: self.executors.get(holder)?.address.clone(),
            token: manifest.token,
            name: file.name.clone(),
            length: file.length,
            blake3: file.blake3,
        })
    }
}
