//! SHA-256 with one message in each 32-bit lane of a vector.
//!
//! **Purpose**: the compression of as many messages at once as a vector has lanes, in the two forms
//! that a caller can combine: with its message schedule computed on the way, and from a schedule
//! that was stored before.
//!
//! **Invariants**: everything here is inlined into the function that uses it, which must enable the
//! instructions of its vector ([`Lanes`]); without them its behaviour is undefined.
//!
//! **Source**: FIPS 180-4, sections 4.1.2 and 6.2.2.

use crate::{ROUND_CONSTANTS, Schedule};

/// A vector of 32-bit lanes.
///
/// # Safety
/// Every method needs a processor with the instructions of the vector. Pointers must be valid for
/// [`Lanes::COUNT`] words and need no alignment.
#[allow(clippy::missing_safety_doc)]
pub unsafe trait Lanes: Copy {
    /// Number of lanes.
    const COUNT: usize;
    unsafe fn load(from: *const u32) -> Self;
    unsafe fn store(self, to: *mut u32);
    unsafe fn splat(word: u32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    unsafe fn xor3(self, second: Self, third: Self) -> Self;
    /// Bits of `yes` where `self` is set, else of `no`.
    unsafe fn choose(self, yes: Self, no: Self) -> Self;
    unsafe fn majority(self, second: Self, third: Self) -> Self;
    unsafe fn rotate<const BITS: i32>(self) -> Self;
    unsafe fn shift<const BITS: i32>(self) -> Self;
    /// The same value, computed as written: sums are not regrouped across it.
    unsafe fn pin(self) -> Self;
}

#[inline(always)]
unsafe fn big1<V: Lanes>(e: V) -> V {
    // SAFETY: the caller enables the instructions of `V`.
    unsafe { e.rotate::<6>().xor3(e.rotate::<11>(), e.rotate::<25>()) }
}

#[inline(always)]
unsafe fn big0<V: Lanes>(a: V) -> V {
    // SAFETY: the caller enables the instructions of `V`.
    unsafe { a.rotate::<2>().xor3(a.rotate::<13>(), a.rotate::<22>()) }
}

#[inline(always)]
unsafe fn small0<V: Lanes>(w: V) -> V {
    // SAFETY: the caller enables the instructions of `V`.
    unsafe { w.rotate::<7>().xor3(w.rotate::<18>(), w.shift::<3>()) }
}

#[inline(always)]
unsafe fn small1<V: Lanes>(w: V) -> V {
    // SAFETY: the caller enables the instructions of `V`.
    unsafe { w.rotate::<17>().xor3(w.rotate::<19>(), w.shift::<10>()) }
}

/// Writes a block out once for each `t` from 0 to 63, a constant in it: the arrays of vectors are
/// then never indexed at run time, so that they live in registers.
macro_rules! for_rounds {
    ($t:ident => $body:block) => {
        for_rounds!(@ $t $body 0 8 16 24 32 40 48 56)
    };
    (@ $t:ident $body:block $($value:literal)*) => {
        $(
            for_rounds!(# $t $body $value 0);
            for_rounds!(# $t $body $value 1);
            for_rounds!(# $t $body $value 2);
            for_rounds!(# $t $body $value 3);
            for_rounds!(# $t $body $value 4);
            for_rounds!(# $t $body $value 5);
            for_rounds!(# $t $body $value 6);
            for_rounds!(# $t $body $value 7);
        )*
    };
    (# $t:ident $body:block $first:literal $more:literal) => {{
        const $t: usize = $first + $more;
        $body
    }};
}

/// Rounds by which the words `a` are computed later than the words `e`.
const LAG: usize = 2;

/// The working variables inside a block.
///
/// The chain from `e` to the next `e` (rotate, three-way xor, one addition) bounds a single
/// message. So everything else is added up beside it, the newest `a` is computed from the newest
/// `e`, and some rounds later in the order of the program, so that the processor prefers the chain
/// when both are ready. [`Lanes::pin`] keeps the compiler from regrouping the sums.
#[derive(Clone, Copy)]
struct Variables<V> {
    /// `a` after round `t` at `(t + 1) % 4`; the words `b`, `c`, `d` are older ones.
    a: [V; 4],
    /// `e` likewise; the words `f`, `g`, `h` are older ones.
    e: [V; 4],
    /// What round `t` adds to both `d` and the new `a`, at `t % 4`.
    first: [V; 4],
}

impl<V: Lanes> Variables<V> {
    #[inline(always)]
    fn new(state: &[V; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = *state;
        Self { a: [a, d, c, b], e: [e, h, g, f], first: [a; 4] }
    }

    /// Round `T`, whose word and constant add up to `sum`.
    #[inline(always)]
    unsafe fn round<const T: usize>(&mut self, sum: V) {
        // SAFETY: the caller enables the instructions of `V`.
        unsafe {
            let [e, f, g, h] = [0, 3, 2, 1].map(|back| self.e[(T + back) % 4]);
            let d = self.a[(T + 1) % 4];
            let known = h.add(sum).add(d).pin();
            let next = known.add(e.choose(f, g)).pin().add(big1(e)).pin();
            self.first[T % 4] = next.sub(d).pin();
            self.e[(T + 1) % 4] = next;
            if T >= LAG {
                self.finish_a(T - LAG);
            }
        }
    }

    /// The word `a` of round `t`.
    #[inline(always)]
    unsafe fn finish_a(&mut self, t: usize) {
        // SAFETY: the caller enables the instructions of `V`.
        unsafe {
            let [a, b, c] = [0, 3, 2].map(|back| self.a[(t + back) % 4]);
            self.a[(t + 1) % 4] = self.first[t % 4].add(a.majority(b, c)).pin().add(big0(a));
        }
    }

    /// Adds the variables after round 63 to the state before round 0.
    #[inline(always)]
    unsafe fn finish(mut self, state: &mut [V; 8]) {
        // SAFETY: the caller enables the instructions of `V`.
        unsafe {
            for t in 64 - LAG..64 {
                self.finish_a(t);
            }
            let after = [0, 3, 2, 1];
            for i in 0..4 {
                state[i] = state[i].add(self.a[after[i]]);
                state[i + 4] = state[i + 4].add(self.e[after[i]]);
            }
        }
    }
}

/// The 64 rounds of one block whose schedule is stored (`64 × COUNT` words), and the addition of
/// the state before them.
///
/// # Safety
/// The caller enables the instructions of `V`; `schedule` is valid for `64 × COUNT` words.
#[inline(always)]
pub unsafe fn rounds<V: Lanes>(state: &mut [V; 8], schedule: *const u32) {
    // SAFETY: the caller guarantees the instructions and 64 vectors at `schedule`.
    unsafe {
        let mut variables = Variables::new(state);
        for_rounds!(T => {
            variables.round::<T>(V::load(schedule.add(T * V::COUNT)));
        });
        variables.finish(state);
    }
}

/// As [`rounds`] for a schedule that is the same in all lanes.
///
/// # Safety
/// The caller enables the instructions of `V`.
#[inline(always)]
pub unsafe fn rounds_constant<V: Lanes>(state: &mut [V; 8], schedule: &Schedule) {
    // SAFETY: the caller guarantees the instructions.
    unsafe {
        let mut variables = Variables::new(state);
        for_rounds!(T => {
            variables.round::<T>(V::splat(schedule[T]));
        });
        variables.finish(state);
    }
}

/// Compresses one block. With `KEEP`, its schedule is stored at `keep` (`64 × COUNT` words).
///
/// # Safety
/// The caller enables the instructions of `V`; with `KEEP`, `keep` is valid for `64 × COUNT` words.
#[inline(always)]
pub unsafe fn compress<V: Lanes, const KEEP: bool>(
    state: &mut [V; 8],
    mut words: [V; 16],
    keep: *mut u32,
) {
    let words = &mut words;
    // SAFETY: the caller guarantees the instructions and, with `KEEP`, 64 vectors at `keep`.
    unsafe {
        let mut variables = Variables::new(state);
        for_rounds!(T => {
            let sum = words[T % 16].add(V::splat(ROUND_CONSTANTS[T]));
            if KEEP {
                sum.store(keep.add(T * V::COUNT));
            }
            variables.round::<T>(sum);
            if T < 48 {
                words[T % 16] = next_word(words, T);
            }
        });
        variables.finish(state);
    }
}

/// The message word sixteen after `words[t % 16]`; the words before it are already replaced.
#[inline(always)]
unsafe fn next_word<V: Lanes>(words: &[V; 16], t: usize) -> V {
    // SAFETY: the caller enables the instructions of `V`.
    unsafe {
        let older = words[t % 16].add(words[(t + 9) % 16]).add(small0(words[(t + 1) % 16]));
        older.add(small1(words[(t + 14) % 16]))
    }
}
