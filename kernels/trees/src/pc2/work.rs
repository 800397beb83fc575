//! **Purpose**: the run of PC2: threads that pull chunks, and the end when all are done.
//!
//! **Invariants**
//! - A chunk is handed out once; what it adds to a file lies where its number says, so the order in
//!   which chunks end is of no account.
//! - The first error stops all threads at their next chunk and is the one that is returned.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hesper_poseidon::hash_columns;

use super::input::Input;
use super::plan::Plan;
use super::{Commitments, Error, Outcome, Progress, Request, WrittenFile};
use crate::auxiliary;
use crate::encode::encode;
use crate::output::{Output, Written, refuse_inputs, remove_if_there, sync_directory_of};
use crate::rows::digest;
use crate::rows::tree_file::{TreeFile, index_of};
use crate::rows::{fill, hash_two, top_root};
use crate::shape::{NODE_BYTES, P_AUX_NAME, T_AUX_NAME};

pub(super) struct Run<'a> {
    request: &'a Request,
    plan: Plan,
    layers: Vec<Input>,
    data: Input,
    sealed: Output,
    /// Chaining values of the halves of the replica's chunks.
    sealed_values: Mutex<Vec<[u8; 32]>>,
    tree_c: Vec<TreeFile>,
    tree_r_last: Vec<TreeFile>,
    t_aux: Vec<u8>,
    next: AtomicU64,
    nodes_done: AtomicU64,
    is_stopped: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// What a thread reads into and hashes in.
struct Buffers {
    layers: Vec<Vec<u8>>,
    data: Vec<u8>,
    tree_c: Vec<u8>,
    tree_r_last: Vec<u8>,
}

impl Buffers {
    fn new(plan: Plan) -> Self {
        let chunk = index_of(plan.chunk_bytes());
        Self {
            layers: vec![vec![0; chunk]; plan.layers],
            data: vec![0; chunk],
            tree_c: vec![0; index_of(plan.tree_c().chunk_bytes())],
            tree_r_last: vec![0; index_of(plan.tree_r_last().chunk_bytes())],
        }
    }
}

/// Lets the other threads stop when this one panics, instead of hashing on for nothing.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl<'a> Run<'a> {
    /// Opens every input and creates every output: what is wrong with a path, a length or the free
    /// space shows before anything is hashed.
    pub(super) fn open(request: &'a Request, plan: Plan) -> Result<Self, Error> {
        let shape = request.shape;
        let layers: Vec<Input> = request
            .layers
            .iter()
            .map(|path| Input::layer(path, shape))
            .collect::<Result<_, _>>()?;
        let data = Input::data(&request.data, shape)?;
        refuse_same_file(&request.data, &request.sealed)?;
        let names = [shape.tree_c_names(), shape.tree_r_last_names()].concat();
        let names = names.iter().map(String::as_str).chain([T_AUX_NAME, P_AUX_NAME]);
        let outputs = names.map(|name| request.cache_dir.join(name));
        let inputs = request.layers.iter().chain([&request.data]).map(PathBuf::as_path);
        refuse_inputs(outputs.chain([request.sealed.clone()]), &inputs.collect::<Vec<_>>())?;
        let t_aux = auxiliary::t_aux(shape, request.layers.len(), &request.cache_dir)?;

        let trees = |names: Vec<String>, layout| -> Result<Vec<TreeFile>, Error> {
            let create = |name| Ok(TreeFile::create(&request.cache_dir.join(name), layout)?);
            names.into_iter().map(create).collect()
        };
        Ok(Self {
            request,
            plan,
            layers,
            data,
            sealed: Output::with_len(&request.sealed, shape.sector_bytes())?,
            sealed_values: Mutex::new(vec![[0; 32]; index_of(2 * plan.chunks())]),
            tree_c: trees(shape.tree_c_names(), plan.tree_c())?,
            tree_r_last: trees(shape.tree_r_last_names(), plan.tree_r_last())?,
            t_aux,
            next: AtomicU64::new(0),
            nodes_done: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    pub(super) fn run(
        self,
        progress: &(dyn Fn(Progress) -> bool + Sync),
    ) -> Result<Outcome, Error> {
        std::thread::scope(|scope| {
            for _ in 1..self.plan.threads {
                scope.spawn(|| self.pull_chunks(progress));
            }
            self.pull_chunks(progress);
        });
        let failure = lock(&self.failure).take();
        match failure {
            Some(error) => Err(error),
            None => self.finish(),
        }
    }

    fn pull_chunks(&self, progress: &(dyn Fn(Progress) -> bool + Sync)) {
        let _stop = StopOnPanic(&self.is_stopped);
        let mut buffers = None;
        while !self.is_stopped.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.plan.chunks() {
                return;
            }
            let buffers = buffers.get_or_insert_with(|| Buffers::new(self.plan));
            let result = self.chunk(index, buffers).and_then(|()| self.report(progress));
            if let Err(error) = result {
                self.is_stopped.store(true, Ordering::Relaxed);
                lock(&self.failure).get_or_insert(error);
            }
        }
    }

    fn report(&self, progress: &(dyn Fn(Progress) -> bool + Sync)) -> Result<(), Error> {
        let nodes = self.plan.chunk_bytes() / NODE_BYTES as u64;
        let nodes_done = self.nodes_done.fetch_add(nodes, Ordering::Relaxed) + nodes;
        let nodes_total = self.request.shape.nodes();
        let goes_on = progress(Progress { nodes_done, nodes_total });
        if goes_on { Ok(()) } else { Err(Error::Cancelled) }
    }

    fn chunk(&self, index: u64, buffers: &mut Buffers) -> Result<(), Error> {
        let (plan, backend) = (self.plan, self.request.backend);
        let offset = index * plan.chunk_bytes();
        self.expect_later(offset);
        for (layer, buffer) in self.layers.iter().zip(&mut buffers.layers) {
            layer.read(buffer, offset)?;
        }
        self.data.read(&mut buffers.data, offset)?;

        let tree = index_of(index / plan.chunks_per_tree());
        let index_in_tree = index % plan.chunks_per_tree();
        let leaves = index_of(plan.chunk_bytes());

        let columns: Vec<&[u8]> = buffers.layers.iter().map(Vec::as_slice).collect();
        hash_columns(backend, &columns, &mut buffers.tree_c[..leaves]);
        fill(backend, &mut buffers.tree_c, plan.chunk_rows);
        self.tree_c[tree].put(backend, index_in_tree, &buffers.tree_c)?;

        let key = buffers.layers.last().expect("there are 2 or 11 layers");
        let replica = &mut buffers.tree_r_last[..leaves];
        encode(backend, key, &buffers.data, replica);
        self.sealed.write_at(replica, offset)?;
        let halves = digest::halves(replica, offset);
        let at = index_of(2 * index);
        lock(&self.sealed_values)[at..at + 2].copy_from_slice(&halves);
        fill(backend, &mut buffers.tree_r_last, plan.chunk_rows);
        self.tree_r_last[tree].put(backend, index_in_tree, &buffers.tree_r_last)?;
        Ok(())
    }

    /// Announces the chunk that a thread will take after this one.
    fn expect_later(&self, offset: u64) {
        let len = self.plan.chunk_bytes();
        let later = offset + len * self.plan.threads as u64;
        if later < self.request.shape.sector_bytes() {
            for input in self.layers.iter().chain([&self.data]) {
                input.expect(later, len);
            }
        }
    }

    /// All chunks are done: roots, auxiliary files, and the names.
    fn finish(self) -> Result<Outcome, Error> {
        let commitments = self.commitments();
        let cache_dir = &self.request.cache_dir;
        let t_aux = small_output(&cache_dir.join(T_AUX_NAME), &self.t_aux)?;
        let p_aux = auxiliary::p_aux(&commitments.comm_c, &commitments.comm_r_last);
        let p_aux = small_output(&cache_dir.join(P_AUX_NAME), &p_aux)?;

        self.sealed.sync()?;
        for tree in self.tree_c.iter().chain(&self.tree_r_last) {
            tree.sync()?;
        }
        let blake3 = digest::of_parts(&lock(&self.sealed_values));
        // While some files are new and some are not, there must be no `p_aux` of an older run.
        let p_aux_path = cache_dir.join(P_AUX_NAME);
        remove_if_there(&p_aux_path)?;
        self.sealed.rename()?;
        let (path, bytes) = (self.request.sealed.clone(), self.request.shape.sector_bytes());
        let mut files: Vec<WrittenFile> = vec![Written { path, bytes, blake3 }.into()];
        for tree in self.tree_c.into_iter().chain(self.tree_r_last) {
            files.push(tree.rename()?.into());
        }
        files.push(t_aux.rename()?.into());
        // What `p_aux` stands for must have its name for good before `p_aux` has.
        sync_directory_of(&self.request.sealed)?;
        sync_directory_of(&p_aux_path)?;
        files.push(p_aux.rename()?.into());
        sync_directory_of(&p_aux_path)?;
        Ok(Outcome { commitments, files, buffer_bytes: self.plan.buffer_bytes() })
    }

    fn commitments(&self) -> Commitments {
        let (shape, backend) = (self.request.shape, self.request.backend);
        let root = |trees: &[TreeFile]| {
            let roots: Vec<u8> = trees
                .iter()
                .flat_map(|tree| tree.root().expect("every chunk of every tree has come"))
                .collect();
            top_root(backend, shape, &roots)
        };
        let (comm_c, comm_r_last) = (root(&self.tree_c), root(&self.tree_r_last));
        Commitments { comm_c, comm_r_last, comm_r: hash_two(backend, &comm_c, &comm_r_last) }
    }
}

/// A small file that is on disc but has no name yet.
struct SmallOutput {
    output: Output,
    written: Written,
}

fn small_output(path: &Path, content: &[u8]) -> Result<SmallOutput, Error> {
    let output = Output::create(path)?;
    output.write_at(content, 0)?;
    output.sync()?;
    let (bytes, blake3) = (content.len() as u64, *blake3::hash(content).as_bytes());
    Ok(SmallOutput { output, written: Written { path: path.to_owned(), bytes, blake3 } })
}

impl SmallOutput {
    fn rename(self) -> Result<Written, Error> {
        self.output.rename()?;
        Ok(self.written)
    }
}

fn refuse_same_file(data: &Path, sealed: &Path) -> Result<(), Error> {
    // A sealed file that is not there yet cannot be the data.
    match (fs::canonicalize(data), fs::canonicalize(sealed)) {
        (Ok(one), Ok(other)) if one == other => Err(Error::SameFile { path: one }),
        _ => Ok(()),
    }
}

/// A poisoned lock belongs to a run that fails anyway: the scope passes the panic on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
