//! What every stage shares: looking up inputs and values, checking files, timing, reporting.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Instant;

use crate::files::{self, FileError};
use crate::kernels::{self, Kernels, PreCommit2};
use crate::library::Piece;
use crate::proof_type::{SealProof, T_AUX};
use crate::stage::{FileEntry, Input, Order, Outcome, Progress, StageError};

/// Scratch below the directory of the attempt; removed at the end.
const WORK: &str = "work";

pub(super) struct Context<'a> {
    pub order: &'a Order,
    progress: &'a mut dyn FnMut(Progress),
    pub outcome: Outcome,
    /// Names of the files made, in order.
    made: Vec<String>,
}

impl<'a> Context<'a> {
    /// Opens the attempt: its directory exists, and every input is as its manifest says.
    pub fn open(
        order: &'a Order,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Self, StageError> {
        let dir = &order.out_dir;
        fs::create_dir_all(dir).map_err(FileError::io("create the directory", dir))?;
        let mut context = Self { order, progress, outcome: Outcome::default(), made: Vec::new() };
        files::remove_if_there(&context.path(WORK))?;
        let total = order.inputs.len() as u64;
        context.timed("check inputs", |context| {
            for (done, input) in (1..).zip(&order.inputs) {
                files::verify(&input.name, &input.path, input.len, input.blake3.as_deref())?;
                context.report("check inputs", done, total);
            }
            Ok(())
        })?;
        Ok(context)
    }

    pub fn report(&mut self, step: &str, done: u64, total: u64) {
        (self.progress)(Progress { step: step.to_owned(), done, total, order: None });
    }

    /// Runs a step and notes how long it took.
    pub fn timed<T>(
        &mut self,
        step: &str,
        run: impl FnOnce(&mut Self) -> Result<T, StageError>,
    ) -> Result<T, StageError> {
        let start = Instant::now();
        let result = run(self);
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.outcome.timings_ms.entry(step.to_owned()).or_default() += elapsed;
        result
    }

    /// Runs a step inside the library: errors are sorted, panics become errors.
    pub fn library<T>(
        &mut self,
        step: &str,
        run: impl FnOnce() -> anyhow::Result<T>,
    ) -> Result<T, StageError> {
        self.report(step, 0, 1);
        let result = self.timed(step, |context| match catch_unwind(AssertUnwindSafe(run)) {
            Ok(result) => result.map_err(|error| context.library_error(error)),
            Err(panic) => Err(context.panic_error(panic.as_ref())),
        })?;
        self.report(step, 1, 1);
        Ok(result)
    }

    /// Runs a step of one of Hesper's kernels.
    pub fn kernel<T>(
        &mut self,
        step: &str,
        run: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> Result<T, StageError> {
        self.report(step, 0, 1);
        let result =
            self.timed(step, |context| run(context).map_err(|error| context.kernel_error(error)))?;
        self.report(step, 1, 1);
        Ok(result)
    }

    /// PC2 of Hesper's kernels, with progress in nodes.
    pub fn encode_and_build_trees(
        &mut self,
        proof: SealProof,
        layers: Vec<PathBuf>,
        unsealed: &Path,
    ) -> Result<PreCommit2, StageError> {
        const STEP: &str = "encode and build trees";
        let threads = kernels::threads(self.order.threads);
        let dir = self.order.out_dir.clone();
        self.timed(STEP, |context| {
            let (sender, steps) = mpsc::channel();
            let sender = Mutex::new(sender);
            let made = std::thread::scope(|scope| {
                let worker = scope.spawn(|| {
                    // Dropped with this thread: that ends the loop below.
                    let sender = sender;
                    kernels::pre_commit_2(proof, layers, unsealed, &dir, threads, &|done, total| {
                        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
                        let _nobody_listens = sender.send((done, total)).is_err();
                    })
                });
                let mut most = 0;
                for (done, total) in steps {
                    // Threads report in any order.
                    if done > most {
                        most = done;
                        context.report(STEP, done, total);
                    }
                }
                worker.join()
            });
            match made {
                Ok(result) => result.map_err(|error| context.kernel_error(error)),
                Err(panic) => Err(context.panic_error(panic.as_ref())),
            }
        })
    }

    /// Which code runs this order.
    pub fn kernels(&self) -> Result<Kernels, StageError> {
        self.order.kernels()
    }

    pub fn kernel_error(&self, error: anyhow::Error) -> StageError {
        let Order { stage, proof, out_dir, .. } = self.order;
        StageError::from_kernel(*stage, *proof, out_dir, error)
    }

    pub fn library_error(&self, error: anyhow::Error) -> StageError {
        let Order { stage, proof, out_dir, .. } = self.order;
        StageError::from_library(*stage, *proof, out_dir, error)
    }

    pub fn panic_error(&self, panic: &(dyn Any + Send)) -> StageError {
        StageError::from_panic(self.order.stage, panic)
    }

    /// A path in the directory of the attempt.
    pub fn path(&self, name: &str) -> PathBuf {
        self.order.out_dir.join(name)
    }

    /// An empty scratch directory of this attempt.
    pub fn work_dir(&self, name: &str) -> Result<PathBuf, StageError> {
        let dir = self.path(WORK).join(name);
        fs::create_dir_all(&dir).map_err(FileError::io("create the directory", &dir))?;
        Ok(dir)
    }

    pub fn input(&self, name: &str) -> Result<&'a Input, StageError> {
        self.find_input(name).ok_or_else(|| StageError::InputAbsent {
            stage: self.order.stage,
            name: name.to_owned(),
        })
    }

    fn find_input(&self, name: &str) -> Option<&'a Input> {
        self.order.inputs.iter().find(|input| input.name == name)
    }

    /// Links inputs, which the library only reads, into `dir` under their own last names.
    pub fn link_inputs(
        &self,
        names: &[String],
        prefix: &str,
        dir: &Path,
    ) -> Result<(), StageError> {
        for name in names {
            let input = self.input(&format!("{prefix}{name}"))?;
            files::link_or_copy(&input.path, &dir.join(name))?;
        }
        Ok(())
    }

    pub fn value(&self, name: &'static str) -> Result<&'a str, StageError> {
        self.optional_value(name).ok_or(StageError::ValueAbsent { stage: self.order.stage, name })
    }

    pub fn optional_value(&self, name: &str) -> Option<&'a str> {
        self.order.values.get(name).map(String::as_str)
    }

    pub fn value_bytes32(&self, name: &'static str) -> Result<[u8; 32], StageError> {
        self.bytes32(name, self.value(name)?)
    }

    pub fn ticket(&self) -> Result<[u8; 32], StageError> {
        self.field_bytes32("ticket", self.order.ticket.as_deref())
    }

    pub fn seed(&self) -> Result<[u8; 32], StageError> {
        self.field_bytes32("seed", self.order.seed.as_deref())
    }

    /// Randomness of a PoSt as a field element.
    pub fn randomness(&self) -> Result<[u8; 32], StageError> {
        let raw = self.field_bytes32("randomness", self.order.randomness.as_deref())?;
        Ok(crate::verify::post_randomness(raw))
    }

    fn field_bytes32(
        &self,
        name: &'static str,
        value: Option<&str>,
    ) -> Result<[u8; 32], StageError> {
        let stage = self.order.stage;
        self.bytes32(name, value.ok_or(StageError::ValueAbsent { stage, name })?)
    }

    pub fn bytes32(&self, name: &'static str, value: &str) -> Result<[u8; 32], StageError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(value, &mut bytes)
            .map_err(|_| self.malformed(name, value, "32 bytes in hex"))?;
        Ok(bytes)
    }

    pub fn malformed(&self, name: &'static str, value: &str, expected: &'static str) -> StageError {
        let (stage, value) = (self.order.stage, value.to_owned());
        StageError::ValueMalformed { stage, name, value, expected }
    }

    pub fn pieces(&self) -> Result<Vec<Piece>, StageError> {
        let text = self.value("pieces")?;
        serde_json::from_str(text)
            .map_err(|_| self.malformed("pieces", text, "a JSON list of {comm_p, bytes}"))
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.outcome.values.insert(name.to_owned(), value.into());
    }

    /// Notes that the attempt made this file.
    pub fn made(&mut self, name: &str) {
        self.made.push(name.to_owned());
    }

    /// Notes a file that is on disc already and whose digest is known.
    pub fn made_durably(&mut self, entry: FileEntry) {
        self.outcome.files.push(entry);
    }

    /// Moves a file from scratch to its place and notes it.
    pub fn keep(&mut self, from: &Path, name: &str) -> Result<(), StageError> {
        let to = self.path(name);
        fs::rename(from, to).map_err(FileError::io("rename", from))?;
        self.made(name);
        Ok(())
    }

    /// Writes a small file and notes it.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), StageError> {
        files::write_durably(&self.path(name), bytes)?;
        self.made(name);
        Ok(())
    }

    /// Removes scratch, makes every file durable and takes its digest.
    pub fn finish(mut self) -> Result<Outcome, StageError> {
        files::remove_if_there(&self.path(WORK))?;
        let made = std::mem::take(&mut self.made);
        let total = made.len() as u64;
        self.timed("hash outputs", |context| {
            for (done, name) in (1..).zip(&made) {
                let known = context.outcome.files.iter().any(|file| file.name == *name);
                if !known {
                    let entry = entry(&context.path(name), name)?;
                    context.outcome.files.push(entry);
                }
                context.report("hash outputs", done, total);
            }
            Ok(files::sync(&context.order.out_dir)?)
        })?;
        Ok(self.outcome)
    }
}

/// Syncs and digests one file.
pub(super) fn entry(path: &Path, name: &str) -> Result<FileEntry, StageError> {
    files::sync(path)?;
    let (len, blake3) = files::digest(path)?;
    let blake3 = (name != T_AUX).then_some(blake3);
    Ok(FileEntry { name: name.to_owned(), len, blake3 })
}
