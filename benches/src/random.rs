//! **Purpose**: gaps between jobs from a fixed seed, so that two runs see the same pattern.
//!
//! **Source**: SplitMix64 (Steele, Lea, Flood 2014).

use std::time::Duration;

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Evenly from zero up to `longest`, in microseconds. The bias of the modulo is far below what a
    /// timer resolves.
    pub fn gap(&mut self, longest: Duration) -> Duration {
        let bound = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.draw() % (bound + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_sequence() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.draw(), 6_457_827_717_110_365_317);
        assert_eq!(random.draw(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn gaps_stay_within_their_bound() {
        let longest = Duration::from_millis(50);
        let mut random = Random::new(7);
        let gaps: Vec<Duration> = (0..1000).map(|_| random.gap(longest)).collect();
        assert!(gaps.iter().all(|gap| *gap <= longest));
        assert!(
            gaps.iter().any(|gap| *gap > longest / 2) && gaps.iter().any(|gap| *gap < longest / 2)
        );
    }
}
