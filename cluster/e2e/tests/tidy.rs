//! The shape of the workspace: which crate may import which, and where `unsafe` may stand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every crate of the workspace and the crates of the workspace that it may import. An arrow that is
/// not here is an error; so is a crate that is not here.
const ARROWS: &[(&str, &[&str])] = &[
    ("protos", &[]),
    ("scheduler", &[]),
    ("consensus", &["hesper-protos"]),
    ("executors", &["hesper-protos"]),
    ("kernels/sha2raw", &[]),
    ("kernels/sha256", &[]),
    ("kernels/sdr", &["hesper-sha256"]),
    ("kernels/poseidon", &[]),
    ("kernels/trees", &["hesper-poseidon", "hesper-sdr", "hesper-sha256"]),
    // The only crates that know the proof library; the second exists for comparison.
    (
        "kernels/proofs",
        &["hesper-poseidon", "hesper-sdr", "hesper-sha256", "hesper-trees", "sha2raw"],
    ),
    ("kernels/reference", &["hesper-poseidon", "hesper-sdr", "hesper-sha256", "hesper-trees"]),
    ("chain", &[]),
    // Pulls the proof stack through the actors' state crates: nobody but the binary imports it.
    ("chain/actors", &[]),
    ("pool/auth", &[]),
    ("pool/jsonrpc", &[]),
    ("pool/wallet", &["hesper-chain", "hesper-jsonrpc", "hesper-protos"]),
    (
        "cluster",
        &[
            "hesper-actors",
            "hesper-auth",
            "hesper-chain",
            "hesper-consensus",
            "hesper-executor",
            "hesper-jsonrpc",
            "hesper-proofs",
            "hesper-protos",
            "hesper-scheduler",
            "hesper-wallet",
        ],
    ),
    ("cluster/e2e", &["hesper", "hesper-chain", "hesper-executor", "hesper-protos"]),
    (
        "benches",
        &[
            "hesper-auth",
            "hesper-chain",
            "hesper-poseidon",
            "hesper-protos",
            "hesper-sdr",
            "hesper-sha256",
            "hesper-trees",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(path: &Path) -> String {
    std::fs::read_to_string(path.join("Cargo.toml")).expect("a crate has a manifest")
}

/// Names of the workspace's crates that a manifest mentions as dependencies.
fn imports(manifest: &str, crates: &[String]) -> Vec<String> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if crates.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
    }
    found
}

fn package_name(manifest: &str) -> String {
    let line = manifest.lines().find(|line| line.starts_with("name = ")).expect("a name");
    line.trim_start_matches("name = ").trim_matches('"').to_owned()
}

#[test]
fn crates_import_only_inwards() {
    let manifests: BTreeMap<&str, String> =
        ARROWS.iter().map(|(dir, _)| (*dir, manifest(&root().join(dir)))).collect();
    let names: Vec<String> = manifests.values().map(|text| package_name(text)).collect();
    for (dir, allowed) in ARROWS {
        for import in imports(&manifests[dir], &names) {
            assert!(allowed.contains(&import.as_str()), "{dir} must not import {import}");
        }
    }
}

#[test]
fn every_crate_of_the_workspace_is_listed() {
    let workspace = manifest(&root());
    let members = workspace.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    for line in members.expect("a workspace has members").lines() {
        let member = line.trim().trim_matches(',').trim_matches('"');
        if !member.is_empty() {
            assert!(ARROWS.iter().any(|(dir, _)| *dir == member), "{member} is not listed here");
        }
    }
}

#[test]
fn only_consensus_knows_the_engine_and_the_store() {
    for (dir, _) in ARROWS.iter().filter(|(dir, _)| *dir != "consensus") {
        let text = manifest(&root().join(dir));
        for library in ["openraft", "rocksdb"] {
            assert!(!text.contains(library), "{dir} must not import {library}");
        }
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn unsafe_code_stands_in_kernels_alone_and_says_why() {
    let mut files = Vec::new();
    for (dir, _) in ARROWS {
        sources(&root().join(dir).join("src"), &mut files);
    }
    assert!(files.len() > 50, "the sources were not found");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source can be read");
        let is_kernel = file.to_string_lossy().contains("/kernels/");
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") || !line.contains("unsafe {") {
                continue;
            }
            assert!(is_kernel, "{}:{}: unsafe outside kernels", file.display(), number + 1);
        }
        if is_kernel && text.contains("unsafe {") {
            assert!(text.contains("SAFETY:"), "{}: unsafe without SAFETY", file.display());
        }
    }
}

#[test]
fn every_method_of_a_service_stands_in_the_table_of_permissions() {
    let text = std::fs::read_to_string(root().join("WALLET.md")).expect("WALLET.md can be read");
    let mut methods = 0;
    for name in ["auth", "cluster", "executor", "job", "sector", "wallet"] {
        let path = root().join(format!("protos/proto/hesper/{name}.proto"));
        let proto = std::fs::read_to_string(&path).expect("the proto can be read");
        for line in proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")) {
            let method = line.split('(').next().unwrap_or_default();
            assert!(text.contains(&format!("`{method}`")), "WALLET.md lacks {name}'s {method}");
            methods += 1;
        }
    }
    assert!(methods > 50, "the methods were not found");
}
