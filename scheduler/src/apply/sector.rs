//! Sectors: sealing, unsealing and proving are submitted as jobs made from templates.

use std::collections::BTreeMap;

use crate::command::{Prove, ProveKind, SealSector};
use crate::model::{
    Demand, ExecutorId, JobId, Kernels, MinerRow, SectorId, SectorRow, SpecRow, Stage, StageWork,
    Work,
};
use crate::reply::{Rejected, Reply};
use crate::sealing::{derived_challenge, template};
use crate::state::State;

use super::Run;
use super::submit::{bad, limit};

/// Sectors of one proof: those of a few partitions at the largest size.
const PROVED_SECTORS_MAX: usize = 2_400;

impl State {
    pub(super) fn seal_sector(
        &mut self,
        seal: SealSector,
        run: &mut Run<'_>,
    ) -> Result<Reply, Rejected> {
        let proof = seal.proof;
        if seal.piece.length == 0 {
            return Err(bad("piece_length", "is zero; give a piece with at least one byte"));
        }
        if seal.piece.length > proof.piece_bytes_max() {
            return Err(Rejected::PieceTooLarge {
                length: seal.piece.length,
                proof: proof.name().to_owned(),
                max: proof.piece_bytes_max(),
            });
        }
        if self.executors.get(seal.piece.executor).is_none() {
            return Err(Rejected::UnknownExecutor { name: seal.piece.executor.to_string() });
        }
        let last = seal.stop_after.unwrap_or(Stage::Finalize);
        if last > Stage::Finalize {
            return Err(bad("stop_after", &format!("names {last}, which is no stage of sealing")));
        }
        check_challenge("ticket", seal.ticket.as_deref())?;
        check_challenge("seed", seal.seed.as_deref())?;
        if !self.meta.configuration.development && (seal.ticket.is_none() || seal.seed.is_none()) {
            let problem = "must be given on a network that is not for development";
            return Err(bad("ticket and seed", problem));
        }
        self.check_queue(1, 7, false, run)?;
        self.check_storage(run)?;
        if let Some(miner) = self.miners.get(seal.miner)
            && !run.principal.may_touch(&miner.owner)
        {
            let owner = miner.owner.clone();
            return Err(Rejected::MinerOwned { miner: seal.miner, owner });
        }
        let last_sector = self.miners.get(seal.miner).map_or(0, |row| row.last_sector);
        let number = match seal.number {
            Some(number) if number > i64::MAX.unsigned_abs() => {
                return Err(bad("sector", "is larger than a sector number can be"));
            }
            Some(number) => number,
            None => last_sector + 1,
        };
        let id = SectorId::new(seal.miner, number);
        let done = match self.sectors.get(id) {
            Some(row) => self.continuable(id, row, &seal, last)?,
            None => None,
        };
        self.note_miner(seal.miner, number, run);
        let mut stages = template::seal(id, proof, done, last);
        if let Some(kernels) = seal.kernels.filter(|kernels| *kernels != Kernels::Own) {
            stages.values.insert(StageWork::KERNELS.to_owned(), kernels.name().to_owned());
        }
        let job = self.add_stage_job(format!("seal {id}"), stages, seal.priority, run);
        match self.sectors.get_mut(id) {
            Some(row) => row.job = job,
            None => {
                let row = new_sector(id, seal, job, run);
                self.sectors.insert(id, row);
            }
        }
        Ok(Reply::Sealing { job, sector: id })
    }

    /// A sector whose job has ended before the end may go on; answers its last stage.
    fn continuable(
        &self,
        id: SectorId,
        row: &SectorRow,
        seal: &SealSector,
        last: Stage,
    ) -> Result<Option<Stage>, Rejected> {
        let exists = |problem: &str| Rejected::SectorExists {
            sector: id,
            job: row.job,
            problem: problem.to_owned(),
        };
        if seal.number.is_none() {
            return Err(exists("the next free number is taken; name a number"));
        }
        if self.jobs.get(row.job).is_some_and(|job| !job.is_ended()) {
            return Err(exists("its job has not ended; wait for it or cancel it"));
        }
        if row.stage.is_some_and(|stage| stage >= last) {
            return Err(exists("it has been sealed that far; choose another number"));
        }
        if row.proof != seal.proof || row.piece.blake3 != seal.piece.blake3 {
            return Err(exists("it was begun with another piece or size; choose another number"));
        }
        let differs = |name: &str, given: &Option<String>| {
            given
                .as_ref()
                .is_some_and(|given| row.values.get(name) != Some(&given.to_ascii_lowercase()))
        };
        if differs("ticket", &seal.ticket) || differs("seed", &seal.seed) {
            return Err(exists("it was begun with another ticket or seed; leave them out"));
        }
        Ok(row.stage)
    }

    fn note_miner(&mut self, miner: u64, number: u64, run: &Run<'_>) {
        match self.miners.get_mut(miner) {
            Some(row) => row.last_sector = row.last_sector.max(number),
            None => {
                let owner = run.principal.owner.clone();
                self.miners.insert(miner, MinerRow { owner, last_sector: number });
            }
        }
    }

    fn add_stage_job(
        &mut self,
        name: String,
        stages: StageWork,
        priority: i32,
        run: &mut Run<'_>,
    ) -> JobId {
        let total = u32::try_from(stages.nodes.len()).unwrap_or(u32::MAX);
        let spec = SpecRow {
            name,
            work: Work::Stages(stages),
            demand: Demand::default(),
            ranges: Vec::new(),
            running_max: 0,
            after: Vec::new(),
            time_limit_ms: 0,
            attempts_max: self.attempts_max(0),
            at_most_once: false,
        };
        self.add_job(spec, priority, total, Vec::new(), run)
    }

    pub(super) fn unseal(&mut self, id: SectorId, run: &mut Run<'_>) -> Result<Reply, Rejected> {
        let (row, _) = self.sealed(id, run, "unseal")?;
        let proof = row.proof;
        self.check_queue(1, 1, false, run)?;
        self.check_storage(run)?;
        let stages = template::unseal(id, proof);
        let job = self.add_stage_job(format!("unseal {id}"), stages, 0, run);
        Ok(Reply::Submitted { job })
    }

    pub(super) fn prove(&mut self, prove: Prove, run: &mut Run<'_>) -> Result<Reply, Rejected> {
        let Prove { kind, miner, mut sectors, randomness, priority } = prove;
        limit("sectors of a proof", sectors.len(), PROVED_SECTORS_MAX)?;
        check_challenge("randomness", Some(&randomness))?;
        sectors.sort_unstable();
        if sectors.is_empty() || sectors.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(bad("sectors", "must name at least one sector, each once"));
        }
        if kind == ProveKind::Winning && sectors.len() != 1 {
            return Err(bad("sectors", "of a winning proof must be exactly one"));
        }
        let mut held = Vec::with_capacity(sectors.len());
        let mut proof = None;
        for &number in &sectors {
            let (row, store) = self.sealed(SectorId::new(miner, number), run, "prove")?;
            if proof.is_some_and(|proof| proof != row.proof) {
                return Err(bad("sectors", "must all have the same size"));
            }
            proof = Some(row.proof);
            held.push((number, store));
        }
        let Some(proof) = proof else {
            return Err(bad("sectors", "is empty"));
        };
        let (name, stages) = match kind {
            ProveKind::Winning => {
                let name = format!("winning {}", SectorId::new(miner, sectors[0]));
                (name, template::winning(miner, proof, sectors, randomness))
            }
            ProveKind::Window => {
                let name = format!("window {miner}, {} sectors", sectors.len());
                (name, template::window(miner, proof, &held, randomness))
            }
        };
        self.check_queue(1, u64::try_from(stages.nodes.len()).unwrap_or(u64::MAX), true, run)?;
        let job = self.add_stage_job(name, stages, priority, run);
        Ok(Reply::Submitted { job })
    }

    /// A sector that is sealed to the end, with the executor that holds it.
    fn sealed(
        &self,
        id: SectorId,
        run: &Run<'_>,
        action: &str,
    ) -> Result<(&SectorRow, Option<ExecutorId>), Rejected> {
        let row = self.sectors.get(id).ok_or(Rejected::UnknownSector { sector: id })?;
        run.require_owner(&row.owner, &format!("{action} sector {id}"))?;
        let Some(manifest) = row.manifests.get(&Stage::Finalize) else {
            let missing = match row.stage {
                Some(stage) => format!("its last stage is {stage}"),
                None => "no stage has ended yet".to_owned(),
            };
            return Err(Rejected::SectorNotReady { sector: id, missing });
        };
        Ok((row, manifest.executors.first().copied()))
    }
}

fn new_sector(id: SectorId, seal: SealSector, job: JobId, run: &Run<'_>) -> SectorRow {
    let challenge = |given: Option<String>, purpose: &str| {
        given.map_or_else(|| derived_challenge(purpose, id), |text| text.to_ascii_lowercase())
    };
    let values = BTreeMap::from([
        ("ticket".to_owned(), challenge(seal.ticket, "ticket")),
        ("seed".to_owned(), challenge(seal.seed, "seed")),
    ]);
    SectorRow {
        owner: run.principal.owner.clone(),
        proof: seal.proof,
        job,
        stage: None,
        manifests: BTreeMap::new(),
        values,
        piece: seal.piece,
        created_at: run.now,
    }
}

/// 32 bytes in hex, not zero. Randomness is used as a field element, so its two highest bits must
/// be clear; tickets and seeds are only hashed.
fn check_challenge(field: &str, text: Option<&str>) -> Result<(), Rejected> {
    let Some(text) = text else { return Ok(()) };
    let Some(digest) = crate::model::Digest::from_hex(text) else {
        return Err(bad(field, "is not 64 hexadecimal digits"));
    };
    if field == "randomness" && digest.0[31] > 0x3f {
        return Err(bad(field, "has one of its two highest bits set (last byte above 3f)"));
    }
    if digest.0 == [0; 32] {
        return Err(bad(field, "is zero"));
    }
    Ok(())
}
