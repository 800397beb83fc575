//! **Purpose**: the kernels that are hashes alone: parents, Poseidon, tree D.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use hesper_benches::kernels::inputs;
use hesper_benches::kernels::outcome::{Outcome, Spent};
use hesper_poseidon::{Arity, hash_rows};
use hesper_sdr::{Graph, parents};
use hesper_trees::{shape, tree_d};
use sha2::{Digest as _, Sha256};

use crate::sdr::open_parents;
use crate::watch::Watch;

#[derive(Args)]
pub struct Parents {
    #[arg(long)]
    bytes: u64,
}

impl Parents {
    pub fn run(&self, dir: &Path, threads: NonZeroUsize) -> Result<Outcome> {
        let watch = Watch::start();
        let table = open_parents(dir, self.bytes, threads)?;
        let nodes = table.graph().nodes();
        let mut outcome = watch.finish(u64::from(nodes), parents::Backend::detect())?;
        ensure!(table.was_made(), "`{}` has a table already; remove it", dir.display());
        // The peer names its file by this hash; reading it back is no part of the row.
        let file = std::fs::read(dir.join(parents::file_name(table.graph())))
            .context("could not read the table of parents back")?;
        outcome.digest = Some(hex::encode(Sha256::digest(&file)));
        outcome.kernel = Some(rows_alone(table.graph()));
        Ok(outcome)
    }
}

fn rows_alone(graph: &Graph) -> Spent {
    let nodes = graph.nodes().min(1 << 16);
    let mut rows = vec![0; nodes as usize * 14];
    let watch = Watch::start();
    parents::fill(parents::Backend::detect(), graph, 0..nodes, &mut rows);
    std::hint::black_box(&rows);
    watch.spent(u64::from(nodes))
}

#[derive(Args)]
pub struct Poseidon {
    #[arg(long)]
    arity: usize,
    #[arg(long)]
    count: usize,
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub fn arity(arity: usize) -> Result<Arity> {
    Ok(match arity {
        2 => Arity::Two,
        4 => Arity::Four,
        8 => Arity::Eight,
        11 => Arity::Eleven,
        other => anyhow::bail!("no hash of arity {other}; give 2, 4, 8 or 11"),
    })
}

impl Poseidon {
    pub fn run(&self, threads: NonZeroUsize) -> Result<Outcome> {
        let (arity, backend) = (arity(self.arity)?, hesper_poseidon::Backend::detect());
        let input = inputs::elements(self.seed, self.count * self.arity);
        let mut output = vec![0; self.count * inputs::ELEMENT_BYTES];
        // Constants are made before the clock starts, as on the peer's side.
        let row = self.arity * inputs::ELEMENT_BYTES;
        hash_rows(backend, arity, &input[..row], &mut output[..inputs::ELEMENT_BYTES]);
        let part = self.count.div_ceil(threads.get());

        let watch = Watch::start();
        for _ in 0..self.rounds {
            std::thread::scope(|scope| {
                let parts = input.chunks(part * row).zip(output.chunks_mut(part * 32));
                for (input, output) in parts {
                    scope.spawn(move || hash_rows(backend, arity, input, output));
                }
            });
        }
        let hashes = self.rounds * self.count as u64;
        let mut outcome = watch.finish(hashes, backend)?;
        outcome.kernel = Some(outcome.whole);
        outcome.digest = Some(blake3::hash(&output).to_hex().to_string());
        Ok(outcome)
    }
}

#[derive(Args)]
pub struct TreeD {
    #[arg(long)]
    bytes: u64,
    #[arg(long)]
    input: PathBuf,
    #[arg(long)]
    out: PathBuf,
}

impl TreeD {
    pub fn run(&self, threads: NonZeroUsize) -> Result<Outcome> {
        let backend = hesper_sha256::Backend::detect();
        let watch = Watch::start();
        let tree =
            tree_d::build(&self.input, &self.out.join(shape::TREE_D_NAME), self.bytes, threads)
                .context("could not build tree D")?;
        let mut outcome = watch.finish(self.bytes / 32, backend)?;
        outcome.digest = Some(hex::encode(tree.file.blake3));
        outcome.kernel = Some(pairs_alone(backend));
        Ok(outcome)
    }
}

/// Pairs in memory; a tree has one less than it has leaves.
fn pairs_alone(backend: hesper_sha256::Backend) -> Spent {
    const PAIRS: usize = 1 << 14;
    const ROUNDS: u64 = 16;
    let input = inputs::elements(5, PAIRS * 2);
    let mut output = vec![0; PAIRS * 32];
    let watch = Watch::start();
    for _ in 0..ROUNDS {
        hesper_sha256::hash_pairs(backend, &input, &mut output);
        std::hint::black_box(&output);
    }
    watch.spent(ROUNDS * PAIRS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arities_are_those_of_the_trees() {
        assert!(arity(11).is_ok() && arity(3).is_err());
    }

    #[test]
    fn threads_do_not_change_the_digests() {
        let run = |threads: usize| {
            let what = Poseidon { arity: 2, count: 33, rounds: 1, seed: 4 };
            what.run(NonZeroUsize::new(threads).expect("threads")).expect("outcome").digest
        };
        assert_eq!(run(1), run(3));
    }
}
