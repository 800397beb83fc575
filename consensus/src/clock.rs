//! **Purpose**: the stamps that the leader puts on entries: state time.
//!
//! **Invariants**
//! - Stamps never go back and advance with the monotonic clock; towards wall time they are slewed by at
//!   most one twentieth.
//! - A new leader continues from the applied time; if wall time is ahead it jumps there, but not by more
//!   than `JUMP_MS_MAX`, so that one wrong clock cannot carry the cluster into another century.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

const SLEW_DIVISOR: u64 = 20;
const JUMP_MS_MAX: u64 = 31 * 24 * 3600 * 1000;

/// A clock for one leadership.
#[derive(Debug)]
pub struct StateClock {
    term: u64,
    now_us: u64,
    read_at: Instant,
}

fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn start(applied_ms: u64, wall_ms: u64) -> u64 {
    if applied_ms == 0 {
        return wall_ms;
    }
    wall_ms.clamp(applied_ms, applied_ms.saturating_add(JUMP_MS_MAX))
}

fn advance(now_us: u64, elapsed_us: u64, wall_us: u64) -> u64 {
    let now_us = now_us + elapsed_us;
    let bound = elapsed_us / SLEW_DIVISOR;
    if wall_us > now_us {
        now_us + bound.min(wall_us - now_us)
    } else {
        now_us - bound.min(now_us - wall_us)
    }
}

impl Default for StateClock {
    fn default() -> Self {
        Self { term: 0, now_us: 0, read_at: Instant::now() }
    }
}

impl StateClock {
    /// The stamp of an entry that is proposed now in `term`.
    pub fn stamp_ms(&mut self, term: u64, applied_ms: u64) -> u64 {
        let now = Instant::now();
        if term != self.term {
            self.term = term;
            self.now_us = start(applied_ms, wall_ms()) * 1000;
        } else {
            let elapsed = u64::try_from((now - self.read_at).as_micros()).unwrap_or(0);
            self.now_us = advance(self.now_us, elapsed, wall_ms() * 1000);
        }
        self.read_at = now;
        self.now_us / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leader_never_goes_back_and_jumps_only_so_far() {
        assert_eq!(start(0, 5_000), 5_000);
        assert_eq!(start(9_000, 5_000), 9_000);
        assert_eq!(start(5_000, 9_000), 9_000);
        assert_eq!(start(1, u64::MAX), 1 + JUMP_MS_MAX);
    }

    #[test]
    fn the_wall_pulls_gently() {
        assert_eq!(advance(1_000_000, 20_000, 1_020_000), 1_020_000);
        assert_eq!(advance(1_000_000, 20_000, 9_000_000), 1_021_000);
        assert_eq!(advance(1_000_000, 20_000, 0), 1_019_000);
    }
}
