//! **Purpose**: what `hesper params` does with the parameter files of this machine.

use std::collections::BTreeSet;

use anyhow::Context as _;
use camino::Utf8Path;
use hesper_proofs::SealProof;
use hesper_proofs::params::{self, FileState, FileStatus, Generated, ParamSet};
use hesper_proofs::stage::{Order, Stage};

use crate::cli::{ParamsAction, ParamsReport, ParamsRow, ParamsWish};

/// Lists, makes or verifies; `note` gets lines about the progress.
///
/// # Errors
/// When the manifest cannot be read, a file stands in the way, or one cannot be made.
pub fn run(wish: &ParamsWish, note: &mut dyn FnMut(&str)) -> anyhow::Result<ParamsReport> {
    let dir = wish.dir.as_std_path();
    let proofs = match wish.proof {
        Some(proof) => vec![named(proof.as_str())?],
        None => SealProof::ALL.to_vec(),
    };
    if wish.action == ParamsAction::Generate {
        for proof in &proofs {
            generate(wish, *proof, note)?;
        }
    }
    let mut files = Vec::new();
    for proof in proofs {
        files.extend(match wish.action {
            ParamsAction::List => params::list(dir, proof)?,
            ParamsAction::Generate | ParamsAction::Verify => params::verify(dir, proof)?,
        });
    }
    // Whoever names no size asks about what is there.
    let must_be_there = wish.action != ParamsAction::List && wish.proof.is_some();
    let is_damaged = |file: &FileStatus| matches!(file.state, FileState::Damaged { .. });
    let is_missing = |file: &FileStatus| file.state == FileState::Missing;
    let ok = !files.iter().any(|file| is_damaged(file) || (must_be_there && is_missing(file)));
    Ok(ParamsReport { dir: wish.dir.to_string(), files: files.into_iter().map(row).collect(), ok })
}

/// Makes the development parameters that the stage of an order needs and that are missing. Each
/// step is a line of progress as the stage itself prints them.
///
/// # Errors
/// The order cannot be read, or the parameters cannot be made.
pub fn make_for_order(order: &Utf8Path, dir: &Utf8Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(order).with_context(|| format!("could not read {order}"))?;
    let order: Order = serde_json::from_str(&text)?;
    let set = match order.stage {
        Stage::C2 | Stage::Finalize => ParamSet::Porep,
        Stage::WinningPost => ParamSet::WinningPost,
        Stage::WindowPostProve { .. } => ParamSet::WindowPost,
        Stage::AddPiece
        | Stage::TreeD
        | Stage::Pc1
        | Stage::Pc2
        | Stage::C1
        | Stage::Unseal
        | Stage::WindowPostVanilla { .. } => return Ok(()),
    };
    if params::check_present(dir.as_std_path(), order.proof, set).is_ok() {
        return Ok(());
    }
    let mut told = BTreeSet::new();
    params::generate(dir.as_std_path(), order.proof, set, &mut |progress| {
        let hundredth = progress.done.saturating_mul(100) / progress.total.max(1);
        if told.insert(hundredth) {
            println!(r#"{{"step":"making the {set} parameters","done":{hundredth},"total":100}}"#);
        }
    })?;
    Ok(())
}

fn named(proof: &str) -> anyhow::Result<SealProof> {
    proof.parse().ok().with_context(|| format!("there are no parameters for sectors of {proof}"))
}

fn generate(wish: &ParamsWish, proof: SealProof, note: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    for set in ParamSet::ALL {
        // One line per tenth is enough for a log and for a terminal.
        let mut told = BTreeSet::new();
        let made = params::generate(wish.dir.as_std_path(), proof, set, &mut |progress| {
            let tenth = progress.done.saturating_mul(10) / progress.total.max(1);
            if told.insert(tenth) {
                note(&format!("making the {set} parameters of {proof} sectors: {}%", tenth * 10));
            }
        })?;
        if made == Generated::Kept {
            note(&format!("the {set} parameters of {proof} sectors are there and right"));
        }
    }
    Ok(())
}

fn row(file: FileStatus) -> ParamsRow {
    let (state, length_bytes, detail) = match file.state {
        FileState::Missing => ("missing", 0, String::new()),
        FileState::Present { len, development: true } => {
            ("present", len, "made here, for development only; not read".to_owned())
        }
        FileState::Present { len, development: false } => ("present", len, "not read".to_owned()),
        FileState::Development { len } => ("development", len, "digest is right".to_owned()),
        FileState::Production { len } => ("production", len, "digest is right".to_owned()),
        FileState::Damaged { expected, found } => {
            ("damaged", 0, format!("expected {expected}, found {found}"))
        }
    };
    ParamsRow {
        proof: file.proof.to_string(),
        set: file.set.to_string(),
        file: file.name,
        state: state.to_owned(),
        length_bytes,
        detail,
    }
}
