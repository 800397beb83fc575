//! The files of layers.
//!
//! **Purpose:** write a layer so that its name appears only when it is whole, and read one back.
//!
//! **Invariants:** a [`Layer`] that is dropped unfinished removes its temporary file.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::SectorError;
use crate::disc;

/// The library's name for the file of a layer, the first being 1.
pub fn layer_name(layer: u32) -> String {
    format!("sc-02-data-layer-{layer}.dat")
}

/// Compares a layer file with what was noted when it was written.
///
/// # Errors
/// [`SectorError::Damaged`] when it differs, [`SectorError::Io`] when it cannot be read.
pub fn verify_layer(path: &Path, len: u64, blake3: &[u8; 32]) -> Result<(), SectorError> {
    let mut file = File::open(path).map_err(SectorError::io("open", path))?;
    let damaged = |expected: String, found: String| SectorError::Damaged {
        path: path.to_owned(),
        expected,
        found,
    };
    let found = file.metadata().map_err(SectorError::io("look at", path))?.len();
    if found != len {
        return Err(damaged(format!("{len} bytes"), format!("{found} bytes")));
    }
    let mut hash = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                hash.update(&buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SectorError::io("read", path)(error)),
        }
    }
    let found = hash.finalize();
    // Not secret: the comparison need not take constant time.
    if found.as_bytes() != blake3 {
        let hex = |digest: &[u8; 32]| format!("BLAKE3 {}", hex::encode(digest));
        return Err(damaged(hex(blake3), hex(found.as_bytes())));
    }
    Ok(())
}

/// A layer of a sector that is being written.
pub(super) struct Layer {
    file: File,
    /// Two kilobytes of state, on the heap since a layer is handed from thread to thread.
    hash: Box<blake3::Hasher>,
    len: u64,
    unfinished: PathBuf,
    path: PathBuf,
    /// Nothing is to be removed any more.
    is_renamed: bool,
}

impl Layer {
    pub(super) fn create(dir: &Path, layer: u32, bytes: u64) -> Result<Self, SectorError> {
        let name = layer_name(layer);
        let unfinished = dir.join(format!("{name}.tmp"));
        let file = File::create(&unfinished).map_err(SectorError::io("create", &unfinished))?;
        let layer = Self {
            file,
            hash: Box::default(),
            len: 0,
            unfinished,
            path: dir.join(name),
            is_renamed: false,
        };
        disc::reserve(&layer.file, bytes)
            .map_err(SectorError::io("reserve space for", &layer.unfinished))?;
        Ok(layer)
    }

    pub(super) fn append(&mut self, labels: &[u8]) -> Result<(), SectorError> {
        self.file.write_all(labels).map_err(SectorError::io("write", &self.unfinished))?;
        self.hash.update(labels);
        self.len += labels.len() as u64;
        Ok(())
    }

    /// Makes the layer durable under its name; its length and BLAKE3.
    pub(super) fn finish(mut self) -> Result<(u64, [u8; 32]), SectorError> {
        self.file.sync_all().map_err(SectorError::io("sync", &self.unfinished))?;
        fs::rename(&self.unfinished, &self.path)
            .map_err(SectorError::io("rename to its final name", &self.unfinished))?;
        self.is_renamed = true;
        let dir = disc::parent(&self.path);
        disc::sync_dir(dir).map_err(SectorError::io("sync", dir))?;
        Ok((self.len, *self.hash.finalize().as_bytes()))
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        if !self.is_renamed {
            // The reason to drop it is reported already, and the next attempt overwrites the file.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// A finished layer that a sector goes on from.
pub(super) struct Finished {
    file: File,
    path: PathBuf,
}

impl Finished {
    pub(super) fn open(dir: &Path, layer: u32, bytes: u64) -> Result<Self, SectorError> {
        let path = dir.join(layer_name(layer));
        let file = File::open(&path).map_err(SectorError::io("open", &path))?;
        let found = file.metadata().map_err(SectorError::io("look at", &path))?.len();
        if found != bytes {
            let [expected, found] = [bytes, found].map(|len| format!("{len} bytes"));
            return Err(SectorError::Damaged { path, expected, found });
        }
        Ok(Self { file, path })
    }

    pub(super) fn read(&self, offset: u64, labels: &mut [u8]) -> Result<(), SectorError> {
        let read = self.file.read_exact_at(labels, offset);
        read.map_err(SectorError::io("read", &self.path))
    }
}
