//! **Purpose**: `hesper wallet log`: what was asked and decided.
//!
//! Reading needs no running wallet and disturbs none; pruning goes through the wallet.

use std::io::Write;

use camino::Utf8PathBuf;
use clap::Subcommand;
use hesper_wallet::signlog::{self, Query};
use serde_json::Value;

use super::door::Place;
use super::{done, views};
use crate::cli::Error;
use crate::files;
use crate::output::Output;
use crate::values::parse_duration;

/// The sign log.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// List records, the oldest first.
    List(List),
    /// Check that no record is missing, altered or added.
    Verify(Verify),
    /// Write all records as JSON lines that can be verified anywhere.
    Export(Export),
    /// Drop old records; the chain of what is left stays verifiable.
    Prune(Prune),
}

/// List records.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only those of this key.
    #[arg(long, value_name = "ADDRESS")]
    key: Option<String>,
    /// Begin with this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    from: u64,
    /// At most so many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

/// Check the log.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// An exported file instead of a wallet's log.
    #[arg(long, value_name = "FILE")]
    file: Option<Utf8PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Write all records.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Write into this new file instead of standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<Utf8PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Drop old records.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Records younger than this stay, such as 90d.
    #[arg(long, value_name = "TIME")]
    older_than: String,
    #[command(flatten)]
    place: Place,
}

impl Log {
    pub(super) async fn ask(self, out: Output) -> Result<(), Error> {
        match self {
            Log::List(List { key, from, limit, place }) => {
                let dir = log_dir(&place)?;
                let entries = signlog::list(&dir, &Query { key, from, limit }).map_err(failed)?;
                out.show(&views::Records::from(entries))?;
                Ok(())
            }
            Log::Verify(Verify { file, place }) => {
                let (what, verified) = match file {
                    Some(file) => {
                        let open = std::fs::File::open(&file).map_err(|error| {
                            Error::usage(format!("could not read `{file}`: {error}"))
                        })?;
                        (file, signlog::verify_export(std::io::BufReader::new(open)))
                    }
                    None => {
                        let dir = log_dir(&place)?;
                        (dir.clone(), signlog::verify(&dir))
                    }
                };
                let summary = verified.map_err(|error| Error::NotValid {
                    what: format!("the sign log {what}"),
                    detail: crate::output::causes(&error),
                })?;
                done(out, format!("the sign log {what} is whole: {summary}"))
            }
            Log::Export(Export { to, place }) => export(to, &place, out),
            Log::Prune(Prune { older_than, place }) => {
                let keep = parse_duration(&older_than)?;
                let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
                let before_ms = unix_millis().saturating_sub(keep_ms);
                let mut door = place.open().await?;
                let pruned: Value = door.call("Hesper.LogPrune", vec![before_ms.into()]).await?;
                let records = pruned.get("records").or_else(|| pruned.get("Records"));
                done(out, format!("{} records are gone", records.unwrap_or(&pruned)))
            }
        }
    }
}

fn export(to: Option<Utf8PathBuf>, place: &Place, out: Output) -> Result<(), Error> {
    let dir = log_dir(place)?;
    match to {
        Some(file) if file.exists() => Err(Error::usage(format!(
            "`{file}` exists; name a new file, so that nothing is overwritten"
        ))),
        Some(file) => {
            let mut bytes = Vec::new();
            let records = signlog::export(&dir, &mut bytes).map_err(failed)?;
            files::write_private(&file, &bytes)?;
            done(out, format!("{records} records are in {file}"))
        }
        None => {
            let mut stdout = std::io::stdout().lock();
            signlog::export(&dir, &mut stdout).map_err(failed)?;
            stdout.flush()?;
            Ok(())
        }
    }
}

fn unix_millis() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn log_dir(place: &Place) -> Result<Utf8PathBuf, Error> {
    Ok(place.config()?.data_dir.join("log"))
}

fn failed(error: signlog::LogError) -> Error {
    Error::NotValid { what: "the sign log".to_owned(), detail: crate::output::causes(&error) }
}
