//! **Purpose**: finds or installs what peers need: Debian packages, a Python environment, ports.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// `count` free loopback ports. All are held while they are chosen, so that they differ.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()
        .context("could not find a free port on loopback")?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Where `program` lies; installs `package` when it is missing and we may.
pub fn program(program: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    let script = Path::new("scripts/packages");
    let status = Command::new(script)
        .arg(package)
        .status()
        .with_context(|| format!("could not run `{}`", script.display()))?;
    if !status.success() {
        bail!("`{program}` is missing; install it once with `sudo apt-get install {package}`");
    }
    find(program).with_context(|| {
        format!("the package {package} is installed but `{program}` is not in PATH")
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The Python of an environment under the user's cache that holds `requirement`, made when missing.
pub fn python_with(requirement: &str) -> Result<PathBuf> {
    let venv = cache_dir()?.join("hesper").join("bench-venv");
    let python = venv.join("bin/python");
    if !python.is_file() {
        let status = Command::new(program("python3", "python3")?)
            .args(["-m", "venv"])
            .arg(&venv)
            .status()?;
        if !status.success() {
            bail!(
                "could not make a Python environment in `{}`; install python3-venv",
                venv.display()
            );
        }
    }
    let pip = |args: &[&str]| {
        Command::new(&python)
            .args(["-m", "pip", "--disable-pip-version-check", "-q"])
            .args(args)
            .output()
    };
    let installed = pip(&["freeze"]).context("could not run pip")?;
    if !String::from_utf8_lossy(&installed.stdout).lines().any(|line| line == requirement) {
        let out = pip(&["install", requirement]).context("could not run pip")?;
        if !out.status.success() {
            bail!(
                "could not install {requirement} from PyPI:\n{}",
                String::from_utf8_lossy(&out.stderr)
            );
        }
    }
    Ok(python)
}

pub fn cache_dir() -> Result<PathBuf> {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("no home directory; set XDG_CACHE_HOME")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        let mut ports = free_ports(8).expect("ports");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
