//! **Purpose**: a `Device` in memory that records what the log did to the disc, so that a test can
//! rebuild the disc as a power failure could have left it at any moment.
//!
//! **Invariants**
//! - What was synced before the cut is always there; each un-synced write may be there, be missing,
//!   or be there up to some 512-byte sector; names behave likewise until `sync_dir`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Device, DeviceFile};

const SECTOR: usize = 512;

/// One thing that was done to the disc, or a mark of the test between them.
#[derive(Clone, Debug)]
pub enum TraceOp {
    Create {
        name: String,
        file: u64,
    },
    Write {
        file: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
    Sync {
        file: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncDir,
    /// Set by the test: something was acknowledged here.
    Mark(u64),
}

/// How a crash treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashImage {
    /// Everything reached the disc.
    KeepAll,
    /// Nothing un-synced did, names included.
    DropAll,
    /// Un-synced writes are lost, un-synced names are there.
    DropWrites,
    /// Un-synced names are lost, un-synced writes are there.
    DropNames,
    /// One un-synced write, counted from the last, is lost.
    DropOne(usize),
    /// Of the last un-synced write only so many sectors are there.
    TearLast(usize),
    /// Of the last un-synced write the first sectors are missing, the others there.
    TearFirst(usize),
}

#[derive(Default)]
struct Disc {
    names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Vec<u8>>,
    next_file: u64,
    trace: Vec<TraceOp>,
    bytes_left: Option<u64>,
}

/// A directory in memory that records every operation.
#[derive(Clone, Default)]
pub struct SimDevice {
    disc: Arc<Mutex<Disc>>,
}

impl SimDevice {
    /// Notes in the trace that the test saw an acknowledgement.
    pub fn mark(&self, value: u64) {
        self.disc.lock().trace.push(TraceOp::Mark(value));
    }

    pub fn trace(&self) -> Vec<TraceOp> {
        self.disc.lock().trace.clone()
    }

    /// From now on so many bytes can be written until the disc is full.
    pub fn limit_bytes(&self, bytes: u64) {
        self.disc.lock().bytes_left = Some(bytes);
    }

    /// Changes one stored byte, as a failing disc would.
    pub fn corrupt(&self, name: &str, offset: usize) {
        let mut disc = self.disc.lock();
        let file = disc.names.get(name).copied();
        if let Some(byte) =
            file.and_then(|id| disc.files.get_mut(&id)).and_then(|f| f.get_mut(offset))
        {
            *byte ^= 0x55;
        }
    }

    /// The disc after a power failure behind the first `prefix` operations of `trace`.
    pub fn after_crash(trace: &[TraceOp], prefix: usize, image: CrashImage) -> Self {
        let mut model = CrashModel::default();
        for op in &trace[..prefix] {
            model.step(op);
        }
        let (names, files) = model.crash(image);
        let next_file = files.keys().next_back().map_or(0, |id| id + 1);
        let disc = Disc { names, files, next_file, trace: Vec::new(), bytes_left: None };
        Self { disc: Arc::new(Mutex::new(disc)) }
    }
}

impl Disc {
    fn charge(&mut self, bytes: usize) -> io::Result<()> {
        let Some(left) = &mut self.bytes_left else {
            return Ok(());
        };
        match left.checked_sub(bytes as u64) {
            Some(rest) => {
                *left = rest;
                Ok(())
            }
            None => Err(io::Error::from(io::ErrorKind::StorageFull)),
        }
    }
}

impl Device for SimDevice {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DeviceFile>> {
        let mut disc = self.disc.lock();
        let file = disc.next_file;
        disc.next_file += 1;
        disc.names.insert(name.to_owned(), file);
        disc.files.insert(file, Vec::new());
        disc.trace.push(TraceOp::Create { name: name.to_owned(), file });
        Ok(Arc::new(SimFile { disc: self.disc.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DeviceFile>> {
        let file = self.disc.lock().names.get(name).copied();
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(SimFile { disc: self.disc.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disc = self.disc.lock();
        let file =
            disc.names.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        disc.names.insert(to.to_owned(), file);
        disc.trace.push(TraceOp::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disc = self.disc.lock();
        disc.names.remove(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        disc.trace.push(TraceOp::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disc.lock().trace.push(TraceOp::SyncDir);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.disc.lock().names.keys().cloned().collect())
    }

    fn describe(&self, name: &str) -> String {
        format!("sim:{name}")
    }
}

struct SimFile {
    disc: Arc<Mutex<Disc>>,
    file: u64,
}

fn write_into(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = offset as usize;
    if content.len() < start + bytes.len() {
        content.resize(start + bytes.len(), 0);
    }
    content[start..start + bytes.len()].copy_from_slice(bytes);
}

impl DeviceFile for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disc = self.disc.lock();
        disc.charge(bytes.len())?;
        write_into(disc.files.entry(self.file).or_default(), offset, bytes);
        disc.trace.push(TraceOp::Write { file: self.file, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disc = self.disc.lock();
        let content = disc.files.get(&self.file).map_or(&[][..], Vec::as_slice);
        let rest = content.get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disc.lock().trace.push(TraceOp::Sync { file: self.file });
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disc.lock().files.get(&self.file).map_or(0, |f| f.len() as u64))
    }
}

/// What is durable and what is pending, while a trace is played.
#[derive(Default)]
struct CrashModel {
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<TraceOp>,
    durable: BTreeMap<u64, Vec<u8>>,
    pending: Vec<(u64, u64, Vec<u8>)>,
}

impl CrashModel {
    fn step(&mut self, op: &TraceOp) {
        match op {
            TraceOp::Create { file, .. } => {
                self.durable.entry(*file).or_default();
                self.pending_names.push(op.clone());
            }
            TraceOp::Rename { .. } | TraceOp::Remove { .. } => self.pending_names.push(op.clone()),
            TraceOp::Write { file, offset, bytes } => {
                self.pending.push((*file, *offset, bytes.clone()))
            }
            TraceOp::Sync { file } => {
                let (synced, rest) = self.pending.drain(..).partition(|(id, _, _)| id == file);
                self.pending = rest;
                self.write_all(synced);
            }
            TraceOp::SyncDir => {
                for op in std::mem::take(&mut self.pending_names) {
                    apply_name(&mut self.durable_names, &op);
                }
            }
            TraceOp::Mark(_) => {}
        }
    }

    fn write_all(&mut self, writes: Vec<(u64, u64, Vec<u8>)>) {
        for (file, offset, bytes) in writes {
            write_into(self.durable.entry(file).or_default(), offset, &bytes);
        }
    }

    fn crash(mut self, image: CrashImage) -> (BTreeMap<String, u64>, BTreeMap<u64, Vec<u8>>) {
        let mut writes = std::mem::take(&mut self.pending);
        let mut names = std::mem::take(&mut self.pending_names);
        match image {
            CrashImage::KeepAll => {}
            CrashImage::DropAll => {
                writes.clear();
                names.clear();
            }
            CrashImage::DropWrites => writes.clear(),
            CrashImage::DropNames => names.clear(),
            CrashImage::DropOne(from_last) => {
                if let Some(at) = writes.len().checked_sub(from_last + 1) {
                    writes.remove(at);
                }
            }
            CrashImage::TearLast(sectors) => {
                if let Some((_, offset, bytes)) = writes.last_mut() {
                    let edge = sector_edge(*offset, sectors, bytes.len());
                    bytes.truncate(edge);
                }
            }
            CrashImage::TearFirst(sectors) => {
                if let Some((_, offset, bytes)) = writes.last_mut() {
                    let edge = sector_edge(*offset, sectors, bytes.len());
                    bytes.drain(..edge);
                    *offset += edge as u64;
                }
            }
        }
        self.write_all(writes);
        for op in names {
            apply_name(&mut self.durable_names, &op);
        }
        (self.durable_names, self.durable)
    }
}

/// How many bytes of a write at `offset` lie in its first `sectors` sectors of the disc.
fn sector_edge(offset: u64, sectors: usize, length: usize) -> usize {
    let inside = offset as usize % SECTOR;
    (sectors * SECTOR).saturating_sub(inside).min(length)
}

fn apply_name(names: &mut BTreeMap<String, u64>, op: &TraceOp) {
    match op {
        TraceOp::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        TraceOp::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        TraceOp::Remove { name } => {
            names.remove(name);
        }
        TraceOp::Write { .. } | TraceOp::Sync { .. } | TraceOp::SyncDir | TraceOp::Mark(_) => {}
    }
}
