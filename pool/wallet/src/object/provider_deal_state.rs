//! **Purpose**: the type `providerdealstate`: a provider tells a client how a deal stands.
//!
//! **Invariants**: the object's bytes are signed as they are; keys stand in the order of
//! declaration.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go`
//! (MTProviderDealState); filecoin-project/go-fil-markets `storagemarket/types.go`,
//! `types_cbor_gen.go` (map encoding).

use hesper_chain::cid;
use serde_json::{Value, json};

use super::fields::Fields;
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, deal_proposal, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-fil-markets storagemarket/types_cbor_gen.go",
    "a map of 8 keys in the order of declaration; the object itself is signed",
);
const TYPE: ObjectType = ObjectType::ProviderDealState;
const NAMES: [&str; 8] = [
    "State",
    "Message",
    "Proposal",
    "ProposalCid",
    "AddFundsCid",
    "PublishCid",
    "DealID",
    "FastRetrieval",
];

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    read(&node, context).map_err(shape(TYPE))
}

fn read(node: &Node, context: &Context<'_>) -> Result<Parsed, ShapeError> {
    let fields = Fields::of_map("the state of a deal", node, &NAMES)?;
    let (to, proposal) = match fields.node("Proposal") {
        Node::Null => (None, Value::Null),
        proposal => {
            let proposal = deal_proposal::read(proposal, context.network)?;
            (Some(proposal.provider), proposal.shown)
        }
    };
    let link = |field| -> Result<Value, ShapeError> {
        let found = fields.optional_cid(field)?;
        Ok(found.map_or(Value::Null, |found| json!({ "/": cid::format(&found) })))
    };
    let shown = json!({
        "State": fields.unsigned("State")?,
        "Message": fields.text("Message")?,
        "Proposal": proposal,
        "ProposalCid": link("ProposalCid")?,
        "AddFundsCid": link("AddFundsCid")?,
        "PublishCid": link("PublishCid")?,
        "DealID": fields.unsigned("DealID")?,
        "FastRetrieval": fields.boolean("FastRetrieval")?,
    });
    Ok(Parsed { to, ..Parsed::new(TYPE, node.encode(), shown) })
}
