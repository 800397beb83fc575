//! Vanilla proofs of window and winning PoSt.
//!
//! **Purpose**: for challenged leaves of many sectors, the leaf and its path to `comm_r_last`, as
//! the library's proof type holds them. The rows that tree R last does not keep are made again from
//! the leaves of the sealed file.
//!
//! **Invariants**
//! - A sector whose files are absent, short or damaged is a [`Fault`] of its own and never an error
//!   of the others: each node that goes into a proof is hashed up to `comm_r_last` of `p_aux`, and
//!   that to the sector's `comm_r`.
//! - Every device is read by a bounded number of threads of its own; at most a few sectors per
//!   hashing thread wait in memory.
//!
//! **Source**: Filecoin specification, "Proof of Spacetime"; storage-proofs-post 19.1 `fallback`,
//! merkletree 0.23 (cached proofs).

mod challenge;
mod hash;
mod proof;
mod read;

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use hesper_poseidon::Backend;

pub use challenge::challenges;
pub use proof::{InclusionProof, PathElement, SectorProof, json_array};

use crate::shape::Shape;

/// A sector with its challenged leaves.
#[derive(Clone, Debug)]
pub struct Sector {
    /// Its number.
    pub id: u64,
    /// The commitment that the chain knows.
    pub comm_r: [u8; 32],
    /// The sealed file.
    pub sealed: PathBuf,
    /// The directory with `p_aux` and the files of tree R last.
    pub cache: PathBuf,
    /// Challenged leaves; they may repeat.
    pub challenges: Vec<u64>,
}

/// What is to be proved.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Bytes of each sector.
    pub sector_bytes: u64,
    /// The sectors, each with its challenges.
    pub sectors: &'a [Sector],
    /// Threads that hash.
    pub threads: NonZeroUsize,
    /// Threads that read, for each device.
    pub readers_per_device: NonZeroUsize,
    /// How Poseidon is computed.
    pub backend: Backend,
}

/// Why a request is wrong as a whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such sector.
    #[error("no proofs of spacetime were made")]
    Shape(#[from] crate::shape::UnknownSize),
    /// A challenge that no sector of this size has.
    #[error(
        "sector {sector} has no leaf {leaf}, its size gives {nodes}; draw the challenges with the \
         size of the sectors"
    )]
    Challenge {
        /// The sector.
        sector: u64,
        /// The challenged leaf.
        leaf: u64,
        /// Leaves of a sector.
        nodes: u64,
    },
    /// A proof without challenges proves nothing.
    #[error("sector {sector} has no challenges; draw at least one")]
    NoChallenges {
        /// The sector.
        sector: u64,
    },
    /// The randomness is no field element.
    #[error(
        "the randomness of a proof of spacetime is no field element; clear the top two bits of its \
         byte 31, as the chain's clients do"
    )]
    Randomness,
}

/// Why one sector cannot be proved.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A file cannot be read.
    #[error("could not read `{}`; mount its volume or recover the sector", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is truncated or belongs to another kind of sector.
    #[error(
        "`{}` has {found} bytes instead of {expected}; the file is not whole, recover the sector",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// Bytes that no sealing writes.
    #[error(
        "`{}` holds a node that is no field element near leaf {leaf}; the file is damaged, recover \
         the sector", path.display()
    )]
    Node {
        /// The file.
        path: PathBuf,
        /// The first leaf below the node.
        leaf: u64,
    },
    /// The sealed file and the tree do not agree.
    #[error(
        "the leaves of `{}` from {leaf} on do not give the node that tree R last in `{}` has for \
         them; one of the files is damaged, recover the sector", sealed.display(), cache.display()
    )]
    Leaves {
        /// The sealed file.
        sealed: PathBuf,
        /// The directory of the tree.
        cache: PathBuf,
        /// The first of the leaves.
        leaf: u64,
    },
    /// The tree does not agree with itself.
    #[error(
        "tree R last in `{}` is damaged in row {row} above leaf {leaf}; recover the sector",
        cache.display()
    )]
    Tree {
        /// The directory of the tree.
        cache: PathBuf,
        /// The row, the leaves being row 0.
        row: u32,
        /// The first leaf below.
        leaf: u64,
    },
    /// The tree is not that of `p_aux`.
    #[error(
        "tree R last and `p_aux` in `{}` do not belong together; recover the sector",
        cache.display()
    )]
    CommRLast {
        /// The directory of both.
        cache: PathBuf,
    },
    /// `p_aux` is not that of the sector.
    #[error(
        "`p_aux` in `{}` does not give the sector's CommR; it belongs to another sector or another \
         sealing, look for the right cache directory", cache.display()
    )]
    CommR {
        /// The directory.
        cache: PathBuf,
    },
}

/// The proofs of all sectors, in their order; a sector that cannot be proved has a fault instead.
///
/// # Errors
///
/// When no sector has such a size, or a sector no challenges or one beyond its leaves.
pub fn vanilla(request: &Request<'_>) -> Result<Vec<Result<SectorProof, Fault>>, Error> {
    let shape = Shape::of_sector_bytes(request.sector_bytes)?;
    for sector in request.sectors {
        let nodes = shape.nodes();
        if sector.challenges.is_empty() {
            return Err(Error::NoChallenges { sector: sector.id });
        }
        if let Some(&leaf) = sector.challenges.iter().find(|leaf| **leaf >= nodes) {
            return Err(Error::Challenge { sector: sector.id, leaf, nodes });
        }
    }
    Ok(read::pipeline(request, shape))
}

#[cfg(test)]
mod tests;
