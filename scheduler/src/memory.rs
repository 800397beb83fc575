//! A store in memory, for tests, simulation and benches: holds bytes only, so that a state loaded
//! from it has passed through the codec.

use std::collections::BTreeMap;

use crate::state::RowSource;
use crate::table::{Store, TableId};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStore {
    rows: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
}

impl MemoryStore {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows of one table.
    pub fn rows(&self, table: TableId) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows
            .range((table.0, Vec::new())..(table.0 + 1, Vec::new()))
            .map(|((_, key), row)| (key.as_slice(), row.as_slice()))
    }

    /// Hash of the set of rows: the sum of keyed hashes, so that it can be kept incrementally.
    pub fn state_hash(&self) -> u128 {
        let mut sum = 0u128;
        for ((table, key), row) in &self.rows {
            let mut hasher = blake3::Hasher::new_derive_key("hesper scheduler state hash v1");
            hasher.update(&[*table]);
            hasher.update(&u64::try_from(key.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(key);
            hasher.update(row);
            let mut first = [0u8; 16];
            first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
            sum = sum.wrapping_add(u128::from_be_bytes(first));
        }
        sum
    }
}

impl Store for MemoryStore {
    fn put(&mut self, table: TableId, key: &[u8], row: &[u8]) {
        self.rows.insert((table.0, key.to_vec()), row.to_vec());
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.rows.remove(&(table.0, key.to_vec()));
    }

    fn get(&mut self, table: TableId, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(&(table.0, key.to_vec())).cloned()
    }
}

impl RowSource for MemoryStore {
    fn for_each(&mut self, table: TableId, row: &mut dyn FnMut(&[u8], &[u8])) {
        for (key, bytes) in self.rows(table) {
            row(key, bytes);
        }
    }
}
