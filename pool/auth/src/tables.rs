//! **Purpose**: numbers and bounds of the replicated tables.
//!
//! **Invariants**: numbers are stored; they are never reused for something else.

use std::ops::RangeInclusive;

/// Users by name.
pub const USERS: u8 = 66;
/// Miners by actor id, eight bytes, big-endian.
pub const MINERS: u8 = 67;
/// Registrations of signers: address, a zero byte, user.
pub const SIGNERS: u8 = 68;
/// Tokens by id, eight bytes, big-endian.
pub const TOKENS: u8 = 69;
/// Signing secrets by key id, eight bytes, big-endian.
pub const SECRETS: u8 = 70;
/// Rate limits by id, eight bytes, big-endian.
pub const LIMITS: u8 = 71;
/// Shares: id of the limit, then of the node, eight bytes each, big-endian.
pub const SHARES: u8 = 72;
/// What is kept about a node, by its id, eight bytes, big-endian.
pub const NODES: u8 = 73;
/// Audit rows by their number, eight bytes, big-endian.
pub const AUDIT: u8 = 74;
/// The one row of counters.
pub const META: u8 = 75;

/// All tables of this module.
pub const ALL: RangeInclusive<u8> = USERS..=META;

pub const USERS_MAX: usize = 100_000;
pub const MINERS_MAX_PER_USER: usize = 1_000;
pub const SIGNERS_MAX_PER_USER: usize = 1_000;
/// Dead tokens included; the oldest of them make room for new ones.
pub const TOKENS_MAX_PER_USER: usize = 10_000;
pub const LIMITS_MAX_PER_USER: usize = 100;
/// Secrets kept at once; the oldest retired ones go first.
pub const SECRETS_MAX: usize = 16;
pub const NODES_MAX: usize = 64;
pub const AUDIT_MAX: u64 = 10_000;
/// Signers in one command.
pub const SIGNERS_MAX_PER_COMMAND: usize = 1_000;
/// Uses in one command.
pub const USES_MAX: usize = 4_096;
/// Uses of one node are recorded at most this often.
pub const USES_INTERVAL_MS: u64 = 60_000;
/// Bytes of a comment, a label, an extra field or an audit text.
pub const TEXT_BYTES_MAX: usize = 1_024;
pub const SEALED_BYTES_MAX: usize = 4_096;
pub const WINDOW_MS_MIN: u64 = 100;
/// 31 days.
pub const WINDOW_MS_MAX: u64 = 31 * 86_400_000;
pub const CAP_MAX: u64 = 1_000_000_000_000;
