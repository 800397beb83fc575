//! **Purpose**: turn an attempt of the wire into what the supervisor runs, and its end into a report.
//!
//! **Invariants**: both families of variables (`HESPER_*`, `SLURM_*`) are set for every command; the
//! command's own variables win.

use hesper_protos::executor as wire;
use hesper_protos::executor::exit::Kind;

use crate::protocol::{AttemptSpec, Ended};

/// Variables that all attempts of a lease share.
pub(crate) fn lease_env(executor: &str, lease: &wire::Lease) -> Vec<(String, String)> {
    let cores = lease.cores.to_string();
    let memory_mib = (lease.memory_bytes >> 20).to_string();
    let gpus = lease.gpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut env = vec![
        ("HESPER_EXECUTOR", executor.to_owned()),
        ("HESPER_LEASE", lease.lease.to_string()),
        ("HESPER_CORES", cores.clone()),
        ("HESPER_MEMORY_BYTES", lease.memory_bytes.to_string()),
        ("HESPER_GPUS", gpus.clone()),
        ("SLURMD_NODENAME", executor.to_owned()),
        ("SLURM_JOB_NODELIST", executor.to_owned()),
        ("SLURM_JOB_NUM_NODES", "1".to_owned()),
        ("SLURM_NTASKS", "1".to_owned()),
        ("SLURM_CPUS_PER_TASK", cores.clone()),
        ("SLURM_CPUS_ON_NODE", cores),
    ];
    if lease.memory_bytes > 0 {
        env.push(("SLURM_MEM_PER_NODE", memory_mib));
    }
    // An empty list hides every device from a task that was granted none.
    env.push(("CUDA_VISIBLE_DEVICES", gpus));
    env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the supervisor needs to run a command.
pub(crate) fn command_spec(attempt: &wire::Attempt, command: &wire::Command) -> AttemptSpec {
    let expand = |text: &String| placeholders(text, attempt);
    let mut env = attempt_env(attempt);
    env.extend(command.env.iter().map(|(name, value)| (name.clone(), expand(value))));
    AttemptSpec {
        token: attempt.token,
        program: command.program.clone(),
        args: command.args.iter().map(expand).collect(),
        env,
        directory: (!command.directory.is_empty()).then(|| expand(&command.directory)),
        output: None,
        time_limit_ms: attempt.time_limit_ms,
        tag: String::new(),
    }
}

pub(crate) fn attempt_env(attempt: &wire::Attempt) -> Vec<(String, String)> {
    let job = attempt.job.to_string();
    let task = attempt.task.to_string();
    [
        ("HESPER_JOB_ID", job.clone()),
        ("HESPER_TASK_INDEX", task.clone()),
        ("HESPER_ATTEMPT", attempt.number.to_string()),
        ("HESPER_TOKEN", attempt.token.to_string()),
        ("SLURM_JOB_ID", job.clone()),
        ("SLURM_JOBID", job.clone()),
        ("SLURM_ARRAY_JOB_ID", job.clone()),
        ("SLURM_ARRAY_TASK_ID", task),
        ("SLURM_PROCID", "0".to_owned()),
        ("SLURM_RESTART_COUNT", attempt.number.saturating_sub(1).to_string()),
        ("HESPER_JOB_NAME", attempt.job_name.clone()),
        ("SLURM_JOB_NAME", attempt.job_name.clone()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// `%{TASK}`, `%{JOB}` and `%{ATTEMPT}` become numbers; everything else stays as it is.
fn placeholders(text: &str, attempt: &wire::Attempt) -> String {
    if !text.contains("%{") {
        return text.to_owned();
    }
    text.replace("%{TASK}", &attempt.task.to_string())
        .replace("%{JOB}", &attempt.job.to_string())
        .replace("%{ATTEMPT}", &attempt.number.to_string())
}

/// The report of an attempt that ended in the supervisor.
pub(crate) fn finished(ended: Ended) -> wire::Finished {
    let kind = Kind::try_from(ended.kind).unwrap_or(Kind::Lost);
    wire::Finished {
        token: ended.token,
        started_at_ms: ended.started_at_ms,
        ended_at_ms: ended.ended_at_ms,
        exit: Some(wire::Exit {
            kind: kind as i32,
            code: ended.code,
            signal: ended.signal,
            message: ended.message,
            retryable: is_retryable(kind, ended.code),
        }),
        usage: Some(wire::Usage {
            user_us: ended.user_us,
            system_us: ended.system_us,
            rss_max_bytes: ended.rss_max_bytes,
        }),
        stdout_bytes: ended.stdout_bytes,
        stderr_bytes: ended.stderr_bytes,
        ..wire::Finished::default()
    }
}

/// The report of an attempt that no process was started for.
pub(crate) fn not_run(token: u64, at_ms: u64, kind: Kind, message: String) -> wire::Finished {
    wire::Finished {
        token,
        started_at_ms: 0,
        ended_at_ms: at_ms,
        exit: Some(wire::Exit {
            kind: kind as i32,
            message,
            retryable: is_retryable(kind, 1),
            ..wire::Exit::default()
        }),
        usage: Some(wire::Usage::default()),
        ..wire::Finished::default()
    }
}

/// Whether another attempt may end otherwise.
fn is_retryable(kind: Kind, code: i32) -> bool {
    match kind {
        Kind::Exited => code != 0,
        Kind::TimedOut | Kind::Cancelled => false,
        Kind::Unknown
        | Kind::Signaled
        | Kind::NotStarted
        | Kind::InputBad
        | Kind::NoSpace
        | Kind::OutputBad
        | Kind::Lost => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_numbers_and_own_variables_win() {
        let attempt = wire::Attempt { token: 9, job: 4, task: 7, number: 2, ..Default::default() };
        let command = wire::Command {
            program: "p".to_owned(),
            args: vec!["a%{TASK}-%{JOB}-%{ATTEMPT}%{X}".to_owned()],
            env: [("HESPER_JOB_ID".to_owned(), "mine %{TASK}".to_owned())].into(),
            directory: String::new(),
        };
        let spec = command_spec(&attempt, &command);
        assert_eq!(spec.args, ["a7-4-2%{X}"]);
        let last = spec.env.iter().rfind(|(name, _)| name == "HESPER_JOB_ID").unwrap();
        assert_eq!(last.1, "mine 7");
        let of = |name: &str| spec.env.iter().find(|(found, _)| found == name).unwrap().1.clone();
        assert_eq!((of("SLURM_ARRAY_TASK_ID"), of("HESPER_TOKEN")), ("7".into(), "9".into()));
        assert_eq!(spec.directory, None);
    }
}
