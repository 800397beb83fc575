//! **Purpose**: a job as it is submitted.

use hesper_protos::job;
use hesper_scheduler::{
    ArraySpec, CommandWork, Demand, Dependency, DependencyKind, JobId, JobSpec, Range,
};
use tonic::Status;

use super::invalid;

/// The longest piece of text that comes in with a job: a script in an argument.
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;

/// All text of a job together.
const JOB_BYTES_MAX: usize = 256 * 1024;

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
