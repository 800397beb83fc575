//! **Purpose**: the type `unknown`: bytes of which the wallet knows nothing.
//!
//! **Invariants**: it is signed only where a rule names it for the key. What other types sign is
//! refused even then, since such a rule would else allow every message, block and voucher past the
//! rules for these: the CID of a message or client deal, an Ethereum transaction, an F3 payload, and
//! CBOR arrays and maps with as many fields as messages, blocks, deals, vouchers, asks and answers
//! have. The refusal says which call signs the object instead. A bare digest, such as that of a
//! ticket, is signed: nobody can tell what it stands for, and the rule says that this is wanted.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTUnknown), which
//! signs whatever comes; Lotus's `WalletSign` with two parameters arrives here. Every counted layout
//! is a tuple or map of the module of its type.

use hesper_chain::cid;
use serde_json::json;

use super::node::Node;
use super::{ObjectError, ObjectType, Parsed};

pub(super) const SOURCE: (&str, &str) = (
    "none",
    "not understood: needs a rule that names the key and the type, and never signs what has the \
     shape of another type",
);
const TYPE: ObjectType = ObjectType::Unknown;
const BYTES_MAX: usize = 64 * 1024;

const CID: &str = "it is the CID of an object, which hides the object: for a message call \
    Filecoin.WalletSignMessage, or Filecoin.WalletSign with {\"Type\": \"message\", \"Extra\": the \
    message's CBOR} as its third parameter; for a client's deal {\"Type\": \"clientdeal\", ...}";
const OBJECT: &str = "it has the shape of a message, block, deal, voucher, ask or answer in CBOR: call \
    Filecoin.WalletSign with {\"Type\": \"block\"} or the type that it is as its third parameter";
const TRANSACTION: &str = "it looks like an Ethereum transaction: call Filecoin.WalletSignMessage \
    with the message that it stands for";
const VOTE: &str = "it looks like a vote of fast finality: call Filecoin.WalletSign with \
    {\"Type\": \"f3\"} as its third parameter";

pub(super) fn parse(object: &[u8]) -> Result<Parsed, ObjectError> {
    let refused = |what| Err(ObjectError::NotSane { object_type: TYPE, what });
    if object.len() > BYTES_MAX {
        return refused("it is longer than 64 KiB");
    }
    match object {
        _ if cid::from_bytes(object).is_ok_and(|found| found.codec() == cid::DAG_CBOR) => {
            refused(CID)
        }
        _ if Node::decode(object).is_ok_and(|node| is_counted(&node)) => refused(OBJECT),
        // Typed transactions begin with a byte up to 0x7f, the older ones with their list.
        [0x00..=0x7f, 0xc0..=0xff, ..] | [0xc0..=0xff, ..] if is_rlp_list(object) => {
            refused(TRANSACTION)
        }
        _ if object.starts_with(b"GPBFT:") || object.starts_with(b"VRF:") => refused(VOTE),
        _ => Ok(Parsed::new(TYPE, object.to_vec(), json!({ "Hex": hex::encode(object) }))),
    }
}

/// Whether the number of fields is that of something that another type signs.
fn is_counted(node: &Node) -> bool {
    match node {
        // The older ask; messages; deals and vouchers; blocks.
        Node::Array(items) => matches!(items.len(), 8 | 10 | 11 | 16),
        // An answer to a deal; asks and states of deals.
        Node::Map(entries) => matches!(entries.len(), 4 | 8),
        _ => false,
    }
}

/// Whether one RLP list, after an optional type byte, fills the bytes exactly.
fn is_rlp_list(bytes: &[u8]) -> bool {
    let list = if bytes[0] < 0xc0 { &bytes[1..] } else { bytes };
    match list {
        [head @ 0xc0..=0xf7, rest @ ..] => usize::from(head - 0xc0) == rest.len(),
        [head @ 0xf8..=0xff, rest @ ..] => {
            let width = usize::from(head - 0xf7);
            let length = rest.get(..width).unwrap_or_default();
            let length = length.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            u64::try_from(rest.len().saturating_sub(width)).is_ok_and(|found| found == length)
        }
        _ => false,
    }
}
