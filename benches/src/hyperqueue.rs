//! **Purpose**: the peer of the process row: HyperQueue from PyPI, server and worker in one process.
//!
//! **Source**: `peers/hyperqueue.py`, which runs it and says how its end is dated.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::procs::Proc;
use crate::tools;

const SCRIPT: &str = include_str!("../peers/hyperqueue.py");
const REQUIREMENT: &str = "hyperqueue==0.27.0";

#[derive(Debug, Deserialize)]
pub struct Outcome {
    pub version: String,
    succeeded: bool,
    outputs: usize,
    pub submit_seconds: f64,
    /// From the submit call to the start of the last task.
    pub seconds: f64,
    pub seen_seconds: f64,
    pub cpu_ms: f64,
}

/// Runs `tasks` x `/bin/true` on `cores` slots, in the new directory `dir`.
pub async fn run(dir: &Path, tasks: usize, cores: usize, limit: Duration) -> Result<Outcome> {
    let python = tools::python_with(REQUIREMENT)?;
    fs::create_dir_all(dir).with_context(|| format!("could not make `{}`", dir.display()))?;
    let script = dir.join("hyperqueue_run.py");
    fs::write(&script, SCRIPT)
        .with_context(|| format!("could not write `{}`", script.display()))?;
    let args = [
        script.display().to_string(),
        dir.display().to_string(),
        tasks.to_string(),
        cores.to_string(),
    ];
    let mut proc = Proc::start("hyperqueue", &python, args, dir)?;
    let deadline = Instant::now() + limit;
    loop {
        let log = fs::read_to_string(&proc.log).unwrap_or_default();
        if let Some(outcome) = parse(&log)? {
            proc.stop(Duration::ZERO);
            return check(outcome, tasks);
        }
        proc.require_running()?;
        if Instant::now() > deadline {
            bail!(
                "HyperQueue has not finished {tasks} tasks within {limit:?}; see {}",
                proc.log.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn parse(log: &str) -> Result<Option<Outcome>> {
    // A line without its end is still being written.
    let complete = log.rfind('\n').map_or("", |end| &log[..end]);
    let Some(line) = complete.lines().find_map(|line| line.strip_prefix("RESULT ")) else {
        return Ok(None);
    };
    Ok(Some(serde_json::from_str(line).context("the HyperQueue script printed no result")?))
}

fn check(outcome: Outcome, tasks: usize) -> Result<Outcome> {
    if !outcome.succeeded {
        bail!("some tasks of HyperQueue failed");
    }
    if outcome.outputs != 2 * tasks {
        bail!(
            "HyperQueue kept {} output files of {tasks} tasks, expected two a task",
            outcome.outputs
        );
    }
    if outcome.seconds <= 0.0 || outcome.seconds > outcome.seen_seconds {
        bail!(
            "the output files of HyperQueue date its end at {} s, which cannot be",
            outcome.seconds
        );
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "RESULT {\"version\": \"0.27.0\", \"succeeded\": true, \"outputs\": 20, \
         \"submit_seconds\": 0.1, \"seconds\": 2.0, \"seen_seconds\": 3.0, \"cpu_ms\": 40.0}\n";

    #[test]
    fn a_result_is_found_behind_other_output() {
        let log = format!("100%|####| 10/10\n{LINE}");
        let outcome = check(parse(&log).expect("json").expect("found"), 10).expect("good");
        assert_eq!((outcome.version.as_str(), outcome.seconds), ("0.27.0", 2.0));
    }

    #[test]
    fn an_unfinished_line_is_no_result_yet() {
        assert!(parse(LINE.trim_end()).expect("nothing").is_none());
        assert!(parse("").expect("nothing").is_none());
        assert!(parse("RESULT {]\n").is_err());
    }

    #[test]
    fn missing_outputs_and_failures_are_refused() {
        let parsed = |text: &str| parse(text).expect("json").expect("found");
        assert!(check(parsed(LINE), 11).is_err());
        assert!(check(parsed(&LINE.replace("true", "false")), 10).is_err());
        assert!(check(parsed(&LINE.replace("2.0", "4.0")), 10).is_err());
    }
}
