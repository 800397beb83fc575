//! **Purpose**: the checked way from the wire to the model and back.
//!
//! **Invariants**
//! - Every field that comes in is checked here, once; what is inside has passed.
//! - Nothing is made up: an unreadable field is refused with its name.

mod executor;
mod job;
mod shown;

use hesper_scheduler::{Digest, ProofType};
use tonic::Status;

pub use executor::{REPORTS_MAX, lease, register, reports};
pub use job::job_spec;
pub use shown::{ended_counts, ended_task, shown_executor, shown_job, shown_sector, task_state};

pub(super) fn invalid(field: &str, problem: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("`{field}` {problem}"))
}

/// The proof type of a sector by its size.
pub fn proof_type(name: &str) -> Result<ProofType, Status> {
    ProofType::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = ProofType::ALL.iter().map(|proof| proof.name()).collect();
        invalid("proof", format!("is `{name}`; known sector sizes are {}", known.join(", ")))
    })
}

pub fn digest(field: &str, text: &str) -> Result<Digest, Status> {
    Digest::from_hex(text)
        .ok_or_else(|| invalid(field, format!("is `{text}`, not 64 hexadecimal digits")))
}

/// 32 bytes in hexadecimal; empty: none given.
pub fn hex32(field: &str, text: &str) -> Result<Option<String>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    digest(field, text).map(|digest| Some(digest.hex()))
}

/// 32 bytes in hexadecimal.
pub fn bytes32(field: &str, text: &str) -> Result<[u8; 32], Status> {
    digest(field, text).map(|digest| digest.0)
}

/// Bytes in hexadecimal.
pub fn hex_bytes(field: &str, text: &str) -> Result<Vec<u8>, Status> {
    let not_hex = || invalid(field, "is not hexadecimal");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(not_hex());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| not_hex()))
        .collect()
}
