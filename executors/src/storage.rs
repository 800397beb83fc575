//! **Purpose**: storage paths: where attempts write, what room there is, where files are found.
//!
//! **Invariants**
//! - `<path>/sectors/<miner>-<sector>/<token>/files/<name>` is what a stage made; a directory belongs
//!   to one token and is written by that attempt alone.
//! - `<path>/blobs/<blake3>` is complete; what is on its way there is named `<blake3>.partial`.
//! - Room is taken before an attempt starts and given back when it has ended, so attempts that run
//!   side by side cannot each be promised the same bytes.
//! - Nothing is removed here but by [`Storage::collect`] and fetched copies of dead attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::executor as wire;
use parking_lot::Mutex;
use rustix::fs::statvfs;

use crate::config::{Config, PathConfig, PathRole};
use crate::output::{self, is_plain_name};
use crate::supervisor::control::lease_dir;

pub(crate) const FILES: &str = "files";
pub(crate) const INPUTS: &str = "inputs";
const SECTORS: &str = "sectors";
const BLOBS: &str = "blobs";
const COLLECTED: &str = "collected";

pub(crate) struct Storage {
    data_dir: Utf8PathBuf,
    paths: Vec<PathConfig>,
    /// What attempts of commands were given, by lease: first and last token.
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Stage attempts: their directory.
    attempts: BTreeMap<u64, Utf8PathBuf>,
    /// (first token, last token) of a command lease -> lease. Tokens of leases may interleave.
    leases: BTreeSet<(u64, u64, u64)>,
    /// Token -> (path index, bytes).
    reserved: BTreeMap<u64, (usize, u64)>,
    /// Bytes in `sectors` and `blobs` of each path.
    used: Vec<u64>,
}

/// A path has not enough room.
#[derive(Debug, thiserror::Error)]
#[error(
    "not enough space at `{path}`: {needed} bytes needed, {free} free above the reserve of {reserve}; \
     free space there or add a storage path"
)]
pub(crate) struct NoSpace {
    pub(crate) path: Utf8PathBuf,
    pub(crate) needed: u64,
    pub(crate) free: u64,
    pub(crate) reserve: u64,
}

/// Why an attempt got no directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    #[error("this executor has no storage path; configure one with role seal or store")]
    NoPath,
    #[error("could not make the attempt's directory `{dir}`: {source}; check the storage path")]
    Directory {
        dir: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Storage {
    /// Makes the directories and finds what is in them. `is_live` tells which attempts still run.
    pub(crate) fn open(config: &Config, is_live: impl Fn(u64) -> bool) -> io::Result<Storage> {
        fs::create_dir_all(config.data_dir.join("attempts"))?;
        let mut inner = Inner::default();
        for path in &config.paths {
            let used = survey(&path.dir, &is_live, &mut inner.attempts).map_err(|error| {
                let message = format!("storage path `{}` at `{}`: {error}", path.id, path.dir);
                io::Error::new(error.kind(), message)
            })?;
            inner.used.push(used);
        }
        for dir in directories(&config.data_dir.join("attempts"))? {
            let Some(lease) = token_of(&dir) else {
                continue;
            };
            let index = output::read_index(&dir)?;
            let tokens = index.iter().map(|entry| entry.token).chain(token_dirs(&dir)?);
            if let Some((first, last)) = ends(tokens) {
                inner.leases.insert((first, last, lease));
            }
        }
        Ok(Storage {
            data_dir: config.data_dir.clone(),
            paths: config.paths.clone(),
            inner: Mutex::new(inner),
        })
    }

    pub(crate) fn report(&self) -> Vec<wire::StoragePath> {
        let inner = self.inner.lock();
        (0..self.paths.len())
            .map(|index| {
                let path = &self.paths[index];
                let (total, _) = filesystem(&path.dir);
                wire::StoragePath {
                    id: path.id.clone(),
                    role: path.role.name().to_owned(),
                    capacity_bytes: path.capacity_bytes.unwrap_or(total),
                    reserve_bytes: path.reserve_bytes,
                    free_bytes: self.free(&inner, index),
                }
            })
            .collect()
    }

    /// What may still be taken at a path.
    fn free(&self, inner: &Inner, index: usize) -> u64 {
        let path = &self.paths[index];
        let (_, available) = filesystem(&path.dir);
        let by_filesystem = available.saturating_sub(path.reserve_bytes);
        let by_capacity =
            path.capacity_bytes.map_or(u64::MAX, |most| most.saturating_sub(inner.used[index]));
        let reserved: u64 =
            inner.reserved.values().filter(|(at, _)| *at == index).map(|(_, bytes)| bytes).sum();
        by_filesystem.min(by_capacity).saturating_sub(reserved)
    }

    /// Takes room and makes the directory of a stage attempt on the emptiest path of the role, or of
    /// any role when there is none.
    pub(crate) fn place(
        &self,
        role: PathRole,
        miner: u64,
        sector: u64,
        token: u64,
        bytes: u64,
    ) -> Result<Utf8PathBuf, PlaceError> {
        let mut inner = self.inner.lock();
        let index = self
            .emptiest(&inner, Some(role))
            .or_else(|| self.emptiest(&inner, None))
            .ok_or(PlaceError::NoPath)?;
        let (path, free) = (&self.paths[index], self.free(&inner, index));
        if bytes > free {
            return Err(NoSpace {
                path: path.dir.clone(),
                needed: bytes,
                free,
                reserve: path.reserve_bytes,
            }
            .into());
        }
        let dir = path.dir.join(SECTORS).join(format!("{miner}-{sector}")).join(token.to_string());
        fs::create_dir_all(dir.join(FILES))
            .map_err(|source| PlaceError::Directory { dir: dir.clone(), source })?;
        inner.reserved.insert(token, (index, bytes));
        inner.attempts.insert(token, dir.clone());
        Ok(dir)
    }

    fn emptiest(&self, inner: &Inner, role: Option<PathRole>) -> Option<usize> {
        (0..self.paths.len())
            .filter(|index| role.is_none_or(|role| self.paths[*index].role == role))
            .max_by_key(|index| self.free(inner, *index))
    }

    /// The attempt has ended and left `bytes`.
    pub(crate) fn settle(&self, token: u64, bytes: u64) {
        let mut inner = self.inner.lock();
        if let Some((index, _)) = inner.reserved.remove(&token) {
            inner.used[index] += bytes;
        }
    }

    /// Remembers which tokens a command lease holds, so that their output is found.
    pub(crate) fn note_lease(&self, lease: u64, tokens: impl Iterator<Item = u64>) {
        if let Some((first, last)) = ends(tokens) {
            self.inner.lock().leases.insert((first, last, lease));
        }
    }

    pub(crate) fn attempt_dir(&self, token: u64) -> Option<Utf8PathBuf> {
        self.inner.lock().attempts.get(&token).cloned()
    }

    /// A file that the attempt made; none when there is no such attempt or file here.
    pub(crate) fn file(&self, token: u64, name: &str) -> Option<Utf8PathBuf> {
        if !is_plain_name(name) {
            return None;
        }
        let path = self.attempt_dir(token)?.join(FILES).join(name);
        is_regular(&path).then_some(path)
    }

    /// `files` directories of the sector's other attempts, newest first.
    pub(crate) fn sector_files(&self, miner: u64, sector: u64, except: u64) -> Vec<Utf8PathBuf> {
        let name = format!("{miner}-{sector}");
        let inner = self.inner.lock();
        let of_sector =
            |dir: &Utf8PathBuf| dir.parent().and_then(Utf8Path::file_name) == Some(&name);
        inner
            .attempts
            .iter()
            .rev()
            .filter(|(token, dir)| **token != except && of_sector(dir))
            .map(|(_, dir)| dir.join(FILES))
            .collect()
    }

    /// The complete blob with this hash.
    pub(crate) fn blob(&self, hash: &blake3::Hash) -> Option<Utf8PathBuf> {
        let name = hash.to_hex();
        let mut dirs = self.blob_dirs();
        dirs.find_map(|dir| Some(dir.join(name.as_str())).filter(|path| is_regular(path)))
    }

    /// Where a blob of `bytes` more is to be written: the partial file and its final name.
    pub(crate) fn blob_place(
        &self,
        hash: &blake3::Hash,
        bytes: u64,
    ) -> Result<(Utf8PathBuf, Utf8PathBuf), PlaceError> {
        let name = hash.to_hex().to_string();
        let pair = |dir: &Utf8Path| (dir.join(format!("{name}.partial")), dir.join(&name));
        if let Some(dir) =
            self.blob_dirs().find(|dir| is_regular(&dir.join(format!("{name}.partial"))))
        {
            self.check_room(&dir, bytes)?;
            return Ok(pair(&dir));
        }
        let inner = self.inner.lock();
        let index =
            self.emptiest(&inner, Some(PathRole::Store)).or_else(|| self.emptiest(&inner, None));
        let dir = index
            .map_or_else(|| self.data_dir.join(BLOBS), |index| self.paths[index].dir.join(BLOBS));
        drop(inner);
        fs::create_dir_all(&dir)
            .map_err(|source| PlaceError::Directory { dir: dir.clone(), source })?;
        self.check_room(&dir, bytes)?;
        Ok(pair(&dir))
    }

    fn check_room(&self, blobs: &Utf8Path, bytes: u64) -> Result<(), NoSpace> {
        let inner = self.inner.lock();
        let index = self.paths.iter().position(|path| blobs.starts_with(&path.dir));
        let (free, reserve) = match index {
            Some(index) => (self.free(&inner, index), self.paths[index].reserve_bytes),
            None => (filesystem(blobs).1, 0),
        };
        if bytes > free {
            return Err(NoSpace { path: blobs.to_owned(), needed: bytes, free, reserve });
        }
        Ok(())
    }

    fn blob_dirs(&self) -> impl Iterator<Item = Utf8PathBuf> + '_ {
        let roots = self.paths.iter().map(|path| &path.dir).chain([&self.data_dir]);
        roots.map(|root| root.join(BLOBS))
    }

    /// Directories of the command leases that may hold `token`.
    pub(crate) fn lease_dirs(&self, token: u64) -> Vec<Utf8PathBuf> {
        let inner = self.inner.lock();
        let may_hold = inner.leases.range(..=(token, u64::MAX, u64::MAX)).rev();
        may_hold
            .filter(|(_, last, _)| *last >= token)
            .map(|(_, _, lease)| lease_dir(&self.data_dir, *lease))
            .collect()
    }

    /// Removes what dead attempts left. A token that `is_live` says is still known is left alone.
    pub(crate) fn collect(&self, tokens: &[u64], is_live: impl Fn(u64) -> bool) -> io::Result<()> {
        for token in tokens.iter().copied().filter(|token| !is_live(*token)) {
            let found = self.inner.lock().attempts.get(&token).cloned();
            if let Some(dir) = found {
                let bytes = bytes_below(&dir)?;
                remove_dir(&dir)?;
                let mut inner = self.inner.lock();
                inner.attempts.remove(&token);
                if let Some(index) = self.paths.iter().position(|path| dir.starts_with(&path.dir)) {
                    inner.used[index] = inner.used[index].saturating_sub(bytes);
                }
                continue;
            }
            for dir in self.lease_dirs(token) {
                self.collect_packed(&dir, token)?;
            }
        }
        Ok(())
    }

    /// Output of a lease is packed: its directory goes when each of its attempts was collected.
    fn collect_packed(&self, dir: &Utf8Path, token: u64) -> io::Result<()> {
        let index = output::read_index(dir)?;
        if !index.iter().any(|entry| entry.token == token) {
            return Ok(());
        }
        remove_dir(&dir.join(token.to_string()))?;
        let path = dir.join(COLLECTED);
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.write_all(&token.to_le_bytes())?;
        let content = fs::read(&path)?;
        let gone: BTreeSet<&[u8]> = content.chunks_exact(8).collect();
        if index.iter().all(|entry| gone.contains(entry.token.to_le_bytes().as_slice())) {
            remove_dir(dir)?;
            let lease = token_of(dir);
            self.inner.lock().leases.retain(|(_, _, other)| Some(*other) != lease);
        }
        Ok(())
    }
}

/// Makes the directories of a storage path, notes its attempts, drops fetched copies of dead ones;
/// returns the bytes kept there.
fn survey(
    root: &Utf8Path,
    is_live: &impl Fn(u64) -> bool,
    attempts: &mut BTreeMap<u64, Utf8PathBuf>,
) -> io::Result<u64> {
    let (sectors, blobs) = (root.join(SECTORS), root.join(BLOBS));
    fs::create_dir_all(&sectors)?;
    fs::create_dir_all(&blobs)?;
    for sector in directories(&sectors)? {
        for attempt in directories(&sector)? {
            let Some(token) = token_of(&attempt) else {
                continue;
            };
            if !is_live(token) {
                remove_dir(&attempt.join(INPUTS))?;
            }
            attempts.insert(token, attempt);
        }
    }
    Ok(bytes_below(&sectors)? + bytes_below(&blobs)?)
}

/// Total and available bytes of a filesystem; zeros where it cannot be asked.
fn filesystem(dir: &Utf8Path) -> (u64, u64) {
    statvfs(dir.as_std_path()).map_or((0, 0), |found| {
        (
            found.f_blocks.saturating_mul(found.f_frsize),
            found.f_bavail.saturating_mul(found.f_frsize),
        )
    })
}

fn is_regular(path: &Utf8Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

fn ends(tokens: impl Iterator<Item = u64>) -> Option<(u64, u64)> {
    tokens.fold(None, |ends, token| match ends {
        None => Some((token, token)),
        Some((first, last)) => Some((token.min(first), token.max(last))),
    })
}

fn token_of(dir: &Utf8Path) -> Option<u64> {
    dir.file_name().and_then(|name| name.parse().ok())
}

fn token_dirs(dir: &Utf8Path) -> io::Result<Vec<u64>> {
    Ok(directories(dir)?.iter().filter_map(|dir| token_of(dir)).collect())
}

fn directories(dir: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for entry in dir.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

pub(crate) fn bytes_below(dir: &Utf8Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in dir.read_dir_utf8()? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            bytes += bytes_below(entry.path())?;
        } else if kind.is_file() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn remove_dir(dir: &Utf8Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
