//! **Purpose**: `hesper job submit`: flags, or a job script with directives, become a job.
//!
//! **Invariants**
//! - A flag wins over a directive of the script.
//! - A script travels as text, so that it need not exist on the executor.

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::job::{Array, Dependency, JobSpec, Resources};
use std::time::Duration;

use super::directives;
use super::watch::until_ended;
use super::{Error, watch};
use crate::client::Client;
use crate::files;
use crate::output::{Output, views};
use crate::values::{
    parse_array, parse_dependency, parse_duration, parse_env, parse_named, parse_size,
};

/// A script is one argument of its interpreter; the kernel allows 128 KiB for one.
const SCRIPT_BYTES_MAX: usize = 64 << 10;

/// Submit a program or a job script.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "hesper job submit [OPTIONS] -- PROGRAM [ARGS]...\n       hesper job submit [OPTIONS] SCRIPT [-- ARGS]...",
    after_long_help = "\
When this returns, a majority of the nodes has the job on disc. Each task runs with HESPER_JOB_ID,
HESPER_TASK_INDEX and HESPER_ATTEMPT set (and their SLURM_ equivalents); %{JOB}, %{TASK} and
%{ATTEMPT} in arguments are replaced.

A script may carry its options in comment lines before its first command:
  #!/bin/bash
  #HESPER --cpus 2 --memory 1GiB
  #SBATCH --array=1-100%10 --time=01:00:00
#SBATCH lines are understood as far as Hesper has the same thing; others are named and ignored.

Examples:
  hesper job submit --cpus 2 --memory 1GiB --wait -- make -j2
  hesper job submit --name sweep --array 1-1000%50 -- ./run.sh '%{TASK}'
  hesper job submit --after 7 --after any:8 -- ./collect
  hesper job submit script.sh"
)]
pub struct Submit {
    #[command(flatten)]
    options: JobOptions,
    /// Wait until the job has ended and show its progress; the exit code is the job's.
    #[arg(long)]
    wait: bool,
    /// A job script on this machine.
    script: Option<Utf8PathBuf>,
    /// The program and its arguments, or the arguments of the script.
    #[arg(last = true, value_name = "PROGRAM")]
    command: Vec<String>,
}

/// What a job asks for: the same as flags and as `#HESPER` directives.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JobOptions {
    /// Name of the job [default: the program's].
    #[arg(long, short = 'J')]
    name: Option<String>,
    /// Cores of each task.
    #[arg(long, short = 'c', value_name = "NUMBER", help_heading = "Resources of each task")]
    cpus: Option<u32>,
    /// Memory of each task.
    #[arg(long, short = 'm', value_name = "SIZE", value_parser = parse_size, help_heading = "Resources of each task")]
    memory: Option<u64>,
    /// GPUs of each task.
    #[arg(long, value_name = "NUMBER", help_heading = "Resources of each task")]
    gpus: Option<u32>,
    /// A countable resource that executors offer by name; may be repeated.
    #[arg(long = "resource", value_name = "NAME=COUNT", value_parser = parse_named, help_heading = "Resources of each task")]
    resources: Vec<(String, u64)>,
    /// One task per index, such as 1-1000%50 (at most 50 at once) or 1-10:2,20.
    #[arg(long, short = 'a', value_name = "RANGES[%MAX]", value_parser = parse_array)]
    array: Option<Array>,
    /// Start after this job has succeeded; any:JOB after any end, not-ok:JOB after failure; may be repeated.
    #[arg(long, value_name = "[CONDITION:]JOB", value_parser = parse_dependency)]
    after: Vec<Dependency>,
    /// Larger goes first.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i32>,
    /// A task that runs longer is ended.
    #[arg(long, short = 't', value_name = "TIME", value_parser = parse_duration)]
    time_limit: Option<Duration>,
    /// How often a failed task is tried in all [default: 3].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_attempts: Option<u32>,
    /// Never run a task again whose end is not known.
    #[arg(long)]
    at_most_once: bool,
    /// An environment variable of each task; may be repeated.
    #[arg(long, short = 'e', value_name = "NAME=VALUE", value_parser = parse_env)]
    env: Vec<(String, String)>,
    /// Directory on the executor in which tasks run [default: one of their own].
    #[arg(long, short = 'D', value_name = "DIR")]
    dir: Option<String>,
}

impl JobOptions {
    /// These options, and the others where these say nothing. Lists are joined.
    pub(super) fn or(self, others: JobOptions) -> JobOptions {
        JobOptions {
            name: self.name.or(others.name),
            cpus: self.cpus.or(others.cpus),
            memory: self.memory.or(others.memory),
            gpus: self.gpus.or(others.gpus),
            resources: joined(others.resources, self.resources),
            array: self.array.or(others.array),
            after: joined(others.after, self.after),
            priority: self.priority.or(others.priority),
            time_limit: self.time_limit.or(others.time_limit),
            max_attempts: self.max_attempts.or(others.max_attempts),
            at_most_once: self.at_most_once || others.at_most_once,
            env: joined(others.env, self.env),
            dir: self.dir.or(others.dir),
        }
    }

    /// The job on the wire.
    fn spec(self, preset_name: &str, program: Vec<String>) -> Result<JobSpec, Error> {
        let mut words = program.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or_else(|| {
            Error::usage("no program is named; write it after `--`, such as: hesper job submit -- echo hello")
        })?;
        if self.cpus == Some(0) && self.gpus.unwrap_or(0) == 0 && self.resources.is_empty() {
            return Err(Error::usage(
                "a task that asks for nothing would run without limit; give --cpus, --gpus or --resource",
            ));
        }
        if self.time_limit.is_some_and(|limit| limit.is_zero()) {
            return Err(Error::usage(
                "a time limit must be longer than zero; leave it out for none",
            ));
        }
        Ok(JobSpec {
            name: self.name.unwrap_or_else(|| preset_name.to_owned()),
            program,
            args: words.collect(),
            env: self.env.into_iter().collect(),
            directory: self.dir.unwrap_or_default(),
            resources: Some(Resources {
                cores: self.cpus.unwrap_or(1),
                memory_bytes: self.memory.unwrap_or(0),
                gpus: self.gpus.unwrap_or(0),
                named: self.resources.into_iter().collect(),
            }),
            array: self.array,
            after: self.after,
            priority: self.priority.unwrap_or(0),
            time_limit_ms: self
                .time_limit
                .map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            attempts_max: self.max_attempts.unwrap_or(0),
            at_most_once: self.at_most_once,
        })
    }
}

impl Submit {
    pub(super) async fn ask(self, client: &Client, out: Output) -> Result<(), Error> {
        let wait = self.wait;
        let (spec, notes) = self.spec()?;
        for note in notes {
            out.note(&note);
        }
        let reply = client.submit(spec).await?;
        if !wait {
            return Ok(out.show(&views::Submitted { job: reply.job, log_index: reply.index })?);
        }
        out.note(&format!("submitted job {}", reply.job));
        let ended = until_ended(client, reply.job, out).await?;
        out.show(&views::Job::from(ended.clone()))?;
        if ended.state == "succeeded" { Ok(()) } else { Err(watch::bad_end(&ended)) }
    }

    /// The job, and what of the script's directives was ignored.
    fn spec(self) -> Result<(JobSpec, Vec<String>), Error> {
        let Some(path) = self.script else {
            let name = self.command.first().map_or("", |program| base_name(program)).to_owned();
            return Ok((self.options.spec(&name, self.command)?, Vec::new()));
        };
        let text = read_script(&path)?;
        let directives::Found { options, notes } = directives::read(&text)?;
        let mut program = interpreter(&path, &text)?;
        program.extend(["-c".to_owned(), text, path.to_string()]);
        program.extend(self.command);
        let spec = self.options.or(options).spec(base_name(path.as_str()), program)?;
        Ok((spec, notes))
    }
}

fn joined<T>(mut base: Vec<T>, own: Vec<T>) -> Vec<T> {
    base.extend(own);
    base
}

fn read_script(path: &Utf8Path) -> Result<String, Error> {
    let text = files::read_text(path).map_err(|error| {
        if error.is_missing() {
            Error::usage(format!(
                "there is no job script `{path}`; to run a program write `--` before it: hesper job submit -- {path}"
            ))
        } else if error.source.kind() == std::io::ErrorKind::InvalidData {
            Error::usage(format!(
                "`{path}` is not a text file; to run a program write `--` before it: hesper job submit -- {path}"
            ))
        } else {
            error.into()
        }
    })?;
    if text.len() > SCRIPT_BYTES_MAX {
        return Err(Error::usage(format!(
            "the script `{path}` has {} bytes, and at most {SCRIPT_BYTES_MAX} travel with a job; put it where executors can read it and submit a line that runs it",
            text.len()
        )));
    }
    if text.contains('\0') {
        return Err(Error::usage(format!(
            "the script `{path}` holds a zero byte; it is not a text file"
        )));
    }
    Ok(text)
}

/// The interpreter that the first line names; all of these take the script after `-c`.
fn interpreter(path: &Utf8Path, text: &str) -> Result<Vec<String>, Error> {
    const WITH_TEXT: [&str; 6] = ["sh", "bash", "dash", "ksh", "zsh", "python3"];
    let Some(line) = text.lines().next().and_then(|line| line.strip_prefix("#!")) else {
        return Err(Error::usage(format!(
            "the script `{path}` does not begin with `#!`; name its interpreter in the first line, such as #!/bin/sh"
        )));
    };
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let found = words
        .iter()
        .find(|word| !word.starts_with('-') && base_name(word) != "env")
        .map(|word| base_name(word));
    match found {
        Some(name) if WITH_TEXT.contains(&name) || name == "python" => Ok(words),
        _ => Err(Error::usage(format!(
            "scripts for `{}` cannot travel as text, only those for {}; put it where executors can read it and submit: hesper job submit -- INTERPRETER FILE",
            line.trim(),
            WITH_TEXT.join(", ")
        ))),
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
