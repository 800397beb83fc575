//! **Purpose**: the right to read one file, or to store one blob, on one executor.
//!
//! **Invariants**
//! - A capability is keyed BLAKE3 over (token, path, reader) under the cluster's transfer key; who
//!   has it can do that one thing and nothing else.
//! - Comparison takes the same time whatever the difference (`blake3::Hash` guarantees it).

use blake3::Hash;

/// Length of the cluster's transfer key.
pub const KEY_BYTES: usize = 32;

/// Makes the capability for `reader` (an executor's id, 0 for a client) to read `path` of the
/// attempt `token` (0: the blob named `path`).
#[must_use]
pub fn capability(key: &[u8; KEY_BYTES], token: u64, path: &str, reader: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&token.to_le_bytes());
    hasher.update(&reader.to_le_bytes());
    hasher.update(path.as_bytes());
    *hasher.finalize().as_bytes()
}

/// Whether `presented` is the capability for exactly this.
#[must_use]
pub fn verify(
    key: &[u8; KEY_BYTES],
    token: u64,
    path: &str,
    reader: u64,
    presented: &[u8],
) -> bool {
    let Ok(presented) = <[u8; 32]>::try_from(presented) else {
        return false;
    };
    Hash::from_bytes(capability(key, token, path, reader)) == Hash::from_bytes(presented)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_good_for_one_token_path_and_reader() {
        let key = [7; KEY_BYTES];
        let made = capability(&key, 1, "sealed", 2);
        assert!(verify(&key, 1, "sealed", 2, &made));
        assert!(!verify(&key, 2, "sealed", 2, &made));
        assert!(!verify(&key, 1, "sealex", 2, &made));
        assert!(!verify(&key, 1, "sealed", 3, &made));
        assert!(!verify(&[8; KEY_BYTES], 1, "sealed", 2, &made));
        assert!(!verify(&key, 1, "sealed", 2, &made[..31]));
    }
}
