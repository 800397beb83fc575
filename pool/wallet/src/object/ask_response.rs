//! **Purpose**: the type `askresponse`: a provider's answer to a client of the older ask protocol.
//!
//! **Invariants**: the object is the answer in its map form; what is signed is the ask inside it
//! as the older protocol's tuple.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTAskResponse);
//! filecoin-project/go-fil-markets `storagemarket/network/types_cbor_gen.go`,
//! `storagemarket/migrations/migrations.go` (StorageAsk0).

use serde_json::json;

use super::fields::Fields;
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, shape, storage_ask};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-fil-markets storagemarket/migrations/migrations.go",
    "a map with the signed ask; the ask as the older tuple is signed",
);
const TYPE: ObjectType = ObjectType::AskResponse;

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    read(&node, context).map_err(shape(TYPE))
}

fn read(node: &Node, context: &Context<'_>) -> Result<Parsed, ShapeError> {
    let answer = Fields::of_map("an answer with an ask", node, &["Ask"])?;
    let signed = Fields::of_map("a signed ask", answer.node("Ask"), &["Ask", "Signature"])?;
    if *signed.node("Signature") != Node::Null {
        signed.signature("Signature")?;
    }
    let (miner, shown, values) = storage_ask::read(signed.node("Ask"), context.network)?;
    let signing_bytes = Node::Array(values).encode();
    Ok(Parsed { to: Some(miner), ..Parsed::new(TYPE, signing_bytes, json!({ "Ask": shown })) })
}
