//! **Purpose**: the two small files that stand beside the trees: `p_aux` and `t_aux`.
//!
//! **Invariants**
//! - The bytes are those that the library writes and reads back: bincode with fixed 8-byte
//!   little-endian integers, an option as one byte, no length before an array.
//! - `t_aux` follows from shape, number of layers and directory alone.
//!
//! **Source**: `PersistentAux` and `TemporaryAux` of storage-proofs-porep 19.1, `StoreConfig` of
//! merkletree 0.23, the encoding of bincode 1.

use std::path::{Path, PathBuf};

use crate::shape::Shape;

/// Length of `p_aux`.
pub const P_AUX_BYTES: usize = 64;

/// Why an auxiliary file cannot be made or read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The format holds paths as text.
    #[error("could not write t_aux for `{path}`: the path is not UTF-8; use another directory")]
    Path {
        /// The directory.
        path: PathBuf,
    },
    /// `p_aux` has one length only.
    #[error(
        "p_aux has {found} bytes instead of {P_AUX_BYTES}; the file was truncated or replaced, \
         fetch it again or run PC2 again"
    )]
    Length {
        /// Bytes found.
        found: usize,
    },
}

/// The content of `p_aux`.
pub fn p_aux(comm_c: &[u8; 32], comm_r_last: &[u8; 32]) -> [u8; P_AUX_BYTES] {
    let mut bytes = [0; P_AUX_BYTES];
    bytes[..32].copy_from_slice(comm_c);
    bytes[32..].copy_from_slice(comm_r_last);
    bytes
}

/// `comm_c` and `comm_r_last` of a `p_aux`.
///
/// # Errors
/// When the length is wrong.
pub fn read_p_aux(bytes: &[u8]) -> Result<([u8; 32], [u8; 32]), Error> {
    let wrong = || Error::Length { found: bytes.len() };
    let halves: &[u8; P_AUX_BYTES] = bytes.try_into().map_err(|_| wrong())?;
    let (comm_c, rest) = halves.split_first_chunk::<32>().ok_or_else(wrong)?;
    let comm_r_last = rest.first_chunk::<32>().ok_or_else(wrong)?;
    Ok((*comm_c, *comm_r_last))
}

/// The content of `t_aux` for a sector whose layers and trees lie in `dir`.
///
/// # Errors
/// When `dir` is not UTF-8.
pub fn t_aux(shape: Shape, layers: usize, dir: &Path) -> Result<Vec<u8>, Error> {
    let dir = dir.to_str().ok_or_else(|| Error::Path { path: dir.to_owned() })?;
    let mut bytes = Vec::new();
    put_integer(&mut bytes, layers as u64);
    for layer in 1..=layers {
        put_store(&mut bytes, dir, &format!("layer-{layer}"), shape.nodes(), 0);
    }
    put_store(&mut bytes, dir, "tree-d", 2 * shape.nodes() - 1, 0);
    // The lengths of trees R and C are those of one base tree, whatever their number.
    let (len, discard) = (shape.base_tree_len(), u64::from(shape.rows_to_discard()));
    put_store(&mut bytes, dir, "tree-r-last", len, discard);
    put_store(&mut bytes, dir, "tree-c", len, 0);
    Ok(bytes)
}

fn put_store(bytes: &mut Vec<u8>, dir: &str, id: &str, nodes: u64, rows_to_discard: u64) {
    put_text(bytes, dir);
    put_text(bytes, id);
    bytes.push(1);
    put_integer(bytes, nodes);
    put_integer(bytes, rows_to_discard);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_integer(bytes, text.len() as u64);
    bytes.extend_from_slice(text.as_bytes());
}

fn put_integer(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn p_aux_reads_back_and_other_lengths_are_refused() {
        let bytes = p_aux(&[1; 32], &[2; 32]);
        assert_eq!(read_p_aux(&bytes), Ok(([1; 32], [2; 32])));
        assert_eq!(read_p_aux(&bytes[..63]), Err(Error::Length { found: 63 }));
    }

    /// Field by field, so that a change of the writer shows; the bytes of the library are compared
    /// where the library is built.
    #[test]
    fn t_aux_of_a_compound_shape_names_one_base_tree() {
        let shape = Shape::of_sector_bytes(4096).expect("a known size");
        let bytes = t_aux(shape, 2, Path::new("/c")).expect("UTF-8");
        let store = |id: &str, nodes: u64, discard: u64| {
            let mut expected = vec![2, 0, 0, 0, 0, 0, 0, 0, b'/', b'c'];
            expected.extend((id.len() as u64).to_le_bytes());
            expected.extend(id.bytes());
            expected.push(1);
            expected.extend(nodes.to_le_bytes());
            expected.extend(discard.to_le_bytes());
            expected
        };
        let mut expected = 2u64.to_le_bytes().to_vec();
        expected.extend(store("layer-1", 128, 0));
        expected.extend(store("layer-2", 128, 0));
        expected.extend(store("tree-d", 255, 0));
        expected.extend(store("tree-r-last", 73, 1));
        expected.extend(store("tree-c", 73, 0));
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_directory_that_is_not_text_is_refused() {
        let shape = Shape::of_sector_bytes(2048).expect("a known size");
        let dir = Path::new(std::ffi::OsStr::from_bytes(b"/\xff"));
        assert_eq!(t_aux(shape, 2, dir), Err(Error::Path { path: dir.to_owned() }));
    }
}
