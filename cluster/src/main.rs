//! **Purpose**: the `hesper` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    hesper::cli::main()
}
