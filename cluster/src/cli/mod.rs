//! **Purpose**: the command line: nouns and verbs, one module per noun.
//!
//! **Invariants**
//! - Exit codes: 0 done; 1 the job failed, or anything not named here; 2 wrong usage or
//!   configuration; 3 the cluster cannot be reached; 4 no such thing; 5 refused.
//! - With `--output json` results and errors are one JSON value each.

mod auth;
mod chain;
mod client;
mod config;
mod connection;
mod directives;
mod error;
mod executor;
mod job;
mod node;
mod overrides;
mod params;
mod proof;
mod sector;
mod submit;
mod token;
mod up;
mod wallet;
mod watch;

pub use error::Error;
pub use params::{ParamsAction, ParamsReport, ParamsRow, ParamsWish};

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{LogFormat, Logging};
use crate::output::{Format, Output};
use crate::roles;

const ABOUT: &str = "Distributed job scheduler for proof-of-storage work";
const LONG_ABOUT: &str = "\
Hesper runs jobs on many machines and loses none: pool nodes agree on every job before they
acknowledge it, executors do the work. Sealing and proving Filecoin sectors are jobs with known
stages; any other program is a job too.";
const EXAMPLES: &str = "\
Examples:
  hesper up                                       one node and one executor on this machine
  hesper job submit --cpus 2 --wait -- make -j2   run a program somewhere, wait for it
  hesper job submit --array 1-1000%50 -- ./sweep  a thousand tasks, at most fifty at once
  hesper sector seal --miner f01000 --proof 2KiB --file README.md --wait
  hesper node status

Exit codes: 0 done, 1 the job failed, 2 wrong usage, 3 cluster not reached, 4 no such thing, 5 refused.";

/// The command line as a whole.
#[derive(Debug, Parser)]
#[command(name = "hesper", version, about = ABOUT, long_about = LONG_ABOUT, after_long_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, clap::Args)]
struct Global {
    /// For people, or one JSON value for programs.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Everywhere")]
    output: Format,
    /// Log level or filter [default: info for node, executor and up; warn for other commands].
    #[arg(long = "log", value_name = "FILTER", global = true, help_heading = "Everywhere")]
    log: Option<String>,
    /// Shape of log lines.
    #[arg(long, value_enum, value_name = "FORMAT", global = true, help_heading = "Everywhere")]
    log_format: Option<LogFormat>,
}

impl Global {
    fn out(&self) -> Output {
        Output { format: self.output }
    }

    /// The logging flags as overrides of a role's configuration.
    fn log_overrides(&self) -> Vec<(&'static str, String)> {
        let filter = self.log.clone().map(|filter| ("log", filter));
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => ("log_format", "text".to_owned()),
            LogFormat::Json => ("log_format", "json".to_owned()),
        });
        filter.into_iter().chain(format).collect()
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pool nodes: make, run, join, leave, look.
    #[command(subcommand)]
    Node(node::Node),
    /// Executors: run, join, look, cordon, drain.
    #[command(subcommand)]
    Executor(executor::Executor),
    /// Jobs: submit, look, wait, cancel, read output.
    Job(job::Job),
    /// Sectors: seal, look, verify, unseal.
    Sector(sector::Sector),
    /// Proofs of spacetime: winning, window, verify.
    Proof(proof::Proof),
    /// Proof parameters on this machine: list, generate, verify.
    #[command(subcommand)]
    Params(params::Params),
    /// Users, miners, signers, tokens, limits and quotas.
    Auth(auth::Auth),
    /// Clients: join a cluster with a token.
    #[command(subcommand)]
    Client(client::Client),
    /// Addresses, actor methods and their parameters, without a cluster.
    #[command(subcommand)]
    Chain(chain::Chain),
    /// Wallets: make, run, join; keys, signatures, policy, sign log.
    #[command(subcommand)]
    Wallet(wallet::Wallet),
    /// Run one node and one executor on this machine.
    Up(Box<up::Up>),
    /// Print every key of a configuration with its meaning and preset.
    Config(config::Config),
    /// Print a completion script for a shell.
    #[command(after_help = "Example: hesper completions bash > /etc/bash_completion.d/hesper")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Run one stage as a child of an executor.
    #[command(hide = true)]
    Kernel {
        /// Make development parameters in this directory when the stage needs some that are missing.
        #[arg(long, value_name = "DIR")]
        make_parameters: Option<Utf8PathBuf>,
        /// The order, as JSON; several of PC1 with one proof type are labelled in lockstep.
        #[arg(required = true, value_name = "ORDER")]
        orders: Vec<Utf8PathBuf>,
    },
    /// Keep the children of an executor.
    #[command(hide = true)]
    Supervise {
        /// The executor's data directory.
        dir: Utf8PathBuf,
    },
    /// Measure a kernel.
    #[command(hide = true)]
    KernelBench {
        /// Which.
        name: String,
        /// Where scratch files may be put.
        #[arg(long)]
        scratch: Option<Utf8PathBuf>,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return error::usage(&error),
    };
    let out = cli.global.out();
    match run(cli) {
        Ok(code) => code,
        Err(error) => error.report(out),
    }
}

fn run(cli: Cli) -> Result<ExitCode, Error> {
    let Cli { global, command } = cli;
    match command {
        Command::Kernel { make_parameters, orders } => {
            Ok(roles::kernel(&orders, make_parameters.as_deref()))
        }
        Command::Supervise { dir } => Ok(roles::supervise(&dir)),
        Command::KernelBench { name, scratch } => {
            Ok(roles::kernel_bench(&name, scratch.as_deref()))
        }
        Command::Completions { shell } => completions(shell),
        Command::Config(config) => config.run(),
        Command::Params(params) => params.run(global.out()),
        Command::Chain(chain) => chain.run(global.out()),
        Command::Node(node::Node::Run(run)) => run.run(&global),
        Command::Executor(executor::Executor::Run(run)) => run.run(&global),
        Command::Wallet(wallet::Wallet::Run(run)) => wallet::run(&run, &global),
        Command::Up(up) => up.run(&global),
        command => quiet_log(&global).and_then(|()| block_on_one(ask(command, global.out()))),
    }
}

/// Commands that ask a cluster and print what it says.
async fn ask(command: Command, out: Output) -> Result<ExitCode, Error> {
    match command {
        Command::Node(node) => node.ask(out).await,
        Command::Executor(executor) => executor.ask(out).await,
        Command::Job(job) => job.ask(out).await,
        Command::Sector(sector) => sector.ask(out).await,
        Command::Proof(proof) => proof.ask(out).await,
        Command::Auth(auth) => auth.ask(out).await,
        Command::Client(client) => client.ask(out).await,
        Command::Wallet(wallet) => wallet.ask(out).await,
        Command::Params(_)
        | Command::Chain(_)
        | Command::Up(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Kernel { .. }
        | Command::Supervise { .. }
        | Command::KernelBench { .. } => Ok(ExitCode::SUCCESS),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hesper", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(ExitCode::SUCCESS)
}

fn quiet_log(global: &Global) -> Result<(), Error> {
    let filter = global.log.clone().unwrap_or_else(|| "warn".to_owned());
    let format = global.log_format.unwrap_or(LogFormat::Text);
    Ok(crate::logging::start(&Logging { filter, format })?)
}

fn block_on_one<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Runs a long-lived role until it ends or a signal asks it to.
fn block_on_many<F>(
    threads: Option<usize>,
    logging: &Logging,
    role: impl FnOnce(crate::shutdown::Shutdown) -> F,
) -> Result<ExitCode, Error>
where
    F: Future<Output = anyhow::Result<()>>,
{
    crate::logging::start(logging)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()?.block_on(async {
        let shutdown = crate::shutdown::on_signal()?;
        role(shutdown).await.map_err(Error::Role)
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_help_text() {
        fn walk(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path} has no help");
                for arg in sub.get_arguments() {
                    assert!(arg.get_help().is_some(), "{path} {} has no help", arg.get_id());
                }
                walk(sub, &path);
            }
        }
        walk(&Cli::command(), "hesper");
    }

    #[test]
    fn completions_are_made_for_each_shell() {
        for shell in
            [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
        {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hesper", &mut script);
            assert!(String::from_utf8(script).unwrap().contains("submit"));
        }
    }

    fn refused(line: &str) -> String {
        Cli::try_parse_from(line.split_whitespace()).unwrap_err().to_string()
    }

    #[test]
    fn malformed_ids_and_sizes_are_refused_with_the_form_that_fits() {
        for (line, expect) in [
            ("hesper job show seven", "it is a number from 1"),
            ("hesper job logs 7.x", "job.task"),
            ("hesper job submit --memory 1.5GiB -- true", "whole number"),
            ("hesper job submit --array 5-1 -- true", "backwards"),
            ("hesper job submit --time-limit 10 -- true", "30s or 1h30m"),
            ("hesper job submit --after soon:7 -- true", "ok:, any: or not-ok:"),
            ("hesper sector show --miner f1abc --sector 1", "only id addresses"),
            ("hesper sector seal --miner f01000 --proof 3GiB --file x", "2KiB, 8MiB"),
            ("hesper proof winning --miner 1 --sectors 2-1 --randomness 00", "backwards"),
            ("hesper proof winning --miner 1 --sectors 1 --randomness 00", "64 hexadecimal digits"),
            ("hesper node token --role king", "node, executor, client, admin"),
        ] {
            let text = refused(line);
            assert!(text.contains(expect), "{line}: {text}");
        }
    }

    #[test]
    fn roles_take_every_key_of_their_configuration_as_a_flag() {
        for line in [
            "hesper node run --data-dir /d --name n1 --queue-limit 5 --election-min 1s",
            "hesper executor run --data-dir /d --cores 2 --paths id=a,dir=/a --paths id=b,dir=/b --resources x=1",
            "hesper executor run --data-dir /d --cpus 2 --runner noop",
            "hesper up --data-dir /d --cores 1 --output json --log debug",
        ] {
            Cli::try_parse_from(line.split_whitespace()).unwrap();
        }
    }
}
