//! **Purpose**: inputs that both sides read: field elements from a seed, in files.
//!
//! **Invariants**: each 32-byte element is below 2^254, hence a canonical element of the BLS12-381
//! scalar field and a valid Fr32 chunk; the same seed gives the same bytes as on the peer's side.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

use crate::random::Random;

pub const ELEMENT_BYTES: usize = 32;

/// `elements` field elements of `seed`, little-endian.
pub fn elements(seed: u64, elements: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(elements * ELEMENT_BYTES);
    for _ in 0..elements {
        bytes.extend_from_slice(&element(&mut random));
    }
    bytes
}

fn element(random: &mut Random) -> [u8; ELEMENT_BYTES] {
    let words = [random.draw(), random.draw(), random.draw(), random.draw() >> 2];
    let mut bytes = [0; ELEMENT_BYTES];
    for (target, word) in bytes.chunks_exact_mut(8).zip(words) {
        target.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A file of `bytes` (a multiple of 32) from `seed`, durable, under its name only when whole. A file
/// of that length that is there already is kept.
///
/// # Errors
/// When it cannot be written.
pub fn file(path: &Path, bytes: u64, seed: u64) -> Result<()> {
    if fs::metadata(path).is_ok_and(|found| found.len() == bytes) {
        return Ok(());
    }
    let draft = path.with_extension("tmp");
    let said = || format!("could not write the input `{}`", draft.display());
    let mut random = Random::new(seed);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&draft).with_context(said)?);
    for _ in 0..bytes / ELEMENT_BYTES as u64 {
        out.write_all(&element(&mut random)).with_context(said)?;
    }
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(said)?;
    file.sync_all().with_context(said)?;
    fs::rename(&draft, path).with_context(|| format!("could not rename to `{}`", path.display()))
}

/// Drops a file, or all files below a directory, from the page cache.
///
/// # Errors
/// When they cannot be read or the kernel refuses.
pub fn drop_cached(path: &Path) -> Result<()> {
    if path.is_dir() {
        let said = || format!("could not list `{}`", path.display());
        for entry in fs::read_dir(path).with_context(said)? {
            drop_cached(&entry.with_context(said)?.path())?;
        }
        return Ok(());
    }
    let said = || format!("could not drop `{}` from the page cache", path.display());
    let file = File::open(path).with_context(said)?;
    // Only clean pages are dropped.
    file.sync_all().with_context(said)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).with_context(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_canonical_and_follow_the_seed() {
        let drawn = elements(0, 100);
        assert_eq!(drawn.len(), 3200);
        assert!(drawn.chunks_exact(32).all(|element| element[31] < 0x40));
        assert_eq!(elements(0, 1), drawn[..32]);
        assert_ne!(elements(1, 1), drawn[..32]);
        // The first number of SplitMix64 from zero.
        assert_eq!(drawn[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    }

    #[test]
    fn a_whole_file_is_kept_and_a_short_one_made_again() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x.dat");
        fs::write(&path, [7; 64]).expect("write");
        file(&path, 64, 3).expect("kept");
        assert_eq!(fs::read(&path).expect("read"), [7; 64]);
        file(&path, 96, 3).expect("made");
        assert_eq!(fs::read(&path).expect("read"), elements(3, 3));
        assert!(!path.with_extension("tmp").exists());
        drop_cached(dir.path()).expect("dropped");
        assert_eq!(fs::read(&path).expect("read"), elements(3, 3));
    }
}
