//! A parameter file while it is written.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::files::FileError;
use crate::params::ParamsError;
use crate::params::manifest::ManifestEntry;

/// A file under its temporary name, digested while it is written.
pub(super) struct Output {
    file: BufWriter<File>,
    path: PathBuf,
    hasher: blake3::Hasher,
}

impl Output {
    pub fn create(path: &Path) -> Result<Self, ParamsError> {
        let file = File::create(path).map_err(FileError::io("create", path))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, path: path.to_owned(), hasher: blake3::Hasher::new() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ParamsError> {
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes).map_err(FileError::io("write", &self.path))?)
    }

    pub fn finish(mut self) -> Result<ManifestEntry, ParamsError> {
        let io_error = FileError::io("sync", &self.path);
        self.file.flush().and_then(|()| self.file.get_ref().sync_all()).map_err(io_error)?;
        Ok(ManifestEntry {
            len: self.hasher.count(),
            blake3: self.hasher.finalize().to_hex().to_string(),
        })
    }
}
