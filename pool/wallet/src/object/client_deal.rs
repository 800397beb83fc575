//! **Purpose**: the type `clientdeal`: a client asks for the state of a deal that it proposed.
//!
//! **Invariants**: the object is the signed proposal; the bytes of its CID (CIDv1, DAG-CBOR,
//! SHA-256) are signed, which no message has, since those are hashed by blake2b.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTClientDeal);
//! filecoin-project/go-cbor-util `rpc.go` (AsIpld) with go-ipld-cbor's default hash;
//! filecoin-project/go-state-types `builtin/v9/market/market_types.go`.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::fields::Fields;
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, deal_proposal, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/go-cbor-util rpc.go",
    "a tuple of proposal and signature; its CID (SHA-256) is signed",
);
const TYPE: ObjectType = ObjectType::ClientDeal;
/// CIDv1, DAG-CBOR, SHA-256 with 32 bytes.
const CID_PREFIX: [u8; 4] = [0x01, 0x71, 0x12, 0x20];

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    let fields =
        Fields::of_tuple("a signed deal proposal", &node, &["Proposal", "ClientSignature"])
            .map_err(shape(TYPE))?;
    let proposal =
        deal_proposal::read(fields.node("Proposal"), context.network).map_err(shape(TYPE))?;
    let (kind, data) = fields.signature("ClientSignature").map_err(shape(TYPE))?;
    let shown = json!({
        "Proposal": proposal.shown,
        "ClientSignature": { "Type": kind, "Hex": hex::encode(data) },
    });
    let mut signing_bytes = CID_PREFIX.to_vec();
    signing_bytes.extend_from_slice(&Sha256::digest(node.encode()));
    Ok(Parsed { to: Some(proposal.provider), ..Parsed::new(TYPE, signing_bytes, shown) })
}
