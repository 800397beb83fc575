//! **Purpose**: administration on the machine of a node: the same services on a Unix socket that only
//! root and the node's own user can open.
//!
//! **Invariants**
//! - The socket lies in the data directory with mode 0600; besides, the kernel says who is at its
//!   other end, and nobody else is served.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::UnixListener;

/// The socket's name in a data directory.
pub const SOCKET: &str = "admin.sock";

/// The uid that this process runs as.
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Binds the socket of a data directory. One that a killed node left behind is replaced.
///
/// # Errors
/// When another process answers on it, or the directory cannot be written to.
pub fn bind(data_dir: &Utf8Path) -> anyhow::Result<(UnixListener, Utf8PathBuf)> {
    let path = data_dir.join(SOCKET);
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        bail!("another process answers on `{path}`; is a node running in this data directory?");
    }
    // Made under another name, so that it is never reachable by its own with the mode of the umask.
    let fresh = data_dir.join(format!("{SOCKET}.new"));
    remove(&fresh)?;
    let listener = UnixListener::bind(&fresh)
        .with_context(|| format!("could not make the administration socket `{fresh}`"))?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("could not restrict `{fresh}` to its owner"))?;
    std::fs::rename(&fresh, &path)
        .with_context(|| format!("could not put the socket in place at `{path}`"))?;
    Ok((listener, path))
}

fn remove(path: &Utf8Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("could not remove `{path}`")),
    }
}

/// Removes the socket's file when its node stops.
pub fn remove_socket(path: &Utf8Path) {
    if let Err(error) = remove(path) {
        tracing::debug!(error = %format!("{error:#}"), "the administration socket stays behind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_replaces_one_that_was_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let (listener, path) = bind(dir).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = bind(dir).err().unwrap();
        assert!(refused.to_string().contains("another process answers"), "{refused}");
        drop(listener);
        let (_listener, path) = bind(dir).unwrap();
        remove_socket(&path);
        assert!(!path.exists());
    }
}
