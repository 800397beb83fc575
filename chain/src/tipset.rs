//! **Purpose**: tipsets: blocks of one height over the same parents, in the order that every node
//! agrees on, and their keys.
//!
//! **Invariants**: a tipset is never empty; its blocks have one height, the same parents in the
//! same order and the same facts about them; they are sorted by ticket digest, then by CID bytes;
//! no block and no miner is there twice. CBOR and JSON of a tipset state its CIDs and height too; they
//! must be the blocks' own.
//!
//! **Source**: Lotus `chain/types/tipset.go`, `tipset_key.go`. Lotus alone admits one miner twice
//! and drops such blocks while it assembles a tipset.

use std::collections::BTreeSet;

use ::cid::Cid;
use fvm_ipld_encoding::strict_bytes;
use fvm_shared::address::{Address, Network};
use fvm_shared::clock::ChainEpoch;
use num_bigint::BigInt;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::block::{BlockHeader, Ticket};
use crate::cbor::EncodeError;
use crate::cid::CidError;

/// Bytes of a chain object's CID.
const CID_BYTES: usize = 38;

/// The CIDs of a tipset's blocks, in tipset order. The empty key means "the current head".
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TipsetKey(Vec<Cid>);

/// A set of blocks that a miner may build on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tipset {
    blocks: Vec<BlockHeader>,
    key: TipsetKey,
}

/// Why blocks do not form a tipset.
#[derive(Debug, Error)]
pub enum TipsetError {
    #[error("a tipset needs at least one block")]
    Empty,
    #[error("block {0} has no ticket, so it has no place in a tipset")]
    NoTicket(Cid),
    #[error("block {cid} differs from the others of the tipset in its {field}")]
    Differs { cid: Cid, field: &'static str },
    #[error("block {0} is in the tipset twice")]
    BlockTwice(Cid),
    #[error("the miner {0} has two blocks in the tipset; it may make one per epoch")]
    MinerTwice(String),
    #[error("could not encode a block of the tipset")]
    Encode(#[from] EncodeError),
}

/// Why bytes are no tipset key.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("a tipset key of {0} bytes does not consist of CIDs of {CID_BYTES} bytes each")]
    Length(usize),
    #[error("the tipset key's CID number {index} is malformed")]
    Cid { index: usize, source: CidError },
    #[error("the tipset key's CID number {index} is not that of a block: {cid}")]
    NoBlock { index: usize, cid: Cid },
}

impl TipsetKey {
    #[must_use]
    pub fn new(cids: Vec<Cid>) -> Self {
        Self(cids)
    }

    #[must_use]
    pub fn cids(&self) -> &[Cid] {
        &self.0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The CIDs' bytes, one after the other.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(Cid::to_bytes).collect()
    }

    /// Reads back what [`TipsetKey::to_bytes`] gives.
    ///
    /// # Errors
    /// Anything but whole CIDs of blocks.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let chunks = bytes.chunks_exact(CID_BYTES);
        if !chunks.remainder().is_empty() {
            return Err(KeyError::Length(bytes.len()));
        }
        let read = |(index, chunk)| {
            let cid =
                crate::cid::from_bytes(chunk).map_err(|source| KeyError::Cid { index, source })?;
            if crate::cid::is_chain_object(&cid) {
                Ok(cid)
            } else {
                Err(KeyError::NoBlock { index, cid })
            }
        };
        chunks.enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The CID of the key itself: of a CBOR byte string that holds the key's bytes.
    #[must_use]
    pub fn cid(&self) -> Cid {
        let encoded = fvm_ipld_encoding::to_vec(self).expect("a byte string always encodes");
        crate::cid::of_cbor(&encoded)
    }
}

impl Serialize for TipsetKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        strict_bytes::Serialize::serialize(self.to_bytes().as_slice(), serializer)
    }
}

impl<'de> Deserialize<'de> for TipsetKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = strict_bytes::Deserialize::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(D::Error::custom)
    }
}

impl Serialize for Tipset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.cids(), &self.blocks, self.height()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tipset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (cids, blocks, height) =
            <(Vec<Cid>, Vec<BlockHeader>, ChainEpoch)>::deserialize(deserializer)?;
        let tipset = Self::new(blocks).map_err(D::Error::custom)?;
        if tipset.cids() != cids || tipset.height() != height {
            return Err(D::Error::custom("the CIDs or the height differ from the blocks' own"));
        }
        Ok(tipset)
    }
}

impl Tipset {
    /// Sorts blocks into a tipset.
    ///
    /// # Errors
    /// Blocks that cannot stand beside each other.
    pub fn new(blocks: Vec<BlockHeader>) -> Result<Self, TipsetError> {
        let mut sorted = Vec::with_capacity(blocks.len());
        for block in blocks {
            let cid = block.cid()?;
            let digest =
                block.ticket.as_ref().map(Ticket::digest).ok_or(TipsetError::NoTicket(cid))?;
            sorted.push((digest, cid.to_bytes(), cid, block));
        }
        sorted.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let cids: Vec<Cid> = sorted.iter().map(|(_, _, cid, _)| *cid).collect();
        let blocks: Vec<BlockHeader> = sorted.into_iter().map(|(_, _, _, block)| block).collect();
        check_together(&blocks, &cids)?;
        Ok(Self { blocks, key: TipsetKey(cids) })
    }

    #[must_use]
    pub fn key(&self) -> &TipsetKey {
        &self.key
    }

    #[must_use]
    pub fn cids(&self) -> &[Cid] {
        self.key.cids()
    }

    /// The blocks in tipset order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockHeader] {
        &self.blocks
    }

    #[must_use]
    pub fn height(&self) -> ChainEpoch {
        self.first().height
    }

    /// The key of the tipset that this one builds on.
    #[must_use]
    pub fn parents(&self) -> TipsetKey {
        TipsetKey(self.first().parents.clone())
    }

    #[must_use]
    pub fn parent_weight(&self) -> &BigInt {
        &self.first().parent_weight
    }

    /// The ticket from which chain randomness is drawn.
    #[must_use]
    pub fn min_ticket(&self) -> &Ticket {
        self.first().ticket.as_ref().expect("`new` admits no block without a ticket")
    }

    /// The earliest timestamp among the blocks, in seconds.
    #[must_use]
    pub fn min_timestamp(&self) -> u64 {
        self.blocks.iter().map(|block| block.timestamp).fold(u64::MAX, u64::min)
    }

    fn first(&self) -> &BlockHeader {
        self.blocks.first().expect("`new` admits no empty tipset")
    }
}

fn check_together(blocks: &[BlockHeader], cids: &[Cid]) -> Result<(), TipsetError> {
    let first = blocks.first().ok_or(TipsetError::Empty)?;
    let mut miners: BTreeSet<Address> = BTreeSet::new();
    let mut seen: BTreeSet<Cid> = BTreeSet::new();
    for (block, &cid) in blocks.iter().zip(cids) {
        let same = [
            ("height", block.height == first.height),
            ("parents", block.parents == first.parents),
            ("parent weight", block.parent_weight == first.parent_weight),
            ("parent state", block.parent_state_root == first.parent_state_root),
            ("parent receipts", block.parent_message_receipts == first.parent_message_receipts),
            ("parent base fee", block.parent_base_fee == first.parent_base_fee),
        ];
        if let Some((field, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(TipsetError::Differs { cid, field });
        }
        if !seen.insert(cid) {
            return Err(TipsetError::BlockTwice(cid));
        }
        if !miners.insert(block.miner) {
            let miner = crate::address::format(&block.miner, Network::Mainnet);
            return Err(TipsetError::MinerTwice(miner));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
