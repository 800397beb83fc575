//! **Purpose**: the type `drawrandomparam`: the VRF of a ticket or an election.
//!
//! **Invariants**: what is signed is a blake2b-256 digest that the wallet computed; only the two
//! domains in which the chain asks for a signature are accepted, and the entropy must be that of
//! their draw: the miner, for a ticket followed by the parent's ticket.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/draw_random_params.go` (a map with
//! the Go names in the order of declaration); filecoin-project/lotus `chain/rand/rand.go`,
//! `node/impl/full/state.go` and `miner/miner.go` for the entropy.

use hesper_chain::Address;
use hesper_chain::randomness::{DomainTag, draw};
use hesper_chain::{Protocol, address};
use serde_json::json;

use super::fields::{Fields, bad, wrong};
use super::node::Node;
use super::{Context, ObjectError, ObjectType, Parsed, ShapeError, shape};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/draw_random_params.go",
    "a map of Rbase, Pers (1 ticket, 2 election), Round, Entropy; the drawn randomness is signed",
);
const TYPE: ObjectType = ObjectType::DrawRandomParam;
/// A VRF proof is a BLS signature; the proof in a genesis ticket may be shorter.
const PROOF_BYTES_MAX: usize = 96;

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let node = Node::decode(object).map_err(shape(TYPE))?;
    read(&node, context).map_err(shape(TYPE))
}

fn read(node: &Node, context: &Context<'_>) -> Result<Parsed, ShapeError> {
    let names = ["Rbase", "Pers", "Round", "Entropy"];
    let fields = Fields::of_map("a draw of randomness", node, &names)?;
    let base = fields.bytes("Rbase")?;
    if base.is_empty() {
        return Err(bad("Rbase", "it is empty"));
    }
    let (tag, drawn) = match fields.unsigned("Pers")? {
        1 => (DomainTag::TicketProduction, "ticket"),
        2 => (DomainTag::ElectionProofProduction, "election"),
        _ => return Err(bad("Pers", "only tickets (1) and elections (2) are signed")),
    };
    let round = fields.epoch("Round")?;
    let entropy = fields.bytes("Entropy")?;
    let (miner, parent_ticket) = split_entropy(entropy)?;
    if drawn == "election" && !parent_ticket.is_empty() {
        return Err(bad("Entropy", "bytes follow the miner of an election"));
    }
    let shown = json!({
        "Rbase": hex::encode(base),
        "Pers": drawn,
        "Round": round,
        "Miner": address::format(&miner, context.network),
        "ParentTicket": hex::encode(parent_ticket),
    });
    let signing_bytes = draw(base, tag, round, entropy).to_vec();
    Ok(Parsed { to: Some(miner), ..Parsed::new(TYPE, signing_bytes, shown) })
}

/// The miner's address in CBOR, and what follows it.
fn split_entropy(entropy: &[u8]) -> Result<(Address, &[u8]), ShapeError> {
    // An f0 address has 2 to 11 bytes, so its CBOR head is one byte.
    let length = match entropy.first() {
        Some(head @ 0x42..=0x4b) => usize::from(head & 0x1f),
        _ => return Err(bad("Entropy", "it does not begin with the f0 address of a miner")),
    };
    let (Some(bytes), Some(rest)) = (entropy.get(1..=length), entropy.get(length + 1..)) else {
        return Err(wrong("Entropy", "the address of a miner", &Node::Null));
    };
    let miner = address::from_bytes(bytes).map_err(|error| bad("Entropy", error))?;
    if miner.protocol() != Protocol::ID {
        return Err(bad("Entropy", "the miner is not an f0 address"));
    }
    match rest.len() <= PROOF_BYTES_MAX {
        true => Ok((miner, rest)),
        false => Err(bad("Entropy", "more than a ticket follows the miner")),
    }
}
