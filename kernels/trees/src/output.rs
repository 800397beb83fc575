//! Files that appear whole or not at all.
//!
//! **Purpose**: write under a temporary name, at any offset and from any thread, and give the file
//! its name once its bytes are on the disc.
//!
//! **Invariants**
//! - A file under its final name is complete: it was synced before the rename, its directory after.
//! - A file that is not finished is removed. One that a killed process left is unlinked and made anew,
//!   never written into: its bytes may be those of another name.
//! - No output takes the place of an input of its run.
//!
//! **Source**: POSIX `rename`, `fsync`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

/// A file that was written, with the BLAKE3 of all its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its final name.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of the whole file.
    pub blake3: [u8; 32],
}

/// What went wrong with a file. The family's error says what the file was for.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} `{}`; {}, then run the stage again", path.display(), advice(source))]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// On which file.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on this filesystem or use another one"
        }
        io::ErrorKind::NotFound => "check that the path exists and that its volume is mounted",
        io::ErrorKind::PermissionDenied => "check owner and mode of the file and its directory",
        io::ErrorKind::UnexpectedEof => "make the file again, it is shorter than it was",
        io::ErrorKind::ResourceBusy => "it is in use, give another path",
        io::ErrorKind::AlreadyExists => "another run writes the same file, wait for its end",
        _ => "check the device and the system log",
    }
}

impl FileError {
    /// Whether the filesystem or the quota is full.
    pub fn is_storage_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> FileError + 'a {
        move |source| FileError { action, path: path.to_owned(), source }
    }
}

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Output {
    /// Begin the file that will be `path`.
    pub(crate) fn create(path: &Path) -> Result<Output, FileError> {
        let temporary = temporary(path);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::io("remove what a killed run left of", &temporary)(error));
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(FileError::io("create", &temporary))?;
        Ok(Output { file, temporary, path: path.to_owned(), finished: false })
    }

    /// Begin the file that will be `path`, and reserve its space where the filesystem can: a full
    /// disc then shows before the work.
    pub(crate) fn with_len(path: &Path, len: u64) -> Result<Output, FileError> {
        let output = Output::create(path)?;
        output.reserve(len).map_err(FileError::io("reserve the length of", &output.temporary))?;
        Ok(output)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, len)) {
            Ok(()) => Ok(()),
            // Not every filesystem can; a full disc then shows when the bytes are written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.file.set_len(len),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the temporary name still leads to this file: two runs for one sector must not give
    /// each other's half-written files a name, nor remove them.
    fn is_at_its_place(&self) -> bool {
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let named = fs::symlink_metadata(&self.temporary).map(place);
        named.is_ok_and(|named| self.file.metadata().map(place).is_ok_and(|own| own == named))
    }

    /// Write `bytes` at `offset`.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        self.file.write_all_at(bytes, offset).map_err(FileError::io("write", &self.temporary))
    }

    /// Sync the bytes and give the file its name.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        self.sync()?;
        let path = self.path.clone();
        self.rename()?;
        sync_directory_of(&path)
    }

    /// Wait until the bytes are on disc. For files that belong together this is apart from the
    /// renaming, so that none has its name before all are on disc.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(FileError::io("sync", &self.temporary))
    }

    /// Give a synced file its name. The directory is synced by [`sync_directory_of`].
    pub(crate) fn rename(mut self) -> Result<(), FileError> {
        if !self.is_at_its_place() {
            let why =
                io::Error::new(io::ErrorKind::AlreadyExists, "another run began the file anew");
            return Err(FileError::io("rename", &self.temporary)(why));
        }
        fs::rename(&self.temporary, &self.path)
            .map_err(FileError::io("rename", &self.temporary))?;
        self.finished = true;
        Ok(())
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Refuse to begin when an output, or its temporary file, would take the place of an input.
///
/// Names are compared, not what they lead to: an output that is a hard link to an input is
/// replaced by its rename and the input keeps its bytes.
pub(crate) fn refuse_inputs(
    outputs: impl IntoIterator<Item = PathBuf>,
    inputs: &[&Path],
) -> Result<(), FileError> {
    // What is absent cannot be lost; opening it says more.
    let inputs: Vec<PathBuf> =
        inputs.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    for output in outputs {
        for path in [temporary(&output), output] {
            let (directory, name) = (fs::canonicalize(directory_of(&path)), path.file_name());
            if let (Ok(directory), Some(name)) = (directory, name)
                && inputs.contains(&directory.join(name))
            {
                let why = io::Error::new(io::ErrorKind::ResourceBusy, "it is an input of this run");
                return Err(FileError::io("replace", &path)(why));
            }
        }
    }
    Ok(())
}

/// Make the renames in the directory of `path` durable.
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::io("sync the directory", directory))
}

/// Remove an older file for good.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::io("remove the older", path)(error)),
        Ok(()) => sync_directory_of(path),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.finished && self.is_at_its_place() {
            // The error that ended the work is the one to report; a file that stays behind has a
            // temporary name and the next run writes over it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Write a small file whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<Written, FileError> {
    let output = Output::create(path)?;
    output.write_at(bytes, 0)?;
    output.finish()?;
    Ok(Written {
        path: path.to_owned(),
        bytes: bytes.len() as u64,
        blake3: *blake3::hash(bytes).as_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_after_the_rename() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tree");
        fs::write(temporary(&path), b"left by a killed run").expect("written");
        let output = Output::with_len(&path, 4).expect("created");
        output.write_at(b"cd", 2).expect("written");
        output.write_at(b"ab", 0).expect("written");
        output.sync().expect("synced");
        assert!(!path.exists());
        output.rename().expect("renamed");
        assert_eq!(fs::read(&path).expect("read"), b"abcd");
        assert!(!temporary(&path).exists());
    }

    #[test]
    fn a_dropped_file_leaves_nothing_and_keeps_the_older_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tree");
        fs::write(&path, b"older").expect("written");
        drop(Output::with_len(&path, 4).expect("created"));
        assert!(!temporary(&path).exists());
        assert_eq!(fs::read(&path).expect("read"), b"older");
    }

    #[test]
    fn what_a_killed_run_left_is_unlinked_and_not_written_into() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, other) = (dir.path().join("tree"), dir.path().join("input"));
        fs::write(&other, b"input").expect("written");
        fs::hard_link(&other, temporary(&path)).expect("linked");
        let output = Output::with_len(&path, 2).expect("created");
        output.write_at(b"ab", 0).expect("written");
        output.finish().expect("finished");
        assert_eq!(fs::read(&path).expect("read"), b"ab");
        std::os::unix::fs::symlink(&other, temporary(&path)).expect("linked");
        drop(Output::with_len(&path, 2).expect("created"));
        assert_eq!(fs::read(&other).expect("read"), b"input");
    }

    #[test]
    fn a_run_that_was_overtaken_neither_names_nor_removes_the_other_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tree");
        let begin = || Output::with_len(&path, 2).expect("created");
        let (first, second, third) = (begin(), begin(), begin());
        let error = first.finish().expect_err("refused");
        assert!(error.to_string().contains("another run"), "{error}");
        drop(second);
        third.write_at(b"ab", 0).expect("written");
        third.finish().expect("finished");
        assert_eq!(fs::read(&path).expect("read"), b"ab");
    }

    #[test]
    fn an_input_is_not_replaced_under_its_name_or_a_temporary_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let (input, output) = (dir.path().join("a.tmp"), dir.path().join("a"));
        fs::write(&input, b"input").expect("written");
        fs::create_dir(dir.path().join("b")).expect("created");
        let detour = dir.path().join("b/../a.tmp");
        for output in [&output, &input, &detour] {
            let error = refuse_inputs([output.clone()], &[&input]).expect_err("refused");
            assert!(error.to_string().contains("a.tmp"), "{error}");
        }
        let linked = dir.path().join("c");
        fs::hard_link(&input, &linked).expect("linked");
        refuse_inputs([linked, dir.path().join("nowhere/a.tmp")], &[&input]).expect("another name");
    }

    #[test]
    fn a_length_that_no_disc_has_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tree");
        let error = Output::with_len(&path, 1 << 62).expect_err("no disc is that large");
        assert!(error.to_string().contains("reserve"), "{error}");
        assert!(!temporary(&path).exists());
    }

    #[test]
    fn a_missing_directory_and_a_full_disc_are_told_apart() {
        let error = Output::create(Path::new("/nonexistent/tree")).expect_err("no directory");
        assert!(error.to_string().contains("/nonexistent/tree.tmp"), "{error}");
        assert!(!error.is_storage_full());
        let full = FileError::io("write", Path::new("x"))(io::ErrorKind::StorageFull.into());
        assert!(full.is_storage_full() && full.to_string().contains("free space"), "{full}");
    }
}
