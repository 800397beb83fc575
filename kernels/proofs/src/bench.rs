//! Measurements for the benchmark table.

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

use crate::library;
use crate::proof_type::{SealProof, SectorIdentity};

/// What compresses the blocks of the labels on this machine. Only the drop-in crate of this workspace
/// can answer, so that this function also proves that the library was built with it.
pub fn label_backend() -> &'static str {
    match sha2raw::Backend::detect() {
        sha2raw::Backend::ShaNi => "sha-ni",
        sha2raw::Backend::Portable => "portable",
    }
}

/// CPU nanoseconds per label of the library's single-core SDR at 8 MiB, with the table of parents
/// already made. `scratch` takes the layers (16 MiB).
///
/// The process must have the environment of [`crate::params::child_env`], like one that runs a
/// stage: the table of parents lies there.
///
/// Bound: 20 dependent compressions a label at about 59 ns, 1,170 ns.
///
/// # Errors
/// When the library fails.
pub fn sdr_ns_per_label(scratch: &Path) -> anyhow::Result<f64> {
    let proof = SealProof::Stacked8MiBV1_1;
    let sector = SectorIdentity { miner: 1000, number: 1 };
    let comm_d = library::comm_d_of_pieces(proof, &[])?;
    let run = |ticket: u8| -> anyhow::Result<f64> {
        let dir = scratch.join(format!("sdr-{ticket}"));
        std::fs::create_dir_all(&dir)?;
        let before = cpu_nanoseconds();
        library::labels(proof, sector, &[ticket; 32], &comm_d, &dir)?;
        let spent = cpu_nanoseconds() - before;
        std::fs::remove_dir_all(&dir)?;
        Ok(spent as f64 / (proof.nodes() * u64::from(proof.layers())) as f64)
    };
    // The first run makes the table of parents if it is not there.
    run(1)?;
    run(2)
}

/// CPU time of this thread: the single-core SDR runs in the thread that calls it.
fn cpu_nanoseconds() -> i64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
