//! **Purpose**: derived bounds: the cycles of one core below which a unit of a row cannot go.
//!
//! **Invariants**: a bound counts what the chosen algorithm has to do at least, with all data in the
//! first-level cache and no instruction besides; it is never fitted to a measurement.
//!
//! **Source**: `kernels/KERNELS.md`, which derives each number; ports and latencies of a core with
//! four 512-bit pipes, two of which rotate and two of which multiply (Zen 5).

/// Rounds and schedule of SHA-256 on vectors, in operations for all lanes of a vector.
mod sha256 {
    pub const ROUNDS: f64 = 64.0;
    /// Additions, rotations and ternary logic of one round with W+K ready.
    pub const OPS_ROUND: f64 = 17.0;
    /// Words of a schedule that are computed, and the operations of one.
    pub const WORDS: f64 = 48.0;
    pub const OPS_WORD: f64 = 11.0;
    /// Vector operations a cycle.
    pub const PIPES: f64 = 4.0;

    /// Cycles of one block whose W+K are ready, for one lane of `lanes`.
    pub fn rounds_only(lanes: f64) -> f64 {
        ROUNDS * OPS_ROUND / PIPES / lanes
    }

    /// Cycles of one block with its schedule.
    pub fn full(lanes: f64) -> f64 {
        rounds_only(lanes) + WORDS * OPS_WORD / PIPES / lanes
    }
}

/// Blocks of a label whose schedule is new, and those that repeat one.
const NEW_SCHEDULES: f64 = 9.0;
const OLD_SCHEDULES: f64 = 11.0;
/// Blocks of a label that wait for the label before it, and the latency of one: 32 instructions of two
/// rounds with 4 cycles each, one after the other, and the addition of the state.
const SERIAL_BLOCKS: f64 = 19.0;
const BLOCK_LATENCY: f64 = 32.0 * 4.0 + 1.0;
/// The SHA instructions of two rounds issue every second cycle.
const BLOCK_ISSUE: f64 = 32.0 * 2.0;

/// The chain of a round on vectors, from one `e` to the next: a rotation, of which three share two
/// units, a three-way xor and an addition, two cycles each.
const ROUND_CHAIN: f64 = 7.0;

/// Cycles of one label of one sector, in layers from 2 on, with `sectors` in lockstep.
pub fn label(sectors: usize) -> f64 {
    let lanes = sectors as f64;
    let blocks = NEW_SCHEDULES + OLD_SCHEDULES;
    // One sector waits for itself; several may fill each other's gaps, up to the issue rate.
    let sha_ni = (SERIAL_BLOCKS * BLOCK_LATENCY / lanes).max(blocks * BLOCK_ISSUE);
    // The lanes of one vector wait for one chain, beside which the schedule costs nothing.
    let chain = sha256::ROUNDS * ROUND_CHAIN / lanes;
    let vector = if lanes >= 8.0 {
        NEW_SCHEDULES * sha256::full(lanes).max(chain)
            + OLD_SCHEDULES * sha256::rounds_only(lanes).max(chain)
    } else {
        f64::INFINITY
    };
    sha_ni.min(vector)
}

/// Cycles of one leaf of tree D: one pair of nodes, a block of data and one of padding.
pub fn tree_d_leaf() -> f64 {
    sha256::full(16.0) + sha256::rounds_only(16.0)
}

/// Multiply-accumulate instructions a cycle, times lanes.
const MADD_RATE: f64 = 2.0 * 8.0;
/// These instructions of an S-box, and of one product with its reduction, in radix 2^52.
const S_BOX: f64 = 245.0;
const PRODUCT: f64 = 95.0;

/// Cycles of one Poseidon hash, eight in the lanes of a vector: matrices of small integers, so that
/// each product of a row takes one limb and a row one step of reduction.
pub fn poseidon(arity: usize) -> f64 {
    let width = arity as f64 + 1.0;
    let row = 10.0 * width + 9.0;
    let partial = match arity {
        2 => 55.0,
        4 => 56.0,
        _ => 57.0,
    };
    let full = 8.0 * width * S_BOX + 7.0 * width * row;
    let last = row + PRODUCT;
    (full + partial * (S_BOX + PRODUCT + width * row) + last) / MADD_RATE
}

/// Cycles of one node of PC2: its column, and a seventh of a row in each of two trees.
pub fn tree_c_r(layers: usize) -> f64 {
    poseidon(layers) + 2.0 / 7.0 * poseidon(8)
}

/// Cycles of one node that is unsealed: one label of each layer, one sector.
pub fn unseal(layers: u32) -> f64 {
    label(1) * f64::from(layers)
}

/// Cycles of one sector of 8 MiB in window PoSt: ten challenges, each a segment of 512 leaves to
/// rebuild, since two discarded rows are three missing levels, and three kept rows to check.
pub fn vanilla_sector() -> f64 {
    10.0 * (64.0 + 8.0 + 1.0 + 3.0) * poseidon(8)
}

/// Cycles of the parents of one node and of their part of the table's SHA-256.
pub fn parents_node() -> f64 {
    // ChaCha8 of 16 nodes side by side, ten remainders, 16 walks of three table look-ups each: 400
    // instructions, four a cycle.
    let instructions = 400.0;
    // 14 numbers of four bytes, in blocks of 64 that wait for one another.
    instructions / 4.0 + 56.0 / 64.0 * BLOCK_LATENCY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sector_waits_for_itself_and_more_sectors_cost_less_each() {
        assert_eq!(label(1), 2451.0);
        let widths = [1, 2, 4, 8, 16];
        let all: Vec<f64> = widths.iter().map(|width| label(*width)).collect();
        assert!(all.is_sorted_by(|a, b| a >= b), "{all:?}");
        assert_eq!((label(8), label(16)), (1120.0, 560.0), "as KERNELS.md derives");
    }

    #[test]
    fn wider_hashes_cost_more() {
        // Instructions of eight hashes, as KERNELS.md counts them.
        let counted = [(2, 31_968.0), (4, 47_579.0), (8, 94_238.0), (11, 142_196.0)];
        for (arity, instructions) in counted {
            assert_eq!(poseidon(arity) * MADD_RATE, instructions, "arity {arity}");
        }
        assert!(tree_c_r(2) > poseidon(2) && tree_c_r(11) > tree_c_r(2));
    }
}
