//! **Purpose**: side-by-side benchmarks of the shipped binary against its peers.
//!
//! **Invariants**
//! - Real processes with the settings that ship, on a disc-backed file system; tmpfs is refused.
//! - A number counts only after what it claims was checked: acknowledged commands are read back,
//!   exit codes are looked at, finished tasks are counted.
//! - Peers are measured in turn with ours, never only before or only after.
//! - Every process that a run starts is ended by its own id, whatever happens to the run.
//!
//! The crate is one program, therefore errors are `anyhow` with the step that failed. It knows
//! the product by the wire alone, but for what is measured in a process of this package: signatures,
//! tokens, kernels.

pub mod case;
pub mod disc;
pub mod etcd;
pub mod floor;
pub mod hyperqueue;
pub mod jobs;
pub mod kernels;
pub mod load;
pub mod machine;
pub mod pool;
pub mod procs;
pub mod random;
pub mod row;
pub mod rows;
pub mod stats;
pub mod tools;
pub mod wire;
