//! **Purpose**: make guessing a password slow.
//!
//! **Invariants**
//! - Time is an argument: the same history gives the same delays.
//! - Two mistakes are free, then the delay doubles from one second to a minute.

const FREE: u32 = 2;
const FIRST_MS: u64 = 1_000;
const LONGEST_MS: u64 = 60_000;

/// Failed attempts in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
    not_before_ms: u64,
}

impl Backoff {
    /// How long an attempt must still wait, milliseconds.
    pub(crate) fn wait_ms(&self, now_ms: u64) -> u64 {
        self.not_before_ms.saturating_sub(now_ms)
    }

    pub(crate) fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let delay_ms = match self.failures.checked_sub(FREE + 1) {
            None => 0,
            Some(doublings) => (FIRST_MS << doublings.min(16)).min(LONGEST_MS),
        };
        self.not_before_ms = now_ms.saturating_add(delay_ms);
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_minute_and_end_with_success() {
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        let mut now_ms = 5;
        for _ in 0..12 {
            backoff.failed(now_ms);
            delays.push(backoff.wait_ms(now_ms) / 1_000);
            now_ms += 100_000;
        }
        assert_eq!(delays, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        backoff.failed(now_ms);
        assert_eq!(backoff.wait_ms(now_ms + 59_999), 1);
        assert_eq!(backoff.wait_ms(now_ms + 60_000), 0);
        backoff.succeeded();
        assert_eq!(backoff.wait_ms(now_ms), 0);
    }

    #[test]
    fn endless_failures_stay_in_bounds() {
        let mut backoff = Backoff { failures: u32::MAX, not_before_ms: 0 };
        backoff.failed(u64::MAX);
        assert_eq!(backoff.wait_ms(u64::MAX), 0);
    }
}
