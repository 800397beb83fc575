//! **Purpose**: the data of a sealed sector.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use hesper_benches::kernels::outcome::Outcome;
use hesper_trees::{fr32, unseal};

use crate::post::PROVER_ID;
use crate::sdr::porep_id;
use crate::watch::Watch;

/// The identity of the sector that is unsealed; the same as the peer is told.
const SECTOR: u64 = 7;
const TICKET: [u8; 32] = [5; 32];
const COMM_D: [u8; 32] = [3; 32];

#[derive(Args)]
pub struct Unseal {
    #[arg(long)]
    bytes: u64,
    #[arg(long, default_value_t = 2)]
    layers: u32,
    #[arg(long)]
    sealed: PathBuf,
    #[arg(long)]
    out: PathBuf,
}

impl Unseal {
    pub fn run(&self, parents: &Path, threads: NonZeroUsize) -> Result<Outcome> {
        let porep_id = porep_id(self.bytes);
        let replica_id = hesper_sdr::replica_id(&PROVER_ID, SECTOR, &TICKET, &COMM_D, &porep_id);
        let key = unseal::Key::Compute {
            porep_id,
            replica_id,
            layers: self.layers,
            parents_dir: parents,
        };
        let request = unseal::Request {
            sealed: &self.sealed,
            sector_bytes: self.bytes,
            key,
            range: 0..fr32::unpadded_bytes(self.bytes),
            threads,
        };
        let path = self.out.join("unsealed.dat");
        let watch = Watch::start();
        let mut out = Hashed { file: File::create(&path)?, hasher: blake3::Hasher::new() };
        unseal::unseal(&request, &mut out).context("unsealing failed")?;
        out.file.sync_all().with_context(|| format!("could not flush `{}`", path.display()))?;
        let digest = out.hasher.finalize();
        let mut outcome = watch.finish(self.bytes / 32, hesper_sha256::Backend::detect())?;
        outcome.digest = Some(digest.to_hex().to_string());
        Ok(outcome)
    }
}

/// A file with the hash of all that is written to it.
struct Hashed {
    file: File,
    hasher: blake3::Hasher,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
