//! Where the foreign data lies. It is not part of the project: without it the tests that need it
//! are skipped, but in CI its absence is a failure.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of shared vectors, from `HESPER_VECTORS` or beside the workspace.
pub fn vectors() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("HESPER_VECTORS").map_or(beside, PathBuf::from);
    present(folder, "the shared vectors (set HESPER_VECTORS)")
}

/// A file of the shared vectors, parsed.
pub fn vector(path: &str) -> Option<Value> {
    let file = vectors()?.join(path);
    let text = std::fs::read_to_string(&file).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// The sources of the `forest-filecoin` crate, from `HESPER_FOREST` or cargo's own folder.
pub fn forest() -> Option<PathBuf> {
    const CRATE: &str = "forest-filecoin-0.39.0";
    if let Some(folder) = std::env::var_os("HESPER_FOREST") {
        return present(folder.into(), CRATE);
    }
    let cargo = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registries = cargo.map(|cargo| cargo.join("registry/src"));
    let found = registries.and_then(|registries| {
        let entries = std::fs::read_dir(registries).ok()?;
        entries.flatten().map(|entry| entry.path().join(CRATE)).find(|path| path.is_dir())
    });
    present(found.unwrap_or_default(), "the forest-filecoin crate (run scripts/foreign)")
}

fn present(folder: PathBuf, what: &str) -> Option<PathBuf> {
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "CI lacks {what}: no folder {folder:?}");
    eprintln!("skipped: {what} is not here");
    None
}

/// A member of a JSON object that the vector must have.
pub fn text<'a>(json: &'a Value, member: &str) -> &'a str {
    json[member].as_str().unwrap_or_else(|| panic!("no text {member} in {json}"))
}
