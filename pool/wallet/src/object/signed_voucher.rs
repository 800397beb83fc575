//! **Purpose**: the type `signedvoucher`: a voucher of a payment channel.
//!
//! **Invariants**: what is signed is the voucher with a null signature.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTSignedVoucher);
//! filecoin-project/go-state-types `builtin/v8/paych/paych_types.go` (SigningBytes); the crate
//! `fil_actor_paych_state` 27.2 `v18/types.rs`.

use hesper_chain::{address, amount};
use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-state-types builtin/v8/paych/paych_types.go",
    "a tuple of 11 fields; the tuple with a null signature is signed",
);
const TYPE: ObjectType = ObjectType::SignedVoucher;
const NAMES: [&str; 11] = [
    "ChannelAddr",
    "TimeLockMin",
    "TimeLockMax",
    "SecretHash",
    "Extra",
    "Lane",
    "Nonce",
    "Amount",
    "MinSettleHeight",
    "Merges",
    "Signature",
];

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    read(&node, context).map_err(shape(TYPE))
}

fn read(node: &Node, context: &Context<'_>) -> Result<Parsed, ShapeError> {
    let fields = Fields::of_tuple("a voucher", node, &NAMES)?;
    if *fields.node("Signature") != Node::Null {
        fields.signature("Signature")?;
    }
    let channel = fields.address("ChannelAddr")?;
    let value = fields.amount("Amount")?;
    let shown = json!({
        "ChannelAddr": address::format(&channel, context.network),
        "TimeLockMin": fields.epoch("TimeLockMin")?,
        "TimeLockMax": fields.epoch("TimeLockMax")?,
        "SecretHash": hex::encode(fields.bytes("SecretHash")?),
        "Extra": extra(fields.node("Extra"), context)?,
        "Lane": fields.unsigned("Lane")?,
        "Nonce": fields.unsigned("Nonce")?,
        "Amount": amount::format_atto(&value),
        "MinSettleHeight": fields.epoch("MinSettleHeight")?,
        "Merges": merges(fields.node("Merges"))?,
    });
    let mut unsigned: Vec<Node> = NAMES.iter().map(|name| fields.node(name).clone()).collect();
    unsigned[NAMES.len() - 1] = Node::Null;
    let signing_bytes = Node::Array(unsigned).encode();
    Ok(Parsed { to: Some(channel), value, ..Parsed::new(TYPE, signing_bytes, shown) })
}

fn extra(node: &Node, context: &Context<'_>) -> Result<Value, ShapeError> {
    if *node == Node::Null {
        return Ok(Value::Null);
    }
    let fields = Fields::of_tuple("a voucher's Extra", node, &["Actor", "Method", "Data"])?;
    Ok(json!({
        "Actor": address::format(&fields.address("Actor")?, context.network),
        "Method": fields.unsigned("Method")?,
        "Data": hex::encode(fields.bytes("Data")?),
    }))
}

fn merges(node: &Node) -> Result<Value, ShapeError> {
    let Node::Array(items) = node else {
        return Err(wrong("Merges", "an array", node));
    };
    let read = |item| {
        let fields = Fields::of_tuple("a merge", item, &["Lane", "Nonce"])?;
        Ok(json!({ "Lane": fields.unsigned("Lane")?, "Nonce": fields.unsigned("Nonce")? }))
    };
    items.iter().map(read).collect()
}
