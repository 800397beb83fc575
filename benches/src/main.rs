//! **Purpose**: runs the benchmarks, writes the results file, prints the table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use clap::builder::FalseyValueParser;
use hesper_benches::case::{Case, Plan};
use hesper_benches::machine::Setting;
use hesper_benches::row::{self, Row};
use hesper_benches::rows::{self, Group, KINDS, Kind};
use hesper_benches::{disc, floor, procs};

/// Benchmarks of Hesper against its peers, with real processes and real fsync.
///
/// The exit code is 1 when a row could not be measured; the others are written all the same.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Measure this row only; may be given several times
    #[arg(long = "name", value_name = "ROW")]
    names: Vec<String>,
    /// Which rows to measure when none is named
    #[arg(long, value_enum, default_value = "jobs")]
    group: Group,
    /// Print the names of all rows
    #[arg(long)]
    list: bool,
    /// Where the rows are written; rows of other names that are there already stay
    #[arg(long, value_name = "FILE", default_value = "benches/results/latest.json")]
    out: PathBuf,
    /// Directory for data and logs; it has to lie on a disc
    #[arg(long, value_name = "DIR", default_value_os_t = default_dir())]
    dir: PathBuf,
    /// Keep data and logs after a good run
    #[arg(long)]
    keep: bool,
    /// The binary to measure
    #[arg(long, env = "HESPER", value_name = "FILE", default_value_os_t = default_binary())]
    hesper: PathBuf,
    /// Where builds of peers lie below `peer` [default: hesper/target below the user's cache]
    #[arg(long, env = "CARGO_TARGET_DIR", value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Kernels: whole sectors everywhere; takes hours
    #[arg(long, env = "FULL", value_parser = FalseyValueParser::new())]
    full: bool,
    /// Alternations with a peer
    #[arg(long, default_value_t = 3, hide = true)]
    samples: usize,
    /// Seconds of a closed loop
    #[arg(long, default_value_t = 5, hide = true)]
    seconds: u64,
    /// Divide the numbers of tasks and jobs, for a trial
    #[arg(long, default_value_t = 1, hide = true)]
    shrink: usize,
    /// Run the peers alone, for a trial
    #[arg(long, hide = true)]
    peers_only: bool,
}

fn default_dir() -> PathBuf {
    std::env::current_dir().unwrap_or_default().join("target/bench")
}

fn default_binary() -> PathBuf {
    std::env::current_exe().map_or_else(|_| "hesper".into(), |own| own.with_file_name("hesper"))
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        rows::names().for_each(|name| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    rows::check_names(&options.names)?;
    let needs_binary =
        KINDS.iter().any(|kind| kind.needs_binary() && !wanted(*kind, options).is_empty());
    if needs_binary && !options.peers_only && !options.hesper.is_file() {
        bail!("`{}` is not there; build it, or name it with HESPER=...", options.hesper.display());
    }
    let dir = options.dir.join(std::process::id().to_string());
    fs::create_dir_all(&dir).with_context(|| format!("could not make `{}`", dir.display()))?;
    let fs_name = disc::require_disc(&dir).inspect_err(|_| {
        // Only the empty directory made just now; that it stays would do no harm.
        let _left = fs::remove_dir(&dir);
    })?;
    let dir = dir.canonicalize().context("could not resolve the directory")?;
    let setting = Setting::now(&fs_name);
    println!("machine: {}; commit {}; data in {}", setting.machine, setting.commit, dir.display());

    println!("{}", floor::describe(&dir)?);

    // Dropped last, also on a panic: whatever still runs is ended.
    let _sweep = procs::Sweep::new()?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    let Measured { rows: measured, not_run, failed } = runtime
        .block_on(async {
            tokio::select! {
                outcome = measure_all(options, &dir, &setting) => Ok(outcome),
                stopped = stop_signal() => Err(stopped),
            }
        })
        .map_err(|stopped| match stopped {
            Ok(()) => anyhow::anyhow!("stopped by a signal; nothing was written"),
            Err(error) => error,
        })?;
    println!("\n{}", row::table(&measured));
    for (row, why) in &not_run {
        println!("{row}  not run: {why}");
    }
    // A trial has no rows, and must not touch those of a run.
    if !options.peers_only {
        row::write(&options.out, &measured)?;
        println!("written to {}", options.out.display());
    }
    if failed.is_empty() {
        if !options.keep {
            fs::remove_dir_all(&dir)
                .with_context(|| format!("could not remove `{}`", dir.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    for (names, error) in &failed {
        eprintln!("error: {names} not measured: {error:#}");
    }
    eprintln!("data and logs are kept in {}", dir.display());
    Ok(ExitCode::FAILURE)
}

/// The rows of a kind that are wanted: those that are named, else those of the group.
fn wanted(kind: Kind, options: &Options) -> Vec<String> {
    let is_wanted = |row: &&&str| match options.names.as_slice() {
        [] => kind.group() == options.group,
        names => names.iter().any(|name| name == **row),
    };
    kind.rows().iter().filter(is_wanted).map(|row| (*row).to_owned()).collect()
}

/// What a run has to tell.
#[derive(Default)]
struct Measured {
    rows: Vec<Row>,
    not_run: Vec<(String, String)>,
    failed: Vec<(String, anyhow::Error)>,
}

async fn measure_all(options: &Options, dir: &Path, setting: &Setting) -> Measured {
    let plan = Plan {
        samples: options.samples.max(1),
        seconds: options.seconds.max(1),
        shrink: options.shrink.max(1),
        full: options.full,
    };
    let begun = Instant::now();
    let mut measured = Measured::default();
    if options.peers_only {
        let case =
            Case::new(options.hesper.clone(), Vec::new(), dir.join("peers"), plan, setting.clone());
        if let Err(error) = rows::try_peers(&case).await {
            measured.failed.push(("the peers".to_owned(), error));
        }
        return measured;
    }
    for kind in KINDS {
        let wanted = wanted(kind, options);
        if wanted.is_empty() {
            continue;
        }
        let run_max = kind.group().run_max(options.full);
        if begun.elapsed() + kind.limit(options.full) / 2 > run_max {
            measured.failed.push((wanted.join(", "), anyhow::anyhow!("the run has no time left")));
            continue;
        }
        let names = wanted.join(", ");
        println!("{names}");
        let case_begun = Instant::now();
        let setting = setting.with_load_now();
        let case_dir = dir.join(format!("{kind:?}").to_lowercase());
        let mut case = Case::new(options.hesper.clone(), wanted, case_dir, plan, setting);
        case.target_dir = options.target_dir.clone();
        if let Err(error) = kind.measure(&mut case).await {
            eprintln!("  failed: {error:#}");
            measured.failed.push((names, error));
        }
        let (rows, not_run) = case.into_rows();
        measured.rows.extend(rows);
        measured.not_run.extend(not_run);
        tokio::task::block_in_place(procs::end_descendants);
        println!("  took {:.0?}", case_begun.elapsed());
    }
    measured
}

async fn stop_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped.context("could not listen for SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}
