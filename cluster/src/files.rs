//! **Purpose**: small files that must survive a power cut and stay private.
//!
//! **Invariants**
//! - A file is either the old or the new one, never a part: temporary name, fsync, rename, fsync of
//!   the directory.
//! - Files are readable by their owner alone (0600), directories too (0700).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

use camino::{Utf8Path, Utf8PathBuf};

/// A file or directory that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not {action} `{path}`: {source}; check that it exists and that this user may use it"
)]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// On what.
    pub path: Utf8PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl FileError {
    fn at(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> FileError {
        let path = path.to_owned();
        move |source| FileError { action, path, source }
    }

    /// Whether the file is simply not there.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Writes `bytes` under `path`, for its owner alone, all or nothing.
///
/// # Errors
/// When the directory cannot be written to; the old file, if any, is then untouched.
pub fn write_private(path: &Utf8Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(directory) = path.parent() {
            let directory =
                if directory.as_str().is_empty() { Utf8Path::new(".") } else { directory };
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|source| {
        // What is left of the temporary file holds no acknowledged data; a second failure here
        // would hide the first.
        drop(fs::remove_file(&temporary));
        FileError { action: "write", path: path.to_owned(), source }
    })
}

/// Makes `path` and its parents; `path` itself is for its owner alone.
///
/// # Errors
/// When a parent cannot be written to, or `path` is a file.
pub fn make_private_dir(path: &Utf8Path) -> Result<(), FileError> {
    let make = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    make().map_err(FileError::at("make the directory", path))
}

/// Reads a text file.
///
/// # Errors
/// When it is not there, not readable, or not UTF-8.
pub fn read_text(path: &Utf8Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::at("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_unreadable_for_others() {
        let home = tempfile::tempdir().unwrap();
        let directory = Utf8PathBuf::from_path_buf(home.path().join("a/b")).unwrap();
        make_private_dir(&directory).unwrap();
        let path = directory.join("key.pem");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_text(&path).unwrap(), "two");
        let mode = |path: &Utf8Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_text(Utf8Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.is_missing());
        assert!(error.to_string().contains("/nowhere/at/all"));
    }
}
