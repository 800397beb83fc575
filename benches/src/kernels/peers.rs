//! **Purpose**: the peer: the proof library behind a command line, in three builds, and how its
//! reports are read.
//!
//! **Invariants**: a build that is missing is an error with the command that makes it; the peer without
//! its SHA-NI path is never compared with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::outcome::{Outcome, Spent};
use super::side::Invocation;
use crate::tools;

pub const NAME: &str = "filecoin-proofs";
pub const VERSION: &str = "19.1.0";

/// How the library was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// As `cargo build --release` gives it: sha2raw calls its SHA-NI intrinsics out of line.
    Default,
    /// With the target features of SHA-NI.
    Sha,
    /// For this machine's CPU.
    Native,
}

impl Flavour {
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Default => "default",
            Flavour::Sha => "sha",
            Flavour::Native => "native",
        }
    }
}

/// Where the builds lie.
#[derive(Clone, Debug)]
pub struct Peers {
    dir: PathBuf,
    pub threads: usize,
    pub parents: PathBuf,
}

impl Peers {
    /// Looks for the builds that `scripts/peer` makes.
    ///
    /// # Errors
    /// When one is missing.
    pub fn find(target_dir: Option<&Path>, threads: usize, parents: &Path) -> Result<Peers> {
        let dir = match target_dir {
            Some(dir) => dir.to_owned(),
            None => tools::cache_dir()?.join("hesper/target"),
        };
        let peers = Peers { dir: dir.join("peer"), threads, parents: parents.to_owned() };
        for flavour in [Flavour::Default, Flavour::Sha, Flavour::Native] {
            let program = peers.program(flavour);
            ensure!(
                program.is_file(),
                "the peer `{}` is missing; build it with `scripts/peer {}`",
                program.display(),
                flavour.name()
            );
        }
        Ok(peers)
    }

    fn program(&self, flavour: Flavour) -> PathBuf {
        self.dir.join(flavour.name()).join("release/hesper-reference")
    }

    /// One command of one build, with the settings that all runs share.
    pub fn call(&self, flavour: Flavour, command: &str, request: &serde_json::Value) -> Invocation {
        self.call_with(flavour, command, &request.to_string())
    }

    /// The same with the request in a file, for one that is longer than a command line may be.
    pub fn call_file(&self, flavour: Flavour, command: &str, file: &Path) -> Invocation {
        self.call_with(flavour, command, &format!("@{}", file.display()))
    }

    fn call_with(&self, flavour: Flavour, command: &str, request: &str) -> Invocation {
        let label = format!("{NAME} {command}, {}", flavour.name());
        Invocation::new(&label, &self.program(flavour))
            .arg(command)
            .arg(request)
            .env("RAYON_NUM_THREADS", self.threads)
            .env("FIL_PROOFS_PARENT_CACHE", self.parents.display())
            .reading(read)
    }
}

#[derive(Deserialize)]
struct Layer {
    layer: u32,
    label: Cost,
    write: Cost,
}

#[derive(Clone, Copy, Deserialize)]
struct Cost {
    cpu_ns: u64,
    wall_ns: u64,
}

/// Fills what the rows need from the fields that the peer's commands have.
fn read(mut outcome: Outcome) -> Result<Outcome> {
    outcome.digest = digest(&outcome);
    if let Some(layers) = outcome.other.get("layers") {
        let layers: Vec<Layer> = serde_json::from_value(layers.clone())
            .context("the peer's costs of the layers cannot be read")?;
        let hashing = outcome.other.get("hashing").cloned();
        let hashing: Option<Cost> = hashing.map(serde_json::from_value).transpose()?;
        outcome.later_layers = Some(later(outcome.whole.units, &layers, hashing)?);
    }
    Ok(outcome)
}

fn digest(outcome: &Outcome) -> Option<String> {
    if let Some(digest) = outcome.digest.as_ref().filter(|digest| !digest.is_empty()) {
        return Some(digest.clone());
    }
    for field in ["comm_r", "blake3"] {
        match outcome.other.get(field) {
            Some(serde_json::Value::String(digest)) => return Some(digest.clone()),
            Some(serde_json::Value::Array(all)) => {
                let all: Vec<&str> = all.iter().filter_map(serde_json::Value::as_str).collect();
                return Some(all.join(","));
            }
            _ => {}
        }
    }
    None
}

/// Layers from 2 on: labels, files, and their part of the hashing of all layers.
fn later(labels: u64, layers: &[Layer], hashing: Option<Cost>) -> Result<Spent> {
    let all = layers.len() as u64;
    let later: Vec<&Layer> = layers.iter().filter(|layer| layer.layer >= 2).collect();
    ensure!(
        !later.is_empty() && later.len() as u64 + 1 == all,
        "the peer reports the costs of {all} layers; expected layer 1 and later ones"
    );
    let part = |cost: u64| cost / all * later.len() as u64;
    let sum = |of: fn(&Cost) -> u64| -> u64 {
        let layers: u64 = later.iter().map(|layer| of(&layer.label) + of(&layer.write)).sum();
        layers + hashing.as_ref().map_or(0, |hashing| part(of(hashing)))
    };
    Ok(Spent {
        cpu_ns: sum(|cost| cost.cpu_ns),
        wall_ns: sum(|cost| cost.wall_ns),
        units: part(labels),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(more: &str) -> Outcome {
        let text = format!("{{\"cpu_ns\":100,\"wall_ns\":90,\"units\":20{more}}}");
        read(Outcome::parse(&text).expect("line")).expect("read")
    }

    #[test]
    fn layers_from_two_on_carry_their_part_of_the_hashing() {
        let layer = |number: u32, label: u32| {
            format!(
                "{{\"layer\":{number},\"label\":{{\"cpu_ns\":{label},\"wall_ns\":{label}}},\
                 \"write\":{{\"cpu_ns\":3,\"wall_ns\":4}}}}"
            )
        };
        let more = format!(
            ",\"layers\":[{},{}],\"hashing\":{{\"cpu_ns\":10,\"wall_ns\":8}}",
            layer(1, 30),
            layer(2, 40)
        );
        let later = outcome(&more).counted();
        assert_eq!(later, Spent { cpu_ns: 40 + 3 + 5, wall_ns: 40 + 4 + 4, units: 10 });
    }

    #[test]
    fn a_report_without_layer_one_is_refused() {
        let text = "{\"cpu_ns\":1,\"wall_ns\":1,\"units\":2,\"layers\":[]}";
        assert!(read(Outcome::parse(text).expect("line")).is_err());
    }

    #[test]
    fn digests_are_found_under_all_their_names() {
        assert_eq!(outcome(",\"blake3\":\"aa\"").digest.as_deref(), Some("aa"));
        assert_eq!(outcome(",\"blake3\":[\"aa\",\"bb\"]").digest.as_deref(), Some("aa,bb"));
        assert_eq!(outcome(",\"comm_r\":\"cc\",\"blake3\":\"aa\"").digest.as_deref(), Some("cc"));
        assert_eq!(outcome(",\"digest\":\"\"").digest, None);
        assert_eq!(outcome(",\"digest\":\"dd\"").digest.as_deref(), Some("dd"));
    }

    #[test]
    fn a_missing_build_is_named_with_the_command_that_makes_it() {
        let dir = tempfile::tempdir().expect("dir");
        let error = Peers::find(Some(dir.path()), 1, dir.path()).expect_err("missing");
        assert!(error.to_string().contains("scripts/peer default"), "{error}");
    }

    #[test]
    fn every_build_gets_the_same_settings() {
        let dir = Path::new("/nowhere");
        let peers = Peers { dir: dir.to_owned(), threads: 3, parents: dir.join("p") };
        let call = peers.call(Flavour::Sha, "sdr", &serde_json::json!({"size": 2048}));
        assert_eq!(call.args, ["sdr", "{\"size\":2048}"]);
        assert!(call.env.contains(&("RAYON_NUM_THREADS".to_owned(), "3".to_owned())));
        assert!(call.program.ends_with("sha/release/hesper-reference"));
    }
}
