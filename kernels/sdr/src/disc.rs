//! What the files of layers and tables have in common.
//!
//! **Purpose:** space before the work, and names that outlast a loss of power.
//!
//! **Invariants:** a file system that cannot reserve space is no error: it fails when written.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Gives a file its length and its space, so that a full disc is found before the work.
pub(crate) fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // A signal ends the call on some file systems, whatever space there is.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The directory that holds `path`; that of a bare file name is the present one.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_directory_that_can_be_synced_small() {
        for (path, dir) in [("name", "."), ("a/name", "a"), ("/name", "/"), ("./name", ".")] {
            assert_eq!(parent(Path::new(path)), Path::new(dir));
        }
        sync_dir(parent(Path::new("name"))).expect("the present directory");
    }
}
