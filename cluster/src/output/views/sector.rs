//! **Purpose**: sectors and proofs, as commands print them.

use std::collections::BTreeMap;

use hesper_protos::sector;
use serde::Serialize;

use super::{Task, Tasks, pairs};
use crate::output::Align::{Left, Right};
use crate::output::{Show, Table};
use crate::values::{format_miner, format_size};

/// A sector.
#[derive(Clone, Debug, Serialize)]
pub struct Sector {
    /// The miner's number.
    pub miner: u64,
    /// Its number.
    pub sector: u64,
    /// Whose it is.
    pub owner: String,
    /// Its size.
    pub proof: String,
    /// The last stage that is done, or `sealed`.
    pub state: String,
    /// The job that seals it.
    pub job: u64,
    /// `comm_d`, `comm_r`, `proof` and what else the stages found.
    pub values: BTreeMap<String, String>,
    /// Its files.
    pub files: Vec<SectorFile>,
    /// Its stages, when they were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Task>,
}

/// A file of a sector.
#[derive(Clone, Debug, Serialize)]
pub struct SectorFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub length_bytes: u64,
    /// Its hash.
    pub blake3: String,
    /// Who has it.
    pub executors: Vec<String>,
}

impl From<sector::Sector> for Sector {
    fn from(wire: sector::Sector) -> Self {
        let file = |file: sector::File| SectorFile {
            name: file.name,
            length_bytes: file.length,
            blake3: file.blake3,
            executors: file.executors,
        };
        Sector {
            miner: wire.miner,
            sector: wire.sector,
            owner: wire.owner,
            proof: wire.proof,
            state: wire.state,
            job: wire.job,
            values: wire.values.into_iter().collect(),
            files: wire.files.into_iter().map(file).collect(),
            stages: Vec::new(),
        }
    }
}

impl Show for Sector {
    fn text(&self) -> String {
        let mut rows = vec![
            ("sector", format!("{} / {} ({})", format_miner(self.miner), self.sector, self.proof)),
            ("state", self.state.clone()),
            ("owner", self.owner.clone()),
            ("job", self.job.to_string()),
        ];
        rows.extend(self.values.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let mut text = pairs(&rows);
        if !self.stages.is_empty() {
            text.push('\n');
            text += &Tasks { tasks: self.stages.clone(), more: false }.text();
        }
        if !self.files.is_empty() {
            text.push('\n');
            let mut table = Table::new(&[
                ("FILE", Left),
                ("LENGTH", Right),
                ("BLAKE3", Left),
                ("EXECUTORS", Left),
            ]);
            for file in &self.files {
                table.row([
                    file.name.clone(),
                    format_size(file.length_bytes),
                    file.blake3.chars().take(16).collect(),
                    file.executors.join(","),
                ]);
            }
            text += &table.render();
        }
        text
    }
}

/// Several sectors.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Sectors(pub Vec<Sector>);

impl Show for Sectors {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("MINER", Left),
            ("SECTOR", Right),
            ("SIZE", Left),
            ("STATE", Left),
            ("JOB", Right),
            ("OWNER", Left),
        ]);
        for sector in &self.0 {
            table.row([
                format_miner(sector.miner),
                sector.sector.to_string(),
                sector.proof.clone(),
                sector.state.clone(),
                sector.job.to_string(),
                sector.owner.clone(),
            ]);
        }
        table.render()
    }
}

/// A sector that is being sealed.
#[derive(Clone, Debug, Serialize)]
pub struct Sealing {
    /// The miner's number.
    pub miner: u64,
    /// The sector's number.
    pub sector: u64,
    /// The job that seals it.
    pub job: u64,
    /// The piece's hash.
    pub piece_blake3: String,
    /// The piece's length.
    pub piece_length_bytes: u64,
    /// Where the piece lies.
    pub executor: String,
}

impl Show for Sealing {
    fn text(&self) -> String {
        format!(
            "sealing sector {} / {} in job {}; the piece of {} lies on executor {}\n",
            format_miner(self.miner),
            self.sector,
            self.job,
            format_size(self.piece_length_bytes),
            self.executor
        )
    }
}

/// A file that was fetched.
#[derive(Clone, Debug, Serialize)]
pub struct Unsealed {
    /// The miner's number.
    pub miner: u64,
    /// The sector's number.
    pub sector: u64,
    /// The job that unsealed it.
    pub job: u64,
    /// Where it lies now.
    pub path: String,
    /// Its length.
    pub length_bytes: u64,
    /// Its hash.
    pub blake3: String,
}

impl Show for Unsealed {
    fn text(&self) -> String {
        format!(
            "wrote {} ({}, BLAKE3 {})\n",
            self.path,
            format_size(self.length_bytes),
            self.blake3
        )
    }
}

/// A PoSt proof, or the job that makes it.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// `winning` or `window`.
    pub kind: &'static str,
    /// The miner's number.
    pub miner: u64,
    /// The challenged sectors.
    pub sectors: Vec<u64>,
    /// The challenge (hex).
    pub randomness: String,
    /// The job.
    pub job: u64,
    /// The proof (hex); null while the job goes on.
    pub proof: Option<String>,
}

impl Show for Proof {
    fn text(&self) -> String {
        match &self.proof {
            Some(proof) => format!("{proof}\n"),
            None => format!("submitted job {}\n", self.job),
        }
    }
}

/// Whether a proof is right.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// It is.
    pub valid: bool,
    /// What was checked, or why it is not.
    pub detail: String,
}

impl Show for Verified {
    fn text(&self) -> String {
        let word = if self.valid { "valid" } else { "NOT VALID" };
        if self.detail.is_empty() {
            format!("{word}\n")
        } else {
            format!("{word}: {}\n", self.detail)
        }
    }
}
