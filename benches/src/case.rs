//! **Purpose**: what every case is given: directories, sizes, the setting of its rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::load::Window;
use crate::machine::Setting;
use crate::row::{Peer, Row};
use crate::stats::Better;

/// How much is measured. The defaults are what a published number needs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Alternations with the peer, and repetitions of rows without one.
    pub samples: usize,
    /// Measured window of a closed loop.
    pub seconds: u64,
    /// Divides the number of tasks and jobs: above 1 for a trial of the harness only.
    pub shrink: usize,
    /// Whole sectors where the usual run takes a part of one.
    pub full: bool,
}

impl Plan {
    /// `full`, made smaller by a trial, but never below one.
    pub fn count(&self, full: usize) -> usize {
        (full / self.shrink.max(1)).max(1)
    }

    pub fn window(&self) -> Window {
        Window { warm_up: Duration::from_secs(1), measured: Duration::from_secs(self.seconds) }
    }
}

pub struct Case {
    pub hesper: PathBuf,
    /// The rows that are wanted; a case with several measures only what these need.
    wanted: Vec<String>,
    /// A directory of this run alone, on a disc.
    dir: PathBuf,
    pub plan: Plan,
    /// Where builds of peers lie; none: below the user's cache.
    pub target_dir: Option<PathBuf>,
    setting: Setting,
    rows: Vec<Row>,
    not_run: Vec<(String, String)>,
}

impl Case {
    pub fn new(
        hesper: PathBuf,
        wanted: Vec<String>,
        dir: PathBuf,
        plan: Plan,
        setting: Setting,
    ) -> Case {
        let (target_dir, rows, not_run) = (None, Vec::new(), Vec::new());
        Case { hesper, wanted, dir, plan, target_dir, setting, rows, not_run }
    }

    pub fn wants(&self, row: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == row)
    }

    /// A new directory for one cluster or peer. Short: socket paths have a small limit.
    pub fn new_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("could not make `{}`", dir.display()))?;
        Ok(dir)
    }

    /// Says what is going on and keeps what a row has no field for.
    pub fn note(&self, text: &str) {
        println!("  {text}");
    }

    pub fn median(
        &mut self,
        name: &str,
        unit: &str,
        better: Better,
        ours: &[f64],
        peer: Option<&Peer>,
    ) -> Result<()> {
        if self.wants(name) {
            self.rows.push(Row::median(name, unit, better, ours, peer, &self.setting)?);
        }
        Ok(())
    }

    /// A row whose number is not the median of its samples.
    pub fn value(
        &mut self,
        name: &str,
        unit: &str,
        better: Better,
        ours: f64,
        samples: &[f64],
    ) -> Result<()> {
        if self.wants(name) {
            self.rows.push(Row::value(name, unit, better, ours, samples, None, &self.setting)?);
        }
        Ok(())
    }

    /// A row that compares ours with ours: `ratio` says how it changed.
    pub fn ratio(&mut self, name: &str, unit: &str, samples: &[f64], ratio: f64) -> Result<()> {
        if self.wants(name) {
            let row = Row::median(name, unit, Better::Higher, samples, None, &self.setting)?;
            self.rows.push(Row { ratio: Some((ratio * 1000.0).round() / 1000.0), ..row });
        }
        Ok(())
    }

    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    pub fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Names a row that this machine cannot measure, and why.
    pub fn not_run(&mut self, row: &str, why: &str) {
        self.not_run.push((row.to_owned(), why.to_owned()));
    }

    /// The rows, and those that were not run with the reason.
    pub fn into_rows(self) -> (Vec<Row>, Vec<(String, String)>) {
        (self.rows, self.not_run)
    }
}

/// The program beside this one in the same directory.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("could not find the own program")?;
    let path = own.parent().unwrap_or(Path::new(".")).join(name);
    anyhow::ensure!(
        path.is_file(),
        "`{}` is missing; build the whole package hesper-benches",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_shrinks_but_never_to_nothing() {
        let plan = Plan { samples: 1, seconds: 1, shrink: 1000, full: false };
        assert_eq!((plan.count(100_000), plan.count(20)), (100, 1));
        assert_eq!(Plan { shrink: 1, ..plan }.count(20), 20);
    }
}
