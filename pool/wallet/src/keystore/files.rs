//! **Purpose**: the directory of key files: read it whole, add, remove, exchange it whole.
//!
//! **Invariants**
//! - A file is there completely or not at all; its mode is 0600.
//! - What cannot be read becomes a `Problem`, never nothing.
//! - `exchange` puts all files of a new generation in place by one rename: after a crash either all
//!   keys have the old password or all have the new one.
//!
//! **Source**: `renameat2(2)`, RENAME_EXCHANGE.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_chain::{Address, address};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    durable,
    envelope::Envelope,
    error::{KeystoreError, Problem},
    venus::{KeyFile, text_of},
};

const KEYS: &str = "keys";
const NEXT: &str = "keys.next";
const CHECK: &str = "password-check";
const SUFFIX: &str = ".json";

/// Largest key file that is read, bytes; a real one has about 600.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The files below one keystore's directory.
#[derive(Debug)]
pub(super) struct Files {
    dir: Utf8PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) keys: BTreeMap<Address, (Utf8PathBuf, KeyFile)>,
    pub(super) problems: Vec<Problem>,
    pub(super) check: Option<Envelope>,
}

fn failed(act: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> KeystoreError {
    let path = path.to_owned();
    move |source| KeystoreError::Io { act, path, source }
}

impl Files {
    /// Makes the directory of keys, and removes what a crash left behind.
    pub(super) fn prepare(dir: &Utf8Path) -> Result<Self, KeystoreError> {
        let keys = dir.join(KEYS);
        let is_there = |path: &Utf8Path| path.try_exists().map_err(failed("find", path));
        if !is_there(&keys)? && is_there(&dir.join(NEXT))? {
            // No crash leaves it so: somebody removed a directory, and the other may be all there is.
            return Err(failed("find", &keys)(io::ErrorKind::NotFound.into()));
        }
        durable::private_dir(&keys).map_err(failed("make", &keys))?;
        durable::remove_temporaries(&keys).map_err(failed("tidy", &keys))?;
        let files = Self { dir: dir.to_owned() };
        // Either a generation that was never put in place, or the one that it replaced.
        files.remove_next()?;
        durable::sync_dir(dir).map_err(failed("sync", dir))?;
        Ok(files)
    }

    fn keys(&self) -> Utf8PathBuf {
        self.dir.join(KEYS)
    }

    pub(super) fn check_path(&self) -> Utf8PathBuf {
        self.keys().join(CHECK)
    }

    fn remove_next(&self) -> Result<(), KeystoreError> {
        let next = self.dir.join(NEXT);
        match fs::remove_dir_all(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &next)(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn read(&self) -> Result<Found, KeystoreError> {
        let keys = self.keys();
        let mut paths = Vec::new();
        for entry in keys.read_dir_utf8().map_err(failed("list", &keys))? {
            let entry = entry.map_err(failed("list", &keys))?;
            if entry.file_name().ends_with(SUFFIX) {
                paths.push(entry.into_path());
            }
        }
        paths.sort_unstable();
        let mut found = Found { check: self.read_check()?, ..Found::default() };
        for path in paths {
            match read_key(&path) {
                Ok(file) => match found.keys.get(&file.address) {
                    None => {
                        found.keys.insert(file.address, (path, file));
                    }
                    Some((first, _)) => {
                        let reason = format!("it holds the same key as `{first}`");
                        found.problems.push(Problem { path, address: None, reason });
                    }
                },
                Err(reason) => {
                    let stem = path.file_stem().unwrap_or_default();
                    let address = address::parse(stem).ok();
                    found.problems.push(Problem { path, address, reason });
                }
            }
        }
        Ok(found)
    }

    fn read_check(&self) -> Result<Option<Envelope>, KeystoreError> {
        let path = self.check_path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let envelope: Result<Envelope, String> = serde_json::from_slice(&text)
            .map_err(|error| error.to_string())
            .and_then(|envelope: Envelope| match envelope.check() {
                Ok(()) => Ok(envelope),
                Err(error) => Err(error.to_string()),
            });
        envelope.map(Some).map_err(|reason| KeystoreError::Check { path, reason })
    }

    pub(super) fn write_check(&self, envelope: &Envelope) -> Result<(), KeystoreError> {
        durable::replace(&self.keys(), CHECK, &encode(envelope)?)
            .map_err(failed("write", &self.check_path()))
    }

    pub(super) fn path_of(&self, address: &Address) -> Utf8PathBuf {
        self.keys().join(name_of(address))
    }

    pub(super) fn write_key(&self, file: &KeyFile) -> Result<Utf8PathBuf, KeystoreError> {
        let path = self.path_of(&file.address);
        durable::replace(&self.keys(), &name_of(&file.address), file.text()?.as_bytes())
            .map_err(failed("write", &path))?;
        Ok(path)
    }

    pub(super) fn remove_key(&self, path: &Utf8Path) -> Result<(), KeystoreError> {
        fs::remove_file(path)
            .and_then(|()| durable::sync_dir(&self.keys()))
            .map_err(failed("remove", path))
    }

    /// Writes a complete generation beside the current one.
    pub(super) fn write_next(
        &self,
        check: &Envelope,
        keys: &[KeyFile],
    ) -> Result<(), KeystoreError> {
        self.remove_next()?;
        let next = self.dir.join(NEXT);
        durable::private_dir(&next).map_err(failed("make", &next))?;
        let path = next.join(CHECK);
        durable::write_new(&path, &encode(check)?).map_err(failed("write", &path))?;
        for file in keys {
            let path = next.join(name_of(&file.address));
            durable::write_new(&path, file.text()?.as_bytes()).map_err(failed("write", &path))?;
        }
        durable::sync_dir(&next).map_err(failed("sync", &next))
    }

    /// Puts that generation in place; the previous one is then beside it.
    pub(super) fn exchange(&self) -> Result<(), KeystoreError> {
        let next = self.dir.join(NEXT);
        let keys = self.keys();
        renameat_with(CWD, next.as_std_path(), CWD, keys.as_std_path(), RenameFlags::EXCHANGE)
            .map_err(io::Error::from)
            .and_then(|()| durable::sync_dir(&self.dir))
            .map_err(failed("exchange the directories of", &next))
    }

    /// Removes the previous generation.
    pub(super) fn drop_previous(&self) -> Result<(), KeystoreError> {
        self.remove_next()
    }
}

fn name_of(address: &Address) -> String {
    format!("{}{SUFFIX}", text_of(address))
}

fn encode(envelope: &Envelope) -> Result<Vec<u8>, KeystoreError> {
    serde_json::to_vec(envelope).map_err(|error| super::venus::VenusError::Json(error).into())
}

fn read_key(path: &Utf8Path) -> Result<KeyFile, String> {
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if metadata.file_type().is_fifo() || metadata.file_type().is_socket() || metadata.is_dir() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("it has {} bytes, which no key file has", metadata.len()));
    }
    // A file that was copied from elsewhere is narrowed to its owner.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|error| format!("its mode cannot be set to 0600: {error}"))?;
    let text = fs::read(path).map_err(|error| error.to_string())?;
    KeyFile::parse(&text).map_err(|error| error.to_string())
}
