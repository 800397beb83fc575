//! SnapDeals: new data in a sector that is sealed already.
//!
//! **Purpose**: encode data into a replica (`new = key + data * rho`), take them out again
//! (`data = (new - key) / rho`), and take them away (`key = new - data * rho`), with the trees and
//! auxiliary files that belong to the result.
//!
//! **Invariants**
//! - One pass: each input is read once, in parts of at most a mebibyte; the rows of tree R last and
//!   the BLAKE3 of the files come from the parts in memory.
//! - `rho` depends on the high bits of a node's index alone, so a table of all its values is made
//!   first, and inverted as one batch where decoding needs it.
//! - Files get their names when all are on disc, `p_aux` last.
//!
//! **Source**: FIP-0019; storage-proofs-update 19.1 `vanilla`.

mod pass;
mod randomness;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use hesper_poseidon::Backend;

use self::pass::{Operation, Pass};
use self::randomness::Randomness;
use crate::encode::first_out_of_field;
use crate::nodes::NodesError;
use crate::output::{self, FileError, Written, refuse_inputs};
use crate::rows::hash_two;
use crate::shape::{P_AUX_NAME, Shape, T_AUX_NAME, TREE_D_NAME, UnknownSize};
use crate::{auxiliary, tree_d};

/// Data that go into a sealed sector.
#[derive(Clone, Debug)]
pub struct Encode<'a> {
    /// Bytes of the sector.
    pub sector_bytes: u64,
    /// The sealed file of the empty sector.
    pub sector_key: &'a Path,
    /// Its `p_aux` and `t_aux`.
    pub sector_key_cache: &'a Path,
    /// The new data: an unsealed file.
    pub staged: &'a Path,
    /// The new sealed file.
    pub replica: &'a Path,
    /// An existing directory for the new trees and auxiliary files, not that of the key.
    pub cache: &'a Path,
    /// Threads that hash.
    pub threads: NonZeroUsize,
}

/// What encoding made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Poseidon of the old `comm_c` and the new `comm_r_last`.
    pub comm_r_new: [u8; 32],
    /// The root of the new tree R last.
    pub comm_r_last_new: [u8; 32],
    /// The root of the new tree D.
    pub comm_d_new: [u8; 32],
    /// The replica, tree D, tree R last, `t_aux` and `p_aux`.
    pub files: Vec<Written>,
}

/// Data that come out of a sector.
#[derive(Clone, Debug)]
pub struct Decode<'a> {
    /// Bytes of the sector.
    pub sector_bytes: u64,
    /// The sealed file of the empty sector, or its key made again.
    pub sector_key: &'a Path,
    /// Its `p_aux`.
    pub sector_key_cache: &'a Path,
    /// The sealed file that holds the data.
    pub replica: &'a Path,
    /// The commitment to the data.
    pub comm_d_new: [u8; 32],
    /// The unsealed file to be made.
    pub out: &'a Path,
    /// Threads that compute.
    pub threads: NonZeroUsize,
}

/// Data that are taken away, so that the key of the sector is left.
#[derive(Clone, Debug)]
pub struct Remove<'a> {
    /// Bytes of the sector.
    pub sector_bytes: u64,
    /// The sealed file that holds the data.
    pub replica: &'a Path,
    /// `p_aux` and `t_aux` of the sector **as it was first sealed**, not those that encoding wrote:
    /// the randomness comes from the first `comm_r`. Others are noticed by the key's root.
    pub replica_cache: &'a Path,
    /// The data: an unsealed file.
    pub data: &'a Path,
    /// The commitment to the data.
    pub comm_d_new: [u8; 32],
    /// The file of the key to be made.
    pub sector_key: &'a Path,
    /// An existing directory for its tree R last and auxiliary files.
    pub sector_key_cache: &'a Path,
    /// Threads that hash.
    pub threads: NonZeroUsize,
}

/// What is left when data were taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The commitment of the sector as first sealed.
    pub comm_r: [u8; 32],
    /// The root of its tree R last.
    pub comm_r_last: [u8; 32],
    /// The key, tree R last, `t_aux` and `p_aux`.
    pub files: Vec<Written>,
}

/// Why a sector was not encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such sector.
    #[error("no data were encoded or decoded")]
    Shape(#[from] UnknownSize),
    /// An input is absent, short or damaged.
    #[error("no data were encoded or decoded")]
    Input(#[from] NodesError),
    /// A file cannot be read or written.
    #[error("no data were encoded or decoded")]
    File(#[from] FileError),
    /// Tree D of the new data was not built.
    #[error("the new data have no tree D")]
    TreeD(#[from] tree_d::Error),
    /// An auxiliary file is of no use.
    #[error("`{}` is of no use", path.display())]
    Aux {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: auxiliary::Error,
    },
    /// `t_aux` names no layers.
    #[error(
        "`{}` is not the `t_aux` of a sealed sector; fetch it again or give the cache directory of \
         the sealed sector", path.display()
    )]
    TAux {
        /// The file.
        path: PathBuf,
    },
    /// A commitment is no field element.
    #[error("the {what} that was given is no commitment; take it from the sealed sector's record")]
    Commitment {
        /// Which.
        what: &'static str,
    },
    /// What is left is not the key that `p_aux` describes.
    #[error(
        "taking the data away does not give the key that `p_aux` in `{}` describes; give the data \
         and comm_d that were encoded, and the cache directory of the sector as first sealed",
        cache.display()
    )]
    KeyDiffers {
        /// The directory.
        cache: PathBuf,
    },
}

/// Encode new data.
///
/// # Errors
///
/// Sizes that no sector has; inputs that are absent, short or damaged; files that cannot be written,
/// or that would replace an input.
pub fn encode(request: &Encode<'_>) -> Result<Encoded, Error> {
    let shape = Shape::of_sector_bytes(request.sector_bytes)?;
    let (comm_c, comm_r_last) = read_p_aux(request.sector_key_cache)?;
    let t_aux = new_t_aux(shape, request.sector_key_cache)?;
    let tree_d_path = request.cache.join(TREE_D_NAME);
    let p_aux_path = request.cache.join(P_AUX_NAME);
    let outputs = outputs(shape, request.replica, request.cache);
    refuse_inputs(
        outputs.into_iter().chain([tree_d_path.clone(), p_aux_path.clone()]),
        &[
            request.sector_key,
            request.staged,
            &request.sector_key_cache.join(P_AUX_NAME),
            &request.sector_key_cache.join(T_AUX_NAME),
        ],
    )?;
    let (tree_d, tree_d_output) =
        tree_d::make(request.staged, &tree_d_path, request.sector_bytes, request.threads)?;
    tree_d_output.sync()?;
    let randomness = Randomness::draw(shape, &comm_c, &comm_r_last, &tree_d.comm_d);
    let pass = Pass {
        shape,
        operation: Operation::AddProduct,
        first: request.sector_key,
        second: request.staged,
        factors: randomness.rhos(),
        threads: request.threads,
        backend: Backend::detect(),
    };
    let made = pass.with_tree(request.replica, request.cache)?;
    let comm_r_last_new = made.root;
    let p_aux = auxiliary::p_aux(&comm_c, &comm_r_last_new);
    let mut files = made.finish(&p_aux)?;
    // Its directory is synced with the files that follow.
    tree_d_output.rename()?;
    files.insert(1, tree_d.file);
    files.push(output::write(&request.cache.join(T_AUX_NAME), &t_aux)?);
    files.push(output::write(&p_aux_path, &p_aux)?);
    Ok(Encoded {
        comm_r_new: hash_two(Backend::detect(), &comm_c, &comm_r_last_new),
        comm_r_last_new,
        comm_d_new: tree_d.comm_d,
        files,
    })
}

/// Take a copy of the data out of a replica.
///
/// # Errors
///
/// As [`encode`].
pub fn decode(request: &Decode<'_>) -> Result<Written, Error> {
    let shape = Shape::of_sector_bytes(request.sector_bytes)?;
    check_commitment("comm_d", &request.comm_d_new)?;
    let (comm_c, comm_r_last) = read_p_aux(request.sector_key_cache)?;
    refuse_inputs([request.out.to_owned()], &[request.sector_key, request.replica])?;
    let randomness = Randomness::draw(shape, &comm_c, &comm_r_last, &request.comm_d_new);
    let pass = Pass {
        shape,
        operation: Operation::DifferenceProduct,
        first: request.replica,
        second: request.sector_key,
        factors: randomness.inverted(),
        threads: request.threads,
        backend: Backend::detect(),
    };
    pass.without_tree(request.out)
}

/// Take the data away.
///
/// # Errors
///
/// As [`encode`]; when what is left is not the key of the `p_aux` that was given.
pub fn remove(request: &Remove<'_>) -> Result<Removed, Error> {
    let shape = Shape::of_sector_bytes(request.sector_bytes)?;
    check_commitment("comm_d", &request.comm_d_new)?;
    let (comm_c, comm_r_last) = read_p_aux(request.replica_cache)?;
    let t_aux = new_t_aux(shape, request.replica_cache)?;
    // `p_aux` and `t_aux` may be written over themselves: removing gives back the same content.
    refuse_inputs(
        outputs(shape, request.sector_key, request.sector_key_cache),
        &[request.replica, request.data],
    )?;
    let randomness = Randomness::draw(shape, &comm_c, &comm_r_last, &request.comm_d_new);
    let pass = Pass {
        shape,
        operation: Operation::AddProduct,
        first: request.replica,
        second: request.data,
        factors: randomness.negated(),
        threads: request.threads,
        backend: Backend::detect(),
    };
    let made = pass.with_tree(request.sector_key, request.sector_key_cache)?;
    if made.root != comm_r_last {
        return Err(Error::KeyDiffers { cache: request.replica_cache.to_owned() });
    }
    let p_aux = auxiliary::p_aux(&comm_c, &comm_r_last);
    let mut files = made.finish(&p_aux)?;
    files.push(output::write(&request.sector_key_cache.join(T_AUX_NAME), &t_aux)?);
    files.push(output::write(&request.sector_key_cache.join(P_AUX_NAME), &p_aux)?);
    let comm_r = hash_two(Backend::detect(), &comm_c, &comm_r_last);
    Ok(Removed { comm_r, comm_r_last, files })
}

/// What a pass with a tree makes.
fn outputs(shape: Shape, nodes: &Path, cache: &Path) -> Vec<PathBuf> {
    let trees = shape.tree_r_last_names().into_iter().map(|name| cache.join(name));
    trees.chain([nodes.to_owned()]).collect()
}

fn check_commitment(what: &'static str, commitment: &[u8; 32]) -> Result<(), Error> {
    match first_out_of_field(commitment) {
        None => Ok(()),
        Some(_) => Err(Error::Commitment { what }),
    }
}

fn read_p_aux(cache: &Path) -> Result<([u8; 32], [u8; 32]), Error> {
    let path = cache.join(P_AUX_NAME);
    let bytes = fs::read(&path).map_err(FileError::io("read", &path))?;
    auxiliary::read_p_aux(&bytes).map_err(|source| Error::Aux { path, source })
}

/// The `t_aux` of the result. The library writes the one that it read, with the directory that it
/// was read from.
fn new_t_aux(shape: Shape, cache: &Path) -> Result<Vec<u8>, Error> {
    let path = cache.join(T_AUX_NAME);
    let bytes = fs::read(&path).map_err(FileError::io("read", &path))?;
    // The file begins with the number of layers.
    let layers = bytes.first_chunk::<8>().map(|count| u64::from_le_bytes(*count));
    match layers.and_then(|layers| usize::try_from(layers).ok()) {
        Some(layers @ 1..=64) => {
            auxiliary::t_aux(shape, layers, cache).map_err(|source| Error::Aux { path, source })
        }
        _ => Err(Error::TAux { path }),
    }
}

#[cfg(test)]
mod tests;
