//! **Purpose**: keep secrets out of core dumps, swap, logs and argument lists.
//!
//! **Invariants**
//! - A `Secret` is never printed and is overwritten when it is dropped.
//! - Hardening is best effort and says what it reached: a container without the right to lock memory
//!   still gets a working wallet, and its operator reads why it is weaker.
//!
//! **Source**: `prctl(2)` PR_SET_DUMPABLE, `setrlimit(2)` RLIMIT_CORE, `mlock(2)`;
//! systemd.exec(5), section Credentials.

use std::{fmt, io};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroizing;

/// Longest password that is read, bytes.
const SECRET_BYTES_MAX: usize = 4096;

/// The text of a password.
pub struct Secret(Zeroizing<Vec<u8>>);

/// A password could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The pipe, descriptor or terminal failed.
    #[error(
        "could not read the password; give it on the prompt, a file descriptor or as a systemd credential"
    )]
    Read(#[source] io::Error),
    /// The credential file cannot be opened.
    #[error(
        "could not open the credential `{path}`; set LoadCredential= in the unit of the wallet"
    )]
    Credential {
        /// The file that was tried.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing came.
    #[error("the password is empty; give at least one character")]
    Empty,
    /// More came than a password can have.
    #[error("the password is longer than {SECRET_BYTES_MAX} bytes; give a shorter one")]
    TooLong,
}

impl Secret {
    /// Takes over a text that was typed.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }

    /// Reads a password to the end of a pipe or file; one newline at the end is not part of it.
    ///
    /// # Errors
    /// When reading fails, nothing comes, or more than 4 KiB come.
    pub fn read(mut reader: impl io::Read) -> Result<Self, SecretError> {
        // Read by hand into a buffer of the final size: growing would leave copies behind.
        let mut bytes = Zeroizing::new(vec![0_u8; SECRET_BYTES_MAX + 2]);
        let mut filled = 0;
        while filled < bytes.len() {
            match reader.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SecretError::Read(error)),
            }
        }
        bytes.truncate(filled);
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        match bytes.len() {
            0 => Err(SecretError::Empty),
            length if length > SECRET_BYTES_MAX => Err(SecretError::TooLong),
            _ => Ok(Self(bytes)),
        }
    }

    /// Reads the systemd credential `name` below `dir` (the value of `CREDENTIALS_DIRECTORY`).
    ///
    /// # Errors
    /// As `read`, and when the file cannot be opened.
    pub fn credential(dir: &Utf8Path, name: &str) -> Result<Self, SecretError> {
        let path = dir.join(name);
        let file = std::fs::File::open(&path)
            .map_err(|source| SecretError::Credential { path: path.clone(), source })?;
        Self::read(file)
    }

    /// The bytes of the text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// What `harden` reached; each failure carries its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// The kernel writes no core file of this process.
    pub core_dumps: Result<(), String>,
    /// Other processes of the same user cannot read this one's memory.
    pub not_dumpable: Result<(), String>,
    /// Pages with secrets can be kept out of swap.
    pub memory: Result<(), String>,
}

/// Forbids core dumps and tracing of this process, and tries whether memory can be locked.
/// Called once, before the first secret is read.
pub fn harden() -> Hardening {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    Hardening {
        core_dumps: setrlimit(Resource::Core, none).map_err(|error| error.to_string()),
        not_dumpable: set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .map_err(|error| error.to_string()),
        memory: probe_lock(),
    }
}

fn probe_lock() -> Result<(), String> {
    let probe = Box::new([0_u8; 64]);
    region::lock(probe.as_ptr(), probe.len()).map(drop).map_err(|error| {
        format!("{error}; raise LimitMEMLOCK of the wallet, or turn swap off on this machine")
    })
}

/// Keeps the page that holds `value` out of swap until the process ends; false when the system
/// refuses.
///
/// The page stays locked on purpose: the kernel counts no nesting, so that unlocking one secret
/// would unlock its neighbours on the same page.
pub(crate) fn lock_page_of<T>(value: &T) -> bool {
    let size = size_of::<T>().max(1);
    match region::lock(std::ptr::from_ref(value), size) {
        Ok(guard) => {
            std::mem::forget(guard);
            true
        }
        Err(_) => false,
    }
}

impl fmt::Display for Hardening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("core dumps off", &self.core_dumps),
            ("memory unreadable to others", &self.not_dumpable),
            ("secrets kept out of swap", &self.memory),
        ];
        for (index, (what, outcome)) in parts.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match outcome {
                Ok(()) => write!(f, "{comma}{what}: yes")?,
                Err(reason) => write!(f, "{comma}{what}: NO ({reason})")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_from_a_pipe_loses_one_newline_only() {
        assert_eq!(Secret::read(&b"pass word\n"[..]).unwrap().bytes(), b"pass word");
        assert_eq!(Secret::read(&b"pass\r\n"[..]).unwrap().bytes(), b"pass");
        assert_eq!(Secret::read(&b"pass\n\n"[..]).unwrap().bytes(), b"pass\n");
    }

    #[test]
    fn an_empty_or_endless_password_is_refused() {
        assert!(matches!(Secret::read(&b"\n"[..]), Err(SecretError::Empty)));
        assert!(matches!(Secret::read(io::repeat(b'a')), Err(SecretError::TooLong)));
        let longest = vec![b'a'; SECRET_BYTES_MAX];
        assert_eq!(Secret::read(&longest[..]).unwrap().bytes().len(), SECRET_BYTES_MAX);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("open sesame".into())), "Secret(hidden)");
    }

    #[test]
    fn a_missing_credential_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let error = Secret::credential(path, "wallet-password").unwrap_err();
        assert!(error.to_string().contains("wallet-password"), "{error}");
        std::fs::write(path.join("wallet-password"), "abc\n").unwrap();
        assert_eq!(Secret::credential(path, "wallet-password").unwrap().bytes(), b"abc");
    }

    #[test]
    fn hardening_forbids_core_files_and_tracing() {
        let reached = harden();
        assert_eq!(reached.core_dumps, Ok(()));
        assert_eq!(reached.not_dumpable, Ok(()));
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert!(reached.to_string().starts_with("core dumps off: yes"));
    }
}
