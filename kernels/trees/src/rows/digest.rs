//! **Purpose**: the BLAKE3 digest of a file whose parts become known out of order.
//!
//! **Invariants**
//! - A part is a power of two of bytes, at least two BLAKE3 chunks, and lies at a multiple of its
//!   own length; so its two halves are subtrees of the file's hash tree wherever the file ends.
//! - Halves are kept, not whole parts: a root is then always a merge, and a file of one part needs
//!   no other way.
//!
//! **Source**: BLAKE3 paper, section 2.1; `blake3::hazmat`.

use blake3::Hasher;
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

/// Smallest part: two chunks.
pub(crate) const PART_BYTES_MIN: usize = 2 * blake3::CHUNK_LEN;

type Value = [u8; 32];

/// The chaining values of the two halves of a part that lies at `offset` of its file.
pub(crate) fn halves(part: &[u8], offset: u64) -> [Value; 2] {
    debug_assert!(part.len().is_power_of_two() && part.len() >= PART_BYTES_MIN);
    debug_assert!(offset.is_multiple_of(part.len() as u64));
    let (left, right) = part.split_at(part.len() / 2);
    [subtree(left, offset), subtree(right, offset + left.len() as u64)]
}

fn subtree(bytes: &[u8], offset: u64) -> Value {
    Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
}

/// The digest of a file of equal parts; `halves` is in the order of the file.
pub(crate) fn of_parts(halves: &[Value]) -> Value {
    let (left, right) = halves.split_at(halves.len() / 2);
    *merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).as_bytes()
}

/// The digest of a file that is a sequence of regions, each less than half as long as the one
/// before and all but the last of equal parts (whose halves are given), and of a last region whose
/// bytes are given.
///
/// This is how the rows of a tree of arity 4 or more lie in their file: BLAKE3 splits off the
/// longest power of two on the left, which is always the whole next row.
pub(crate) fn of_regions(regions: &[Vec<Value>], tail: &[u8], tail_offset: u64) -> Value {
    let Some((first, rest)) = regions.split_first() else {
        return *blake3::hash(tail).as_bytes();
    };
    let right = rest.iter().rev().fold(subtree(tail, tail_offset), |right, region| {
        merge_subtrees_non_root(&merge(region), &right, Mode::Hash)
    });
    *merge_subtrees_root(&merge(first), &right, Mode::Hash).as_bytes()
}

fn merge(values: &[Value]) -> Value {
    match values {
        [value] => *value,
        _ => {
            let (left, right) = values.split_at(values.len() / 2);
            merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|index| (index % 251) as u8).collect()
    }

    fn parts(file: &[u8], range: std::ops::Range<usize>, part: usize) -> Vec<Value> {
        range.step_by(part).flat_map(|at| halves(&file[at..at + part], at as u64)).collect()
    }

    #[test]
    fn equal_parts_give_the_digest_of_the_whole() {
        for (len, part) in [(2048, 2048), (1 << 16, 2048), (1 << 16, 1 << 15)] {
            let file = bytes(len);
            assert_eq!(of_parts(&parts(&file, 0..len, part)), *blake3::hash(&file).as_bytes());
        }
    }

    #[test]
    fn rows_and_a_ragged_tail_give_the_digest_of_the_whole() {
        let file = bytes(131_072 + 16_384 + 2048 + 288);
        let regions = [
            parts(&file, 0..131_072, 16_384),
            parts(&file, 131_072..147_456, 2048),
            parts(&file, 147_456..149_504, 2048),
        ];
        let digest = of_regions(&regions, &file[149_504..], 149_504);
        assert_eq!(digest, *blake3::hash(&file).as_bytes());
        assert_eq!(of_regions(&[], &file[..32], 0), *blake3::hash(&file[..32]).as_bytes());
    }
}
