//! **Purpose**: how the trees of a sector are cut, by sector size.
//!
//! **Invariants**
//! - Every base tree is 8-ary and complete: its leaves are a power of eight, so no row is ragged.
//! - Base trees stand side by side in the order of their leaves; one level of arity `sub_arity`
//!   joins them, and one of arity `top_arity` joins those.
//! - Tree R last keeps its leaves in the sealed file and drops its lowest rows, but never its root.
//!
//! **Source**: Filecoin specification, "Stacked DRG PoRep"; store names and discarded rows as in
//! storage-proofs-core 19.1 and merkletree 0.23.

/// Bytes of a node: one little-endian field element.
pub const NODE_BYTES: usize = 32;

/// Tree D: the binary SHA-256 tree over the data.
pub const TREE_D_NAME: &str = "sc-02-data-tree-d.dat";
/// `comm_c` and `comm_r_last`.
pub const P_AUX_NAME: &str = "p_aux";
/// Where the trees and layers of a sector lie, as the library reads it back.
pub const T_AUX_NAME: &str = "t_aux";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sector bytes, sub arity, top arity.
const SHAPES: [(u64, u8, u8); 10] = [
    (2 * KIB, 0, 0),
    (4 * KIB, 2, 0),
    (16 * KIB, 8, 0),
    (32 * KIB, 8, 2),
    (8 * MIB, 0, 0),
    (16 * MIB, 2, 0),
    (512 * MIB, 0, 0),
    (GIB, 2, 0),
    (32 * GIB, 8, 0),
    (64 * GIB, 8, 2),
];

/// The first size that is labelled in 11 layers.
const ELEVEN_LAYERS_FROM: u64 = 32 * GIB;

/// The trees of a sector of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    sector_bytes: u64,
    sub_arity: u8,
    top_arity: u8,
}

/// A size that no proof type has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no trees are known for a sector of {bytes} bytes; use one of 2 KiB, 4 KiB, 16 KiB, 32 KiB, \
     8 MiB, 16 MiB, 512 MiB, 1 GiB, 32 GiB, 64 GiB"
)]
pub struct UnknownSize {
    /// What was asked for.
    pub bytes: u64,
}

impl Shape {
    /// The shape of a sector of `bytes` bytes.
    ///
    /// # Errors
    /// When no proof type has that size.
    pub fn of_sector_bytes(bytes: u64) -> Result<Self, UnknownSize> {
        Self::all().find(|shape| shape.sector_bytes == bytes).ok_or(UnknownSize { bytes })
    }

    /// Every known shape, the smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        SHAPES.iter().map(|&(sector_bytes, sub_arity, top_arity)| Self {
            sector_bytes,
            sub_arity,
            top_arity,
        })
    }

    /// Bytes of a sector, unsealed or sealed.
    pub const fn sector_bytes(self) -> u64 {
        self.sector_bytes
    }

    /// Nodes of a sector: the length of a layer and the leaves of all base trees together.
    pub const fn nodes(self) -> u64 {
        self.sector_bytes / NODE_BYTES as u64
    }

    /// Arity inside the base trees.
    pub const fn base_arity(self) -> usize {
        8
    }

    /// How many base trees one node joins; 0 when there is one base tree.
    pub const fn sub_arity(self) -> usize {
        self.sub_arity as usize
    }

    /// How many joined nodes the root joins; 0 when that level is absent.
    pub const fn top_arity(self) -> usize {
        self.top_arity as usize
    }

    /// Number of base trees: 1, 2, 8 or 16.
    pub const fn base_trees(self) -> usize {
        match (self.sub_arity, self.top_arity) {
            (0, _) => 1,
            (sub, 0) => sub as usize,
            (sub, top) => sub as usize * top as usize,
        }
    }

    /// Leaves of one base tree.
    pub const fn base_nodes(self) -> u64 {
        self.nodes() / self.base_trees() as u64
    }

    /// The index of the root's row in a base tree: its leaves (row 0) are 8 to this power.
    pub const fn base_rows(self) -> u32 {
        self.base_nodes().ilog2() / 3
    }

    /// Nodes of one base tree, leaves and root included.
    pub const fn base_tree_len(self) -> u64 {
        rows_len(self.base_rows(), 0)
    }

    /// Rows above the leaves that the files of tree R last do not hold.
    pub const fn rows_to_discard(self) -> u32 {
        // The library's default is 2; leaves and root are never dropped.
        if self.base_rows() > 2 { 2 } else { self.base_rows() - 1 }
    }

    /// Nodes of one file of tree R last.
    pub const fn tree_r_len(self) -> u64 {
        rows_len(self.base_rows(), self.rows_to_discard() + 1)
    }

    /// Layers that the library labels at this size.
    pub const fn library_layers(self) -> usize {
        if self.sector_bytes >= ELEVEN_LAYERS_FROM { 11 } else { 2 }
    }

    /// File names of tree C, one for each base tree.
    pub fn tree_c_names(self) -> Vec<String> {
        self.names("tree-c")
    }

    /// File names of tree R last, one for each base tree.
    pub fn tree_r_last_names(self) -> Vec<String> {
        self.names("tree-r-last")
    }

    fn names(self, id: &str) -> Vec<String> {
        match self.base_trees() {
            1 => vec![store_name(id)],
            count => (0..count).map(|index| store_name(&format!("{id}-{index}"))).collect(),
        }
    }
}

/// File name of a layer; the first layer has the number 1.
pub fn layer_name(layer: usize) -> String {
    store_name(&format!("layer-{layer}"))
}

fn store_name(id: &str) -> String {
    format!("sc-02-data-{id}.dat")
}

/// Nodes of the rows `from..=top` of a tree with 8^`top` leaves.
pub(crate) const fn rows_len(top: u32, from: u32) -> u64 {
    let mut len = 0;
    let mut row = from;
    while row <= top {
        len += 1 << (3 * (top - row));
        row += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_trees_are_complete_and_cover_the_sector() {
        for shape in Shape::all() {
            assert_eq!(1 << (3 * shape.base_rows()), shape.base_nodes(), "{shape:?}");
            assert_eq!(shape.base_nodes() * shape.base_trees() as u64, shape.nodes(), "{shape:?}");
            assert_eq!(Shape::of_sector_bytes(shape.sector_bytes()), Ok(shape));
        }
        assert_eq!(Shape::of_sector_bytes(4096 * 2), Err(UnknownSize { bytes: 8192 }));
    }

    /// Lengths of files that the library wrote at these sizes.
    #[test]
    fn lengths_are_those_of_the_library() {
        let of = |bytes| Shape::of_sector_bytes(bytes).expect("a known size");
        assert_eq!(of(8 * MIB).base_tree_len() * 32, 9_586_976);
        assert_eq!(of(8 * MIB).tree_r_len() * 32, 18_720);
        assert_eq!(of(2 * KIB).tree_r_len() * 32, 32);
        assert_eq!(of(32 * GIB).tree_r_len() * 32, 9_586_976);
    }

    #[test]
    fn files_of_several_base_trees_are_numbered() {
        let of = |bytes| Shape::of_sector_bytes(bytes).expect("a known size");
        assert_eq!(of(2 * KIB).tree_c_names(), ["sc-02-data-tree-c.dat"]);
        let names = of(32 * KIB).tree_r_last_names();
        assert_eq!(names.len(), 16);
        assert_eq!(names[15], "sc-02-data-tree-r-last-15.dat");
    }
}
