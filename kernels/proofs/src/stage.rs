//! The stages of sealing and proving, as a contract in JSON.
//!
//! A stage runs in a child process: the parent writes an [`Order`] to a file in the directory of the
//! attempt and starts `child_main`; the child prints one [`Progress`] line per step and leaves
//! `outcome.json` or `error.json` beside the order. The parent sets the environment of
//! [`crate::params::child_env`] and makes the directory of the attempt the working directory
//! (the library would read a `rust-fil-proofs.config.toml` from there).
//!
//! Invariants:
//! - An attempt writes only below its `out_dir`. Inputs are committed files of other attempts; they
//!   are linked or copied, checked before use, and never changed.
//! - `outcome.json` is written last, durably: where it exists, every file named in it is on disc.

mod child;
mod context;
mod error;
mod labels;
mod lockstep;
mod post;
mod seal;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::files::FileEntry;
pub use crate::library::Piece;
pub use crate::proof_type::{
    C1_OUTPUT, P_AUX, PIECE, PROOF, SEALED, T_AUX, TREE_D, UNSEALED, VANILLA, layer_name,
};
pub use crate::verify::PostSector;
pub use child::{CANCEL_FILE, ERROR_FILE, ORDER_FILE, OUTCOME_FILE, child_main};
pub use error::{ErrorReport, Retry, StageError};
pub use labels::Checkpoint;

pub use crate::kernels::Kernels;
use crate::proof_type::{SealProof, SectorIdentity};
use context::Context;

/// The one version of this contract.
pub const ORDER_VERSION: u32 = 1;

/// What an attempt does. `needs` and `gives` list input names, value keys and file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Needs input `source`. Gives file `unsealed`, values `pieces`, `comm_p`, `piece_bytes`,
    /// `piece_len`, `piece_blake3`.
    AddPiece,
    /// Needs input `unsealed`, value `pieces`. Gives tree D and the value `comm_d`.
    TreeD,
    /// Needs value `comm_d` and the ticket. Gives the layers, with a checkpoint for each.
    Pc1,
    /// Needs inputs `unsealed`, tree D, the layers; value `comm_d`. Gives `sealed`, tree C, tree R,
    /// `p_aux`, `t_aux`, values `comm_r`, `comm_c`, `comm_r_last`.
    Pc2,
    /// Needs inputs `sealed`, `p_aux`, all trees, the layers; values `pieces`, `comm_d`, `comm_r`;
    /// ticket and seed. Gives `c1.json`.
    C1,
    /// Needs input `c1.json` and the parameters. Gives file and value `proof`.
    C2,
    /// Needs inputs `sealed`, `p_aux`, tree R; values `comm_d`, `comm_r`, `proof`; ticket, seed and
    /// the verifying key. Verifies the proof, then gives the files that a sealed sector keeps.
    Finalize,
    /// Needs input `sealed`, values `comm_d`, optionally `piece_len` and `piece_blake3`; the ticket.
    /// Gives `piece`.
    Unseal,
    /// Needs for its one sector N the inputs `N/sealed`, `N/p_aux`, `N/` tree R; randomness and the
    /// parameters. Gives file and value `proof`.
    WinningPost,
    /// Needs the same for each of `sectors` (those of the partition that lie in one store) and
    /// randomness. Gives `vanilla.json`.
    WindowPostVanilla { partition: u32 },
    /// Needs inputs whose names start with `vanilla`, which together cover `sectors` (the whole
    /// partition in its order); randomness and the parameters. Gives file and value `proof`.
    WindowPostProve { partition: u32 },
}

impl Stage {
    /// Every stage, with partition 0 where there is one.
    pub const ALL: [Self; 11] = [
        Self::AddPiece,
        Self::TreeD,
        Self::Pc1,
        Self::Pc2,
        Self::C1,
        Self::C2,
        Self::Finalize,
        Self::Unseal,
        Self::WinningPost,
        Self::WindowPostVanilla { partition: 0 },
        Self::WindowPostProve { partition: 0 },
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddPiece => f.write_str("AddPiece"),
            Self::TreeD => f.write_str("TreeD"),
            Self::Pc1 => f.write_str("PC1"),
            Self::Pc2 => f.write_str("PC2"),
            Self::C1 => f.write_str("C1"),
            Self::C2 => f.write_str("C2"),
            Self::Finalize => f.write_str("Finalize"),
            Self::Unseal => f.write_str("Unseal"),
            Self::WinningPost => f.write_str("WinningPoSt"),
            Self::WindowPostVanilla { partition } => {
                write!(f, "WindowPoSt vanilla (partition {partition})")
            }
            Self::WindowPostProve { partition } => {
                write!(f, "WindowPoSt prove (partition {partition})")
            }
        }
    }
}

/// A committed file that the stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name that the stage knows it by.
    pub name: String,
    pub path: PathBuf,
    /// Checked before use when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// BLAKE3 in hex, checked before use when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

/// Everything that one attempt of one stage needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// [`ORDER_VERSION`].
    pub version: u32,
    pub stage: Stage,
    pub proof: SealProof,
    /// The sector; for a PoSt only `miner` counts.
    pub sector: SectorIdentity,
    /// 32 bytes in hex.
    #[serde(default)]
    pub ticket: Option<String>,
    /// 32 bytes in hex.
    #[serde(default)]
    pub seed: Option<String>,
    /// Randomness of a PoSt, 32 bytes in hex. Its two top bits are cleared.
    #[serde(default)]
    pub randomness: Option<String>,
    /// Sectors of a PoSt.
    #[serde(default)]
    pub sectors: Vec<PostSector>,
    pub inputs: Vec<Input>,
    /// Outputs of earlier stages: bytes in hex, numbers in decimal, lists in JSON.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// The directory of this attempt. Absolute.
    pub out_dir: PathBuf,
    /// Directories of earlier attempts of this stage, whose checkpoints may be taken over.
    #[serde(default)]
    pub resume_dirs: Vec<PathBuf>,
    /// Threads; all cores when absent.
    #[serde(default)]
    pub threads: Option<u32>,
}

impl Order {
    /// An order without inputs, values and randomness.
    pub fn new(
        stage: Stage,
        proof: SealProof,
        sector: SectorIdentity,
        out_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            version: ORDER_VERSION,
            stage,
            proof,
            sector,
            ticket: None,
            seed: None,
            randomness: None,
            sectors: Vec::new(),
            inputs: Vec::new(),
            values: BTreeMap::new(),
            out_dir: out_dir.into(),
            resume_dirs: Vec::new(),
            threads: None,
        }
    }

    /// Which code runs this order: the value `kernels`, Hesper's own when absent.
    ///
    /// # Errors
    /// The value is neither `own` nor `library`.
    pub fn kernels(&self) -> Result<Kernels, StageError> {
        let Some(text) = self.values.get(Kernels::VALUE) else { return Ok(Kernels::Own) };
        Kernels::parse(text).ok_or_else(|| StageError::ValueMalformed {
            stage: self.stage,
            name: Kernels::VALUE,
            value: text.clone(),
            expected: "`own` or `library`",
        })
    }

    fn check(&self) -> Result<(), StageError> {
        if self.version != ORDER_VERSION {
            return Err(StageError::Version { found: self.version });
        }
        if !self.proof.runs_here() {
            return Err(StageError::Unsupported { proof: self.proof, stage: self.stage });
        }
        if !self.out_dir.is_absolute() {
            return Err(StageError::ValueMalformed {
                stage: self.stage,
                name: "out_dir",
                value: self.out_dir.display().to_string(),
                expected: "an absolute path",
            });
        }
        Ok(())
    }
}

/// What an attempt made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub values: BTreeMap<String, String>,
    /// The files in `out_dir`, by name.
    pub files: Vec<FileEntry>,
    /// PC1: layers taken over from earlier attempts.
    pub reused_layers: u32,
    /// Milliseconds per step.
    pub timings_ms: BTreeMap<String, u64>,
}

/// How far an attempt is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// For example `check inputs`, `layer`, `prove`.
    pub step: String,
    pub done: u64,
    pub total: u64,
    /// The place of the order among those of a group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
}

/// Runs one stage in this process.
///
/// # Errors
/// See [`StageError`]; its message names what was tried and what to do.
pub fn run(order: &Order, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, StageError> {
    order.check()?;
    if order.stage == Stage::Pc1 && order.kernels()? == Kernels::Own {
        let mut result = None;
        let orders = std::slice::from_ref(order);
        lockstep::pc1(orders, &[], &mut |_, step| progress(step), &mut |_, ended| {
            result = Some(ended);
        });
        return result.expect("the kernel ends every sector that it was given");
    }
    run_stage(order, progress).map_err(|error| error.with_demand(order))
}

/// Runs PC1 of several sectors of one proof type in lockstep. `ended` is called once per order, with
/// its place, as soon as its sector has ended. A file that appears at the path in `cancel_files` stops
/// the sector of the same place.
///
/// # Errors
/// When the orders cannot be run together; then none was started.
pub fn run_group(
    orders: &[Order],
    cancel_files: &[PathBuf],
    progress: &mut dyn FnMut(usize, Progress),
    ended: &mut dyn FnMut(usize, Result<Outcome, StageError>),
) -> Result<(), StageError> {
    let proof = orders.first().map(|order| order.proof);
    for order in orders {
        if order.stage != Stage::Pc1
            || order.kernels()? != Kernels::Own
            || Some(order.proof) != proof
        {
            return Err(StageError::Group { stage: order.stage, proof: order.proof });
        }
    }
    lockstep::pc1(orders, cancel_files, progress, ended);
    Ok(())
}

fn run_stage(order: &Order, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, StageError> {
    let mut context = Context::open(order, progress)?;
    match order.stage {
        Stage::AddPiece => seal::add_piece(&mut context)?,
        Stage::TreeD => seal::tree_d(&mut context)?,
        Stage::Pc1 => labels::pc1(&mut context)?,
        Stage::Pc2 => seal::pc2(&mut context)?,
        Stage::C1 => seal::c1(&mut context)?,
        Stage::C2 => seal::c2(&mut context)?,
        Stage::Finalize => seal::finalize(&mut context)?,
        Stage::Unseal => seal::unseal(&mut context)?,
        Stage::WinningPost => post::winning(&mut context)?,
        Stage::WindowPostVanilla { .. } => post::window_vanilla(&mut context)?,
        Stage::WindowPostProve { partition } => post::window_prove(&mut context, partition)?,
    }
    context.finish()
}
