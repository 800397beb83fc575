//! Poseidon over the BLS12-381 scalar field, many hashes at once.
//!
//! **Purpose**: the hashes of Filecoin's trees C and R (arities 2, 4, 8 and 11, 128-bit strength,
//! Merkle tree domain tag), and the batches of field operations that encoding a replica needs.
//!
//! **Invariants**:
//! - A node is 32 bytes, little-endian. Inputs may be any 256-bit integers and count modulo the
//!   order; outputs are canonical.
//! - Every [`Backend`] gives the same bytes; which one runs is the caller's choice, never a build flag.
//! - Nothing here starts threads, reads files or depends on secret-independent timing.
//!
//! **Source**: Poseidon (eprint 2019/458); the Filecoin specification, section 2.4.4.1.

mod backend;
mod batch;
mod constants;
mod field;
mod grain;
mod hash;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod scalar;

pub use backend::Backend;
pub use batch::{add_fr, invert_fr, mul_add_fr, sub_fr, sub_mul_fr};
pub use hash::{hash_columns, hash_pairs_tagged, hash_rows};

/// Bytes of a field element.
pub const NODE_BYTES: usize = 32;

/// How many elements one hash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arity {
    Two,
    Four,
    Eight,
    Eleven,
}

impl Arity {
    pub const ALL: [Self; 4] = [Self::Two, Self::Four, Self::Eight, Self::Eleven];

    /// The number of elements.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
            Self::Eleven => 11,
        }
    }

    /// The arity that takes so many elements, where there is one.
    pub fn of(inputs: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|arity| arity.len() == inputs)
    }
}
