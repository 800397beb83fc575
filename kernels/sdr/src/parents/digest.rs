//! What proves the bytes of a table.
//!
//! **Purpose:** the digest of a table while it is made or read, and what it must be.
//!
//! **Invariants:** a table with a published digest is proved by nothing else.
//!
//! **Source:** `parent_cache.json` of storage-proofs-porep 19.1.

use sha2::{Digest as _, Sha256};

/// Published SHA-256 digests of the tables of API version 1.1, by the hash in the file's name:
/// 2 KiB, 8 MiB, 512 MiB, 32 GiB, 64 GiB.
const PUBLISHED: [(&str, &str); 5] = [
    (
        "494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b",
        "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97",
    ),
    (
        "5eed212119fd91aa6220a27f31a8966444a9381842bceb3a1ea61525bd47a5b5",
        "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab",
    ),
    (
        "7ba215a1d2345774ab90b8cb1158d296e409d6068819d7b8c7baf0b25d63dc34",
        "b5877d1963793efebc261fd8fde4dd6bc59e6b5c7abf52617a4ee023b8dc173a",
    ),
    (
        "21981246c370f9d76c7a77ab273d94bde0ceb4e938292334960bce05585dc117",
        "93deeac5e3052b6927467d4b2641bb782f05491de18d510147c93eeedd8672da",
    ),
    (
        "4905486b7af19558ac3649bc6261411858b6add534438878c4ee3b29d8b9de0b",
        "2698b74eb2606b55b98d8b095e18b6320b47f46e00075956d48640ccd1641b03",
    ),
];

/// The hash that proves a table.
pub(super) enum Hasher {
    Published(Sha256, &'static str),
    Own(Box<blake3::Hasher>),
}

impl Hasher {
    pub(super) fn new(identity: &str) -> Self {
        match PUBLISHED.iter().find(|(id, _)| *id == identity) {
            Some((_, digest)) => Self::Published(Sha256::new(), digest),
            None => Self::Own(Box::default()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Published(hash, _) => hash.update(bytes),
            Self::Own(hash) => {
                hash.update(bytes);
            }
        }
    }

    /// The digest, and the published one when there is one.
    pub(super) fn finish(self) -> (String, Option<&'static str>) {
        match self {
            Self::Published(hash, published) => (hex::encode(hash.finalize()), Some(published)),
            Self::Own(hash) => (hash.finalize().to_hex().to_string(), None),
        }
    }
}
