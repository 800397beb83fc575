//! **Purpose**: structured logs, as text or JSON, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};
use crate::values::ValueError;

/// Libraries that tell every step at `info`.
const CHATTY: [&str; 6] = [
    "openraft",
    "storage_proofs_core",
    "storage_proofs_porep",
    "storage_proofs_post",
    "filecoin_proofs",
    "bellperson",
];

/// A bare level is meant for Hesper; libraries then say only what is unexpected.
fn with_quiet_libraries(filter: &str) -> String {
    if !matches!(filter, "info" | "warn") {
        return filter.to_owned();
    }
    CHATTY.iter().fold(filter.to_owned(), |all, library| format!("{all},{library}=warn"))
}

/// Starts logging for the rest of the process. Later calls change nothing.
///
/// # Errors
/// When the filter does not parse.
pub fn start(logging: &Logging) -> Result<(), ValueError> {
    let filter =
        EnvFilter::builder().parse(with_quiet_libraries(&logging.filter)).map_err(|error| {
            ValueError::new(
                &logging.filter,
                "log filter",
                format!(
                    "{error}; write a level such as info, or target=level pairs separated by commas"
                ),
            )
        })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a test or an embedding program logs already, which is fine.
    let _already_started = match logging.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
