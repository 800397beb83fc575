//! **Purpose**: how a password reaches a command: from a file descriptor, a credential of systemd, or
//! the terminal; never from an argument or a variable.

use std::fs::File;
use std::io::{self, IsTerminal};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_wallet::protect::Secret;

use crate::cli::Error;

/// Name of the credential that systemd hands over (`LoadCredential=wallet-password:...`).
const CREDENTIAL: &str = "wallet-password";

/// Where the password comes from.
#[derive(Clone, Debug, clap::Args)]
pub struct Password {
    /// Read the password from this open file descriptor [default: the systemd credential
    /// `wallet-password` if there is one, else the terminal].
    #[arg(long = "password-fd", value_name = "FD")]
    fd: Option<u32>,
}

impl Password {
    /// The password that opens the wallet; asked for as `what`.
    pub fn read(&self, what: &str) -> Result<Secret, Error> {
        match self.given()? {
            Some(secret) => Ok(secret),
            None => prompt(what),
        }
    }

    /// A new password: typed twice when it comes from the terminal.
    pub fn read_new(&self, what: &str) -> Result<Secret, Error> {
        match self.given()? {
            Some(secret) => Ok(secret),
            None => prompt_new(what),
        }
    }

    /// The password without anybody being asked.
    pub fn given(&self) -> Result<Option<Secret>, Error> {
        match self.fd {
            Some(fd) => read_fd(fd).map(Some),
            None => credential(),
        }
    }
}

/// Reads from a descriptor that the caller has opened.
pub fn read_fd(fd: u32) -> Result<Secret, Error> {
    let path = format!("/dev/fd/{fd}");
    let file = File::open(&path).map_err(|error| {
        Error::usage(format!("file descriptor {fd} cannot be read ({error}); open it: {fd}<FILE"))
    })?;
    Secret::read(file)
        .map_err(|error| Error::usage(format!("no password on file descriptor {fd}: {error}")))
}

fn credential() -> Result<Option<Secret>, Error> {
    let Some(dir) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let dir = Utf8PathBuf::try_from(std::path::PathBuf::from(dir))
        .map_err(|_| Error::usage("the path in CREDENTIALS_DIRECTORY is not UTF-8"))?;
    if !has_credential(&dir) {
        return Ok(None);
    }
    Secret::credential(&dir, CREDENTIAL)
        .map(Some)
        .map_err(|error| Error::usage(format!("the credential {CREDENTIAL}: {error}")))
}

fn has_credential(dir: &Utf8Path) -> bool {
    dir.join(CREDENTIAL).exists()
}

fn prompt(what: &str) -> Result<Secret, Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::usage(
            "a password is needed and there is no terminal to ask on; give it with --password-fd 3 \
             3<FILE, or as the systemd credential wallet-password",
        ));
    }
    let text = rpassword::prompt_password(format!("{what}: "))?;
    if text.is_empty() {
        return Err(Error::usage("the password is empty; nothing was changed"));
    }
    Ok(Secret::new(text))
}

/// A new password from the terminal, typed twice.
pub fn prompt_new(what: &str) -> Result<Secret, Error> {
    let first = prompt(what)?;
    let second = prompt("The same again")?;
    if first.bytes() == second.bytes() {
        return Ok(first);
    }
    Err(Error::usage("the two passwords differ; nothing was changed"))
}

/// The password as the wallet's methods take it. The copy is wiped by whoever sends it.
pub fn as_text(secret: &Secret) -> Result<String, Error> {
    String::from_utf8(secret.bytes().to_vec())
        .map_err(|_| Error::usage("the password is not UTF-8 text, as Venus's passwords are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_read_from_a_descriptor_without_its_newline() {
        use std::io::{Seek, SeekFrom, Write};
        use std::os::fd::AsRawFd;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"correct horse\n").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let fd = u32::try_from(file.as_raw_fd()).unwrap();
        assert_eq!(read_fd(fd).unwrap().bytes(), b"correct horse");
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_named() {
        let error = read_fd(999_999).unwrap_err().to_string();
        assert!(error.contains("999999"), "{error}");
    }
}
