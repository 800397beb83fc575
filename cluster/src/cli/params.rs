//! **Purpose**: `hesper params`: the proof parameters of this machine. They are local files; no
//! cluster is asked.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Subcommand;
use serde::Serialize;

use super::Error;
use crate::output::{Align, Output, Show, Table};
use crate::parameters;
use crate::values::{Proof, format_size, parse_proof};

/// Proof parameters.
#[derive(Debug, Subcommand)]
pub enum Params {
    /// List the parameter files of this machine.
    #[command(visible_alias = "ls")]
    List(Place),
    /// Make development parameters; they prove nothing on a public network.
    #[command(after_help = "\
Files that are there and right are kept, files that something else made are never written over.
Example: hesper params generate --proof 2KiB")]
    Generate(Place),
    /// Check parameter files against their digests.
    Verify(Place),
}

/// Where, and for which sectors.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The sector's size; all sizes when not given (generate: 2KiB).
    #[arg(long, value_name = "SIZE", value_parser = parse_proof)]
    proof: Option<Proof>,
    /// Directory of the parameters [default: ~/.cache/hesper/proof-parameters].
    #[arg(long, value_name = "DIR", env = "FIL_PROOFS_PARAMETER_CACHE")]
    dir: Option<Utf8PathBuf>,
}

/// What is to be done with parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamsAction {
    /// Look, without reading whole files.
    List,
    /// Make what is missing.
    Generate,
    /// Read all and compare digests.
    Verify,
}

/// What is to be done, where, for which sectors.
#[derive(Clone, Debug)]
pub struct ParamsWish {
    /// What.
    pub action: ParamsAction,
    /// The directory.
    pub dir: Utf8PathBuf,
    /// The size, or all.
    pub proof: Option<Proof>,
}

/// A parameter file.
#[derive(Clone, Debug, Serialize)]
pub struct ParamsRow {
    /// The sector's size.
    pub proof: String,
    /// `porep`, `winning` or `window`.
    pub set: String,
    /// Its name.
    pub file: String,
    /// `missing`, `present`, `development`, `production` or `damaged`.
    pub state: String,
    /// Its length, or 0.
    pub length_bytes: u64,
    /// What is wrong with it.
    pub detail: String,
}

/// The parameter files of a directory.
#[derive(Clone, Debug, Serialize)]
pub struct ParamsReport {
    /// The directory.
    pub dir: String,
    /// By size and set.
    pub files: Vec<ParamsRow>,
    /// No file that was asked about is damaged, and with verify or generate none is missing.
    pub ok: bool,
}

impl Show for ParamsReport {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("PROOF", Align::Left),
            ("SET", Align::Left),
            ("STATE", Align::Left),
            ("LENGTH", Align::Right),
            ("FILE", Align::Left),
            ("DETAIL", Align::Left),
        ]);
        for row in &self.files {
            table.row([
                row.proof.clone(),
                row.set.clone(),
                row.state.clone(),
                format_size(row.length_bytes),
                row.file.clone(),
                row.detail.clone(),
            ]);
        }
        format!("{}\n{}", self.dir, table.render())
    }
}

impl Params {
    pub(super) fn run(self, out: Output) -> Result<ExitCode, Error> {
        let (action, place) = match self {
            Params::List(place) => (ParamsAction::List, place),
            Params::Generate(place) => (ParamsAction::Generate, place),
            Params::Verify(place) => (ParamsAction::Verify, place),
        };
        let preset = || {
            let home = Utf8PathBuf::from_path_buf(std::env::home_dir()?).ok()?;
            Some(home.join(".cache/hesper/proof-parameters"))
        };
        let dir = place.dir.or_else(preset).ok_or_else(|| {
            Error::usage("there is no home directory; name a directory with --dir")
        })?;
        let proof = match (action, place.proof) {
            (ParamsAction::Generate, None) => Some(Proof::S2KiB),
            (_, proof) => proof,
        };
        let wish = ParamsWish { action, dir, proof };
        let report = parameters::run(&wish, &mut |line| out.note(line)).map_err(Error::Role)?;
        out.show(&report)?;
        if report.ok {
            return Ok(ExitCode::SUCCESS);
        }
        let detail =
            "files are missing or damaged; `hesper params generate` makes development parameters"
                .to_owned();
        Err(Error::NotValid { what: format!("the parameter directory `{}`", report.dir), detail })
    }
}
