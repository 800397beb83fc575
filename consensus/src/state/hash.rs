//! **Purpose**: a hash of all rows that is kept up to date with each change.
//!
//! **Invariants**: the sum (mod 2^128) of one keyed hash per row, so it does not depend on the order of
//! the changes; equal on every node at an equal index.

const KEY: &[u8; 32] = b"hesper state hash of rows, v1...";

/// Sum of the hashes of all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateHash(pub u128);

impl StateHash {
    pub fn add(&mut self, key: &[u8], row: &[u8]) {
        self.0 = self.0.wrapping_add(row_hash(key, row));
    }

    pub fn remove(&mut self, key: &[u8], row: &[u8]) {
        self.0 = self.0.wrapping_sub(row_hash(key, row));
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// `None` when the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u128::from_le_bytes(bytes)))
    }
}

impl std::fmt::Display for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

fn row_hash(key: &[u8], row: &[u8]) -> u128 {
    let mut hasher = blake3::Hasher::new_keyed(KEY);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(row);
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let mut one = StateHash::default();
        one.add(b"a", b"1");
        one.add(b"b", b"2");
        let mut two = StateHash::default();
        two.add(b"b", b"2");
        two.add(b"c", b"3");
        two.add(b"a", b"1");
        assert_ne!(one, two);
        two.remove(b"c", b"3");
        assert_eq!(one, two);
    }

    #[test]
    fn key_and_row_do_not_run_into_each_other() {
        let mut one = StateHash::default();
        one.add(b"ab", b"c");
        let mut two = StateHash::default();
        two.add(b"a", b"bc");
        assert_ne!(one, two);
    }
}
