//! The child's side of the contract: read the order, run it, leave a durable report.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::files;
use crate::stage::{Order, Outcome, Progress, Stage, StageError, run, run_group};

/// Usual name of the order.
pub const ORDER_FILE: &str = "order.json";
/// Written beside the order after success.
pub const OUTCOME_FILE: &str = "outcome.json";
/// Written beside the order after a failure that the child survived.
pub const ERROR_FILE: &str = "error.json";

const EXIT_OK: i32 = 0;
/// The stage failed and `error.json` says why.
const EXIT_FAILED: i32 = 1;
/// The stage failed and not even that could be written.
const EXIT_NO_REPORT: i32 = 2;

/// A file of this name beside an order of a group stops that sector; the others go on.
pub const CANCEL_FILE: &str = "cancel";

/// Runs the order in a file, or PC1 of several in lockstep, as the whole work of a process. Returns
/// the exit code.
///
/// Prints one JSON line per step on standard output. Writes `outcome.json` or `error.json` beside
/// each order as soon as it has ended. With several orders the exit code is 0 if all have an outcome.
pub fn child_main(order_paths: &[PathBuf]) -> i32 {
    for path in order_paths {
        // A report of an earlier run of the same order must not be taken for that of this one.
        for name in [OUTCOME_FILE, ERROR_FILE] {
            if let Err(error) = files::remove_if_there(&path.with_file_name(name)) {
                eprintln!("{error}");
                return EXIT_NO_REPORT;
            }
        }
    }
    match order_paths {
        [path] => report(path, run_file(path)),
        several => run_files(several),
    }
}

/// Leaves the report of an order beside it. Returns the exit code.
fn report(order_path: &Path, result: Result<Outcome, StageError>) -> i32 {
    let (name, bytes, code) = match result {
        Ok(outcome) => {
            let bytes = serde_json::to_vec_pretty(&outcome).expect("plain fields serialise");
            (OUTCOME_FILE, bytes, EXIT_OK)
        }
        Err(error) => {
            eprintln!("{error}");
            let report = error.report();
            let bytes = serde_json::to_vec_pretty(&report).expect("plain fields serialise");
            (ERROR_FILE, bytes, EXIT_FAILED)
        }
    };
    match files::write_durably(&order_path.with_file_name(name), &bytes) {
        Ok(()) => code,
        Err(error) => {
            eprintln!("{error}");
            EXIT_NO_REPORT
        }
    }
}

fn read_order(path: &Path) -> Result<Order, StageError> {
    let unreadable = |why: String| StageError::Order { path: PathBuf::from(path), why };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))
}

fn run_file(path: &Path) -> Result<Outcome, StageError> {
    let order = read_order(path)?;
    if let Some(threads) = order.threads {
        // An already built pool means that this process was not started for this order alone; its
        // size is then whoever built it to answer for.
        let threads = usize::try_from(threads.max(1)).expect("32 bits fit");
        let _already_built =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_err();
    }
    let stage = order.stage;
    catch_unwind(AssertUnwindSafe(|| run(&order, &mut print)))
        .unwrap_or_else(|panic| Err(StageError::from_panic(stage, panic.as_ref())))
}

/// A group: an order that cannot be read fails alone.
fn run_files(paths: &[PathBuf]) -> i32 {
    let mut worst = EXIT_OK;
    let mut places = Vec::new();
    let mut orders = Vec::new();
    for (place, path) in paths.iter().enumerate() {
        match read_order(path) {
            Ok(order) => {
                places.push(place);
                orders.push(order);
            }
            Err(error) => worst = worst.max(report(path, Err(error))),
        }
    }
    let cancel_files: Vec<PathBuf> =
        places.iter().map(|place| paths[*place].with_file_name(CANCEL_FILE)).collect();
    let mut is_open = vec![true; orders.len()];
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let progress = &mut |at: usize, step: Progress| {
            print(Progress { order: u32::try_from(places[at]).ok(), ..step });
        };
        let ended = &mut |at: usize, result| {
            is_open[at] = false;
            worst = worst.max(report(&paths[places[at]], result));
        };
        run_group(&orders, &cancel_files, progress, ended)
    }));
    let why = match ran {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(StageError::from_panic(Stage::Pc1, panic.as_ref()).to_string()),
    };
    for (at, order) in orders.iter().enumerate().filter(|(at, _)| is_open[*at]) {
        let text = why.clone().unwrap_or_else(|| "the kernel did not end this sector".to_owned());
        let error = StageError::Kernel { stage: order.stage, source: anyhow::Error::msg(text) };
        worst = worst.max(report(&paths[places[at]], Err(error)));
    }
    worst
}

/// A parent that no longer listens is no reason to stop: the report file is what counts.
fn print(progress: Progress) {
    let line = serde_json::to_string(&progress).expect("plain fields serialise");
    let mut out = std::io::stdout().lock();
    let _unheard = writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
}
