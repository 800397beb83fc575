//! **Purpose**: runs one measured process to its end and reads its report.
//!
//! **Invariants**: a process has a time limit and a process session of its own, and it has ended when
//! `run` returns, whatever the result.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::inputs;
use super::outcome::Outcome;

/// A program with its arguments and settings, ready to run any number of times.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Short, for notes and for the name of the log.
    pub label: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Made before each run and removed after it, with what lies in it.
    pub scratch: Option<PathBuf>,
    /// Hard links of inputs, made in the scratch directory before each run: name and target.
    pub links: Vec<(String, PathBuf)>,
    /// Files, and directories with all below, that are dropped from the page cache before each run.
    pub dropped: Vec<PathBuf>,
    /// Completes the report.
    reader: fn(Outcome) -> Result<Outcome>,
}

impl Invocation {
    pub fn new(label: &str, program: &Path) -> Invocation {
        Invocation {
            label: label.to_owned(),
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            scratch: None,
            links: Vec::new(),
            dropped: Vec::new(),
            reader: Ok,
        }
    }

    pub fn labelled(mut self, more: &str) -> Invocation {
        self.label = format!("{}, {more}", self.label);
        self
    }

    pub fn arg(mut self, arg: impl ToString) -> Invocation {
        self.args.push(arg.to_string());
        self
    }

    /// `--name value`
    pub fn option(self, name: &str, value: impl ToString) -> Invocation {
        self.arg(format!("--{name}")).arg(value)
    }

    /// `--name path`
    pub fn path(self, name: &str, path: &Path) -> Invocation {
        self.option(name, path.display())
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Invocation {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn scratch(mut self, dir: PathBuf) -> Invocation {
        self.scratch = Some(dir);
        self
    }

    pub fn link(mut self, name: &str, target: &Path) -> Invocation {
        self.links.push((name.to_owned(), target.to_owned()));
        self
    }

    pub fn dropping(mut self, path: &Path) -> Invocation {
        self.dropped.push(path.to_owned());
        self
    }

    pub fn reading(mut self, reader: fn(Outcome) -> Result<Outcome>) -> Invocation {
        self.reader = reader;
        self
    }

    /// Runs it once. `log_dir` keeps what it prints.
    ///
    /// # Errors
    /// When it cannot be started, fails, is not done within `limit`, or prints no report.
    pub fn run(&self, log_dir: &Path, limit: Duration) -> Result<Outcome> {
        if let Some(scratch) = &self.scratch {
            remove(scratch)?;
            fs::create_dir_all(scratch)
                .with_context(|| format!("could not make `{}`", scratch.display()))?;
            for (name, target) in &self.links {
                fs::hard_link(target, scratch.join(name))
                    .with_context(|| format!("could not link `{}`", target.display()))?;
            }
        }
        self.dropped.iter().try_for_each(|path| inputs::drop_cached(path))?;
        let outcome = self.run_once(log_dir, limit);
        if let Some(scratch) = &self.scratch {
            remove(scratch)?;
        }
        outcome
    }

    fn run_once(&self, log_dir: &Path, limit: Duration) -> Result<Outcome> {
        fs::create_dir_all(log_dir)
            .with_context(|| format!("could not make `{}`", log_dir.display()))?;
        let name: String =
            self.label.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let log = log_dir.join(format!("{name}.log"));
        let errors = File::create(&log)
            .with_context(|| format!("could not make the log `{}`", log.display()))?;
        // `timeout` ends the process even when the harness itself is killed.
        let out = Command::new("timeout")
            .args(["-s", "KILL"])
            .arg(limit.as_secs().max(1).to_string())
            .arg(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(errors)
            .output()
            .with_context(|| format!("could not start `{}`", self.program.display()))?;
        let text = String::from_utf8_lossy(&out.stdout);
        if !out.status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let end: Vec<&str> = said.lines().rev().take(8).collect();
            bail!(
                "{} failed ({}): `{} {}`: {}",
                self.label,
                out.status,
                self.program.display(),
                self.args.join(" "),
                end.into_iter().rev().collect::<Vec<_>>().join(" | ")
            );
        }
        Outcome::parse(&text).and_then(self.reader).with_context(|| self.label.clone())
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove `{}`", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Invocation {
        Invocation::new("a shell", Path::new("/bin/sh")).arg("-c").arg(script)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn the_report_of_a_good_run_is_read_and_its_scratch_is_gone() {
        let dir = tempfile::tempdir().expect("dir");
        let scratch = dir.path().join("scratch");
        let outcome = shell(
            "touch \"$WHERE/x\" && echo '{\"cpu_ns\":5,\"wall_ns\":6,\"units\":7}' && echo said >&2",
        )
        .env("WHERE", scratch.display())
        .scratch(scratch.clone())
        .run(dir.path(), LIMIT)
        .expect("outcome");
        assert_eq!((outcome.whole.cpu_ns, outcome.whole.units), (5, 7));
        assert!(!scratch.exists());
        let said = fs::read_to_string(dir.path().join("a_shell.log")).expect("log");
        assert_eq!(said, "said\n");
    }

    #[test]
    fn a_failure_is_told_with_the_end_of_what_it_said() {
        let dir = tempfile::tempdir().expect("dir");
        let error = shell("echo broken >&2; exit 3").run(dir.path(), LIMIT).expect_err("fails");
        let text = format!("{error:#}");
        assert!(text.contains("broken") && text.contains('3'), "{text}");
    }

    #[test]
    fn a_run_without_end_is_ended() {
        let dir = tempfile::tempdir().expect("dir");
        let error = shell("sleep 600").run(dir.path(), Duration::from_secs(1)).expect_err("ends");
        assert!(format!("{error:#}").contains("failed"));
    }
}
