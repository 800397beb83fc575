//! **Purpose**: directories that one process owns, and files that are either old or new after a crash.
//!
//! **Invariants**
//! - A lock is held by the open descriptor, so that it ends with the process whatever happens to it.
//! - `replace` returns only when name and content survive a power failure.
//!
//! **Source**: `flock(2)`, `rename(2)`, `fsync(2)`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};

/// Prefix of files that are not yet complete; leftovers of a crash are removed by their owner.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Exclusive use of a directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

/// A directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Another process has it.
    #[error(
        "`{dir}` is in use by process {pid}; stop that wallet first, or give this one another directory"
    )]
    InUse {
        /// The directory.
        dir: Utf8PathBuf,
        /// As the other process wrote it, or "unknown".
        pid: String,
    },
    /// The directory or its lock file cannot be made.
    #[error(
        "could not take the directory `{dir}`; it must be a directory that the wallet's user owns and may write"
    )]
    Io {
        /// The directory.
        dir: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DirLock {
    /// Makes `dir` (0700) where it is missing and takes its lock file.
    pub(crate) fn take(dir: &Utf8Path) -> Result<Self, DirError> {
        let failed = |source| DirError::Io { dir: dir.to_owned(), source };
        private_dir(dir).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let known = (&mut file).take(20).read_to_string(&mut text).is_ok();
                let pid = text.trim();
                let pid = if known && !pid.is_empty() { pid } else { "unknown" };
                return Err(DirError::InUse { dir: dir.to_owned(), pid: pid.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // In place and then cut, which needs no new block: a full disc keeps no wallet from opening.
        let pid = std::process::id().to_string();
        file.write_all_at(pid.as_bytes(), 0).map_err(failed)?;
        file.set_len(pid.len() as u64).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

/// Makes a directory that only its owner may enter, durably; an existing one is narrowed to that.
pub(crate) fn private_dir(dir: &Utf8Path) -> io::Result<()> {
    let is_new = !dir.try_exists()?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    match dir.parent() {
        // A new directory that a power failure took away would take all that is in it.
        Some(parent) if is_new && !parent.as_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Utf8Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Writes a new file (0600) completely and durably, except for its name.
pub(crate) fn write_new(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // A file left by a crash keeps its old mode when it is opened again.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Puts `content` at `dir/name` in one step.
pub(crate) fn replace(dir: &Utf8Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{TEMPORARY}{name}"));
    let written = write_new(&temporary, content)
        .and_then(|()| fs::rename(&temporary, dir.join(name)))
        .and_then(|()| sync_dir(dir));
    if written.is_err() {
        // The first error is the one to report; a leftover is removed at the next start.
        let _: io::Result<()> = fs::remove_file(&temporary);
    }
    written
}

/// Removes what a crash left behind in `dir`.
pub(crate) fn remove_temporaries(dir: &Utf8Path) -> io::Result<()> {
    for entry in dir.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
