//! **Purpose**: the type `block`: the header of a block.
//!
//! **Invariants**: the object is the header with a null signature, and these same bytes are
//! signed. Miner, epoch and parents are handed on, so that a second block can be refused.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTBlock) and
//! `venus-shared/types/block_header.go` (SignatureData); filecoin-project/lotus
//! `chain/types/blockheader.go`.

use hesper_chain::Protocol;
use hesper_chain::block::BlockHeader;
use hesper_chain::cid;
use hesper_chain::json::LotusJson;
use hesper_chain::tipset::TipsetKey;

use super::{BlockFacts, Context, ObjectError, ObjectType, Parsed, chain};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/lotus chain/types/blockheader.go",
    "the header with a null signature; a second one for its epoch or parents is refused",
);
const TYPE: ObjectType = ObjectType::Block;

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let header = BlockHeader::decode(object).map_err(|error| chain(TYPE)(&error))?;
    let refused = |what| Err(ObjectError::NotSane { object_type: TYPE, what });
    if header.block_sig.is_some() {
        return refused("the header is signed already");
    }
    if header.miner.protocol() != Protocol::ID {
        return refused("its miner is not an f0 address");
    }
    if header.height <= 0 || header.parents.is_empty() {
        return refused("it has no parents; only the genesis block may be so");
    }
    if header.ticket.is_none() || header.election_proof.is_none() {
        return refused("it has no ticket or no election proof");
    }
    let signing_bytes = header.signing_bytes().map_err(|error| chain(TYPE)(&error))?;
    let facts = BlockFacts {
        miner: header.miner,
        epoch: header.height,
        parents: TipsetKey::new(header.parents.clone()).to_bytes(),
        header: cid::of_cbor(&signing_bytes),
    };
    Ok(Parsed {
        to: Some(header.miner),
        block: Some(facts),
        ..Parsed::new(TYPE, signing_bytes, header.to_lotus_json_on(context.network))
    })
}
