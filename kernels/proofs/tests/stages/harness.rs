//! A sector on its way through the stages, each in a child process of this test binary.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hesper_proofs::params::{self, ParamSet};
use hesper_proofs::stage::{
    ERROR_FILE, ErrorReport, Input, ORDER_FILE, OUTCOME_FILE, Order, Outcome, Progress, Stage,
};
use hesper_proofs::{SealProof, SectorIdentity, bench, files, stage};
use tempfile::TempDir;

const ORDER_VARIABLE: &str = "HESPER_TEST_STAGE_ORDER";
const BENCH_VARIABLE: &str = "HESPER_TEST_BENCH_DIR";

/// Not a test by itself: with the variable set, this process is the child of one.
#[test]
fn child_entry() {
    if let Some(orders) = std::env::var_os(ORDER_VARIABLE) {
        let orders: Vec<PathBuf> = std::env::split_paths(&orders).collect();
        std::process::exit(stage::child_main(&orders));
    }
    if let Some(dir) = std::env::var_os(BENCH_VARIABLE) {
        println!("ns per label: {:.0}", bench::sdr_ns_per_label(Path::new(&dir)).unwrap());
    }
}

/// This test binary as a child.
fn child(dir: &Path, threads: Option<u32>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "harness::child_entry", "--nocapture", "--test-threads=1"])
        .env("RUST_MIN_STACK", "8388608")
        .envs(params::child_env(&params_dir(), threads))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a child prints that measures the labels of the library.
pub fn measure_labels() -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = child(dir.path(), Some(1)).env(BENCH_VARIABLE, dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Starts an order and kills its process at the first report of this step and number.
pub fn kill_at(order: &Order, step: &str, done: u64) {
    let mut running = start(order, &[]);
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let reached = lines.map_while(Result::ok).any(|line| {
        serde_json::from_str(&line)
            .is_ok_and(|progress: Progress| progress.step == step && progress.done == done)
    });
    assert!(reached, "the child ended before {step} {done}");
    running.kill().unwrap();
    running.wait().unwrap();
}

fn start(order: &Order, env: &[(&str, &Path)]) -> Child {
    fs::create_dir_all(&order.out_dir).unwrap();
    let path = order.out_dir.join(ORDER_FILE);
    fs::write(&path, serde_json::to_vec_pretty(order).unwrap()).unwrap();
    child(&order.out_dir, order.threads)
        .env(ORDER_VARIABLE, &path)
        .envs(env.iter().copied())
        .spawn()
        .unwrap()
}

/// What a stage printed and left.
pub struct Ran {
    pub result: Result<Outcome, ErrorReport>,
    pub progress: Vec<Progress>,
}

/// Runs an order in a child process.
pub fn run(order: &Order) -> Ran {
    run_with(order, &[])
}

/// The same with other settings of the library.
pub fn run_with(order: &Order, env: &[(&str, &Path)]) -> Ran {
    let output = start(order, env).wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let read = |name: &str| fs::read(order.out_dir.join(name)).ok();
    let result = match (output.status.code(), read(OUTCOME_FILE), read(ERROR_FILE)) {
        (Some(0), Some(bytes), None) => Ok(serde_json::from_slice(&bytes).unwrap()),
        (Some(1), None, Some(bytes)) => Err(serde_json::from_slice(&bytes).unwrap()),
        other => panic!("{}: exit and reports do not fit: {other:?}: {stderr}", order.stage),
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    let progress = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ran { result, progress }
}

/// What a group printed and left.
pub struct GroupRan {
    pub code: Option<i32>,
    /// One for each order.
    pub results: Vec<Result<Outcome, ErrorReport>>,
    pub progress: Vec<Progress>,
}

/// Runs orders in one child process, after `prepare` has seen their directories.
pub fn run_group(orders: &[Order], prepare: impl FnOnce(&[Order])) -> GroupRan {
    let mut paths = Vec::new();
    for order in orders {
        fs::create_dir_all(&order.out_dir).unwrap();
        let path = order.out_dir.join(ORDER_FILE);
        fs::write(&path, serde_json::to_vec_pretty(order).unwrap()).unwrap();
        paths.push(path);
    }
    prepare(orders);
    let output = child(&orders[0].out_dir, Some(1))
        .env(ORDER_VARIABLE, std::env::join_paths(&paths).unwrap())
        .output()
        .unwrap();
    let results = orders
        .iter()
        .map(|order| {
            let read = |name: &str| fs::read(order.out_dir.join(name)).ok();
            match (read(OUTCOME_FILE), read(ERROR_FILE)) {
                (Some(bytes), None) => Ok(serde_json::from_slice(&bytes).unwrap()),
                (None, Some(bytes)) => Err(serde_json::from_slice(&bytes).unwrap()),
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
            }
        })
        .collect();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let progress = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    GroupRan { code: output.status.code(), results, progress }
}

/// The parameters of this user, shared by all runs.
pub fn params_dir() -> PathBuf {
    params::default_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
        .unwrap_or_else(|| std::env::temp_dir().join("hesper-test-parameters"))
}

/// Makes parameters once per user; the generator locks its directory.
pub fn need_params(set: ParamSet) -> PathBuf {
    let dir = params_dir();
    params::generate(&dir, SealProof::Stacked2KiBV1_1, set, &mut |_| {}).unwrap();
    dir
}

/// The test data of others, if this machine has it. In CI its absence is an error.
pub fn vectors() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let dir = std::env::var_os("HESPER_VECTORS").map_or(default, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    let in_ci = std::env::var_os("CI") == Some(OsString::from("true"));
    assert!(!in_ci, "no test vectors at {}: set HESPER_VECTORS", dir.display());
    println!("skipped: no test vectors at {}; set HESPER_VECTORS", dir.display());
    None
}

/// Bytes that are not all alike.
pub fn sample(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"sample").finalize_xof().fill(&mut bytes);
    bytes
}

/// A sector and what its stages made so far.
pub struct Sector {
    dir: TempDir,
    pub proof: SealProof,
    pub identity: SectorIdentity,
    pub values: BTreeMap<String, String>,
    pub files: BTreeMap<String, Input>,
    pub attempts: u32,
    pub reused_layers: u32,
}

impl Sector {
    pub const TICKET: [u8; 32] = [0x11; 32];
    pub const SEED: [u8; 32] = [0x22; 32];

    pub fn new(proof: SealProof, number: u64, piece: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut sector = Self {
            proof,
            identity: SectorIdentity { miner: 1000, number },
            values: BTreeMap::new(),
            files: BTreeMap::new(),
            attempts: 0,
            reused_layers: 0,
            dir,
        };
        let source = sector.path("source");
        fs::write(&source, piece).unwrap();
        sector.add_file("source", source);
        sector
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn add_file(&mut self, name: &str, path: PathBuf) {
        let (len, blake3) = files::digest(&path).unwrap();
        let (len, blake3) = (Some(len), Some(blake3));
        self.files.insert(name.to_owned(), Input { name: name.to_owned(), path, len, blake3 });
    }

    /// The order of the next attempt, in its own directory, with everything made so far.
    pub fn order(&mut self, stage: Stage) -> Order {
        self.attempts += 1;
        let out_dir = self.path(&format!("attempt-{}", self.attempts));
        Order {
            ticket: Some(hex::encode(Self::TICKET)),
            seed: Some(hex::encode(Self::SEED)),
            inputs: self.files.values().cloned().collect(),
            values: self.values.clone(),
            ..Order::new(stage, self.proof, self.identity, out_dir)
        }
    }

    /// Runs the stage, keeps what it made, and checks that it changed no input.
    pub fn stage(&mut self, stage: Stage) -> PathBuf {
        let order = self.order(stage);
        self.run(&order)
    }

    pub fn run(&mut self, order: &Order) -> PathBuf {
        let outcome =
            run(order).result.unwrap_or_else(|error| panic!("{}: {error:?}", order.stage));
        self.check_inputs();
        self.reused_layers = outcome.reused_layers;
        self.values.extend(outcome.values);
        for file in outcome.files {
            let path = order.out_dir.join(&file.name);
            files::verify(&file.name, &path, Some(file.len), file.blake3.as_deref()).unwrap();
            if file.blake3.is_some() {
                let (len, blake3) = (Some(file.len), file.blake3);
                let input = Input { name: file.name.clone(), path, len, blake3 };
                self.files.insert(file.name, input);
            }
        }
        assert!(!order.out_dir.join("work").exists(), "scratch is removed");
        order.out_dir.clone()
    }

    /// Every committed file is still as its manifest says.
    pub fn check_inputs(&self) {
        for file in self.files.values() {
            files::verify(&file.name, &file.path, file.len, file.blake3.as_deref()).unwrap();
        }
    }

    pub fn value(&self, name: &str) -> [u8; 32] {
        hex::decode(&self.values[name]).unwrap().try_into().unwrap()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(&self.files[name].path).unwrap()
    }

    /// As far as the replica.
    pub fn pre_committed(proof: SealProof, number: u64, piece: &[u8]) -> Self {
        let mut sector = Self::new(proof, number, piece);
        for stage in [Stage::AddPiece, Stage::TreeD, Stage::Pc1, Stage::Pc2] {
            sector.stage(stage);
        }
        sector
    }
}
