//! **Purpose**: PC2 of one sector.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use hesper_benches::kernels::inputs;
use hesper_benches::kernels::outcome::{Outcome, Spent};
use hesper_poseidon::{Arity, Backend, hash_columns, hash_rows};
use hesper_trees::{Shape, pc2, shape};

use crate::watch::Watch;

#[derive(Args)]
pub struct Pc2 {
    #[arg(long)]
    bytes: u64,
    #[arg(long, default_value_t = 2)]
    layers: usize,
    /// Directory with the layers; takes the trees
    #[arg(long)]
    cache: PathBuf,
    /// The unsealed sector
    #[arg(long)]
    input: PathBuf,
    /// The sealed sector, new
    #[arg(long)]
    replica: PathBuf,
    /// Bound of all buffers; 0: the default
    #[arg(long, default_value_t = 0)]
    memory: u64,
}

impl Pc2 {
    pub fn run(&self, threads: NonZeroUsize) -> Result<Outcome> {
        let shape = Shape::of_sector_bytes(self.bytes)?;
        let backend = Backend::detect();
        let request = pc2::Request {
            shape,
            layers: (1..=self.layers)
                .map(|layer| self.cache.join(shape::layer_name(layer)))
                .collect(),
            data: self.input.clone(),
            sealed: self.replica.clone(),
            cache_dir: self.cache.clone(),
            threads: threads.get(),
            memory_bytes_max: self.memory,
            backend,
        };
        let watch = Watch::start();
        let made = pc2::run(&request, &|_| true).context("PC2 failed")?;
        let mut outcome = watch.finish(shape.nodes(), backend)?;
        outcome.digest = Some(hex::encode(made.commitments.comm_r));
        outcome.kernel = Some(hashes_alone(backend, self.layers));
        Ok(outcome)
    }
}

/// The hashes of so many nodes, in memory: a column each, and two trees of a seventh as many.
fn hashes_alone(backend: Backend, layers: usize) -> Spent {
    const NODES: usize = 1 << 15;
    const FAN: usize = 8;
    let columns: Vec<Vec<u8>> =
        (0..layers).map(|layer| inputs::elements(layer as u64, NODES)).collect();
    let columns: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
    let mut leaves = vec![0; NODES * 32];
    let mut row = vec![0; NODES / FAN * 32];
    let watch = Watch::start();
    hash_columns(backend, &columns, &mut leaves);
    // 1/8 + 1/64 + .. = 1/7 of the leaves.
    let rows = NODES / 7 * FAN * 32;
    let mut done = 0;
    for _tree in 0..2 {
        let mut left = rows;
        while left > 0 {
            let input = &leaves[..left.min(leaves.len())];
            hash_rows(backend, Arity::Eight, input, &mut row[..input.len() / FAN]);
            left -= input.len();
            done += 1;
        }
    }
    std::hint::black_box((&row, done));
    watch.spent(NODES as u64)
}
