//! **Purpose**: what the rows about kernels share: the two sides as processes, contests between them,
//! derived bounds.
//!
//! **Invariants**
//! - Each measured thing runs in a process of its own, and no two of them at the same time.
//! - Both sides get the same inputs, the same number of threads, and count the CPU time of all their
//!   threads themselves, around the measured part.
//! - The peer is its best variant; the variants are tried and printed before anything is compared.

pub mod bounds;
pub mod contest;
pub mod inputs;
pub mod outcome;
pub mod peers;
pub mod sectors;
pub mod side;
