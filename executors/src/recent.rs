//! **Purpose**: the last tokens seen, bounded, so that a repeated start is not a second run.

use std::collections::{HashSet, VecDeque};

const TOKENS_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct Recent {
    order: VecDeque<u64>,
    tokens: HashSet<u64>,
}

impl Recent {
    /// Whether `token` is new.
    pub(crate) fn insert(&mut self, token: u64) -> bool {
        if !self.tokens.insert(token) {
            return false;
        }
        self.order.push_back(token);
        if self.order.len() > TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.tokens.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut recent = Recent::default();
        for token in 0..=TOKENS_MAX as u64 {
            assert!(recent.insert(token));
        }
        assert!(!recent.insert(TOKENS_MAX as u64));
        assert!(recent.insert(0));
    }
}
