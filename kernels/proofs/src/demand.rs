//! What each stage needs, as pure data for admission and placement.
//!
//! The numbers are those of the proof library, which needs more than Hesper's own kernels. Of the
//! sizes that run here they are measured peaks rounded up; those of 32 and 64 GiB
//! follow from the sizes of the files and from what operators report for the same library, and are
//! *not measured*.

use serde::{Deserialize, Serialize};

use crate::proof_type::SealProof;
use crate::stage::Stage;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Resources of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Cores that the stage can keep busy and should be granted.
    pub cores: u32,
    /// Peak of resident memory, parameters included.
    pub memory_bytes: u64,
    /// Bytes written into the directory of the attempt, scratch included. Inputs are counted where
    /// they may have to be copied.
    pub disc_bytes: u64,
}

/// Resources of one attempt of `stage`.
pub fn demand(proof: SealProof, stage: Stage) -> Demand {
    Demand {
        cores: cores(proof, stage),
        memory_bytes: memory_bytes(proof, stage),
        disc_bytes: disc_bytes(proof, stage),
    }
}

impl SealProof {
    /// See [`demand`].
    pub fn demand(self, stage: Stage) -> Demand {
        demand(self, stage)
    }

    /// Bytes of the parents table, kept once per executor and size.
    pub const fn parents_cache_bytes(self) -> u64 {
        self.nodes() * 14 * 4
    }
}

fn cores(proof: SealProof, stage: Stage) -> u32 {
    let large = !proof.runs_here();
    match stage {
        // One serial chain of hashes.
        Stage::AddPiece | Stage::Pc1 | Stage::Finalize | Stage::Unseal => 1,
        Stage::WindowPostVanilla { .. } => 1,
        Stage::TreeD | Stage::C1 => {
            if large {
                8
            } else {
                1
            }
        }
        Stage::Pc2 | Stage::C2 | Stage::WinningPost | Stage::WindowPostProve { .. } => {
            if large {
                16
            } else {
                2
            }
        }
    }
}

fn memory_bytes(proof: SealProof, stage: Stage) -> u64 {
    use SealProof::{
        Stacked2KiBV1_1 as K2, Stacked8MiBV1_1 as M8, Stacked32GiBV1_1 as G32,
        Stacked64GiBV1_1 as G64, Stacked512MiBV1_1 as M512,
    };
    let sector = proof.sector_bytes();
    match stage {
        Stage::AddPiece => 64 * MIB,
        // The sector and the lower rows of its tree.
        Stage::TreeD => 64 * MIB + 2 * sector,
        // Two layers, the window of the parents table, and small change.
        Stage::Pc1 => 64 * MIB + 2 * sector,
        // The sector itself besides the two layers.
        Stage::Unseal => 64 * MIB + 3 * sector,
        Stage::Pc2 => match proof {
            K2 => 128 * MIB,
            M8 => 256 * MIB,
            M512 => 2 * GIB,
            G32 => 48 * GIB,
            G64 => 96 * GIB,
        },
        Stage::C1 => match proof {
            K2 | M8 => 128 * MIB,
            M512 => 256 * MIB,
            G32 | G64 => GIB,
        },
        Stage::C2 => match proof {
            K2 => 2816 * MIB,
            M8 => 3840 * MIB,
            M512 => 4352 * MIB,
            G32 => 190 * GIB,
            G64 => 195 * GIB,
        },
        Stage::Finalize => 64 * MIB,
        Stage::WinningPost => match proof {
            K2 => 256 * MIB,
            M8 => 512 * MIB,
            M512 => 640 * MIB,
            G32 | G64 => 8 * GIB,
        },
        Stage::WindowPostVanilla { .. } => match proof {
            K2 | M8 | M512 => 128 * MIB,
            G32 | G64 => 4 * GIB,
        },
        Stage::WindowPostProve { .. } => match proof {
            K2 => 192 * MIB,
            M8 | M512 => 384 * MIB,
            G32 | G64 => 150 * GIB,
        },
    }
}

fn disc_bytes(proof: SealProof, stage: Stage) -> u64 {
    let sector = proof.sector_bytes();
    // Every attempt leaves its order, its report and its log.
    let small = 256 * KIB;
    small
        + match stage {
            Stage::AddPiece | Stage::Finalize => sector,
            Stage::TreeD => 2 * sector,
            Stage::Pc1 => u64::from(proof.layers()) * sector,
            // The replica, tree C (an eighth over the sector, rounded up) and tree R.
            Stage::Pc2 => 2 * sector + sector / 4,
            Stage::C1 => {
                if proof.runs_here() {
                    MIB
                } else {
                    128 * MIB
                }
            }
            Stage::C2 | Stage::WinningPost | Stage::WindowPostProve { .. } => 0,
            Stage::WindowPostVanilla { .. } => {
                let sectors = proof.window_partition_sectors() as u64;
                sectors * 64 * KIB
            }
            // The piece and one layer of labels.
            Stage::Unseal => 2 * sector,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_of_every_type_has_a_demand() {
        for proof in SealProof::ALL {
            for stage in Stage::ALL {
                let demand = proof.demand(stage);
                assert!(demand.cores > 0 && demand.memory_bytes >= 64 * MIB, "{proof} {stage}");
                assert!(demand.disc_bytes > 0);
            }
        }
    }

    #[test]
    fn pc1_of_32_gib_holds_two_layers_and_writes_eleven() {
        let demand = SealProof::Stacked32GiBV1_1.demand(Stage::Pc1);
        assert_eq!(demand.cores, 1);
        assert!(demand.memory_bytes >= 64 * GIB);
        assert!(demand.disc_bytes >= 11 * 32 * GIB);
        assert_eq!(SealProof::Stacked8MiBV1_1.parents_cache_bytes(), 14_680_064);
    }
}
