//! **Purpose**: the list of sealed sectors that the proofs are made of, kept between runs.
//!
//! **Invariants**: the list is written last and by rename, so it names only whole sectors.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub const FILE_NAME: &str = "sectors.json";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    pub bytes: u64,
    /// 64 hex digits.
    pub prover_id: String,
    pub sectors: Vec<Listed>,
}

/// One sealed sector, as the peer wants it named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub number: u64,
    /// 64 hex digits.
    pub comm_r: String,
    pub sealed: PathBuf,
    /// Directory with `p_aux` and tree R last.
    pub cache: PathBuf,
}

impl List {
    /// # Errors
    /// When the file cannot be read or is no list.
    pub fn read(path: &Path) -> Result<List> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("could not read the list of sectors `{}`", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("`{}` is no list of sectors; remove it", path.display()))
    }

    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE_NAME);
        let draft = path.with_extension("tmp");
        fs::write(&draft, serde_json::to_string(self)?)
            .with_context(|| format!("could not write `{}`", draft.display()))?;
        fs::rename(&draft, &path)
            .with_context(|| format!("could not rename to `{}`", path.display()))
    }

    /// The list in `dir` if it has enough sectors of this size, all of which are there.
    pub fn usable(dir: &Path, bytes: u64, count: usize) -> Option<List> {
        let list = List::read(&dir.join(FILE_NAME)).ok()?;
        let whole = |listed: &Listed| {
            fs::metadata(&listed.sealed).is_ok_and(|sealed| sealed.len() == bytes)
                && listed.cache.join("p_aux").is_file()
        };
        let good = list.bytes == bytes && list.sectors.len() >= count;
        (good && list.sectors.iter().all(whole)).then_some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_counts_while_its_sectors_are_whole() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(List::usable(dir.path(), 64, 1), None);
        let sealed = dir.path().join("sealed.dat");
        fs::write(&sealed, [0; 64]).expect("sealed");
        fs::write(dir.path().join("p_aux"), [0; 64]).expect("p_aux");
        let list = List {
            bytes: 64,
            prover_id: "09".repeat(32),
            sectors: vec![Listed {
                number: 1,
                comm_r: "00".repeat(32),
                sealed: sealed.clone(),
                cache: dir.path().to_owned(),
            }],
        };
        list.write(dir.path()).expect("written");
        assert_eq!(List::usable(dir.path(), 64, 1), Some(list));
        assert_eq!(List::usable(dir.path(), 64, 2), None);
        assert_eq!(List::usable(dir.path(), 128, 1), None);
        fs::write(&sealed, [0; 63]).expect("cut");
        assert_eq!(List::usable(dir.path(), 64, 1), None);
    }
}
