//! **Purpose**: vanilla proofs of many sectors, and the sealed sectors for them.
//!
//! **Invariants**: the sectors are distinct and sealed by our kernels from zero data; a directory of
//! sectors is used only when its list, written last, is there.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use clap::Args;
use hesper_benches::kernels::outcome::Outcome;
use hesper_benches::kernels::sectors::{List, Listed};
use hesper_sdr::group;
use hesper_trees::{Shape, pc2, post, shape, tree_d};

use crate::sdr::{open_parents, porep_id};
use crate::watch::Watch;

#[derive(Args)]
pub struct Vanilla {
    #[arg(long)]
    bytes: u64,
    /// The list of the sectors
    #[arg(long)]
    list: PathBuf,
    /// How many of them
    #[arg(long)]
    count: usize,
    /// 64 hex digits
    #[arg(long)]
    randomness: String,
    /// Takes the proofs as JSON
    #[arg(long)]
    out: PathBuf,
}

/// The provider of all sectors.
pub const PROVER_ID: [u8; 32] = [9; 32];
const CHALLENGES: u64 = 10;

impl Vanilla {
    pub fn run(&self, threads: NonZeroUsize) -> Result<Outcome> {
        let list = List::read(&self.list)?;
        let randomness = bytes_32(&self.randomness)?;
        let nodes = Shape::of_sector_bytes(self.bytes)?.nodes();
        let backend = hesper_poseidon::Backend::detect();
        let watch = Watch::start();
        let mut sectors = Vec::new();
        for listed in list.sectors.iter().take(self.count) {
            sectors.push(post::Sector {
                id: listed.number,
                comm_r: bytes_32(&listed.comm_r)?,
                sealed: listed.sealed.clone(),
                cache: listed.cache.clone(),
                challenges: post::challenges(&randomness, listed.number, nodes, 0..CHALLENGES)?,
            });
        }
        let request = post::Request {
            sector_bytes: self.bytes,
            sectors: &sectors,
            threads,
            readers_per_device: threads,
            backend,
        };
        let mut json = vec![b'['];
        for (index, proof) in post::vanilla(&request)?.into_iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            json.extend(
                proof.map_err(|fault| anyhow::anyhow!("sector {index}: {fault:?}"))?.to_json(),
            );
        }
        json.push(b']');
        fs::write(&self.out, &json)
            .with_context(|| format!("could not write `{}`", self.out.display()))?;
        let digest = blake3::hash(&json).to_hex().to_string();
        let mut outcome = watch.finish(sectors.len() as u64, backend)?;
        outcome.digest = Some(digest);
        Ok(outcome)
    }
}

fn bytes_32(text: &str) -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .with_context(|| format!("`{text}` is not 32 bytes in hex"))?;
    Ok(bytes)
}

#[derive(Args)]
pub struct Sectors {
    #[arg(long)]
    bytes: u64,
    #[arg(long)]
    count: usize,
    /// Takes the sectors and their list
    #[arg(long)]
    out: PathBuf,
}

impl Sectors {
    pub fn run(&self, parents: &Path, threads: NonZeroUsize) -> Result<Outcome> {
        let watch = Watch::start();
        let work = self.out.join("work");
        fs::create_dir_all(&work)
            .with_context(|| format!("could not make `{}`", work.display()))?;
        let table = open_parents(parents, self.bytes, threads)?;
        let data = work.join("data.dat");
        let file = fs::File::create(&data).context("could not make the data")?;
        file.set_len(self.bytes).context("could not size the data")?;
        let comm_d = tree_d::commitment(&data, self.bytes, threads)?;
        let mut sectors = Vec::new();
        let numbers: Vec<u64> = (1..=self.count as u64).collect();
        for numbers in numbers.chunks(group::SECTORS_MAX) {
            self.seal(numbers, &table, &data, &comm_d, threads, &mut sectors)?;
        }
        fs::remove_dir_all(&work).context("could not remove the work directory")?;
        List { bytes: self.bytes, prover_id: hex::encode(PROVER_ID), sectors }.write(&self.out)?;
        watch.finish(self.count as u64, "")
    }

    fn seal(
        &self,
        numbers: &[u64],
        table: &hesper_sdr::parents::Table,
        data: &Path,
        comm_d: &[u8; 32],
        threads: NonZeroUsize,
        sectors: &mut Vec<Listed>,
    ) -> Result<()> {
        const LAYERS: usize = 2;
        let porep_id = porep_id(self.bytes);
        let dir_of = |number: u64| self.out.join(number.to_string());
        let mut members = Vec::new();
        for number in numbers.iter().copied() {
            let dir = dir_of(number);
            fs::create_dir_all(&dir)
                .with_context(|| format!("could not make `{}`", dir.display()))?;
            members.push(group::Sector {
                replica_id: hesper_sdr::replica_id(&PROVER_ID, number, &[1; 32], comm_d, &porep_id),
                dir,
                have: 0,
                cancel: Arc::new(AtomicBool::new(false)),
            });
        }
        let mut ended = 0;
        let request = group::Request::new(table, LAYERS as u32, members);
        group::run(&request, &mut |event| {
            if let group::Event::Ended { result: Ok(()), .. } = event {
                ended += 1;
            }
        })?;
        ensure!(ended == numbers.len(), "{ended} of {} sectors were labelled", numbers.len());
        for number in numbers.iter().copied() {
            let dir = dir_of(number);
            let layers: Vec<PathBuf> =
                (1..=LAYERS).map(|layer| dir.join(shape::layer_name(layer))).collect();
            let request = pc2::Request {
                shape: Shape::of_sector_bytes(self.bytes)?,
                layers: layers.clone(),
                data: data.to_owned(),
                sealed: dir.join("sealed.dat"),
                cache_dir: dir.clone(),
                threads: threads.get(),
                memory_bytes_max: 0,
                backend: hesper_poseidon::Backend::detect(),
            };
            let made = pc2::run(&request, &|_| true)?;
            // A prover keeps neither layers nor tree C.
            for path in layers {
                fs::remove_file(&path)?;
            }
            for name in Shape::of_sector_bytes(self.bytes)?.tree_c_names() {
                fs::remove_file(dir.join(name))?;
            }
            sectors.push(Listed {
                number,
                comm_r: hex::encode(made.commitments.comm_r),
                sealed: request.sealed,
                cache: dir,
            });
        }
        Ok(())
    }
}
