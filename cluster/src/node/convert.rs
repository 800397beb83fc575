//! **Purpose**: the checked way from the wire to the model and back.
//!
//! **Invariants**
//! - Every field that comes in is checked here, once; what is inside has passed.
//! - Nothing is made up: an unreadable field is refused with its name.

use std::collections::BTreeMap;

use hesper_protos::{cluster, executor as wire, job, sector};
use hesper_scheduler as scheduler;
use hesper_scheduler::{
    ArraySpec, AttemptToken, CommandWork, Demand, Dependency, DependencyKind, Digest, ExecutorId,
    Exit, ExitKind, FileEntry, Finished, Gpu, Inventory, JobId, JobSpec, JobView, LeaseOrder,
    NumberedReport, PathRole, ProcessUsage, ProofType, Range, RegisterExecutor, Report,
    ReportBatch, Started, State, StoragePath, TaskCounts, TaskId, TaskStatus, UnixMillis,
    WorkOrder,
};
use tonic::Status;

use crate::identity::Peer;

/// Reports of one proposal.
pub const REPORTS_MAX: usize = 512;
/// The longest piece of text that comes in with a job: a script in an argument.
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;
/// All text of a job together.
const JOB_BYTES_MAX: usize = 256 * 1024;
/// Text of a report that is kept.
const MESSAGE_BYTES_MAX: usize = 1024;

fn invalid(field: &str, problem: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("`{field}` {problem}"))
}

/// A job as submitted.
pub fn job_spec(spec: job::JobSpec) -> Result<JobSpec, Status> {
    if spec.program.is_empty() {
        return Err(invalid("program", "is empty; name what to run after `--`"));
    }
    let texts = spec
        .args
        .iter()
        .chain([&spec.program, &spec.name, &spec.directory])
        .chain(spec.env.iter().flat_map(|(key, value)| [key, value]));
    let mut bytes = 0;
    for text in texts {
        if text.len() > ARGUMENT_BYTES_MAX {
            return Err(invalid(
                "args",
                format!(
                    "has an entry of {} B; one argument takes at most {ARGUMENT_BYTES_MAX} B, \
                     put the rest into a file",
                    text.len()
                ),
            ));
        }
        if text.contains('\0') {
            return Err(invalid("args", "has a NUL byte, which no program can be given"));
        }
        bytes += text.len();
    }
    if bytes > JOB_BYTES_MAX {
        return Err(invalid(
            "args",
            format!("and environment have {bytes} B; a job takes at most {JOB_BYTES_MAX} B"),
        ));
    }
    if spec.env.keys().any(|key| key.is_empty() || key.contains('=')) {
        return Err(invalid("env", "has a variable with an empty name or a `=` in it"));
    }
    let array = spec.array.map(array).transpose()?;
    let after = spec.after.into_iter().map(dependency).collect::<Result<_, _>>()?;
    Ok(JobSpec {
        name: spec.name,
        command: CommandWork {
            program: spec.program,
            args: spec.args,
            env: spec.env.into_iter().collect(),
            directory: spec.directory,
        },
        array,
        demand: spec.resources.map(demand).unwrap_or_default(),
        after,
        priority: spec.priority,
        time_limit_ms: spec.time_limit_ms,
        attempts_max: spec.attempts_max,
        at_most_once: spec.at_most_once,
    })
}

fn array(array: job::Array) -> Result<ArraySpec, Status> {
    if array.ranges.is_empty() {
        return Err(invalid("array", "has no range"));
    }
    let ranges = array
        .ranges
        .into_iter()
        .map(|range| {
            if range.first > range.last {
                return Err(invalid(
                    "array",
                    format!("has the range {}-{}, which is empty", range.first, range.last),
                ));
            }
            Ok(Range { first: range.first, last: range.last, step: range.step.max(1) })
        })
        .collect::<Result<_, _>>()?;
    Ok(ArraySpec { ranges, running_max: array.running_max })
}

fn dependency(dependency: job::Dependency) -> Result<Dependency, Status> {
    let kind = match dependency.kind() {
        job::dependency::Kind::AfterOk => DependencyKind::AfterOk,
        job::dependency::Kind::AfterAny => DependencyKind::AfterAny,
        job::dependency::Kind::AfterNotOk => DependencyKind::AfterNotOk,
    };
    if dependency.job == 0 {
        return Err(invalid("after", "names job 0; job numbers begin at 1"));
    }
    Ok(Dependency { job: JobId(dependency.job), kind })
}

fn demand(resources: job::Resources) -> Demand {
    Demand {
        cores: resources.cores,
        memory_bytes: resources.memory_bytes,
        gpus: resources.gpus,
        named: resources.named.into_iter().collect(),
        disc_bytes: 0,
    }
}

/// The proof type of a sector by its size.
pub fn proof_type(name: &str) -> Result<ProofType, Status> {
    ProofType::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = ProofType::ALL.iter().map(|proof| proof.name()).collect();
        invalid("proof", format!("is `{name}`; known sector sizes are {}", known.join(", ")))
    })
}

pub fn digest(field: &str, text: &str) -> Result<Digest, Status> {
    Digest::from_hex(text)
        .ok_or_else(|| invalid(field, format!("is `{text}`, not 64 hexadecimal digits")))
}

/// 32 bytes in hexadecimal; empty: none given.
pub fn hex32(field: &str, text: &str) -> Result<Option<String>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    digest(field, text).map(|digest| Some(digest.hex()))
}

/// 32 bytes in hexadecimal.
pub fn bytes32(field: &str, text: &str) -> Result<[u8; 32], Status> {
    digest(field, text).map(|digest| digest.0)
}

/// Bytes in hexadecimal.
pub fn hex_bytes(field: &str, text: &str) -> Result<Vec<u8>, Status> {
    let not_hex = || invalid(field, "is not hexadecimal");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(not_hex());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| not_hex()))
        .collect()
}

/// An executor's greeting.
pub fn register(hello: wire::Hello, peer: &Peer) -> Result<RegisterExecutor, Status> {
    let resources = hello.resources.ok_or_else(|| invalid("resources", "are missing"))?;
    if resources.cores == 0 {
        return Err(invalid("cores", "is 0; an executor has at least one"));
    }
    let gpus = resources
        .gpus
        .into_iter()
        .map(|gpu| Gpu { device: gpu.device, model: gpu.model, memory_bytes: gpu.memory_bytes })
        .collect();
    Ok(RegisterExecutor {
        name: hello.name,
        owner: peer.owner.clone(),
        incarnation: hello.incarnation,
        supervisor_boot_id: hello.supervisor_boot_id,
        machine_boot_id: hello.machine_boot_id,
        inventory: Inventory {
            cores: resources.cores,
            memory_bytes: resources.memory_bytes,
            gpus,
            named: resources.named.into_iter().collect(),
        },
        paths: hello.paths.into_iter().map(storage_path).collect::<Result<_, _>>()?,
        address: hello.transfer_address,
        capabilities: hello.capabilities,
        notes: hello.notes,
        verifying_key_digests: hello.verifying_key_digests.into_iter().collect(),
        held_tokens: hello.held_tokens.into_iter().map(AttemptToken).collect(),
        owner_only: true,
    })
}

fn storage_path(path: wire::StoragePath) -> Result<StoragePath, Status> {
    let role = match path.role.as_str() {
        "seal" => PathRole::Seal,
        "store" => PathRole::Store,
        "both" => PathRole::Both,
        other => {
            return Err(invalid(
                "role",
                format!("of a path is `{other}`, not seal, store or both"),
            ));
        }
    };
    Ok(StoragePath {
        id: path.id,
        role,
        capacity_bytes: path.capacity_bytes,
        reserve_bytes: path.reserve_bytes,
        free_bytes: path.free_bytes,
    })
}

/// Reports ready to be proposed.
pub struct Reports {
    pub batch: ReportBatch,
}

impl Reports {
    /// Attempts that ended in this batch.
    pub fn ended(&self) -> impl Iterator<Item = u64> {
        self.batch.reports.iter().filter_map(|numbered| match &numbered.report {
            Report::Finished(finished) => Some(finished.token.0),
            Report::Gone(token) => Some(token.0),
            Report::Started(_) | Report::PathChanged(_) => None,
        })
    }
}

/// Checks a batch of reports.
pub fn reports(
    executor: ExecutorId,
    incarnation: u64,
    reports: &[wire::Report],
) -> Result<Reports, Status> {
    let reports = reports
        .iter()
        .cloned()
        .map(|numbered| {
            let report = numbered.report.ok_or_else(|| invalid("report", "is empty"))?;
            Ok(NumberedReport { sequence: numbered.sequence, report: report_body(report)? })
        })
        .collect::<Result<_, Status>>()?;
    Ok(Reports { batch: ReportBatch { executor, incarnation, reports } })
}

fn report_body(report: wire::report::Report) -> Result<Report, Status> {
    use wire::report::Report as Wire;
    Ok(match report {
        Wire::Started(started) => Report::Started(Started {
            token: AttemptToken(started.token),
            at: UnixMillis(started.at_ms),
        }),
        Wire::Finished(finished) => Report::Finished(report_finished(finished)?),
        Wire::Gone(gone) => Report::Gone(AttemptToken(gone.token)),
        Wire::Path(changed) => {
            let path = changed.path.ok_or_else(|| invalid("path", "is missing"))?;
            Report::PathChanged(storage_path(path)?)
        }
    })
}

fn report_finished(finished: wire::Finished) -> Result<Finished, Status> {
    let exit = finished.exit.ok_or_else(|| invalid("exit", "is missing"))?;
    let usage = finished.usage.unwrap_or_default();
    let files = finished
        .files
        .into_iter()
        .map(|file| {
            let blake3 =
                if file.blake3.is_empty() { None } else { Some(digest("blake3", &file.blake3)?) };
            Ok(FileEntry { name: file.name, length: file.length, blake3 })
        })
        .collect::<Result<_, Status>>()?;
    Ok(Finished {
        token: AttemptToken(finished.token),
        started_at: UnixMillis(finished.started_at_ms),
        ended_at: UnixMillis(finished.ended_at_ms),
        exit: report_exit(exit)?,
        usage: ProcessUsage {
            user_us: usage.user_us,
            system_us: usage.system_us,
            rss_max_bytes: usage.rss_max_bytes,
        },
        files,
        values: finished.values.into_iter().collect(),
        bytes_fetched: finished.bytes_fetched,
        reused_layers: finished.reused_layers,
        stdout_bytes: finished.stdout_bytes,
        stderr_bytes: finished.stderr_bytes,
    })
}

fn report_exit(exit: wire::Exit) -> Result<Exit, Status> {
    use wire::exit::Kind;
    let kind = match exit.kind() {
        Kind::Unknown => return Err(invalid("exit.kind", "is unknown to this version")),
        Kind::Exited => ExitKind::Exited,
        Kind::Signaled => ExitKind::Signaled,
        Kind::NotStarted => ExitKind::NotStarted,
        Kind::TimedOut => ExitKind::TimedOut,
        Kind::Cancelled => ExitKind::Cancelled,
        Kind::InputBad => ExitKind::InputBad,
        Kind::NoSpace => ExitKind::NoSpace,
        Kind::OutputBad => ExitKind::OutputBad,
        Kind::Lost => ExitKind::Lost,
    };
    let message = (!exit.message.is_empty()).then(|| shortened(exit.message));
    Ok(Exit { kind, code: exit.code, signal: exit.signal, message, retryable: exit.retryable })
}

fn shortened(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// An order to start, for the executor's stream.
pub fn lease(state: &State, order: LeaseOrder) -> wire::Lease {
    let attempts = order
        .attempts
        .into_iter()
        .map(|attempt| {
            let work = match attempt.work {
                WorkOrder::Command(command) => wire::attempt::Work::Command(wire::Command {
                    program: command.program,
                    args: command.args,
                    env: command.env.into_iter().collect(),
                    directory: command.directory,
                }),
                WorkOrder::Stage(stage) => wire::attempt::Work::Stage(stage_order(stage)),
            };
            wire::Attempt {
                token: attempt.token.0,
                job: attempt.task.job.0,
                task: attempt.task.index,
                number: attempt.number,
                time_limit_ms: attempt.time_limit_ms,
                work: Some(work),
                job_name: state
                    .job(attempt.task.job)
                    .map(|job| job.spec.name.clone())
                    .unwrap_or_default(),
            }
        })
        .collect();
    let mut named: std::collections::HashMap<_, _> = order.holding.named.into_iter().collect();
    if order.holding.disc_bytes > 0 {
        named.insert("disc".to_owned(), order.holding.disc_bytes);
    }
    wire::Lease {
        lease: order.lease.0,
        cores: order.holding.cores,
        memory_bytes: order.holding.memory_bytes,
        gpus: order.holding.gpus,
        named,
        attempts,
    }
}

fn stage_order(stage: scheduler::StageOrder) -> wire::Stage {
    let inputs = stage
        .inputs
        .into_iter()
        .map(|input| wire::InputFile {
            name: input.name,
            length: input.length,
            blake3: input.blake3.map(|digest| digest.hex()).unwrap_or_default(),
            sources: input
                .sources
                .into_iter()
                .map(|source| wire::Source {
                    executor_id: source.executor.0,
                    address: source.address,
                    token: source.token.0,
                    path: source.path,
                })
                .collect(),
        })
        .collect();
    wire::Stage {
        stage: stage.stage.name().to_owned(),
        proof: stage.proof.name().to_owned(),
        miner: stage.miner,
        sector: stage.sector,
        values: stage.values.into_iter().collect(),
        inputs,
    }
}

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
