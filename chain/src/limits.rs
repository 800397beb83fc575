//! **Purpose**: the protocol's size and value limits, named once.
//!
//! **Source**: Lotus `build/buildconstants`, `chain/messagepool`; go-state-types `big`.

/// The most gas that the messages of one block may ask for together, and so each alone.
pub const BLOCK_GAS_LIMIT: u64 = 10_000_000_000;

/// All FIL that will ever exist, in whole FIL.
pub const TOTAL_FIL: u64 = 2_000_000_000;

/// The largest message that message pools accept, in bytes of the signed form.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The most messages in one block.
pub const BLOCK_MESSAGES_MAX: usize = 10_000;

/// The most bytes of an encoded big integer, its sign byte included.
pub const AMOUNT_BYTES_MAX: usize = 128;

/// Nesting beyond which CBOR is refused; the deepest chain object is far below it.
pub const CBOR_DEPTH_MAX: usize = 64;

/// The largest block (in the IPLD sense) that the network exchanges, in bytes.
pub const BLOCK_BYTES_MAX: usize = 1 << 20;
