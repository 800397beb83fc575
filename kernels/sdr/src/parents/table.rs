//! The table of all parents of a graph in a file that all processes of a machine share.
//!
//! **Purpose:** make the file once, with several threads, and prove its bytes before each use.
//!
//! **Invariants:**
//! - name and bytes are the library's: N rows of 14 `u32`, little-endian;
//! - a file under its final name is whole: it is written under a temporary name, synced, renamed;
//! - [`prepare`] returns only rows whose hash it has just computed, while it wrote or read them. The
//!   sizes of the network are compared with the published SHA-256, the others with a BLAKE3 digest
//!   beside the file;
//! - one process at a time makes a table; the others wait for its lock.
//!
//! **Cost of a check:** one pass of SHA-256 on one core, about 0.6 ns per byte with the CPU's
//! instructions: half a second at 512 MiB, 35 seconds at 32 GiB, once per opening.
//!
//! **Source:** names and bytes as storage-proofs-porep 19.1 makes them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use memmap2::Mmap;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::digest::Hasher;
use super::{Backend, Filler};
use crate::disc;
use crate::graph::{Graph, PARENTS};

#[cfg(target_endian = "big")]
compile_error!("the rows of a table are read as they lie in the file, which is little-endian");

const ROW_BYTES: u64 = PARENTS as u64 * 4;
/// Nodes that a thread fills at a time: 3.5 MiB of rows.
const CHUNK_NODES: u32 = 1 << 16;
/// What the library calls the hash function of its trees.
const HASHER: &str = "poseidon_hasher";

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ParentsError {
    #[error(
        "could not {action} `{path}` (a parents table of {bytes} bytes); check that its directory \
         is writable and has that much space, or choose another directory for the tables"
    )]
    Io {
        action: &'static str,
        path: PathBuf,
        bytes: u64,
        #[source]
        source: io::Error,
    },
    #[error(
        "the parents table just made for {nodes} nodes has the digest {found} and not the published \
         {published}; this machine computes or stores wrongly, test its memory and processor"
    )]
    Wrong { nodes: u32, found: String, published: &'static str },
}

/// The parents of all nodes of a graph.
#[derive(Debug)]
pub struct Table {
    graph: Graph,
    rows: Rows,
    was_made: bool,
}

#[derive(Debug)]
enum Rows {
    /// The file, whose bytes have been verified.
    Mapped(Mmap),
    Memory(Vec<u32>),
}

impl Table {
    /// A table without a file, for small graphs.
    pub fn in_memory(graph: &Graph, threads: usize) -> Self {
        let filler = Filler::new(Backend::detect(), graph);
        let mut rows = vec![0; graph.nodes() as usize * PARENTS];
        let share = (graph.nodes() as usize).div_ceil(threads.max(1));
        std::thread::scope(|scope| {
            for (i, part) in rows.chunks_mut(share * PARENTS).enumerate() {
                let first = (i * share) as u32;
                let filler = &filler;
                scope
                    .spawn(move || filler.fill(first..first + (part.len() / PARENTS) as u32, part));
            }
        });
        Self { graph: graph.clone(), rows: Rows::Memory(rows), was_made: true }
    }

    /// The graph whose parents these are.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether the call that returned this table made it.
    pub fn was_made(&self) -> bool {
        self.was_made
    }

    /// The rows of `nodes`, 14 parents each.
    ///
    /// # Panics
    /// When a node is not in the graph.
    pub fn rows(&self, nodes: Range<u32>) -> &[u32] {
        let all = match &self.rows {
            Rows::Mapped(map) => {
                // SAFETY: any four bytes are a `u32`, and the slice lives as long as the mapping.
                let (before, words, after) = unsafe { map.align_to::<u32>() };
                assert!(before.is_empty() && after.is_empty(), "a page holds whole words");
                words
            }
            Rows::Memory(rows) => rows,
        };
        &all[nodes.start as usize * PARENTS..nodes.end as usize * PARENTS]
    }

    /// Asks the kernel to read the rows of `nodes` from the disc soon.
    pub(crate) fn will_need(&self, nodes: Range<u32>) {
        if let Rows::Mapped(map) = &self.rows {
            let offset = nodes.start as usize * PARENTS * 4;
            let len = nodes.len() * PARENTS * 4;
            // Only advice: without it the pages are read when they are touched.
            let _ = map.advise_range(memmap2::Advice::WillNeed, offset, len);
        }
    }
}

/// The library's name for the file of a graph's table.
pub fn file_name(graph: &Graph) -> String {
    format!("v28-sdr-parent-{}.cache", identity(graph))
}

fn identity(graph: &Graph) -> String {
    let nodes = graph.nodes();
    let base = format!("drgraph::BucketGraph{{size: {nodes}; degree: 6; hasher: {HASHER}}}");
    let id = format!("stacked_graph::StackedGraph{{expansion_degree: 8 base_graph: {base} }}");
    let mut hash = Sha256::new().chain_update(HASHER).chain_update(id);
    for key in graph.keys {
        hash.update(key.to_le_bytes());
    }
    hex::encode(hash.chain_update(nodes.to_le_bytes()).finalize())
}

/// Opens the table of a graph in `dir`, and makes it when it is absent or damaged.
///
/// # Errors
/// When a file cannot be read or written, or a new table has not the published digest. No
/// unfinished file remains.
///
/// # Panics
/// When a thread cannot be started.
pub fn prepare(dir: &Path, graph: &Graph, threads: usize) -> Result<Table, ParentsError> {
    let files = Files::new(dir, graph);
    fs::create_dir_all(dir).map_err(files.error("create the directory", dir))?;
    if let Some(table) = files.open()? {
        return Ok(table);
    }
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&files.lock)
        .map_err(files.error("open the lock", &files.lock))?;
    // Released when the file is closed, also by the end of the process.
    flock(&lock, FlockOperation::LockExclusive)
        .map_err(|source| files.error("lock", &files.lock)(source.into()))?;
    // Another process may have made it meanwhile.
    if let Some(table) = files.open()? {
        return Ok(table);
    }
    let made = files.make(threads.max(1));
    if made.is_err() {
        // The error to report is the first one; what is left is overwritten by the next attempt.
        let _ = fs::remove_file(&files.unfinished);
    }
    made?;
    let file = File::open(&files.table).map_err(files.error("open", &files.table))?;
    let rows = Rows::Mapped(files.map(&file)?);
    Ok(Table { graph: graph.clone(), rows, was_made: true })
}

/// The files of one table.
struct Files<'a> {
    graph: &'a Graph,
    identity: String,
    table: PathBuf,
    unfinished: PathBuf,
    lock: PathBuf,
    /// Our own digest of a table without a published one.
    digest: PathBuf,
}

impl<'a> Files<'a> {
    fn new(dir: &Path, graph: &'a Graph) -> Self {
        let name = file_name(graph);
        Self {
            graph,
            identity: identity(graph),
            unfinished: dir.join(format!("{name}.tmp")),
            lock: dir.join(format!(".{name}.lock")),
            digest: dir.join(format!("{name}.blake3")),
            table: dir.join(name),
        }
    }

    fn bytes(&self) -> u64 {
        u64::from(self.graph.nodes()) * ROW_BYTES
    }

    fn error(
        &self,
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> ParentsError + use<> {
        let (path, bytes) = (path.to_owned(), self.bytes());
        move |source| ParentsError::Io { action, path, bytes, source }
    }

    /// The table, when its file is there and its bytes are proved.
    fn open(&self) -> Result<Option<Table>, ParentsError> {
        let file = match File::open(&self.table) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("open", &self.table)(error)),
        };
        // The library writes under the final name and holds this lock until it has ended.
        flock(&file, FlockOperation::LockShared)
            .map_err(|source| self.error("lock", &self.table)(source.into()))?;
        let len = file.metadata().map_err(self.error("look at", &self.table))?.len();
        if len != self.bytes() {
            return Ok(None);
        }
        // Read before it is mapped: where the disc fails, a read is an error, which makes the table
        // anew, but a mapping ends the process by a signal, each time that it starts.
        let Ok((found, published)) = self.digest_of(&file) else { return Ok(None) };
        let is_proved = match published {
            Some(published) => found == published,
            // Without a readable digest nothing proves the bytes.
            None => fs::read_to_string(&self.digest).is_ok_and(|own| own.trim() == found),
        };
        if !is_proved {
            return Ok(None);
        }
        // The file that was hashed, whatever has its name by now.
        let rows = Rows::Mapped(self.map(&file)?);
        Ok(Some(Table { graph: self.graph.clone(), rows, was_made: false }))
    }

    fn digest_of(&self, mut file: &File) -> io::Result<(String, Option<&'static str>)> {
        let mut hash = Hasher::new(&self.identity);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hash.finish()),
                Ok(count) => hash.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn map(&self, file: &File) -> Result<Mmap, ParentsError> {
        // SAFETY: the file is never written under its final name by this crate, only replaced by
        // renaming, which leaves the mapped file as it is; the library removes and creates. Another
        // program that writes into the file while it is mapped is not guarded against; one that
        // cuts it off ends this process by a signal.
        unsafe { Mmap::map(file) }.map_err(self.error("map", &self.table))
    }

    /// Writes the file: threads fill and write chunks, this one hashes them in order.
    fn make(&self, threads: usize) -> Result<(), ParentsError> {
        let path = &self.unfinished;
        let file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path)
            .map_err(self.error("create", path))?;
        disc::reserve(&file, self.bytes()).map_err(self.error("reserve space for", path))?;

        let nodes = self.graph.nodes();
        let chunks = nodes.div_ceil(CHUNK_NODES);
        let filler = Filler::new(Backend::detect(), self.graph);
        let mut hash = Hasher::new(&self.identity);
        std::thread::scope(|scope| -> io::Result<()> {
            // Thread t makes chunks t, t + threads, ...: this thread knows where the next one comes
            // from, and no thread runs more than two chunks ahead of the hash.
            let receivers: Vec<_> = (0..threads)
                .map(|thread| {
                    let (sender, receiver) = mpsc::sync_channel(1);
                    let (filler, file) = (&filler, &file);
                    scope.spawn(move || {
                        for chunk in (thread as u32..chunks).step_by(threads) {
                            let made = write_chunk(filler, file, nodes, chunk);
                            let failed = made.is_err();
                            // The receiver is gone when another chunk has failed.
                            if sender.send(made).is_err() || failed {
                                return;
                            }
                        }
                    });
                    receiver
                })
                .collect();
            for chunk in 0..chunks {
                let made = receivers[chunk as usize % threads].recv();
                let rows = made.map_err(|_| io::Error::other("a thread ended early"))??;
                hash.update(as_bytes(&rows));
            }
            Ok(())
        })
        .map_err(self.error("write", path))?;

        let (found, published) = hash.finish();
        if let Some(published) = published.filter(|published| *published != found) {
            return Err(ParentsError::Wrong { nodes, found, published });
        }
        file.sync_all().map_err(self.error("sync", path))?;
        fs::rename(path, &self.table).map_err(self.error("rename to its final name", path))?;
        if published.is_none() {
            // Not synced: a digest that is lost costs one more making.
            fs::write(&self.digest, found).map_err(self.error("write", &self.digest))?;
        }
        let dir = disc::parent(&self.table);
        disc::sync_dir(dir).map_err(self.error("sync", dir))
    }
}

fn write_chunk(filler: &Filler<'_>, file: &File, nodes: u32, chunk: u32) -> io::Result<Vec<u32>> {
    let first = chunk * CHUNK_NODES;
    let range = first..nodes.min(first.saturating_add(CHUNK_NODES));
    let mut rows = vec![0_u32; range.len() * PARENTS];
    filler.fill(range, &mut rows);
    rows.iter_mut().for_each(|parent| *parent = parent.to_le());
    file.write_all_at(as_bytes(&rows), u64::from(first) * ROW_BYTES)?;
    Ok(rows)
}

/// The words as they lie in memory.
fn as_bytes(words: &[u32]) -> &[u8] {
    // SAFETY: a `u32` is four bytes without padding, and any address is aligned for bytes.
    let (_, bytes, _) = unsafe { words.align_to::<u8>() };
    bytes
}
