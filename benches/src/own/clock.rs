//! **Purpose**: the clock of the core, so that a bound in cycles becomes a time.
//!
//! **Source**: a 64-bit multiplication has a latency of 3 cycles on the x86-64 cores that these
//! kernels run on; additions of constants would be removed at rename, multiplications are not.

use std::hint::black_box;
use std::time::Instant;

const LATENCY: f64 = 3.0;
const STEPS: u32 = 400_000;
const WINDOWS: u32 = 25;

/// Hertz, as the best of short windows: any interruption only lengthens one.
pub fn hertz() -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..WINDOWS {
        let begun = Instant::now();
        black_box(chain(black_box(0x9e37_79b9_7f4a_7c15)));
        best = best.min(begun.elapsed().as_secs_f64());
    }
    f64::from(STEPS) * LATENCY / best
}

/// Each product needs the one before it.
fn chain(seed: u64) -> u64 {
    let mut value = seed;
    for _ in 0..STEPS {
        value = value.wrapping_mul(value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_that_of_some_real_machine() {
        let hertz = hertz();
        assert!((1e8..1e10).contains(&hertz), "{hertz}");
    }
}
