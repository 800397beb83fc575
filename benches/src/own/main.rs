//! **Purpose**: the own side of the rows about kernels: runs one thing and prints one JSON line.
//!
//! **Invariants**
//! - One measured thing in a process, so that its CPU time and peak memory are its own.
//! - From inputs on disc to finished files with their hashes; what a kernel does alone is measured
//!   after that, and beside it.
//! - Only this program of the package calls the kernels.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use hesper_benches::kernels::outcome::Outcome;

mod clock;
mod hashes;
mod post;
mod sdr;
mod trees;
mod unseal;
mod watch;

/// One measured thing of the kernels.
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Threads of the measured part
    #[arg(long, global = true, default_value = "1")]
    threads: NonZeroUsize,
    /// Directory with the tables of parents
    #[arg(long, global = true, default_value = "parents")]
    parents: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// The table of parents, made anew
    Parents(hashes::Parents),
    /// Layers of a group of sectors
    Sdr(sdr::Whole),
    /// A range of nodes of layer 2, both layers full-size
    SdrRange(sdr::Part),
    /// Poseidon hashes of drawn inputs
    Poseidon(hashes::Poseidon),
    /// Tree D of a sector's data
    TreeD(hashes::TreeD),
    /// Trees, encoding and commitments of a sector
    Pc2(trees::Pc2),
    /// The data of a sealed sector
    Unseal(unseal::Unseal),
    /// Vanilla proofs of window PoSt
    Vanilla(post::Vanilla),
    /// Sealed sectors to prove; not a measurement
    Sectors(post::Sectors),
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).and_then(|outcome| Ok(serde_json::to_string(&outcome)?)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Outcome> {
    let (threads, parents) = (options.threads, options.parents.as_path());
    match &options.what {
        What::Parents(what) => what.run(parents, threads),
        What::Sdr(what) => what.run(parents, threads),
        What::SdrRange(what) => what.run(parents, threads),
        What::Poseidon(what) => what.run(threads),
        What::TreeD(what) => what.run(threads),
        What::Pc2(what) => what.run(threads),
        What::Unseal(what) => what.run(parents, threads),
        What::Vanilla(what) => what.run(threads),
        What::Sectors(what) => what.run(parents, threads),
    }
}
