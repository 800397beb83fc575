//! The kinds of sector and the identity of one sector.
//!
//! Source: `RegisteredSealProof` and `RegisteredPoStProof` of the Filecoin actors; the window PoSt
//! partition sizes are consensus constants of the miner actor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of one node of a sector.
pub const NODE_BYTES: u64 = 32;

/// A kind of sector: its size, interactive PoRep, version 1.1 of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SealProof {
    Stacked2KiBV1_1,
    Stacked8MiBV1_1,
    Stacked512MiBV1_1,
    Stacked32GiBV1_1,
    Stacked64GiBV1_1,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sector type; use one of 2KiB, 8MiB, 512MiB, 32GiB, 64GiB")]
pub struct ParseSealProofError(pub String);

impl SealProof {
    pub const ALL: [Self; 5] = [
        Self::Stacked2KiBV1_1,
        Self::Stacked8MiBV1_1,
        Self::Stacked512MiBV1_1,
        Self::Stacked32GiBV1_1,
        Self::Stacked64GiBV1_1,
    ];

    /// Bytes of the sector on disc, with bit padding.
    pub const fn sector_bytes(self) -> u64 {
        match self {
            Self::Stacked2KiBV1_1 => 2 << 10,
            Self::Stacked8MiBV1_1 => 8 << 20,
            Self::Stacked512MiBV1_1 => 512 << 20,
            Self::Stacked32GiBV1_1 => 32 << 30,
            Self::Stacked64GiBV1_1 => 64 << 30,
        }
    }

    /// Bytes of user data that fit: 127 of each 128.
    pub const fn capacity_bytes(self) -> u64 {
        self.sector_bytes() / 128 * 127
    }

    /// Nodes of 32 bytes.
    pub const fn nodes(self) -> u64 {
        self.sector_bytes() / NODE_BYTES
    }

    /// Layers of labels.
    pub const fn layers(self) -> u32 {
        match self {
            Self::Stacked2KiBV1_1 | Self::Stacked8MiBV1_1 | Self::Stacked512MiBV1_1 => 2,
            Self::Stacked32GiBV1_1 | Self::Stacked64GiBV1_1 => 11,
        }
    }

    /// The number of this seal proof on chain.
    pub const fn registered_id(self) -> u64 {
        match self {
            Self::Stacked2KiBV1_1 => 5,
            Self::Stacked8MiBV1_1 => 6,
            Self::Stacked512MiBV1_1 => 7,
            Self::Stacked32GiBV1_1 => 8,
            Self::Stacked64GiBV1_1 => 9,
        }
    }

    /// The identifier that separates the graphs of different proofs: the registered number,
    /// little-endian, then zeros.
    pub fn porep_id(self) -> [u8; 32] {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.registered_id().to_le_bytes());
        id
    }

    /// Groth16 proofs of one PoRep, 192 bytes each.
    pub const fn porep_partitions(self) -> u32 {
        match self {
            Self::Stacked2KiBV1_1 | Self::Stacked8MiBV1_1 | Self::Stacked512MiBV1_1 => 1,
            Self::Stacked32GiBV1_1 | Self::Stacked64GiBV1_1 => 10,
        }
    }

    /// Sectors of one window PoSt proof partition.
    pub const fn window_partition_sectors(self) -> usize {
        match self {
            Self::Stacked2KiBV1_1 | Self::Stacked8MiBV1_1 | Self::Stacked512MiBV1_1 => 2,
            Self::Stacked32GiBV1_1 => 2349,
            Self::Stacked64GiBV1_1 => 2300,
        }
    }

    /// Whether this build can run the stages: the two large sizes have other tree shapes, which are
    /// not compiled in. They exist as types with names, sizes and demands only.
    pub const fn runs_here(self) -> bool {
        match self {
            Self::Stacked2KiBV1_1 | Self::Stacked8MiBV1_1 | Self::Stacked512MiBV1_1 => true,
            Self::Stacked32GiBV1_1 | Self::Stacked64GiBV1_1 => false,
        }
    }

    /// The sub-trees into which tree C and tree R are split on disc.
    pub const fn sub_trees(self) -> u32 {
        match self {
            Self::Stacked2KiBV1_1 | Self::Stacked8MiBV1_1 | Self::Stacked512MiBV1_1 => 1,
            Self::Stacked32GiBV1_1 => 8,
            Self::Stacked64GiBV1_1 => 16,
        }
    }

    /// File names of the layers, in order.
    pub fn layer_names(self) -> Vec<String> {
        (1..=self.layers()).map(layer_name).collect()
    }

    /// File names of tree C.
    pub fn tree_c_names(self) -> Vec<String> {
        self.split_names("tree-c")
    }

    /// File names of tree R, without its discarded rows.
    pub fn tree_r_last_names(self) -> Vec<String> {
        self.split_names("tree-r-last")
    }

    fn split_names(self, tree: &str) -> Vec<String> {
        match self.sub_trees() {
            1 => vec![format!("sc-02-data-{tree}.dat")],
            count => (0..count).map(|i| format!("sc-02-data-{tree}-{i}.dat")).collect(),
        }
    }

    /// The names of the files that stay after sealing, next to `sealed`.
    pub fn kept_names(self) -> Vec<String> {
        let mut names = vec![P_AUX.to_owned(), T_AUX.to_owned()];
        names.extend(self.tree_r_last_names());
        names
    }
}

/// File name of tree D.
pub const TREE_D: &str = "sc-02-data-tree-d.dat";
/// File name of the two commitments inside `comm_r`.
pub const P_AUX: &str = "p_aux";
/// File name of the library's index of the other files. It contains the path of its directory and
/// is therefore written anew for every directory and left out of digests.
pub const T_AUX: &str = "t_aux";
/// File name of the piece with bit padding, as long as the sector.
pub const UNSEALED: &str = "unsealed";
/// File name of the replica.
pub const SEALED: &str = "sealed";
/// File name of the output of C1.
pub const C1_OUTPUT: &str = "c1.json";
/// File name of a proof.
pub const PROOF: &str = "proof";
/// File name of the restored piece.
pub const PIECE: &str = "piece";
/// File name of the vanilla proofs of a window PoSt.
pub const VANILLA: &str = "vanilla.json";

/// File name of the labels of a layer, counted from 1.
pub fn layer_name(layer: u32) -> String {
    format!("sc-02-data-layer-{layer}.dat")
}

impl fmt::Display for SealProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stacked2KiBV1_1 => "2KiB",
            Self::Stacked8MiBV1_1 => "8MiB",
            Self::Stacked512MiBV1_1 => "512MiB",
            Self::Stacked32GiBV1_1 => "32GiB",
            Self::Stacked64GiBV1_1 => "64GiB",
        })
    }
}

impl FromStr for SealProof {
    type Err = ParseSealProofError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.trim();
        Self::ALL
            .into_iter()
            .find(|proof| proof.to_string().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| ParseSealProofError(text.to_owned()))
    }
}

impl From<SealProof> for String {
    fn from(proof: SealProof) -> Self {
        proof.to_string()
    }
}

impl TryFrom<String> for SealProof {
    type Error = ParseSealProofError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Which sector of which miner actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SectorIdentity {
    /// Actor id of the miner: the digits of `t0...`.
    pub miner: u64,
    pub number: u64,
}

impl SectorIdentity {
    /// See [`prover_id`].
    pub fn prover_id(self) -> [u8; 32] {
        prover_id(self.miner)
    }
}

impl fmt::Display for SectorIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s-t0{}-{}", self.miner, self.number)
    }
}

/// The prover id of a miner: the payload of its id address (the actor id as an unsigned LEB128
/// number), then zeros.
pub fn prover_id(miner: u64) -> [u8; 32] {
    let mut id = [0; 32];
    let mut rest = miner;
    for byte in &mut id {
        *byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_are_refused() {
        for proof in SealProof::ALL {
            assert_eq!(proof.to_string().parse(), Ok(proof));
            let json = serde_json::to_string(&proof).unwrap();
            assert_eq!(serde_json::from_str::<SealProof>(&json).unwrap(), proof);
        }
        assert_eq!("8mib".parse(), Ok(SealProof::Stacked8MiBV1_1));
        let error = "3KiB".parse::<SealProof>().unwrap_err();
        assert!(error.to_string().contains("3KiB"), "{error}");
    }

    #[test]
    fn the_prover_id_is_the_payload_of_the_id_address() {
        assert_eq!(prover_id(0), [0; 32]);
        assert_eq!(prover_id(106)[..2], [106, 0]);
        assert_eq!(prover_id(1000)[..3], [0xe8, 0x07, 0]);
        assert_eq!(prover_id(u64::MAX)[..10], [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn sizes_and_names_of_the_large_types() {
        let proof = SealProof::Stacked32GiBV1_1;
        assert_eq!(proof.capacity_bytes(), 34_091_302_912);
        assert_eq!(proof.layers(), 11);
        assert_eq!(proof.tree_c_names().len(), 8);
        assert_eq!(proof.tree_c_names()[7], "sc-02-data-tree-c-7.dat");
        assert_eq!(SealProof::Stacked64GiBV1_1.tree_r_last_names().len(), 16);
        assert_eq!(SealProof::Stacked2KiBV1_1.tree_c_names(), ["sc-02-data-tree-c.dat"]);
        assert!(!proof.runs_here());
    }
}
