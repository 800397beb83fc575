//! **Purpose**: the type `storageask`: a provider's prices.
//!
//! **Invariants**: the object's bytes are signed as they are; keys stand in the order in which the
//! Go type declares them, as its encoder writes them.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTStorageAsk);
//! filecoin-project/go-fil-markets `storagemarket/types.go`, `types_cbor_gen.go` (map encoding).

use hesper_chain::{Address, Network, address, amount};
use serde_json::{Value, json};

use super::fields::Fields;
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-fil-markets storagemarket/types_cbor_gen.go",
    "a map of 8 keys in the order of declaration; the object itself is signed",
);
const TYPE: ObjectType = ObjectType::StorageAsk;
pub(super) const NAMES: [&str; 8] = [
    "Price",
    "VerifiedPrice",
    "MinPieceSize",
    "MaxPieceSize",
    "Miner",
    "Timestamp",
    "Expiry",
    "SeqNo",
];

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    let (miner, shown, _) = read(&node, context.network).map_err(shape(TYPE))?;
    Ok(Parsed { to: Some(miner), ..Parsed::new(TYPE, node.encode(), shown) })
}

/// The miner, what is shown, and the values in the order of declaration.
pub(super) fn read(
    node: &Node,
    network: Network,
) -> Result<(Address, Value, Vec<Node>), ShapeError> {
    let fields = Fields::of_map("a storage ask", node, &NAMES)?;
    let miner = fields.address("Miner")?;
    let shown = json!({
        "Price": amount::format_atto(&fields.amount("Price")?),
        "VerifiedPrice": amount::format_atto(&fields.amount("VerifiedPrice")?),
        "MinPieceSize": fields.unsigned("MinPieceSize")?,
        "MaxPieceSize": fields.unsigned("MaxPieceSize")?,
        "Miner": address::format(&miner, network),
        "Timestamp": fields.epoch("Timestamp")?,
        "Expiry": fields.epoch("Expiry")?,
        "SeqNo": fields.unsigned("SeqNo")?,
    });
    let values = NAMES.iter().map(|name| fields.node(name).clone()).collect();
    Ok((miner, shown, values))
}
