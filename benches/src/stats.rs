//! **Purpose**: the few statistics that rows are made of.
//!
//! **Invariants**: no function invents a number for an empty sample; all return `None`.

/// The middle of the samples; the mean of the two middle ones when their number is even.
pub fn median(samples: &[f64]) -> Option<f64> {
    let sorted = sorted(samples);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((sorted.get(middle - 1)? + upper) / 2.0)
}

/// The smallest sample that at least `percent` of all samples do not exceed (nearest rank).
pub fn percentile(samples: &[f64], percent: u32) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

pub fn min(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().reduce(f64::min)
}

pub fn max(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().reduce(f64::max)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Which way a unit is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

impl Better {
    /// How many times better `ours` is than `peer`: above 1 means that ours is better.
    pub fn ratio(self, ours: f64, peer: f64) -> Option<f64> {
        let (over, under) = match self {
            Better::Higher => (ours, peer),
            Better::Lower => (peer, ours),
        };
        (under > 0.0 && over.is_finite()).then(|| over / under)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_samples() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn percentile_is_the_nearest_rank() {
        let samples: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(percentile(&samples, 50), Some(500.0));
        assert_eq!(percentile(&samples, 99), Some(990.0));
        assert_eq!(percentile(&samples, 100), Some(1000.0));
        assert_eq!(percentile(&samples, 0), Some(1.0));
        assert_eq!(percentile(&[5.0, 9.0], 99), Some(9.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn bounds_of_samples() {
        assert_eq!((min(&[2.0, 1.0]), max(&[2.0, 1.0])), (Some(1.0), Some(2.0)));
        assert_eq!((min(&[]), max(&[])), (None, None));
    }

    #[test]
    fn ratio_above_one_means_that_ours_is_better() {
        assert_eq!(Better::Higher.ratio(200.0, 100.0), Some(2.0));
        assert_eq!(Better::Lower.ratio(200.0, 100.0), Some(0.5));
        assert_eq!(Better::Higher.ratio(200.0, 0.0), None);
        assert_eq!(Better::Lower.ratio(0.0, 100.0), None);
    }
}
