//! Files of an attempt: digests, links, copies, and writes that survive a crash.
//!
//! Invariants:
//! - A file gets its final name only after its bytes are on disc.
//! - A committed file is never opened for writing: what is only read is linked, what is changed is
//!   copied first.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file made by a stage, by its name in the directory of the attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub len: u64,
    /// BLAKE3 in hex. Absent for `t_aux`, whose bytes depend on the directory.
    pub blake3: Option<String>,
}

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("could not {action} `{path}`: {source}; {advice}", advice = advice(.source))]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{name}` at `{path}` has {found} bytes, its manifest says {expected}: the file was \
         truncated or replaced; fetch it again or run the stage that makes it again"
    )]
    Length { name: String, path: PathBuf, expected: u64, found: u64 },
    #[error(
        "`{name}` at `{path}` has the BLAKE3 digest {found}, its manifest says {expected}: the \
         file was altered; fetch it again or run the stage that makes it again"
    )]
    Digest { name: String, path: PathBuf, expected: String, found: String },
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => "free space on this filesystem or use another path",
        io::ErrorKind::NotFound => "check that the path exists and that its volume is mounted",
        io::ErrorKind::PermissionDenied => "check owner and mode of the file and its directory",
        io::ErrorKind::InvalidInput => "name a regular file",
        _ => "check the device and the system log",
    }
}

impl FileError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the filesystem is full.
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}

/// Length and BLAKE3 digest (hex) of a file.
pub fn digest(path: &Path) -> Result<(u64, String), FileError> {
    let file = File::open(path).map_err(FileError::io("open", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(FileError::io("read", path))?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}

/// Compares a file with what is known of it. The length is compared first: that is cheap.
pub fn verify(
    name: &str,
    path: &Path,
    len: Option<u64>,
    blake3: Option<&str>,
) -> Result<(), FileError> {
    let metadata = fs::metadata(path).map_err(FileError::io("read", path))?;
    if !metadata.is_file() {
        // A pipe would block, a directory has no bytes.
        let why = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(FileError::io("read", path)(why));
    }
    let found = metadata.len();
    if let Some(expected) = len
        && expected != found
    {
        return Err(FileError::Length {
            name: name.to_owned(),
            path: path.to_owned(),
            expected,
            found,
        });
    }
    if let Some(expected) = blake3 {
        let (_, found) = digest(path)?;
        if !expected.eq_ignore_ascii_case(&found) {
            return Err(FileError::Digest {
                name: name.to_owned(),
                path: path.to_owned(),
                expected: expected.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

/// Makes `to` readable with the bytes of `from`, for reading only: a hard link, or a copy across
/// filesystems.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<(), FileError> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(FileError::io("link", from)(error))
        }
        // Another filesystem, one without links, or a link limit: a copy always works.
        Err(_) => copy(from, to),
    }
}

/// Copies `from` to `to`, which may then be changed. The kernel shares the blocks where the
/// filesystem can.
pub fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::copy(from, to).map_err(FileError::io("copy", from))?;
    // A committed file may be read-only; its copy belongs to this attempt.
    fs::set_permissions(to, fs::Permissions::from_mode(0o644))
        .map_err(FileError::io("make writable", to))
}

/// Waits until the bytes of a file are on disc.
pub fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(FileError::io("sync", path))
}

/// Writes a whole file so that after a crash it has the old bytes or the new ones.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(FileError::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(FileError::io("rename", &temporary))?;
    sync_parent(path)
}

/// Makes a rename in the directory of `path` durable.
pub fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}

/// Removes a file or a directory tree if it is there.
pub fn remove_if_there(path: &Path) -> Result<(), FileError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_and_an_altered_file_are_named_with_expected_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("layer");
        fs::write(&path, b"12345678").unwrap();
        let (len, hash) = digest(&path).unwrap();
        assert!(verify("layer", &path, Some(len), Some(&hash)).is_ok());

        fs::write(&path, b"12345679").unwrap();
        let altered = verify("layer", &path, Some(len), Some(&hash)).unwrap_err().to_string();
        assert!(altered.contains(&hash) && altered.contains("layer"), "{altered}");

        fs::write(&path, b"1234567").unwrap();
        let short = verify("layer", &path, Some(len), Some(&hash)).unwrap_err().to_string();
        assert!(short.contains("7 bytes") && short.contains('8'), "{short}");
    }

    #[test]
    fn a_copy_of_a_read_only_file_can_be_changed_and_leaves_it_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&from, b"old").unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o444)).unwrap();
        copy(&from, &to).unwrap();
        fs::write(&to, b"new").unwrap();
        assert_eq!(fs::read(&from).unwrap(), b"old");
    }

    #[test]
    fn a_durable_write_leaves_no_temporary_name() {
        let dir = tempfile::tempdir().unwrap();
        write_durably(&dir.path().join("x"), b"1").unwrap();
        write_durably(&dir.path().join("x"), b"2").unwrap();
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, [dir.path().join("x")]);
        assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"2");
    }
}
