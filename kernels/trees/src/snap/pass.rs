//! One pass over two files of nodes that makes a third, and its tree R last.
//!
//! **Purpose**: read, combine, write, hash and digest part by part.
//!
//! **Invariants**
//! - A part is 8^k nodes inside one base tree, at most 32,768 (a mebibyte); a thread holds four
//!   parts and the rows above one.
//! - What was made has temporary names until [`Made::finish`].
//!
//! **Source**: storage-proofs-update 19.1 `encode_into`, `decode_from`, `remove_encoded_data`.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hesper_poseidon::{Backend, mul_add_fr, sub_mul_fr};

use super::Error;
use super::randomness::Factors;
use crate::nodes::NodeFile;
use crate::output::{Output, Written, remove_if_there, sync_directory_of};
use crate::parts;
use crate::rows::tree_file::{Layout, TreeFile};
use crate::rows::{self, digest};
use crate::shape::{NODE_BYTES, P_AUX_NAME, Shape, rows_len};

/// The row of which a part has one node, where base trees are so high.
const PART_ROWS_MAX: u32 = 5;

/// What is computed for each node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    /// `first + second * factor`
    AddProduct,
    /// `(first - second) * factor`
    DifferenceProduct,
}

/// The inputs of a pass.
pub(super) struct Pass<'a> {
    pub(super) shape: Shape,
    pub(super) operation: Operation,
    pub(super) first: &'a Path,
    pub(super) second: &'a Path,
    pub(super) factors: Factors,
    pub(super) threads: NonZeroUsize,
    pub(super) backend: Backend,
}

/// The outputs of a pass, on disc but for their names.
pub(super) struct Made {
    /// The root of tree R last.
    pub(super) root: [u8; 32],
    output: Output,
    written: Written,
    trees: Vec<TreeFile>,
    cache: PathBuf,
}

impl Made {
    /// Give the files their names: the nodes first, then the trees. `p_aux` is what will be written
    /// after them.
    pub(super) fn finish(self, p_aux: &[u8]) -> Result<Vec<Written>, Error> {
        self.output.sync()?;
        for tree in &self.trees {
            tree.sync()?;
        }
        // While some files are new and some are not, there must be no `p_aux` of other files. One
        // with the same content describes these, and may be what the commitments were read from.
        let p_aux_path = self.cache.join(P_AUX_NAME);
        if fs::read(&p_aux_path).is_ok_and(|older| older != p_aux) {
            remove_if_there(&p_aux_path)?;
        }
        self.output.rename()?;
        sync_directory_of(&self.written.path)?;
        let mut files = vec![self.written];
        for tree in self.trees {
            files.push(tree.rename()?);
        }
        // Any name in the directory stands for it.
        sync_directory_of(&p_aux_path)?;
        Ok(files)
    }
}

impl Pass<'_> {
    /// Make `out` without a tree.
    pub(super) fn without_tree(&self, out: &Path) -> Result<Written, Error> {
        let (output, written) = self.run(out, &[])?;
        output.finish()?;
        Ok(written)
    }

    /// Make `out`, and tree R last over it in `cache`.
    pub(super) fn with_tree(&self, out: &Path, cache: &Path) -> Result<Made, Error> {
        let shape = self.shape;
        let layout = Layout {
            top: shape.base_rows(),
            lowest: shape.rows_to_discard() + 1,
            chunk_rows: self.part_rows(),
        };
        let trees = shape
            .tree_r_last_names()
            .into_iter()
            .map(|name| TreeFile::create(&cache.join(name), layout))
            .collect::<Result<Vec<_>, _>>()?;
        let (output, written) = self.run(out, &trees)?;
        let roots: Vec<u8> = trees
            .iter()
            .flat_map(|tree| tree.root().expect("every part of every tree has come"))
            .collect();
        let root = rows::top_root(self.backend, shape, &roots);
        Ok(Made { root, output, written, trees, cache: cache.to_owned() })
    }

    fn part_rows(&self) -> u32 {
        self.shape.base_rows().min(PART_ROWS_MAX)
    }

    fn run(&self, out: &Path, trees: &[TreeFile]) -> Result<(Output, Written), Error> {
        let (bytes, part_rows) = (self.shape.sector_bytes(), self.part_rows());
        let first = NodeFile::open(self.first, bytes)?;
        let second = NodeFile::open(self.second, bytes)?;
        let output = Output::with_len(out, bytes)?;
        let part_bytes = NODE_BYTES << (3 * part_rows);
        let (count, parts_of_tree) = (
            (bytes / part_bytes as u64) as usize,
            1u64 << (3 * (self.shape.base_rows() - part_rows)),
        );
        let rows_bytes = rows_len(part_rows, 0) as usize * NODE_BYTES;
        let halves = Mutex::new(vec![[[0; 32]; 2]; count]);
        parts::for_each(
            self.threads,
            count,
            3 * part_bytes + rows_bytes,
            |part, buffer| -> Result<(), Error> {
                let node = (part * part_bytes / NODE_BYTES) as u64;
                let (a, rest) = buffer.split_at_mut(part_bytes);
                let (b, rest) = rest.split_at_mut(part_bytes);
                let (factors, made) = rest.split_at_mut(part_bytes);
                first.read(node, a)?;
                second.read(node, b)?;
                self.factors.fill(node, factors);
                let leaves = &mut made[..part_bytes];
                match self.operation {
                    Operation::AddProduct => mul_add_fr(self.backend, a, b, factors, leaves),
                    Operation::DifferenceProduct => sub_mul_fr(self.backend, a, b, factors, leaves),
                }
                let offset = (part * part_bytes) as u64;
                output.write_at(leaves, offset)?;
                let digests = digest::halves(leaves, offset);
                halves.lock().unwrap_or_else(PoisonError::into_inner)[part] = digests;
                if let Some(tree) = trees.get(part / parts_of_tree as usize) {
                    rows::fill(self.backend, made, part_rows);
                    tree.put(self.backend, part as u64 % parts_of_tree, made)?;
                }
                Ok(())
            },
        )?;
        let halves = halves.into_inner().unwrap_or_else(PoisonError::into_inner);
        let blake3 = digest::of_parts(halves.as_flattened());
        Ok((output, Written { path: out.to_owned(), bytes, blake3 }))
    }
}
