//! **Purpose**: this node's estimate of state time, for tokens that expire and windows of limits.
//!
//! **Invariants**
//! - Between two applied stamps it advances with the monotonic clock; it never stands still when the
//!   node is cut off, so a token expires there too.

use std::time::Instant;

use parking_lot::Mutex;

/// The last stamp that was seen, and when.
#[derive(Default)]
pub struct StateClock(Mutex<Option<(u64, Instant)>>);

impl StateClock {
    /// State time in Unix milliseconds, given the newest applied stamp.
    pub fn now_ms(&self, applied_ms: u64) -> u64 {
        self.at(applied_ms, Instant::now())
    }

    fn at(&self, applied_ms: u64, now: Instant) -> u64 {
        let mut seen = self.0.lock();
        match *seen {
            Some((stamp, at)) if stamp >= applied_ms => {
                let since = now.saturating_duration_since(at).as_millis();
                stamp.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
            }
            Some(_) | None => {
                *seen = Some((applied_ms, now));
                applied_ms
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_on_without_new_stamps_and_follows_those_that_come() {
        let clock = StateClock::default();
        let start = Instant::now();
        assert_eq!(clock.at(1_000, start), 1_000);
        assert_eq!(clock.at(1_000, start + Duration::from_millis(700)), 1_700);
        assert_eq!(clock.at(1_600, start + Duration::from_millis(800)), 1_600);
        assert_eq!(clock.at(1_600, start + Duration::from_millis(810)), 1_610);
    }
}
