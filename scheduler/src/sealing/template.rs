//! Job templates: the stages of a seal, an unseal and the proofs over sectors, as graphs.

use std::collections::BTreeMap;

use crate::model::{ExecutorId, JobKind, ProofType, SectorId, Stage, StageNode, StageWork};

/// The sealing pipeline, in order.
pub(crate) const PIPELINE: [Stage; 7] =
    [Stage::AddPiece, Stage::TreeD, Stage::Pc1, Stage::Pc2, Stage::C1, Stage::C2, Stage::Finalize];

/// The stages after `done` up to and with `last`, as a chain.
pub(crate) fn seal(
    sector: SectorId,
    proof: ProofType,
    done: Option<Stage>,
    last: Stage,
) -> StageWork {
    let stages = PIPELINE
        .into_iter()
        .filter(|stage| done.is_none_or(|done| *stage > done) && *stage <= last);
    let mut nodes: Vec<StageNode> = Vec::new();
    for (number, stage) in (0u32..).zip(stages) {
        let after = number.checked_sub(1).into_iter().collect();
        nodes.push(StageNode { stage, after, sectors: Vec::new(), partition: 0, store: None });
    }
    StageWork {
        kind: JobKind::Seal,
        proof,
        miner: sector.miner,
        sector: sector.number,
        nodes,
        values: BTreeMap::new(),
    }
}

pub(crate) fn unseal(sector: SectorId, proof: ProofType) -> StageWork {
    StageWork {
        kind: JobKind::Unseal,
        proof,
        miner: sector.miner,
        sector: sector.number,
        nodes: vec![single(Stage::Unseal, Vec::new())],
        values: BTreeMap::new(),
    }
}

pub(crate) fn winning(
    miner: u64,
    proof: ProofType,
    sectors: Vec<u64>,
    randomness: String,
) -> StageWork {
    StageWork {
        kind: JobKind::WinningPost,
        proof,
        miner,
        sector: 0,
        nodes: vec![single(Stage::WinningPost, sectors)],
        values: BTreeMap::from([("randomness".to_owned(), randomness)]),
    }
}

/// Per partition: one vanilla proof for each store that holds sectors of it, then one proof that
/// merges them. `sectors` are in proving order, each with the executor that holds it.
pub(crate) fn window(
    miner: u64,
    proof: ProofType,
    sectors: &[(u64, Option<ExecutorId>)],
    randomness: String,
) -> StageWork {
    let mut nodes: Vec<StageNode> = Vec::new();
    for (partition, members) in (0u32..).zip(sectors.chunks(proof.window_sectors())) {
        let mut by_store: BTreeMap<Option<ExecutorId>, Vec<u64>> = BTreeMap::new();
        for (number, store) in members {
            by_store.entry(*store).or_default().push(*number);
        }
        let mut after = Vec::new();
        for (store, sectors) in by_store {
            after.push(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
            nodes.push(StageNode {
                stage: Stage::WindowPostVanilla,
                after: Vec::new(),
                sectors,
                partition,
                store,
            });
        }
        nodes.push(StageNode {
            stage: Stage::WindowPostProve,
            after,
            sectors: members.iter().map(|(number, _)| *number).collect(),
            partition,
            store: None,
        });
    }
    StageWork {
        kind: JobKind::WindowPost,
        proof,
        miner,
        sector: 0,
        nodes,
        values: BTreeMap::from([("randomness".to_owned(), randomness)]),
    }
}

fn single(stage: Stage, sectors: Vec<u64>) -> StageNode {
    StageNode { stage, after: Vec::new(), sectors, partition: 0, store: None }
}
