//! The generator on its directory: what it makes, keeps, makes again, and leaves alone.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use hesper_proofs::SealProof;
use hesper_proofs::params::{
    self, FileState, Generated, MANIFEST_FILE, Manifest, Names, ParamSet, ParamsError,
};

const PROOF: SealProof = SealProof::Stacked2KiBV1_1;
/// The smallest circuit: about a second.
const SET: ParamSet = ParamSet::WindowPost;

fn generate(dir: &Path) -> Result<Generated, ParamsError> {
    params::generate(dir, PROOF, SET, &mut |_| {})
}

fn names() -> Names {
    params::names(PROOF, SET).unwrap()
}

fn states(dir: &Path) -> Vec<FileState> {
    let all = params::verify(dir, PROOF).unwrap();
    all.into_iter().filter(|status| status.set == SET).map(|status| status.state).collect()
}

#[test]
fn files_are_made_once_kept_and_made_again_when_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut last = None;
    let made = params::generate(dir, PROOF, SET, &mut |progress| last = Some(progress)).unwrap();
    assert_eq!(made, Generated::Made);
    let last = last.unwrap();
    assert_eq!(last.done, last.total);

    let path = dir.join(names().params);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 11_501_496);
    assert_eq!(fs::metadata(dir.join(names().vk)).unwrap().len(), 3_076);
    assert_eq!(generate(dir).unwrap(), Generated::Kept);
    assert!(states(dir).iter().all(FileState::is_verified));
    params::check_present(dir, PROOF, SET).unwrap();

    // The same bytes on every machine: these are those of generator version 1.
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "e9aad18de37a5c6cead71b705f0d2c1292fe2d2ede9be939d94bff82e1c47a9e"
    );

    // Damaged, truncated, missing: told, then made again with the same bytes.
    let mut altered = bytes.clone();
    altered[1000] ^= 1;
    for damage in [Some(altered), Some(bytes[..5000].to_vec()), None] {
        match &damage {
            Some(damaged) => fs::write(&path, damaged).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = params::check_present(dir, PROOF, SET).unwrap_err().to_string();
        assert!(error.contains(&names().params), "{error}");
        let expected_missing = damage.is_none();
        let state = &states(dir)[0];
        assert_eq!(matches!(state, FileState::Missing), expected_missing, "{state:?}");
        assert!(!state.is_verified());
        assert_eq!(generate(dir).unwrap(), Generated::Made);
        assert!(fs::read(&path).unwrap() == bytes);
    }

    // A crash before the rename leaves a temporary file, which is no obstacle.
    fs::remove_file(&path).unwrap();
    fs::write(dir.join(format!("{}.hesper-tmp", names().params)), b"half").unwrap();
    assert_eq!(generate(dir).unwrap(), Generated::Made);
    let left = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|name| name.contains("tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_that_was_not_made_here_is_never_touched() {
    let dir = tempfile::tempdir().unwrap();
    for name in [names().params, names().vk] {
        let path = dir.path().join(&name);
        fs::write(&path, b"precious").unwrap();
        let error = generate(dir.path()).unwrap_err();
        assert!(matches!(&error, ParamsError::Foreign { path: named } if *named == path));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert!(matches!(
            &states(dir.path()).into_iter().find(|s| !matches!(s, FileState::Missing)),
            Some(FileState::Damaged { expected, .. }) if expected.contains("published")
        ));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn missing_parameters_say_which_file_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = params::check_present(dir.path(), PROOF, ParamSet::Porep).unwrap_err().to_string();
    assert!(error.contains("stacked-proof-of-replication"), "{error}");
    assert!(error.contains("hesper params generate"), "{error}");
    let error = params::verifying_key_digest(dir.path(), PROOF).unwrap_err();
    assert!(matches!(error, ParamsError::Missing { .. }));
}

#[test]
fn the_key_digest_depends_on_every_key() {
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<_> =
        ParamSet::ALL.map(|set| dir.path().join(params::names(PROOF, set).unwrap().vk)).into();
    for key in &keys {
        fs::write(key, b"key").unwrap();
    }
    let before = params::verifying_key_digest(dir.path(), PROOF).unwrap();
    assert_eq!(before, params::verifying_key_digest(dir.path(), PROOF).unwrap());
    for key in &keys {
        fs::write(key, b"other").unwrap();
        assert_ne!(before, params::verifying_key_digest(dir.path(), PROOF).unwrap());
        fs::write(key, b"key").unwrap();
    }
}

#[test]
fn a_foreign_or_damaged_manifest_stops_the_generator() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MANIFEST_FILE);
    let other = Manifest { generator: 99, ..Manifest::default() };
    fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
    assert!(matches!(
        generate(dir.path()).unwrap_err(),
        ParamsError::ManifestVersion { found: 99, .. }
    ));
    fs::write(&path, b"{").unwrap();
    assert!(matches!(generate(dir.path()).unwrap_err(), ParamsError::Manifest { .. }));
}

#[test]
fn large_circuits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let proof = SealProof::Stacked32GiBV1_1;
    let error = params::generate(dir.path(), proof, ParamSet::Porep, &mut |_| {}).unwrap_err();
    assert!(matches!(error, ParamsError::Unsupported(found) if found == proof));
    let states = params::list(dir.path(), proof).unwrap();
    assert_eq!(states.len(), 6);
    assert!(states.iter().all(|status| status.state == FileState::Missing));
}

#[test]
fn the_environment_of_children_names_both_caches() {
    let env = params::child_env(Path::new("/p"), Some(2));
    let get = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(get("FIL_PROOFS_PARAMETER_CACHE"), Some("/p"));
    assert_eq!(get("FIL_PROOFS_PARENT_CACHE"), Some("/p/parents"));
    assert_eq!(get("FIL_PROOFS_VERIFY_CACHE"), Some("true"));
    assert_eq!(get("RAYON_NUM_THREADS"), Some("2"));
}

#[test]
#[ignore = "long: all parameters of 2 KiB from nothing, 1.2 GB; run it under a resource meter"]
fn measure_all_parameters_of_2_kib() {
    let dir = tempfile::tempdir().unwrap();
    for set in ParamSet::ALL {
        let made = params::generate(dir.path(), PROOF, set, &mut |_| {}).unwrap();
        assert_eq!(made, Generated::Made);
    }
    assert!(params::verify(dir.path(), PROOF).unwrap().iter().all(|s| s.state.is_verified()));
    let porep = params::names(PROOF, ParamSet::Porep).unwrap().params;
    assert_eq!(fs::metadata(dir.path().join(porep)).unwrap().len(), 1_114_707_768);
}
