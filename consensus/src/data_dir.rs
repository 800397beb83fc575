//! **Purpose**: whose data a directory holds, and that one process at a time uses it.
//!
//! **Invariants**
//! - The lock is held as long as the node runs and goes with the process, however it ends.
//! - The identity is written once and durably before anything else of the cluster.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::ClusterId;
use crate::error::StartError;
use crate::types::NodeId;

const FORMAT_VERSION: u32 = 1;

/// A locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node_id: NodeId,
    _lock: File,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.display().to_string();
    move |source| StartError::Files { action, path, source }
}

impl DataDir {
    /// Locks `path` and checks that it belongs to this node and cluster. Returns the cluster, if known.
    pub fn open(
        path: &Path,
        node_id: NodeId,
        wanted: Option<ClusterId>,
    ) -> Result<(Self, Option<ClusterId>), StartError> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StartError::InUse { path: path.display().to_string() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock_path)(source)),
        }
        let directory = Self { path: path.to_path_buf(), node_id, _lock: lock };
        let found = directory.read()?;
        match (found, wanted) {
            (Some(found), Some(wanted)) if found != wanted => Err(StartError::OtherCluster {
                path: path.display().to_string(),
                found: found.0,
                wanted: wanted.0,
            }),
            (None, Some(wanted)) => {
                directory.write(&wanted).map_err(failed("write", &directory.identity_path()))?;
                Ok((directory, Some(wanted)))
            }
            (found, _) => Ok((directory, found)),
        }
    }

    fn identity_path(&self) -> PathBuf {
        self.path.join("identity")
    }

    fn read(&self) -> Result<Option<ClusterId>, StartError> {
        let path = self.identity_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("read", &path)(e)),
        };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or_else(|| StartError::Identity {
                path: path.display().to_string(),
                reason: format!("line `{name}` is missing"),
            })
        };
        let number = |name: &str| {
            field(name)?.parse::<u64>().map_err(|e| StartError::Identity {
                path: path.display().to_string(),
                reason: format!("line `{name}`: {e}"),
            })
        };
        let version = u32::try_from(number("format")?).unwrap_or(u32::MAX);
        if version > FORMAT_VERSION {
            return Err(StartError::NewerFormat {
                path: self.path.display().to_string(),
                found: version,
                known: FORMAT_VERSION,
            });
        }
        let node = number("node")?;
        if node != self.node_id {
            return Err(StartError::OtherNode {
                path: self.path.display().to_string(),
                found: node,
                wanted: self.node_id,
            });
        }
        Ok(Some(ClusterId(field("cluster")?.to_owned())))
    }

    /// Records the cluster, durably.
    pub fn write(&self, cluster: &ClusterId) -> io::Result<()> {
        let (partial, path) = (self.path.join("identity.tmp"), self.identity_path());
        let mut file = File::create(&partial)?;
        write!(file, "format {FORMAT_VERSION}\ncluster {cluster}\nnode {}\n", self.node_id)?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        File::open(&self.path)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> Option<ClusterId> {
        Some(ClusterId(name.into()))
    }

    #[test]
    fn a_directory_keeps_its_cluster_and_node() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(DataDir::open(dir.path(), 1, cluster("a")).expect("fresh"));
        let (_, found) = DataDir::open(dir.path(), 1, None).expect("own");
        assert_eq!(found, cluster("a"));
        let other = DataDir::open(dir.path(), 1, cluster("b")).expect_err("another cluster");
        assert!(matches!(other, StartError::OtherCluster { .. }), "{other}");
        let node = DataDir::open(dir.path(), 2, None).expect_err("another node");
        assert!(matches!(node, StartError::OtherNode { found: 1, wanted: 2, .. }), "{node}");
    }

    #[test]
    fn two_users_of_one_directory_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let _first = DataDir::open(dir.path(), 1, None).expect("free");
        let second = DataDir::open(dir.path(), 1, None).expect_err("in use");
        assert!(matches!(second, StartError::InUse { .. }), "{second}");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("identity"), "format 9\ncluster a\nnode 1\n").expect("written");
        let error = DataDir::open(dir.path(), 1, None).expect_err("newer");
        assert!(matches!(error, StartError::NewerFormat { found: 9, .. }), "{error}");
    }
}
