//! **Purpose**: the files by which an agent and its supervisor find each other in the data directory.
//!
//! **Invariants**
//! - Whoever holds the lock file's lock is the supervisor (or the agent) of that directory; the lock
//!   ends with the process, so a stale file locks nothing.
//! - The control file names pid *and* start time, so that a reused pid is recognised.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

pub(crate) const AGENT_LOCK: &str = "agent.lock";
pub(crate) const SUPERVISOR_LOCK: &str = "supervisor.lock";
pub(crate) const SUPERVISOR_LOG: &str = "supervisor.log";
const SOCKET: &str = "supervisor.sock";
const INSTANCE: &str = "instance";
const CONTROL: &str = "supervisor.control";

/// A held lock; dropped, it is free.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes `dir/name` or tells who holds it (the holder's pid as written there).
pub(crate) fn lock(dir: &Utf8Path, name: &str) -> io::Result<Result<Lock, String>> {
    let path = dir.join(name);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != Errno::WOULDBLOCK {
            return Err(error.into());
        }
        let mut holder = String::new();
        file.read_to_string(&mut holder)?;
        return Ok(Err(holder.trim().to_owned()));
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(Ok(Lock { _file: file }))
}

/// Binds the socket; the caller holds the supervisor's lock.
pub(crate) fn bind(dir: &Utf8Path) -> io::Result<UnixListener> {
    match fs::remove_file(dir.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let opened = File::open(dir)?;
    UnixListener::bind(short(&opened))
}

/// Connects to the supervisor of `dir`.
pub(crate) fn connect(dir: &Utf8Path) -> io::Result<UnixStream> {
    let opened = File::open(dir)?;
    UnixStream::connect(short(&opened))
}

/// A socket address holds 107 bytes; a data directory may be longer, its open descriptor is not.
fn short(dir: &File) -> String {
    format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd())
}

/// Writes who the supervisor is.
pub(crate) fn write(dir: &Utf8Path, boot_id: &str) -> io::Result<()> {
    let pid = std::process::id();
    let start = start_time(pid)?.unwrap_or_default();
    let path = dir.join(CONTROL);
    let partial = dir.join(format!("{CONTROL}.partial"));
    fs::write(&partial, format!("{pid} {start} {boot_id}\n"))?;
    fs::rename(partial, path)
}

/// The living supervisor's pid; none when it is gone or the pid belongs to another process now.
pub(crate) fn living(dir: &Utf8Path) -> io::Result<Option<u32>> {
    let text = match fs::read_to_string(dir.join(CONTROL)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut words = text.split_whitespace();
    let (Some(pid), Some(start)) = (
        words.next().and_then(|word| word.parse::<u32>().ok()),
        words.next().and_then(|word| word.parse::<u64>().ok()),
    ) else {
        return Ok(None);
    };
    Ok((start_time(pid)? == Some(start)).then_some(pid))
}

/// Start time of a process in clock ticks since the machine's boot; none when there is no such process.
pub(crate) fn start_time(pid: u32) -> io::Result<Option<u64>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // It went between the open and the read.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The program's name may hold spaces and parentheses: fields are counted from the last one.
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return Ok(None); // dead, only not yet waited for
    }
    Ok(fields.nth(18).and_then(|word| word.parse().ok()))
}

/// The machine's boot, or nothing where it cannot be read.
pub(crate) fn machine_boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The name of this data directory, made at its first use: two executors of one name differ in it.
pub(crate) fn instance(dir: &Utf8Path) -> io::Result<String> {
    let path = dir.join(INSTANCE);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let made = random_id() + &random_id();
    let partial = dir.join(format!("{INSTANCE}.partial"));
    let mut file = File::create(&partial)?;
    writeln!(file, "{made}")?;
    file.sync_all()?;
    fs::rename(&partial, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(made)
}

/// 16 random hex digits.
pub(crate) fn random_id() -> String {
    format!("{:016x}", random_u64())
}

/// 64 random bits.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0_u8; 8];
    // A short or failed read leaves zeros in places: the id only has to differ between starts.
    if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |past| past.subsec_nanos());
        return (u64::from(std::process::id()) << 32) | u64::from(nanos);
    }
    u64::from_le_bytes(bytes)
}

/// Where the packed output and own directories of a lease lie.
pub(crate) fn lease_dir(data_dir: &Utf8Path, lease: u64) -> Utf8PathBuf {
    data_dir.join("attempts").join(lease.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let first = lock(dir, AGENT_LOCK).unwrap().unwrap();
        assert_eq!(lock(dir, AGENT_LOCK).unwrap().unwrap_err(), std::process::id().to_string());
        drop(first);
        assert!(lock(dir, AGENT_LOCK).unwrap().is_ok());
    }

    #[test]
    fn a_reused_pid_is_not_the_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        assert_eq!(living(dir).unwrap(), None);
        write(dir, "boot").unwrap();
        assert_eq!(living(dir).unwrap(), Some(std::process::id()));
        fs::write(dir.join(CONTROL), format!("{} 1 boot\n", std::process::id())).unwrap();
        assert_eq!(living(dir).unwrap(), None);
    }

    #[test]
    fn a_socket_below_a_long_path_can_be_bound_and_reached() {
        let root = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(root.path()).unwrap().join("d".repeat(150));
        fs::create_dir(&dir).unwrap();
        let listener = bind(&dir).unwrap();
        assert!(connect(&dir).is_ok());
        drop(listener);
        assert!(connect(&dir).is_err());
    }
}
