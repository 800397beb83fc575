//! **Purpose**: the child of the latency rows; its first action is to read the clock.
//!
//! Writes the nanoseconds since 1970 (CLOCK_REALTIME) as text to the file that it is given.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> std::io::Result<()> {
    let now = SystemTime::now();
    let elapsed = now.duration_since(UNIX_EPOCH).map_err(std::io::Error::other)?;
    let path = std::env::args_os()
        .nth(1)
        .ok_or_else(|| std::io::Error::other("usage: hesper-bench-stamp FILE"))?;
    std::fs::write(path, elapsed.as_nanos().to_string())
}
