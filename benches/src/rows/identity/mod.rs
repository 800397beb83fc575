//! **Purpose**: rows of keys, tokens and the wallet.
//!
//! **Invariants**: signatures are measured in this process, ours and the peer's alternating on one
//! thread, both from bytes to a verdict; the wallet is measured as processes, over the wire.

pub mod signatures;
pub mod tokens;
pub mod wallet;
