//! What each stage needs, by sector size.
//!
//! Sources: measured peaks at 2 KiB (C2 2.6 GiB with the proof library on the CPU); for 32 and
//! 64 GiB the needs that operators of the field plan with: PC1 keeps two layers and the parent
//! cache in memory, PC2 the columns of a slice, C2 the parameters and the circuit.

use crate::model::{Demand, Kernels, ProofType, Stage};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// AddPiece and tree D of our own kernels: a few MiB for each thread.
const OWN_STREAM_BYTES: u64 = 128 * MIB;
/// PC2 of our own kernels: its buffers take at most half of this.
const OWN_PC2_BYTES: u64 = 512 * MIB;

/// The resources of one attempt of a stage alone. PC1 of several sectors: see [`lockstep_demand`].
pub fn demand_of(stage: Stage, proof: ProofType, kernels: Kernels) -> Demand {
    let sector = proof.sector_bytes();
    let layers = u64::from(proof.layers());
    // Trees over the sector: binary ones double it, 8-ary ones add a seventh.
    let disc_bytes = MIB
        + match stage {
            Stage::AddPiece | Stage::Unseal => sector,
            Stage::TreeD => 2 * sector,
            Stage::Pc1 => layers * sector,
            Stage::Pc2 => 2 * sector + sector / 2,
            Stage::C1 => 64 * MIB,
            Stage::Finalize => sector + sector / 8,
            Stage::C2 | Stage::WinningPost | Stage::WindowPostVanilla | Stage::WindowPostProve => 0,
        };
    let (cores, memory_bytes) = match proof {
        ProofType::Sector2KiB => small(stage, 64 * MIB, 3 * GIB),
        ProofType::Sector8MiB => small(stage, 256 * MIB, 4 * GIB),
        ProofType::Sector512MiB => small(stage, 2 * GIB, 8 * GIB),
        ProofType::Sector32GiB => large(stage, 1),
        ProofType::Sector64GiB => large(stage, 2),
    };
    let memory_bytes = match (kernels, stage) {
        (Kernels::Own, Stage::AddPiece | Stage::TreeD) => memory_bytes.min(OWN_STREAM_BYTES),
        // One pass with bounded buffers, whatever the size.
        (Kernels::Own, Stage::Pc2) => memory_bytes.min(OWN_PC2_BYTES),
        // Two layers of labels.
        (Kernels::Own, Stage::Pc1 | Stage::Unseal) => lockstep_memory_bytes(proof, 1),
        _ => memory_bytes,
    };
    Demand { cores, memory_bytes, disc_bytes, ..Demand::default() }
}

/// The resources of a PC1 process of our own kernels that labels `width` sectors in lockstep: one
/// core; two layers for each lane of the kernel, which has 1, 2, 4, 8 or 16; once the resident part of
/// the parents table.
pub fn lockstep_demand(proof: ProofType, width: u32) -> Demand {
    let width = u64::from(width.max(1));
    let one = demand_of(Stage::Pc1, proof, Kernels::Own);
    Demand {
        cores: 1,
        memory_bytes: lockstep_memory_bytes(proof, width),
        disc_bytes: width * one.disc_bytes,
        ..Demand::default()
    }
}

fn lockstep_memory_bytes(proof: ProofType, width: u64) -> u64 {
    let sector = proof.sector_bytes();
    // 14 parents of 4 bytes for each node of 32 bytes. The table is a mapped file that is read in
    // order, so no more than a window of a large one has to stay.
    let parents = (sector / 32 * 56).min(GIB);
    width.next_power_of_two() * 2 * sector + 64 * MIB + parents
}

/// How long an attempt of a stage may take before it counts as hung: many times what a slow
/// machine needs.
pub(crate) fn time_limit_ms(stage: Stage, proof: ProofType) -> u64 {
    const MINUTE: u64 = 60_000;
    let minutes = match (stage, proof) {
        (Stage::C2, ProofType::Sector2KiB | ProofType::Sector8MiB) => 120,
        (_, ProofType::Sector2KiB) => 30,
        (_, ProofType::Sector8MiB) => 120,
        (_, ProofType::Sector512MiB) => 12 * 60,
        (Stage::WinningPost | Stage::WindowPostVanilla | Stage::WindowPostProve, _) => 60,
        (_, ProofType::Sector32GiB) => 36 * 60,
        (_, ProofType::Sector64GiB) => 72 * 60,
    };
    minutes * MINUTE
}

/// The same for each attempt of a group: labelling in lockstep is slower for each sector.
pub(crate) fn lockstep_time_limit_ms(proof: ProofType, width: u32) -> u64 {
    time_limit_ms(Stage::Pc1, proof).saturating_mul(u64::from(width.div_ceil(4).max(1)))
}

/// Development sizes: one core, and memory by whether the stage proves.
fn small(stage: Stage, sealing_bytes: u64, c2_bytes: u64) -> (u32, u64) {
    match stage {
        Stage::AddPiece
        | Stage::TreeD
        | Stage::Pc1
        | Stage::Pc2
        | Stage::C1
        | Stage::Finalize
        | Stage::Unseal
        | Stage::WindowPostVanilla => (1, sealing_bytes),
        Stage::C2 => (1, c2_bytes),
        Stage::WinningPost => (1, 512 * MIB),
        Stage::WindowPostProve => (1, 256 * MIB),
    }
}

/// Production sizes; `factor` is 1 at 32 GiB and 2 at 64 GiB.
fn large(stage: Stage, factor: u64) -> (u32, u64) {
    let (cores, gib) = match stage {
        Stage::AddPiece => (1, 1),
        Stage::TreeD => (4, 2),
        Stage::Pc1 => (1, 128),
        Stage::Pc2 => (16, 64),
        Stage::C1 => (2, 4),
        Stage::C2 => (32, 192),
        Stage::Finalize => (1, 1),
        Stage::Unseal => (1, 128),
        Stage::WinningPost => (8, 4),
        Stage::WindowPostVanilla => (8, 16),
        Stage::WindowPostProve => (32, 128),
    };
    (cores, gib * factor * GIB)
}
