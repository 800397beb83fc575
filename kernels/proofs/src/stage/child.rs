//! The child's side of the contract: read the order, run it, leave a durable report.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::files;
use crate::stage::{Order, Outcome, Progress, StageError, run};

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

/// Runs the order in a file, as the whole work of a process. Returns the exit code.
///
/// Prints one JSON line per step on standard output. Writes `outcome.json` or `error.json` beside
/// the order.
pub fn child_main(order_path: &Path) -> i32 {
    let report_path = |name: &str| order_path.with_file_name(name);
    // A report of an earlier run of the same order must not be taken for that of this one.
    for name in [OUTCOME_FILE, ERROR_FILE] {
        if let Err(error) = files::remove_if_there(&report_path(name)) {
            eprintln!("{error}");
            return EXIT_NO_REPORT;
        }
    }
    let (path, bytes, code) = match run_file(order_path) {
        Ok(outcome) => {
            let bytes = serde_json::to_vec_pretty(&outcome).expect("plain fields serialise");
            (report_path(OUTCOME_FILE), bytes, EXIT_OK)
        }
        Err(error) => {
            eprintln!("{error}");
            let report = error.report();
            let bytes = serde_json::to_vec_pretty(&report).expect("plain fields serialise");
            (report_path(ERROR_FILE), bytes, EXIT_FAILED)
        }
    };
    match files::write_durably(&path, &bytes) {
        Ok(()) => code,
        Err(error) => {
            eprintln!("{error}");
            EXIT_NO_REPORT
        }
    }
}

fn run_file(path: &Path) -> Result<Outcome, StageError> {
    let unreadable = |why: String| StageError::Order { path: PathBuf::from(path), why };
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let order: Order =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
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

/// A parent that no longer listens is no reason to stop: the report file is what counts.
fn print(progress: Progress) {
    let line = serde_json::to_string(&progress).expect("plain fields serialise");
    let mut out = std::io::stdout().lock();
    let _unheard = writeln!(out, "{line}").and_then(|()| out.flush()).is_err();
}
