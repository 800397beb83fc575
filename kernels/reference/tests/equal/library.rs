//! **Purpose**: calls of `hesper-reference`, and comparing what it wrote with what we wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The environment in which the library runs.
pub struct Library {
    /// Where it keeps its files of parents.
    pub parents: PathBuf,
}

impl Library {
    /// A library whose files of parents lie below `root`.
    pub fn new(root: &Path) -> Self {
        let parents = root.join("library-parents");
        fs::create_dir_all(&parents).expect("the directory of parents");
        Self { parents }
    }

    /// Runs one command; `request` goes through a file, since lists of sectors are long.
    pub fn call(&self, command: &str, request: &Value) -> Value {
        let file = tempfile::NamedTempFile::new().expect("a file for the request");
        fs::write(file.path(), request.to_string()).expect("writing the request");
        let output = Command::new(program())
            .arg(command)
            .arg(format!("@{}", file.path().display()))
            .env("FIL_PROOFS_PARENT_CACHE", &self.parents)
            .env("FIL_PROOFS_VERIFY_CACHE", "1")
            .env("RAYON_NUM_THREADS", "2")
            .output()
            .expect("starting hesper-reference");
        assert!(
            output.status.success(),
            "{command} {request}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("one line of JSON")
    }
}

fn program() -> PathBuf {
    std::env::var_os("HESPER_REFERENCE")
        .map(PathBuf::from)
        .or_else(|| option_env!("CARGO_BIN_EXE_hesper-reference").map(PathBuf::from))
        .expect("HESPER_REFERENCE names the program when cargo did not build it")
}

/// A field of 32 bytes in hex.
pub fn bytes32(line: &Value, field: &str) -> [u8; 32] {
    let text = line[field].as_str().unwrap_or_else(|| panic!("{line} has no `{field}`"));
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

/// Says where two byte strings begin to differ, which `assert_eq!` of megabytes would not.
pub fn assert_same(ours: &[u8], library: &[u8], what: &str) {
    assert_eq!(ours.len(), library.len(), "{what}: the lengths differ");
    if let Some(at) = ours.iter().zip(library).position(|(a, b)| a != b) {
        let end = (at + 8).min(ours.len());
        panic!(
            "{what}: byte {at} (node {}) of {} differs: ours {:02x?}, the library's {:02x?}",
            at / 32,
            ours.len(),
            &ours[at..end],
            &library[at..end]
        );
    }
}

/// The same for two files.
pub fn assert_same_file(ours: &Path, library: &Path) {
    let what = format!("{}", ours.display());
    assert_same(&read(ours), &read(library), &what);
}

pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the files in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("listing a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
