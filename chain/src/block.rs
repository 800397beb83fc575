//! **Purpose**: block headers and their parts, the gossip form of a block, and the root under
//! which a header names its messages.
//!
//! **Invariants**: a header's CID is that of its canonical bytes, signature included; the signed
//! bytes are the same tuple with the signature null.
//!
//! **Source**: Lotus `chain/types/blockheader.go`, `blockmsg.go`, `chain/consensus/common.go`.

use std::collections::BTreeSet;

use ::cid::Cid;
use fvm_ipld_amt::Amtv0;
use fvm_ipld_blockstore::MemoryBlockstore;
use fvm_ipld_encoding::strict_bytes;
use fvm_ipld_encoding::tuple::*;
use fvm_shared::address::{Address, Protocol};
use fvm_shared::bigint::bigint_ser;
use fvm_shared::clock::ChainEpoch;
use fvm_shared::econ::TokenAmount;
use num_bigint::BigInt;
use thiserror::Error;

use crate::address;
use crate::cbor::{self, DecodeError, EncodeError};
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX};
use crate::signature::Signature;

/// Bit width of the arrays that hold a block's message CIDs.
const MESSAGES_BIT_WIDTH: u32 = 3;

/// The ticket of a block: a VRF proof whose digest orders a tipset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize_tuple, Deserialize_tuple)]
pub struct Ticket {
    #[serde(with = "strict_bytes")]
    pub vrf_proof: Vec<u8>,
}

/// How often a miner won an epoch, and the VRF proof of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize_tuple, Deserialize_tuple)]
pub struct ElectionProof {
    pub win_count: i64,
    #[serde(with = "strict_bytes")]
    pub vrf_proof: Vec<u8>,
}

/// One round of the drand beacon; `data` is the raw signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize_tuple, Deserialize_tuple)]
pub struct BeaconEntry {
    pub round: u64,
    #[serde(with = "strict_bytes")]
    pub data: Vec<u8>,
}

/// A winning or window PoSt proof and the number of its registered type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize_tuple, Deserialize_tuple)]
pub struct PoStProof {
    pub proof_type: i64,
    #[serde(with = "strict_bytes")]
    pub bytes: Vec<u8>,
}

/// A block header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct BlockHeader {
    pub miner: Address,
    pub ticket: Option<Ticket>,
    pub election_proof: Option<ElectionProof>,
    pub beacon_entries: Vec<BeaconEntry>,
    pub win_post_proof: Vec<PoStProof>,
    pub parents: Vec<Cid>,
    #[serde(with = "bigint_ser")]
    pub parent_weight: BigInt,
    pub height: ChainEpoch,
    pub parent_state_root: Cid,
    pub parent_message_receipts: Cid,
    /// The CID of the block's [`MsgMeta`].
    pub messages: Cid,
    pub bls_aggregate: Option<Signature>,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    pub block_sig: Option<Signature>,
    pub fork_signaling: u64,
    pub parent_base_fee: TokenAmount,
}

/// The roots of a block's two lists of messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct MsgMeta {
    pub bls_message_root: Cid,
    pub secp_message_root: Cid,
}

/// A block as gossip carries it: the header and the CIDs of its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct BlockMsg {
    pub header: BlockHeader,
    pub bls_messages: Vec<Cid>,
    pub secp_messages: Vec<Cid>,
}

/// Why a header cannot be a block of the chain, as far as the header itself tells.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    #[error("the header's miner is no f0 address, or its id is over 63 bits")]
    Miner,
    #[error("the header lacks its {0}")]
    Missing(&'static str),
    #[error("the header's height is {0}; only the genesis block has 0, and none has less")]
    Height(ChainEpoch),
    #[error("the header's {0} is negative")]
    Negative(&'static str),
    #[error("the header claims {0} wins; a block needs at least one")]
    WinCount(i64),
    #[error("the header names the parent {0} twice")]
    ParentTwice(Cid),
}

/// The root over a block's messages could not be built.
#[derive(Debug, Error)]
#[error("could not build the root over {count} message CIDs in memory")]
pub struct MsgMetaError {
    count: usize,
    source: fvm_ipld_amt::Error,
}

impl Ticket {
    /// The digest by which tickets are ordered.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let hash = blake2b_simd::Params::new().hash_length(32).hash(&self.vrf_proof);
        hash.as_bytes().try_into().expect("the hash length is set to 32")
    }
}

impl BlockHeader {
    /// The canonical bytes, signature included.
    ///
    /// # Errors
    /// A big integer over 128 bytes, or a signature over 200.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        cbor::encode(self)
    }

    /// The block's CID.
    ///
    /// # Errors
    /// As [`BlockHeader::encode`].
    pub fn cid(&self) -> Result<Cid, EncodeError> {
        self.encode().map(|bytes| crate::cid::of_cbor(&bytes))
    }

    /// What the worker key signs: the header with its signature null.
    ///
    /// # Errors
    /// As [`BlockHeader::encode`].
    pub fn signing_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        Self { block_sig: None, ..self.clone() }.encode()
    }

    /// Decodes a header from exactly its canonical bytes.
    ///
    /// # Errors
    /// Anything else, and a miner id over 63 bits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        check_length(bytes)?;
        let header: Self = cbor::decode_canonical(bytes)?;
        check_miner(&header.miner)?;
        Ok(header)
    }

    /// Checks what every block but the genesis block must have.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn check(&self) -> Result<(), HeaderError> {
        if self.miner.protocol() != Protocol::ID || address::check(&self.miner).is_err() {
            return Err(HeaderError::Miner);
        }
        let Some(election_proof) = &self.election_proof else {
            return Err(HeaderError::Missing("election proof"));
        };
        let parts = [
            ("ticket", self.ticket.is_some()),
            ("aggregate signature", self.bls_aggregate.is_some()),
            ("signature", self.block_sig.is_some()),
            ("parents", !self.parents.is_empty()),
            ("winning PoSt", !self.win_post_proof.is_empty()),
        ];
        for (part, there) in parts {
            if !there {
                return Err(HeaderError::Missing(part));
            }
        }
        if self.height < 1 {
            return Err(HeaderError::Height(self.height));
        }
        if election_proof.win_count < 1 {
            return Err(HeaderError::WinCount(election_proof.win_count));
        }
        if self.parent_weight.sign() == num_bigint::Sign::Minus {
            return Err(HeaderError::Negative("parent weight"));
        }
        if self.parent_base_fee.is_negative() {
            return Err(HeaderError::Negative("parent base fee"));
        }
        let mut seen = BTreeSet::new();
        for parent in &self.parents {
            if !seen.insert(parent) {
                return Err(HeaderError::ParentTwice(*parent));
            }
        }
        Ok(())
    }
}

impl MsgMeta {
    /// The CID that a header names.
    ///
    /// # Errors
    /// Does not happen for CIDs that were decoded.
    pub fn cid(&self) -> Result<Cid, EncodeError> {
        cbor::encode(self).map(|bytes| crate::cid::of_cbor(&bytes))
    }
}

impl BlockMsg {
    /// The canonical bytes.
    ///
    /// # Errors
    /// As [`BlockHeader::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        cbor::encode(self)
    }

    /// Decodes the gossip form from exactly its canonical bytes.
    ///
    /// # Errors
    /// Anything else, a miner id over 63 bits, and more messages than a block may have.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        check_length(bytes)?;
        let block: Self = cbor::decode_canonical(bytes)?;
        check_miner(&block.header.miner)?;
        let messages = block.bls_messages.len() + block.secp_messages.len();
        if messages > BLOCK_MESSAGES_MAX {
            let limit = BLOCK_MESSAGES_MAX;
            return Err(DecodeError::TooManyMessages { count: messages, limit });
        }
        Ok(block)
    }
}

/// The CID of the [`MsgMeta`] over a block's messages: CIDs of messages with BLS signatures, and
/// CIDs of signed messages with the other ones, each in the block's order.
///
/// # Errors
/// Does not happen in memory; the tree's own error is passed on.
pub fn msg_meta_root(bls: &[Cid], secp: &[Cid]) -> Result<Cid, MsgMetaError> {
    let store = MemoryBlockstore::default();
    let root = |cids: &[Cid]| {
        Amtv0::<Cid, _>::new_from_iter_with_bit_width(
            &store,
            MESSAGES_BIT_WIDTH,
            cids.iter().copied(),
        )
        .map_err(|source| MsgMetaError { count: cids.len(), source })
    };
    let meta = MsgMeta { bls_message_root: root(bls)?, secp_message_root: root(secp)? };
    Ok(meta.cid().expect("two CIDs always encode"))
}

fn check_length(bytes: &[u8]) -> Result<(), DecodeError> {
    match bytes.len() {
        length if length > BLOCK_BYTES_MAX => {
            Err(DecodeError::TooLong { length, limit: BLOCK_BYTES_MAX })
        }
        _ => Ok(()),
    }
}

fn check_miner(miner: &Address) -> Result<(), DecodeError> {
    address::check(miner).map_err(|source| DecodeError::Address { wanted: "BlockHeader", source })
}

#[cfg(test)]
mod tests;
