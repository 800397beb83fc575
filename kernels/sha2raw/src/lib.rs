//! SHA-256 over whole 32-byte nodes, for the labelling step of PC1.
//!
//! Purpose: take the place of the crate of the same name, whose SHA-NI code is compiled without
//! `#[target_feature]`, so that every intrinsic becomes a call and a label costs six times what the
//! processor can do. Here the fast path is compiled for its instruction set and chosen at run time:
//! one binary serves every x86-64 machine at full speed, and other machines use the portable path.
//!
//! Invariants:
//! - Input comes in nodes of exactly 32 bytes; [`Sha256::input`] takes an even number of them, so
//!   that the hasher never holds a partial block.
//! - Both paths give the bytes of FIPS 180-4.
//!
//! Source: FIPS 180-4 sections 4 to 6; Intel SHA Extensions (instruction set reference).
#![allow(unsafe_code)]

mod portable;
#[cfg(target_arch = "x86_64")]
mod shani;

/// Bytes in one node, the unit of input.
pub const NODE_BYTES: usize = 32;

/// FIPS 180-4 section 5.3.3.
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// FIPS 180-4 section 4.2.2.
static ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Which code compresses the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Plain Rust, any processor.
    Portable,
    /// The SHA instructions of x86-64.
    ShaNi,
}

impl Backend {
    /// The fastest back end of this processor. The standard library keeps the answer of `cpuid`,
    /// so that this costs one relaxed load.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("sha")
            && std::is_x86_feature_detected!("sse4.1")
            && std::is_x86_feature_detected!("ssse3")
        {
            return Self::ShaNi;
        }
        Self::Portable
    }

    fn compress(self, state: &mut [u32; 8], nodes: &[&[u8]]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the function needs sha, sse4.1 and ssse3. A hasher gets this back end only
            // from `detect` or through `with_backend`, which refuses what `detect` did not find.
            Self::ShaNi => unsafe { shani::compress(state, nodes) },
            #[cfg(not(target_arch = "x86_64"))]
            Self::ShaNi => portable::compress(state, nodes),
            Self::Portable => portable::compress(state, nodes),
        }
    }
}

/// A SHA-256 computation over 32-byte nodes.
#[derive(Clone, Debug)]
pub struct Sha256 {
    state: [u32; 8],
    bytes: u64,
    backend: Backend,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// Starts a hash with the fastest back end of this processor.
    #[inline]
    pub fn new() -> Self {
        Self { state: INITIAL_STATE, bytes: 0, backend: Backend::detect() }
    }

    /// Starts a hash with a given back end; `None` when this processor cannot run it.
    pub fn with_backend(backend: Backend) -> Option<Self> {
        let runs_here = backend == Backend::Portable || Backend::detect() == backend;
        runs_here.then_some(Self { state: INITIAL_STATE, bytes: 0, backend })
    }

    /// The digest of an even number of nodes.
    ///
    /// # Panics
    /// As [`Sha256::input`].
    pub fn digest(nodes: &[&[u8]]) -> [u8; 32] {
        let mut hasher = Self::new();
        hasher.input(nodes);
        hasher.finish()
    }

    /// Hashes an even number of nodes.
    ///
    /// # Panics
    /// When the number is odd or a node does not have 32 bytes: both are errors of the caller, which
    /// would otherwise get a digest of something else.
    #[inline]
    pub fn input(&mut self, nodes: &[&[u8]]) {
        assert!(nodes.len().is_multiple_of(2), "an even number of nodes, not {}", nodes.len());
        self.backend.compress(&mut self.state, nodes);
        self.bytes += (nodes.len() * NODE_BYTES) as u64;
    }

    /// Ends the hash.
    #[inline]
    pub fn finish(self) -> [u8; 32] {
        let mut block = [0u8; 64];
        block[0] = 0x80;
        self.finish_block(block)
    }

    /// Ends the hash with one last node. It shares its block with the padding, which saves a
    /// compression against adding it before.
    ///
    /// # Panics
    /// When the node does not have 32 bytes.
    #[inline]
    pub fn finish_with(mut self, last: &[u8]) -> [u8; 32] {
        let mut block = [0u8; 64];
        block[..NODE_BYTES].copy_from_slice(last);
        block[NODE_BYTES] = 0x80;
        self.bytes += NODE_BYTES as u64;
        self.finish_block(block)
    }

    #[inline]
    fn finish_block(mut self, mut block: [u8; 64]) -> [u8; 32] {
        block[56..].copy_from_slice(&(self.bytes * 8).to_be_bytes());
        let (first, second) = block.split_at(NODE_BYTES);
        self.backend.compress(&mut self.state, &[first, second]);
        let mut digest = [0u8; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

/// The node as an array: the one place where its length is checked.
#[inline(always)]
fn node(bytes: &[u8]) -> &[u8; NODE_BYTES] {
    match bytes.try_into() {
        Ok(node) => node,
        Err(_) => panic!("a node has 32 bytes, not {}", bytes.len()),
    }
}
