//! The files of a sector as the library describes them: store configurations and `t_aux`.

use std::path::Path;

use anyhow::{Context as _, Result};
use filecoin_proofs::DefaultPieceHasher;
use storage_proofs_core::cache_key::CacheKey;
use storage_proofs_core::util::default_rows_to_discard;
use storage_proofs_porep::stacked::{Labels, TemporaryAux};

use super::Shape;
use crate::proof_type::{SealProof, T_AUX};

/// Arity of trees C and R.
const TREE_ARITY: u64 = 8;

/// Writes `t_aux` for the files of a sector in `dir`. Its content follows from size and path alone.
pub(crate) fn t_aux(proof: SealProof, dir: &Path) -> Result<Vec<u8>> {
    let tree_nodes = tree_len(proof.nodes(), TREE_ARITY);
    let discard =
        default_rows_to_discard(usize::try_from(proof.nodes())?, usize::try_from(TREE_ARITY)?);
    let aux = TemporaryAux::<Shape, DefaultPieceHasher> {
        labels: Labels::new(label_configs(proof, dir)),
        tree_d_config: tree_d_config(proof, dir),
        tree_r_last_config: store(dir, &CacheKey::CommRLastTree.to_string(), tree_nodes, discard),
        tree_c_config: store(dir, &CacheKey::CommCTree.to_string(), tree_nodes, 0),
        _g: std::marker::PhantomData,
    };
    let bytes = bincode::serialize(&aux)?;
    std::fs::write(dir.join(T_AUX), &bytes)
        .with_context(|| format!("could not write {:?}", dir.join(T_AUX)))?;
    Ok(bytes)
}

type Store = filecoin_proofs::StoreConfig;

fn store(dir: &Path, id: &str, nodes: u64, rows_to_discard: usize) -> Store {
    let mut config = Store::new(dir, id.to_owned(), rows_to_discard);
    config.size = usize::try_from(nodes).ok();
    config
}

pub(super) fn label_configs(proof: SealProof, dir: &Path) -> Vec<Store> {
    (1..=proof.layers())
        .map(|layer| store(dir, &format!("layer-{layer}"), proof.nodes(), 0))
        .collect()
}

pub(super) fn tree_d_config(proof: SealProof, dir: &Path) -> Store {
    store(dir, &CacheKey::CommDTree.to_string(), tree_len(proof.nodes(), 2), 0)
}

/// Nodes of a complete tree. The leaf counts of the sizes that run here (2^6, 2^18, 2^24) are powers
/// of both arities.
fn tree_len(leaves: u64, arity: u64) -> u64 {
    let (mut len, mut row) = (leaves, leaves);
    while row > 1 {
        row /= arity;
        len += row;
    }
    len
}
