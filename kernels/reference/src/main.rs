//! The proof library behind a command line: `hesper-reference <command> <JSON | @file>`.
//!
//! **Purpose**: one process runs one measured thing of `filecoin-proofs` and prints one JSON line,
//! so that tests compare our kernels with it byte for byte and benches time it.
//!
//! **Invariants**: nothing of our own kernels is linked here; the measured part excludes reading
//! the request and, where a command says so, preparing its inputs; a failed command prints nothing
//! on stdout and ends with status 1.
//!
//! **Source**: `filecoin-proofs` 19.1 (modules `api` and `parameters`), `neptune` 11. The
//! environment variables `FIL_PROOFS_*` and `RAYON_NUM_THREADS` act as in the library.

mod data;
mod files;
mod measure;
mod parents;
mod poseidon;
mod request;
mod sdr;
mod seal;
mod snap;
mod vanilla;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::request::parse;

const USAGE: &str = "usage: hesper-reference <command> <JSON | @file with JSON>; commands: \
     comm-d, comm-p, parents, parents-of, pc2, poseidon, sdr, settings, snap-decode, snap-encode, \
     snap-remove, tree-d, unseal, vanilla";

fn run(command: &str, argument: &str) -> Result<serde_json::Value> {
    match command {
        "comm-d" => data::comm_d(parse(argument)?),
        "comm-p" => data::comm_p(parse(argument)?),
        "parents" => parents::table(parse(argument)?),
        "parents-of" => parents::of_nodes(parse(argument)?),
        "poseidon" => poseidon::hash(parse(argument)?),
        "pc2" => seal::pre_commit_2(parse(argument)?),
        "sdr" => sdr::labels(parse(argument)?),
        "settings" => settings(),
        "snap-decode" => snap::decode(parse(argument)?),
        "snap-encode" => snap::encode(parse(argument)?),
        "snap-remove" => snap::remove(parse(argument)?),
        "tree-d" => data::tree_d(parse(argument)?),
        "unseal" => seal::unseal(parse(argument)?),
        "vanilla" => vanilla::prove(parse(argument)?),
        _ => bail!("there is no command `{command}`; {USAGE}"),
    }
}

/// What this build and its environment make of the library.
fn settings() -> Result<serde_json::Value> {
    Ok(serde_json::json!({
        "multicore_built": cfg!(feature = "multicore-sdr"),
        "sha_compiled": cfg!(target_feature = "sha"),
        "avx512_compiled": cfg!(target_feature = "avx512f"),
        "settings": format!("{:?}", *storage_proofs_core::settings::SETTINGS),
    }))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [command, argument] => {
            run(command, argument).with_context(|| format!("`{command}` failed"))
        }
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match result {
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
