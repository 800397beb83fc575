//! **Purpose**: snapshots as directories: building them by checkpoint, keeping the newest, installing
//! a received one.
//!
//! Layout of the data directory: `state/<generation>` is the live database, `state/CURRENT` names it;
//! `snapshots/<number>` is the newest snapshot; `incoming/` holds one that is being received.
//!
//! **Invariants**
//! - A directory gets its final name only when its files are complete and synced, and its parent is
//!   synced before anything relies on the name.
//! - The old state stays until the new one is named by `CURRENT`.
//! - Index and membership of a snapshot are read from the snapshot itself.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{ApplyError, State, StateDb};
use crate::types::{Snapshot, SnapshotMeta};

struct Held {
    path: PathBuf,
    remove_on_drop: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.remove_on_drop.load(Ordering::Acquire)
            && self.path.exists()
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "could not remove an old snapshot");
        }
    }
}

/// A snapshot's directory; it stays as long as someone reads it.
#[derive(Clone)]
pub struct SnapshotDir(Arc<Held>);

impl std::fmt::Debug for SnapshotDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotDir({})", self.0.path.display())
    }
}

impl SnapshotDir {
    /// A directory that goes when nobody uses it any more.
    pub fn transient(path: PathBuf) -> Self {
        Self(Arc::new(Held { path, remove_on_drop: AtomicBool::new(true) }))
    }

    fn kept(path: PathBuf) -> Self {
        Self(Arc::new(Held { path, remove_on_drop: AtomicBool::new(false) }))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn retire(&self) {
        self.0.remove_on_drop.store(true, Ordering::Release);
    }
}

/// Where a node keeps its state and its snapshots.
pub struct SnapshotStore {
    root: PathBuf,
    generation: AtomicU64,
    number: AtomicU64,
    current: Mutex<Option<SnapshotDir>>,
}

fn files(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ApplyError {
    let path = path.display().to_string();
    move |source| ApplyError::Files { action, path, source }
}

pub fn sync_dir(path: &Path) -> Result<(), ApplyError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(files("sync", path))
}

fn numbered(directory: &Path) -> Result<Vec<u64>, ApplyError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(files("list", directory))? {
        let name = entry.map_err(files("list", directory))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl SnapshotStore {
    /// Opens the directories under `root`, removes what a crash left, and opens the live database.
    pub fn open(root: &Path) -> Result<(Self, StateDb), ApplyError> {
        for name in ["state", "snapshots"] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(files("create", &path))?;
        }
        let incoming = root.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(files("clear", &incoming))?;
        }
        fs::create_dir_all(&incoming).map_err(files("create", &incoming))?;
        let store = Self {
            root: root.to_path_buf(),
            generation: AtomicU64::new(0),
            number: AtomicU64::new(0),
            current: Mutex::new(None),
        };
        let generation = store.current_generation()?;
        store.generation.store(generation, Ordering::Release);
        store.clear_states(generation)?;
        store.adopt_newest_snapshot()?;
        let path = store.state_path(generation);
        let fresh = !path.exists();
        let db = StateDb::open(&path)?;
        if fresh {
            store.point_to(generation)?;
        }
        Ok((store, db))
    }

    fn state_path(&self, generation: u64) -> PathBuf {
        self.root.join("state").join(generation.to_string())
    }

    fn current_generation(&self) -> Result<u64, ApplyError> {
        let pointer = self.root.join("state/CURRENT");
        match fs::read_to_string(&pointer) {
            Ok(text) => text.trim().parse().map_err(|_| {
                ApplyError::Snapshot(format!("`{}` does not name a state", pointer.display()))
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(1),
            Err(e) => Err(files("read", &pointer)(e)),
        }
    }

    fn point_to(&self, generation: u64) -> Result<(), ApplyError> {
        let directory = self.root.join("state");
        let (partial, pointer) = (directory.join("CURRENT.tmp"), directory.join("CURRENT"));
        let mut file = File::create(&partial).map_err(files("create", &partial))?;
        file.write_all(generation.to_string().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(files("write", &partial))?;
        fs::rename(&partial, &pointer).map_err(files("rename", &partial))?;
        sync_dir(&directory)
    }

    fn clear_states(&self, keep: u64) -> Result<(), ApplyError> {
        for number in numbered(&self.root.join("state"))?.into_iter().filter(|n| *n != keep) {
            let path = self.state_path(number);
            fs::remove_dir_all(&path).map_err(files("remove", &path))?;
        }
        Ok(())
    }

    fn adopt_newest_snapshot(&self) -> Result<(), ApplyError> {
        let directory = self.root.join("snapshots");
        for entry in fs::read_dir(&directory).map_err(files("list", &directory))? {
            let path = entry.map_err(files("list", &directory))?.path();
            if path.extension().is_some_and(|e| e == "tmp") {
                fs::remove_dir_all(&path).map_err(files("remove", &path))?;
            }
        }
        let mut numbers = numbered(&directory)?;
        let newest = numbers.pop();
        for old in numbers {
            let path = directory.join(old.to_string());
            fs::remove_dir_all(&path).map_err(files("remove", &path))?;
        }
        if let Some(newest) = newest {
            self.number.store(newest, Ordering::Release);
            *self.current.lock() = Some(SnapshotDir::kept(directory.join(newest.to_string())));
        }
        Ok(())
    }

    /// A new directory for a snapshot that is about to be received.
    pub fn new_incoming(&self) -> Result<SnapshotDir, ApplyError> {
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        let path = self.root.join("incoming").join(number.to_string());
        fs::create_dir_all(&path).map_err(files("create", &path))?;
        Ok(SnapshotDir::transient(path))
    }

    fn next_paths(&self) -> (PathBuf, PathBuf) {
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        let directory = self.root.join("snapshots");
        (directory.join(format!("{number}.tmp")), directory.join(number.to_string()))
    }

    /// Gives a complete directory its final name and makes it the current snapshot.
    fn finish(&self, partial: &Path, path: PathBuf) -> Result<SnapshotDir, ApplyError> {
        sync_files(partial)?;
        fs::rename(partial, &path).map_err(files("rename", partial))?;
        sync_dir(&self.root.join("snapshots"))?;
        let snapshot = SnapshotDir::kept(path);
        if let Some(old) = self.current.lock().replace(snapshot.clone()) {
            old.retire();
        }
        Ok(snapshot)
    }

    /// Builds a snapshot of the live state.
    pub fn build(&self, state: &State) -> Result<Snapshot, ApplyError> {
        let (partial, path) = self.next_paths();
        let db = state.db();
        // Flushed first, so that the checkpoint copies no memory table under the disc's lock.
        state.flush()?;
        db.checkpoint(&partial)?;
        let meta = read_meta(&partial)?;
        state.note_flushed(meta.last_log_id.map(|id| id.index));
        let snapshot = self.finish(&partial, path)?;
        Ok(Snapshot { meta, snapshot })
    }

    pub fn current(&self) -> Result<Option<Snapshot>, ApplyError> {
        let Some(snapshot) = self.current.lock().clone() else {
            return Ok(None);
        };
        Ok(Some(Snapshot { meta: read_meta(snapshot.path())?, snapshot }))
    }

    /// Makes a complete snapshot directory the state and the current snapshot.
    pub fn install(
        &self,
        state: &State,
        meta: &SnapshotMeta,
        from: SnapshotDir,
    ) -> Result<(), ApplyError> {
        let found = read_meta(from.path())?;
        if found != *meta {
            return Err(ApplyError::Snapshot(format!(
                "it holds the state at {:?}, it was announced as {:?}",
                found.last_log_id, meta.last_log_id
            )));
        }
        let (partial, path) = self.next_paths();
        if from.path().starts_with(self.root.join("incoming")) {
            fs::rename(from.path(), &partial).map_err(files("rename", from.path()))?;
        } else {
            copy_dir(from.path(), &partial, false)?;
        }
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let live = self.state_path(generation);
        copy_dir(&partial, &live, true)?;
        sync_files(&live)?;
        sync_dir(&self.root.join("state"))?;
        let db = StateDb::open(&live)?;
        // Named only after its rows were found good: a bad one must not be met again at the next start.
        state.replace(db, || {
            self.finish(&partial, path)?;
            self.point_to(generation)
        })
    }
}

fn read_meta(path: &Path) -> Result<SnapshotMeta, ApplyError> {
    let applied = StateDb::open_read_only(path)?.applied()?;
    Ok(SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership })
}

/// Copies a database directory; tables never change, so they may be linked.
fn copy_dir(from: &Path, to: &Path, link: bool) -> Result<(), ApplyError> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(files("clear", to))?;
    }
    fs::create_dir_all(to).map_err(files("create", to))?;
    for entry in fs::read_dir(from).map_err(files("list", from))? {
        let source = entry.map_err(files("list", from))?.path();
        let Some(name) = source.file_name() else {
            continue;
        };
        let target = to.join(name);
        if link && source.extension().is_some_and(|e| e == "sst") {
            fs::hard_link(&source, &target).map_err(files("link", &target))?;
        } else {
            fs::copy(&source, &target).map_err(files("copy", &source))?;
        }
    }
    Ok(())
}

fn sync_files(path: &Path) -> Result<(), ApplyError> {
    for entry in fs::read_dir(path).map_err(files("list", path))? {
        let file = entry.map_err(files("list", path))?.path();
        File::open(&file).and_then(|f| f.sync_all()).map_err(files("sync", &file))?;
    }
    sync_dir(path)
}
