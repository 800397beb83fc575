//! Winning and window PoSt. The window PoSt is split: Merkle proofs where the sectors lie, one
//! Groth16 proof per partition anywhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;

use crate::files::FileError;
use crate::kernels::{self, Kernels};
use crate::library::{self, Replica, Vanilla};
use crate::params::{self, ParamSet};
use crate::proof_type::{P_AUX, PROOF, SEALED, VANILLA};
use crate::stage::context::Context;
use crate::stage::{PostSector, StageError};

type Done = Result<(), StageError>;

pub(super) fn winning(context: &mut Context<'_>) -> Done {
    let (proof, miner) = (context.order.proof, context.order.sector.miner);
    let randomness = context.randomness()?;
    let [sector] = context.order.sectors.as_slice() else {
        let found = context.order.sectors.len().to_string();
        return Err(context.malformed("sectors", &found, "exactly one sector"));
    };
    check_params(context, ParamSet::WinningPost)?;
    let replica = replica(context, sector)?;
    let vanilla = match context.kernels()? {
        Kernels::Own => {
            let count = library::winning_config(proof).challenge_count;
            let mut made = open_challenges(context, &randomness, count, vec![replica])?;
            match made.pop() {
                Some(Ok(vanilla)) => vanilla,
                Some(Err(why)) => {
                    eprintln!("sector {}: {why}", sector.number);
                    return Err(StageError::FaultySectors { sectors: vec![sector.number] });
                }
                None => {
                    return Err(context.kernel_error(anyhow::Error::msg("no proof was made")));
                }
            }
        }
        Kernels::Library => {
            let config = library::winning_config(proof);
            context.library("read challenges", || {
                library::vanilla(&config, miner, &randomness, replica)
            })?
        }
    };
    let bytes =
        context.library("prove", || library::prove_winning(proof, miner, &randomness, vanilla))?;
    context.set(PROOF, hex::encode(&bytes));
    context.write(PROOF, &bytes)
}

pub(super) fn window_vanilla(context: &mut Context<'_>) -> Done {
    let randomness = context.randomness()?;
    let made = match context.kernels()? {
        Kernels::Own => {
            let count = library::window_config(context.order.proof).challenge_count;
            let sectors = &context.order.sectors;
            let replicas =
                sectors.iter().map(|sector| replica(context, sector)).collect::<Result<_, _>>()?;
            open_challenges(context, &randomness, count, replicas)?
        }
        Kernels::Library => window_vanilla_library(context, &randomness)?,
    };
    let mut proofs: Vec<Vanilla> = Vec::new();
    let mut faulty = Vec::new();
    for (sector, made) in context.order.sectors.iter().zip(made) {
        match made {
            Ok(proof) => proofs.push(proof),
            // One damaged sector must not hide the others: all are named at once.
            Err(why) => {
                eprintln!("sector {}: {why}", sector.number);
                faulty.push(sector.number);
            }
        }
    }
    if !faulty.is_empty() {
        return Err(StageError::FaultySectors { sectors: faulty });
    }
    let bytes = context.library("write", || Ok(serde_json::to_vec(&proofs)?))?;
    context.write(VANILLA, &bytes)
}

/// One vanilla proof per sector, or what is wrong with it.
type Made = Vec<Result<Vanilla, String>>;

fn open_challenges(
    context: &mut Context<'_>,
    randomness: &[u8; 32],
    challenges: usize,
    replicas: Vec<Replica>,
) -> Result<Made, StageError> {
    let proof = context.order.proof;
    let threads = kernels::threads(context.order.threads);
    let count = u64::try_from(challenges).expect("64 bits fit");
    context.kernel("read challenges", |_| {
        kernels::vanilla(proof, randomness, count, replicas, threads)
    })
}

fn window_vanilla_library(
    context: &mut Context<'_>,
    randomness: &[u8; 32],
) -> Result<Made, StageError> {
    let (proof, miner) = (context.order.proof, context.order.sector.miner);
    let config = library::window_config(proof);
    let mut made = Vec::new();
    for sector in &context.order.sectors {
        let replica = replica(context, sector)?;
        let one = context
            .library("read challenges", || library::vanilla(&config, miner, randomness, replica));
        made.push(match one {
            Ok(proof) => Ok(proof),
            Err(error @ (StageError::Library { .. } | StageError::FaultySectors { .. })) => {
                Err(error.to_string())
            }
            Err(error) => return Err(error),
        });
    }
    Ok(made)
}

pub(super) fn window_prove(context: &mut Context<'_>, partition: u32) -> Done {
    let (proof, miner) = (context.order.proof, context.order.sector.miner);
    let randomness = context.randomness()?;
    check_params(context, ParamSet::WindowPost)?;
    let most = proof.window_partition_sectors();
    let sectors = &context.order.sectors;
    if sectors.is_empty() || sectors.len() > most {
        let found = sectors.len().to_string();
        return Err(context.malformed("sectors", &found, "a number of sectors of one partition"));
    }

    let mut by_number: BTreeMap<u64, Vanilla> = BTreeMap::new();
    for input in context.order.inputs.iter().filter(|input| input.name.starts_with("vanilla")) {
        let file = File::open(&input.path).map_err(FileError::io("open", &input.path))?;
        let list: Vec<Vanilla> = context.library("read vanilla proofs", || {
            Ok(serde_json::from_reader(BufReader::new(file))?)
        })?;
        by_number.extend(list.into_iter().map(|one| (u64::from(one.sector_id), one)));
    }
    let mut ordered = Vec::with_capacity(sectors.len());
    for sector in sectors {
        let vanilla = by_number.remove(&sector.number).ok_or_else(|| StageError::InputAbsent {
            stage: context.order.stage,
            name: format!("vanilla proof of sector {}", sector.number),
        })?;
        let found: [u8; 32] = vanilla.comm_r.into();
        let expected = context.bytes32("comm_r", &sector.comm_r)?;
        if found != expected {
            return Err(StageError::Mismatch {
                stage: context.order.stage,
                what: "CommR",
                expected: hex::encode(expected),
                found: hex::encode(found),
            });
        }
        ordered.push(vanilla);
    }
    let index = usize::try_from(partition).expect("32 bits fit");
    let bytes = context
        .library("prove", || library::prove_window(proof, miner, &randomness, ordered, index))?;
    context.set(PROOF, hex::encode(&bytes));
    context.write(PROOF, &bytes)
}

fn check_params(context: &mut Context<'_>, set: ParamSet) -> Done {
    let proof = context.order.proof;
    context.timed("check parameters", |_| {
        Ok(params::check_present(&params::library_dir(), proof, set)?)
    })
}

/// The files of a sector, gathered in one cache directory as the library wants them.
fn replica(context: &Context<'_>, sector: &PostSector) -> Result<Replica, StageError> {
    let number = sector.number;
    let cache = context.work_dir(&format!("cache-{number}"))?;
    let mut names = context.order.proof.tree_r_last_names();
    names.push(P_AUX.to_owned());
    let prefix = format!("{number}/");
    context.link_inputs(&names, &prefix, &cache)?;
    let sealed = context.input(&format!("{prefix}{SEALED}"))?.path.clone();
    let comm_r = context.bytes32("comm_r", &sector.comm_r)?;
    Ok(Replica { number, comm_r, sealed, cache })
}
