//! Compiles the `.proto` files with `protox`, so that no `protoc` is needed.

use std::error::Error;

const FILES: &[&str] = &[
    "raft.proto",
    "cluster.proto",
    "job.proto",
    "sector.proto",
    "executor.proto",
    "transfer.proto",
    "wallet.proto",
    "auth.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let present: Vec<String> = FILES.iter().map(|name| format!("proto/hesper/{name}")).collect();
    let descriptors = protox::compile(&present, ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
