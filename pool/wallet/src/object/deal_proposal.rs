//! **Purpose**: the type `dealproposal`: a client's proposal of a storage deal.
//!
//! **Invariants**: the object's bytes are signed as they are. A proposal whose client is a key
//! address is signed by that key alone.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTDealProposal);
//! filecoin-project/go-state-types `builtin/v9/market/deal.go`; the crate
//! `fil_actor_market_state` 27.2 `v18/deal.rs`.

use hesper_chain::{Address, Network, Protocol, TokenAmount, address, amount, cid};
use serde_json::{Value, json};

use super::fields::{Fields, bad, wrong};
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-state-types builtin/v9/market/deal.go",
    "a tuple of 11 fields; the object itself is signed",
);
const TYPE: ObjectType = ObjectType::DealProposal;
const NAMES: [&str; 11] = [
    "PieceCID",
    "PieceSize",
    "VerifiedDeal",
    "Client",
    "Provider",
    "Label",
    "StartEpoch",
    "EndEpoch",
    "StoragePricePerEpoch",
    "ProviderCollateral",
    "ClientCollateral",
];

/// A proposal, as far as other types need it.
pub(super) struct Proposal {
    pub(super) shown: Value,
    pub(super) client: Address,
    pub(super) provider: Address,
    /// All that the client pays or locks.
    pub(super) cost: TokenAmount,
}

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    let proposal = read(&node, context.network).map_err(shape(TYPE))?;
    let is_key = matches!(proposal.client.protocol(), Protocol::Secp256k1 | Protocol::BLS);
    Ok(Parsed {
        signer: is_key.then_some(proposal.client),
        to: Some(proposal.provider),
        value: proposal.cost,
        ..Parsed::new(TYPE, node.encode(), proposal.shown)
    })
}

/// Reads a proposal wherever it stands.
pub(super) fn read(node: &Node, network: Network) -> Result<Proposal, ShapeError> {
    let fields = Fields::of_tuple("a deal proposal", node, &NAMES)?;
    let label = match fields.node("Label") {
        Node::Text(text) => json!(text),
        Node::Bytes(bytes) => json!({ "Hex": hex::encode(bytes) }),
        other => return Err(wrong("Label", "a text or a byte string", other)),
    };
    let (start, end) = (fields.epoch("StartEpoch")?, fields.epoch("EndEpoch")?);
    if end < start {
        return Err(bad("EndEpoch", "the deal ends before it starts"));
    }
    let price = fields.amount("StoragePricePerEpoch")?;
    let client_collateral = fields.amount("ClientCollateral")?;
    let client = fields.address("Client")?;
    let provider = fields.address("Provider")?;
    let shown = json!({
        "PieceCID": { "/": cid::format(&fields.cid("PieceCID")?) },
        "PieceSize": fields.unsigned("PieceSize")?,
        "VerifiedDeal": fields.boolean("VerifiedDeal")?,
        "Client": address::format(&client, network),
        "Provider": address::format(&provider, network),
        "Label": label,
        "StartEpoch": start,
        "EndEpoch": end,
        "StoragePricePerEpoch": amount::format_atto(&price),
        "ProviderCollateral": amount::format_atto(&fields.amount("ProviderCollateral")?),
        "ClientCollateral": amount::format_atto(&client_collateral),
    });
    let cost = client_collateral + price * (end - start);
    Ok(Proposal { shown, client, provider, cost })
}
