//! SHA-256 of many independent messages at once.
//!
//! **Purpose**: the compression function in the forms that sealing needs: several independent
//! streams side by side, message schedules that can be kept and used again, and the hash of
//! 64-byte pairs that builds tree D.
//!
//! **Invariants**
//! - Every [`Backend`] gives the same bytes; [`Backend::available`] lists those that this machine
//!   can run, and no function here runs instructions that the machine does not have.
//! - Message and state words are native `u32` values of the big-endian words of the standard.
//!
//! **Source**: FIPS 180-4, sections 4.1.2, 4.2.2 and 6.2.

mod backend;
pub mod lanes;
mod pairs;
pub mod portable;
#[cfg(target_arch = "x86_64")]
pub mod shani;
#[cfg(target_arch = "x86_64")]
pub mod vectors;

pub use backend::Backend;
pub use pairs::{DIGEST_BYTES, PAIR_BYTES, hash_pairs};

/// A state between two blocks: the words `a` to `h`.
pub type State = [u32; 8];

/// The sum of message schedule and round constants of one block: `W[t] + K[t]`.
pub type Schedule = [u32; 64];

/// The state before the first block.
pub const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The round constants `K`.
#[rustfmt::skip]
pub const ROUND_CONSTANTS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// What the last word of a hash is masked with so that the bytes are a field element: the top two
/// bits of byte 31 are cleared.
pub const FIELD_MASK: u32 = 0xffff_ff3f;

/// The block that holds only the padding of a message of `message_bytes` bytes, a multiple of 64.
pub const fn padding_block(message_bytes: u32) -> [u32; 16] {
    let mut block = [0; 16];
    block[0] = 0x8000_0000;
    block[15] = message_bytes * 8;
    block
}

/// The schedule of the padding of a 64-byte message.
pub const PAIR_PADDING: Schedule = portable::schedule(&padding_block(64));
