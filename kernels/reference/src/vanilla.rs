//! **Purpose**: the vanilla proofs of a PoSt, before any circuit.
//!
//! **Invariants**: proofs are in the order of the sectors; sectors are proved in parallel, as
//! miners do, and each sector's challenges within it by the library.
//!
//! **Source**: `filecoin_proofs::{generate_fallback_sector_challenges,
//! generate_single_vanilla_proof}`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use filecoin_proofs::{
    FallbackPoStSectorProof, MerkleTreeTrait, PoStConfig, PoStType, PrivateReplicaInfo,
    WINDOW_POST_CHALLENGE_COUNT, WINDOW_POST_SECTOR_COUNT, WINNING_POST_CHALLENGE_COUNT,
    WINNING_POST_SECTOR_COUNT,
};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::sector::SectorId;

use crate::measure::{Cost, Stopwatch};
use crate::request::{Bytes32, with_shape};

/// Which PoSt.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PostKind {
    Window,
    Winning,
}

/// What to prove.
#[derive(Deserialize)]
pub struct Request {
    size: u64,
    kind: PostKind,
    randomness: Bytes32,
    prover_id: Bytes32,
    sectors: Vec<Sector>,
    /// Takes the JSON array of the proofs.
    out: PathBuf,
    /// `1.0`, `1.1` or `1.2`.
    api_version: Option<String>,
}

#[derive(Deserialize)]
struct Sector {
    number: u64,
    comm_r: Bytes32,
    sealed: PathBuf,
    cache: PathBuf,
}

struct Proved {
    json: Vec<u8>,
    challenges: usize,
    library: Cost,
}

/// `vanilla`: the proofs of all sectors as JSON.
pub fn prove(request: Request) -> Result<Value> {
    let watch = Stopwatch::start();
    let proved = with_shape!(request.size, prove_shape(&request, &watch))?;
    let mut line = watch.finish(request.sectors.len() as u64)?;
    line.insert("library".into(), json!(proved.library));
    line.insert("challenges".into(), proved.challenges.into());
    line.insert("bytes".into(), proved.json.len().into());
    line.insert("blake3".into(), json!(blake3::hash(&proved.json).to_hex().as_str()));
    std::fs::write(&request.out, &proved.json)
        .with_context(|| format!("could not write {:?}", request.out))?;
    Ok(line.into())
}

fn config(request: &Request) -> Result<PoStConfig> {
    let window = request.kind == PostKind::Window;
    let api_version = match request.api_version.as_deref() {
        Some("1.0") => ApiVersion::V1_0_0,
        Some("1.1") => ApiVersion::V1_1_0,
        Some("1.2") => ApiVersion::V1_2_0,
        Some(other) => bail!("there is no API version `{other}`; give 1.0, 1.1 or 1.2"),
        None if window => ApiVersion::V1_2_0,
        None => ApiVersion::V1_0_0,
    };
    let partition_sectors = WINDOW_POST_SECTOR_COUNT
        .read()
        .map_err(|_| anyhow::anyhow!("the table of partitions is poisoned"))?
        .get(&request.size)
        .copied()
        .context("the library knows no sectors of this size")?;
    Ok(PoStConfig {
        sector_size: request.size.into(),
        challenge_count: if window {
            WINDOW_POST_CHALLENGE_COUNT
        } else {
            WINNING_POST_CHALLENGE_COUNT
        },
        sector_count: if window { partition_sectors } else { WINNING_POST_SECTOR_COUNT },
        typ: if window { PoStType::Window } else { PoStType::Winning },
        priority: false,
        api_version,
    })
}

fn prove_shape<Tree: 'static + MerkleTreeTrait>(
    request: &Request,
    watch: &Stopwatch,
) -> Result<Proved> {
    let config = config(request)?;
    let ids: Vec<SectorId> = request.sectors.iter().map(|sector| sector.number.into()).collect();
    let challenges = filecoin_proofs::generate_fallback_sector_challenges::<Tree>(
        &config,
        &request.randomness.0,
        &ids,
        request.prover_id.0,
    )?;
    let proofs = request
        .sectors
        .par_iter()
        .map(|sector| {
            let id = sector.number.into();
            let info = PrivateReplicaInfo::<Tree>::new(
                sector.sealed.clone(),
                sector.comm_r.0,
                sector.cache.clone(),
            )?;
            let challenges = challenges.get(&id).context("no challenges for the sector")?;
            filecoin_proofs::generate_single_vanilla_proof(&config, id, &info, challenges)
                .with_context(|| format!("sector {} could not be proved", sector.number))
        })
        .collect::<Result<Vec<FallbackPoStSectorProof<Tree>>>>()?;
    let library = watch.cost();
    let json = serde_json::to_vec(&proofs)?;
    Ok(Proved { json, challenges: challenges.values().map(Vec::len).sum(), library })
}
