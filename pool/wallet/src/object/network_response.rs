//! **Purpose**: the type `networkresposne` (sic): a provider's answer to a proposed deal.
//!
//! **Invariants**: the object's bytes are signed as they are; keys stand in the order of
//! declaration.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go`
//! (MTNetWorkResponse); filecoin-project/go-fil-markets `storagemarket/network/types_cbor_gen.go`.

use hesper_chain::cid;
use serde_json::json;

use super::fields::Fields;
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-fil-markets storagemarket/network/types_cbor_gen.go",
    "a map of State, Message, Proposal, PublishMessage; the object itself is signed",
);
const TYPE: ObjectType = ObjectType::NetworkResponse;

pub(super) fn parse(object: &[u8], _: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    read(&node).map_err(shape(TYPE))
}

fn read(node: &Node) -> Result<Parsed, ShapeError> {
    let names = ["State", "Message", "Proposal", "PublishMessage"];
    let fields = Fields::of_map("an answer to a deal", node, &names)?;
    let publish = fields.optional_cid("PublishMessage")?;
    let shown = json!({
        "State": fields.unsigned("State")?,
        "Message": fields.text("Message")?,
        "Proposal": { "/": cid::format(&fields.cid("Proposal")?) },
        "PublishMessage": publish.map(|found| json!({ "/": cid::format(&found) })),
    });
    Ok(Parsed::new(TYPE, node.encode(), shown))
}
