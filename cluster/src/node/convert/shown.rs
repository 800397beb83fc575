//! **Purpose**: jobs, tasks, executors and sectors as they are shown.

use std::collections::BTreeMap;

use hesper_protos::{cluster, job, sector};
use hesper_scheduler as scheduler;
use hesper_scheduler::{
    Demand, ExecutorId, Exit, JobView, PathRole, State, TaskCounts, TaskId, TaskStatus,
};

/// The tasks of a job that left memory: all have ended.
pub fn ended_counts(row: &scheduler::JobRow) -> TaskCounts {
    TaskCounts {
        total: row.total,
        pending: 0,
        running: 0,
        succeeded: row.succeeded,
        failed: row.failed,
        cancelled: row.cancelled,
    }
}

/// A job as shown.
pub fn shown_job(
    view: &JobView<'_>,
    counts: TaskCounts,
    waiting_reason: Option<String>,
) -> job::Job {
    let demand = view.demand();
    job::Job {
        job: view.id.0,
        name: view.spec.name.clone(),
        owner: view.row.owner.clone(),
        kind: view.kind().name().to_owned(),
        state: view.status().name().to_owned(),
        submitted_at_ms: view.row.submitted_at.0,
        started_at_ms: view.row.started_at.map_or(0, |at| at.0),
        ended_at_ms: view.ended_at().map_or(0, |at| at.0),
        priority: view.row.priority,
        tasks: Some(job::TaskCounts {
            total: counts.total,
            pending: counts.pending,
            running: counts.running,
            succeeded: counts.succeeded,
            failed: counts.failed,
            cancelled: counts.cancelled,
        }),
        reason: view.reason().or(waiting_reason).unwrap_or_default(),
        resources: Some(shown_demand(&demand)),
        command: view.command(),
        miner: view.sector().map_or(0, |sector| sector.miner),
        sector: view.sector().map_or(0, |sector| sector.number),
    }
}

fn shown_demand(demand: &Demand) -> job::Resources {
    job::Resources {
        cores: demand.cores,
        memory_bytes: demand.memory_bytes,
        gpus: demand.gpus,
        named: demand.named.clone().into_iter().collect(),
    }
}

/// The word for a live task's state.
pub fn task_state(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Waiting => "waiting",
        TaskStatus::Ready => "ready",
        TaskStatus::Leased => "leased",
        TaskStatus::Running => "running",
        TaskStatus::Ended => "ended",
        TaskStatus::Cancelled => "cancelled",
    }
}

/// A task that has ended, from its archived row.
pub fn ended_task(
    state: &State,
    task: TaskId,
    stage: &str,
    row: &scheduler::EndedTaskRow,
) -> job::Task {
    let executor = row.executor.and_then(|id| state.executor(id)).map(|row| row.name.clone());
    let exit = row.exit.clone().unwrap_or_else(Exit::success);
    let usage = row.usage.unwrap_or_default();
    job::Task {
        job: task.job.0,
        task: task.index,
        stage: stage.to_owned(),
        state: row.outcome.name().to_owned(),
        attempt: row.number,
        token: row.token.map_or(0, |token| token.0),
        executor: executor.unwrap_or_default(),
        started_at_ms: row.started_at.map_or(0, |at| at.0),
        ended_at_ms: row.ended_at.0,
        exit_code: exit.code,
        signal: exit.signal,
        message: if exit.is_success() { String::new() } else { exit.to_string() },
        user_us: usage.user_us,
        system_us: usage.system_us,
        rss_max_bytes: usage.rss_max_bytes,
        bytes_fetched: row.bytes_fetched.unwrap_or(0),
        reused_layers: row.reused_layers.unwrap_or(0),
        reason: String::new(),
        values: row.values.clone().unwrap_or_default().into_iter().collect(),
        progress: String::new(),
    }
}

/// An executor as shown.
pub fn shown_executor(
    state: &State,
    id: ExecutorId,
    row: &scheduler::ExecutorRow,
) -> cluster::Executor {
    let used = state.usage(id);
    let since = match row.liveness {
        scheduler::Liveness::Connected { .. } => 0,
        scheduler::Liveness::Disconnected { since } | scheduler::Liveness::Lost { since } => {
            since.0
        }
    };
    cluster::Executor {
        id: id.0,
        name: row.name.clone(),
        owner: row.owner.clone(),
        liveness: row.liveness.name().to_owned(),
        admission: row.admission.name().to_owned(),
        total: Some(job::Resources {
            cores: row.inventory.cores,
            memory_bytes: row.inventory.memory_bytes,
            gpus: u32::try_from(row.inventory.gpus.len()).unwrap_or(u32::MAX),
            named: row.inventory.named.clone().into_iter().collect(),
        }),
        used: Some(job::Resources {
            cores: u32::try_from(used.cores).unwrap_or(u32::MAX),
            memory_bytes: used.memory_bytes,
            gpus: u32::try_from(used.gpus.len()).unwrap_or(u32::MAX),
            named: used.named.into_iter().collect(),
        }),
        paths: row
            .paths
            .iter()
            .map(|path| cluster::Path {
                id: path.id.clone(),
                role: match path.role {
                    PathRole::Seal => "seal".to_owned(),
                    PathRole::Store => "store".to_owned(),
                    PathRole::Both => "both".to_owned(),
                },
                capacity_bytes: path.capacity_bytes,
                reserve_bytes: path.reserve_bytes,
                free_bytes: path.free_bytes,
            })
            .collect(),
        capabilities: row.capabilities.clone(),
        notes: row.notes.clone(),
        address: row.address.clone(),
        running: u64::try_from(state.running(id)).unwrap_or(u64::MAX),
        admission_reason: row.admission_reason.clone(),
        disconnected_since_ms: since,
    }
}

/// A sector as shown.
pub fn shown_sector(
    state: &State,
    id: scheduler::SectorId,
    row: &scheduler::SectorRow,
) -> sector::Sector {
    let name_of = |executor: &ExecutorId| {
        state.executor(*executor).map_or_else(|| executor.to_string(), |row| row.name.clone())
    };
    let files = row
        .manifests
        .values()
        .filter(|manifest| !manifest.collected)
        .flat_map(|manifest| {
            let executors: Vec<String> = manifest.executors.iter().map(name_of).collect();
            manifest.files.iter().map(move |file| sector::File {
                name: file.name.clone(),
                length: file.length,
                blake3: file.blake3.map(|digest| digest.hex()).unwrap_or_default(),
                executors: executors.clone(),
            })
        })
        .collect();
    let stage = match row.stage {
        None => "new",
        Some(scheduler::Stage::Finalize) => "sealed",
        Some(stage) => stage.name(),
    };
    let values: BTreeMap<_, _> = row.values.clone();
    sector::Sector {
        miner: id.miner,
        sector: id.number,
        owner: row.owner.clone(),
        proof: row.proof.name().to_owned(),
        state: stage.to_owned(),
        job: row.job.0,
        values: values.into_iter().collect(),
        files,
    }
}
