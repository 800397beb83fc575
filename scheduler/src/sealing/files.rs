//! Which files each stage reads and makes, and where they lie.
//!
//! The one table of file names between the stages. Names are the proof library's; the kernels'
//! contract is that a stage finds its inputs under these names. `t_aux` is never an input: it
//! holds its directory and is made anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    ExecutorId, FileEntry, JobId, JobKind, Manifest, ProofType, SectorId, SectorRow, Stage,
    StageNode, StageWork, TaskId,
};
use crate::state::State;
use crate::view::{InputFile, Source};

const UNSEALED: &str = "unsealed";
const TREE_D: &str = "sc-02-data-tree-d.dat";
const LAYERS: &str = "sc-02-data-layer-*";
const TREE_C: &str = "sc-02-data-tree-c*";
const TREE_R_LAST: &str = "sc-02-data-tree-r-last*";
const SEALED: &str = "sealed";
const P_AUX: &str = "p_aux";
const C1_OUTPUT: &str = "c1.json";
const PIECE: &str = "piece";
const VANILLA: &str = "vanilla.json";
/// A stage that proves makes this value.
const PROOF: &str = "proof";

const FILES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 128;
const VALUES_BYTES_MAX: usize = 24 << 10;

/// (stage that made them, names); a `*` at the end stands for any rest.
type Takes = &'static [(Stage, &'static [&'static str])];

/// What a stage reads of the sector's earlier stages.
fn takes(stage: Stage) -> Takes {
    match stage {
        Stage::AddPiece | Stage::Pc1 | Stage::WindowPostProve => &[],
        Stage::TreeD => &[(Stage::AddPiece, &[UNSEALED])],
        Stage::Pc2 => {
            &[(Stage::AddPiece, &[UNSEALED]), (Stage::TreeD, &[TREE_D]), (Stage::Pc1, &[LAYERS])]
        }
        Stage::C1 => &[
            (Stage::TreeD, &[TREE_D]),
            (Stage::Pc1, &[LAYERS]),
            (Stage::Pc2, &[SEALED, P_AUX, TREE_C, TREE_R_LAST]),
        ],
        Stage::C2 => &[(Stage::C1, &[C1_OUTPUT])],
        Stage::Finalize => &[(Stage::Pc2, &[SEALED, P_AUX, TREE_R_LAST])],
        Stage::Unseal => &[(Stage::Finalize, &[SEALED])],
        Stage::WinningPost | Stage::WindowPostVanilla => {
            &[(Stage::Finalize, &[SEALED, P_AUX, TREE_R_LAST])]
        }
    }
}

/// What should lie near a stage although it does not read it: PC1 makes the largest files, and
/// PC2 reads these beside them.
fn near(stage: Stage) -> Takes {
    match stage {
        Stage::Pc1 => &[(Stage::AddPiece, &[UNSEALED]), (Stage::TreeD, &[TREE_D])],
        other => takes(other),
    }
}

/// What a stage must have made.
fn makes(stage: Stage) -> (&'static [&'static str], Option<&'static str>) {
    match stage {
        Stage::AddPiece => (&[UNSEALED], None),
        Stage::TreeD => (&[TREE_D], Some("comm_d")),
        Stage::Pc1 => (&[LAYERS], None),
        Stage::Pc2 => (&[SEALED, P_AUX, TREE_C, TREE_R_LAST], Some("comm_r")),
        Stage::C1 => (&[C1_OUTPUT], None),
        Stage::C2 | Stage::WinningPost | Stage::WindowPostProve => (&[], Some(PROOF)),
        Stage::Finalize => (&[SEALED, P_AUX, TREE_R_LAST], None),
        Stage::Unseal => (&[PIECE], None),
        Stage::WindowPostVanilla => (&[VANILLA], None),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// Why a stage's result cannot be taken: a name that leaves the directory, too much of
/// something, or a missing output.
pub(crate) fn problem_of_result(
    stage: Stage,
    proof: ProofType,
    files: &[FileEntry],
    values: &BTreeMap<String, String>,
) -> Option<String> {
    if files.len() > FILES_MAX {
        return Some(format!("{} files; at most {FILES_MAX} are taken", files.len()));
    }
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name != "."
            && name != ".."
            && !name.contains(['/', '\\', '\0'])
    };
    if let Some(file) = files.iter().find(|file| !plain(&file.name)) {
        return Some(format!("`{}` is not a plain file name", file.name));
    }
    let names: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    if names.len() != files.len() {
        return Some("a file is listed twice".to_owned());
    }
    let bytes: usize = values.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > VALUES_BYTES_MAX {
        return Some(format!("{bytes} bytes of values; at most {VALUES_BYTES_MAX} are taken"));
    }
    let (patterns, value) = makes(stage);
    if let Some(missing) =
        patterns.iter().find(|pattern| !names.iter().any(|name| matches(pattern, name)))
    {
        return Some(format!("the stage {stage} made no file `{missing}`"));
    }
    if stage == Stage::Pc1 {
        let missing = (1..=proof.layers())
            .map(|layer| format!("sc-02-data-layer-{layer}.dat"))
            .find(|layer| !names.contains(layer.as_str()));
        if let Some(missing) = missing {
            return Some(format!("the stage {stage} made no file `{missing}`"));
        }
    }
    value
        .filter(|value| !values.contains_key(*value))
        .map(|value| format!("the stage {stage} made no value `{value}`"))
}

/// Stages whose directories nothing reads any more once `Finalize` is current.
pub(crate) fn collectable(stage: Stage) -> bool {
    match stage {
        Stage::AddPiece | Stage::TreeD | Stage::Pc1 | Stage::Pc2 | Stage::C1 | Stage::C2 => true,
        Stage::Finalize
        | Stage::Unseal
        | Stage::WinningPost
        | Stage::WindowPostVanilla
        | Stage::WindowPostProve => false,
    }
}

/// The input files of a node, with every place that has them. `for_placement` asks for what
/// should lie near instead.
pub(crate) fn inputs(
    state: &State,
    job: JobId,
    work: &StageWork,
    node: &StageNode,
    for_placement: bool,
) -> Vec<InputFile> {
    let mut files = Vec::new();
    match work.kind {
        JobKind::Seal | JobKind::Unseal => {
            let Some(sector) = state.sectors.get(SectorId::new(work.miner, work.sector)) else {
                return files;
            };
            if node.stage == Stage::AddPiece {
                files.push(piece(state, sector));
            }
            add_sector_files(state, sector, node.stage, for_placement, None, &mut files);
        }
        JobKind::WinningPost | JobKind::WindowPost => {
            if node.stage == Stage::WindowPostProve {
                for &index in &node.after {
                    if let Some(manifest) = state.outputs.get(TaskId::new(job, index)) {
                        add(state, manifest, &[VANILLA], &mut files, |_| {
                            format!("vanilla-{index}.json")
                        });
                    }
                }
                return files;
            }
            for &number in &node.sectors {
                if let Some(sector) = state.sectors.get(SectorId::new(work.miner, number)) {
                    let stage = node.stage;
                    add_sector_files(state, sector, stage, for_placement, Some(number), &mut files);
                }
            }
        }
        JobKind::Command => {}
    }
    files
}

fn add_sector_files(
    state: &State,
    sector: &SectorRow,
    stage: Stage,
    for_placement: bool,
    number: Option<u64>,
    files: &mut Vec<InputFile>,
) {
    let wanted = if for_placement { near(stage) } else { takes(stage) };
    for (from, names) in wanted {
        let Some(manifest) = sector.manifests.get(from) else {
            continue;
        };
        add(state, manifest, names, files, |name| match number {
            Some(number) => format!("{number}/{name}"),
            None => name.to_owned(),
        });
    }
}

fn add(
    state: &State,
    manifest: &Manifest,
    names: &[&str],
    files: &mut Vec<InputFile>,
    rename: impl Fn(&str) -> String,
) {
    for file in &manifest.files {
        if names.iter().any(|pattern| matches(pattern, &file.name)) {
            files.push(InputFile {
                name: rename(&file.name),
                length: file.length,
                blake3: file.blake3,
                sources: manifest
                    .executors
                    .iter()
                    .map(|&executor| source(state, executor, manifest.token.0, &file.name))
                    .collect(),
            });
        }
    }
}

fn piece(state: &State, sector: &SectorRow) -> InputFile {
    let piece = &sector.piece;
    InputFile {
        name: "source".to_owned(),
        length: piece.length,
        blake3: Some(piece.blake3),
        sources: vec![source(state, piece.executor, 0, &piece.blake3.hex())],
    }
}

fn source(state: &State, executor: ExecutorId, token: u64, path: &str) -> Source {
    let address = state.executors.get(executor).map(|row| row.address.clone()).unwrap_or_default();
    Source { executor, address, token: crate::model::AttemptToken(token), path: path.to_owned() }
}

/// The current manifest of a task of a stage job.
pub(crate) fn find_file<'a>(
    state: &'a State,
    task: TaskId,
    work: &StageWork,
    name: &str,
) -> Option<(&'a Manifest, &'a FileEntry)> {
    let node = work.nodes.get(usize::try_from(task.index).ok()?)?;
    let manifest = match work.kind {
        JobKind::Seal | JobKind::Unseal => {
            state.sectors.get(SectorId::new(work.miner, work.sector))?.manifests.get(&node.stage)?
        }
        JobKind::WinningPost | JobKind::WindowPost => state.outputs.get(task)?,
        JobKind::Command => return None,
    };
    let file = manifest.files.iter().find(|file| file.name == name)?;
    (!manifest.collected).then_some((manifest, file))
}
