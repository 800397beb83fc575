//! **Purpose**: what executors say, and what they are told.

use hesper_protos::executor as wire;
use hesper_scheduler as scheduler;
use hesper_scheduler::{
    AttemptToken, ExecutorId, Exit, ExitKind, FileEntry, Finished, Gpu, Inventory, LeaseOrder,
    NumberedReport, PathRole, ProcessUsage, RegisterExecutor, Report, ReportBatch, Started, State,
    StoragePath, UnixMillis, WorkOrder,
};
use tonic::Status;

use super::{digest, invalid};
use crate::node::caller::Caller;

/// Reports of one proposal.
pub const REPORTS_MAX: usize = 512;

/// Text of a report that is kept.
const MESSAGE_BYTES_MAX: usize = 1024;

/// An executor's greeting.
pub fn register(hello: wire::Hello, caller: &Caller) -> Result<RegisterExecutor, Status> {
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
        owner: caller.user.clone(),
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
        width: order.width,
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
