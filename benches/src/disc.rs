//! **Purpose**: refuses data directories whose fsync means nothing.

use std::path::Path;

use anyhow::{Context, Result, bail};

const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// The name of the file system type of `path` as a person knows it.
///
/// # Errors
/// When the path cannot be looked at, or lies in memory.
pub fn require_disc(path: &Path) -> Result<String> {
    let kind = magic(path)?;
    if kind == TMPFS || kind == RAMFS {
        bail!(
            "`{}` lies in memory (tmpfs), where fsync costs nothing; name a directory on a disc with --dir",
            path.display()
        );
    }
    Ok(name(kind))
}

fn magic(path: &Path) -> Result<i64> {
    let stat = rustix::fs::statfs(path)
        .with_context(|| format!("could not ask for the file system of `{}`", path.display()))?;
    Ok(stat.f_type)
}

fn name(kind: i64) -> String {
    match kind {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x794c_7630 => "overlayfs".to_owned(),
        0x2fc1_2fc1 => "zfs".to_owned(),
        other => format!("fs {other:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused_and_names_are_known() {
        // `/dev/shm` is tmpfs wherever it exists; without it there is nothing to refuse here.
        let shm = Path::new("/dev/shm");
        if shm.exists() && magic(shm).is_ok_and(|kind| kind == TMPFS) {
            let error = require_disc(shm).expect_err("tmpfs").to_string();
            assert!(error.contains("--dir"));
        }
        assert!(require_disc(Path::new("/nowhere/at/all")).is_err());
        assert_eq!((name(0xef53), name(0x5846_5342)), ("ext4".to_owned(), "xfs".to_owned()));
    }
}
