//! The permutation that gives the expander parents.
//!
//! **Purpose:** a three-round Feistel network over the 8N elements of a graph, with cycle walking.
//!
//! **Invariants:** a round function depends on one half of an element and on the key of the round:
//! at most 2^17 values for each of three keys, so that the tables of [`Tables`] hold all of them.
//!
//! **Source:** Filecoin specification, "Stacked DRG Proof of Replication" (expander parents).

use crate::blake2b;
use crate::graph::{EXPANDER_PARENTS, Graph};
use crate::parents::Backend;

/// Rounds of the network; the fourth key is unused.
const ROUNDS: usize = 3;

/// The permutation, with the round function computed at each use.
pub(crate) struct Feistel {
    keys: [u64; ROUNDS],
    elements: u64,
    half_bits: u32,
}

impl Feistel {
    pub(crate) fn new(graph: &Graph) -> Self {
        let elements = u64::from(graph.nodes()) * EXPANDER_PARENTS as u64;
        // The next power of four, halved: the halves of an element are equally long.
        let bits = u64::BITS - (elements - 1).leading_zeros();
        let [a, b, c, _] = graph.keys;
        Self { keys: [a, b, c], elements, half_bits: bits.div_ceil(2) }
    }

    /// The parent that element `index` = 8 x node + i stands for.
    pub(crate) fn parent(&self, index: u64) -> u32 {
        let mut element = index;
        loop {
            element = self.permute_once(element);
            if element < self.elements {
                // At most 2^31 nodes.
                return (element / EXPANDER_PARENTS as u64) as u32;
            }
        }
    }

    fn permute_once(&self, element: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (element >> self.half_bits, element & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (blake2b::round_function(right, key) & mask));
        }
        left << self.half_bits | right
    }
}

/// The permutation with all values of the round function looked up.
///
/// At 32 and 64 GiB the tables hold 3 x 2^17 values in 1.5 MiB, and the hash of an element costs
/// three loads instead of three compressions.
pub(crate) struct Tables {
    rounds: [Vec<u32>; ROUNDS],
    elements: u64,
    half_bits: u32,
}

impl Tables {
    pub(crate) fn new(backend: Backend, graph: &Graph) -> Self {
        let feistel = Feistel::new(graph);
        let mask = (1_u64 << feistel.half_bits) - 1;
        let rounds = feistel.keys.map(|key| {
            let mut values = vec![0; 1 << feistel.half_bits];
            blake2b::fill_round(backend, key, mask, &mut values);
            values
        });
        Self { rounds, elements: feistel.elements, half_bits: feistel.half_bits }
    }

    #[inline(always)]
    fn permute_once(&self, element: u64) -> u64 {
        let [first, second, third] = &self.rounds;
        let size = 1_usize << self.half_bits;
        let mask = size - 1;
        let (left, right) = ((element >> self.half_bits) as usize, element as usize & mask);
        let a = left ^ first[right] as usize;
        let b = right ^ second[a & mask] as usize;
        let c = a ^ third[b & mask] as usize;
        (b << self.half_bits | c) as u64
    }

    /// Writes the expander parents of the elements from `first` on; `walking` is scratch space.
    ///
    /// Elements that leave the range are walked on in a second list, without a branch per element:
    /// it would be taken at random half of the time.
    pub(crate) fn parents(&self, first: u64, out: &mut [u32], walking: &mut Vec<(u32, u64)>) {
        walking.clear();
        walking.resize(out.len() + 1, (0, 0));
        let mut count = 0;
        for (slot, index) in out.iter_mut().zip(first..).enumerate().map(|(i, (s, x))| ((i, s), x))
        {
            let (position, slot) = slot;
            let element = self.permute_once(index);
            *slot = (element / EXPANDER_PARENTS as u64) as u32;
            walking[count] = (position as u32, element);
            count += usize::from(element >= self.elements);
        }
        while count > 0 {
            let mut left = 0;
            for i in 0..count {
                let (position, element) = walking[i];
                let element = self.permute_once(element);
                out[position as usize] = (element / EXPANDER_PARENTS as u64) as u32;
                walking[left] = (position, element);
                left += usize::from(element >= self.elements);
            }
            count = left;
        }
    }
}
