//! **Purpose**: the seam between the log and the disc: everything the log asks of a file system.
//!
//! **Invariants**
//! - A write is durable only after `sync_data` of its file; a created, renamed or removed name only
//!   after `sync_dir`.
//! - An error of a write or a sync is never retried by the caller: the kernel may have dropped the
//!   dirty pages.
//!
//! **Source**: "Can Applications Recover from fsync Failures?" (ATC 2020); "All File Systems Are Not
//! Created Equal" (OSDI 2014).

mod file;
mod sim;

use std::io;
use std::sync::Arc;

pub use file::FileDevice;
pub use sim::{CrashImage, SimDevice, TraceOp};

/// One directory of a disc. Names are plain file names in that directory.
pub trait Device: Send + Sync + 'static {
    /// Makes an empty file, replacing one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DeviceFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DeviceFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    fn list(&self) -> io::Result<Vec<String>>;
    /// How errors name a file of this device.
    fn describe(&self, name: &str) -> String;
}

/// An open file of a `Device`.
pub trait DeviceFile: Send + Sync + 'static {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn sync_data(&self) -> io::Result<()>;
    fn length(&self) -> io::Result<u64>;
}
