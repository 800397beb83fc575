//! **Purpose**: the draw of randomness for one purpose, epoch and actor out of a beacon entry or a
//! ticket.
//!
//! **Invariants**: the same inputs give the same 32 bytes on every node; two purposes never share
//! a draw, because the tag is part of what is hashed.
//!
//! **Source**: Filecoin specification, "Randomness"; Lotus `chain/rand/rand.go`; tags of
//! go-state-types `crypto/randomness.go`.

use fvm_shared::address::Address;
use fvm_shared::clock::ChainEpoch;

use crate::hash::blake2b_256;

/// What randomness is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i64)]
pub enum DomainTag {
    TicketProduction = 1,
    ElectionProofProduction = 2,
    WinningPoStChallengeSeed = 3,
    WindowedPoStChallengeSeed = 4,
    SealRandomness = 5,
    InteractiveSealChallengeSeed = 6,
    WindowedPoStDeadlineAssignment = 7,
    MarketDealCronSeed = 8,
    PoStChainCommit = 9,
}

impl DomainTag {
    /// All tags, by number.
    pub const ALL: [Self; 9] = [
        Self::TicketProduction,
        Self::ElectionProofProduction,
        Self::WinningPoStChallengeSeed,
        Self::WindowedPoStChallengeSeed,
        Self::SealRandomness,
        Self::InteractiveSealChallengeSeed,
        Self::WindowedPoStDeadlineAssignment,
        Self::MarketDealCronSeed,
        Self::PoStChainCommit,
    ];

    /// The number that is hashed.
    pub const fn code(self) -> i64 {
        self as i64
    }

    /// The tag with this number.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| tag.code() == code)
    }
}

/// How many epochs before the new block the round of its ticket lies.
const TICKET_LOOKBACK: ChainEpoch = 1;

/// Draws from a base that is hashed first: a beacon entry's data or a ticket's proof.
pub fn draw(base: &[u8], tag: DomainTag, round: ChainEpoch, entropy: &[u8]) -> [u8; 32] {
    draw_from_digest(&blake2b_256(base), tag, round, entropy)
}

/// Draws from the digest of a base, which is what nodes of newer versions hand out.
pub fn draw_from_digest(
    digest: &[u8; 32],
    tag: DomainTag,
    round: ChainEpoch,
    entropy: &[u8],
) -> [u8; 32] {
    let mut input = Vec::with_capacity(48 + entropy.len());
    input.extend_from_slice(&tag.code().to_be_bytes());
    input.extend_from_slice(digest);
    input.extend_from_slice(&round.to_be_bytes());
    input.extend_from_slice(entropy);
    blake2b_256(&input)
}

/// The CBOR form of an address, which is the entropy of every draw for an actor.
pub fn address_entropy(actor: &Address) -> Vec<u8> {
    fvm_ipld_encoding::to_vec(actor).expect("an address is a short byte string")
}

/// What a miner's VRF proves for the election of `height`.
pub fn election_input(beacon: &[u8], height: ChainEpoch, miner: &Address) -> [u8; 32] {
    draw(beacon, DomainTag::ElectionProofProduction, height, &address_entropy(miner))
}

/// What a miner's VRF proves for the ticket of a block at `height`. `parent_ticket` is the proof of
/// the parent's smallest ticket; it is absent up to the network's Smoke height.
pub fn ticket_input(
    beacon: &[u8],
    height: ChainEpoch,
    miner: &Address,
    parent_ticket: Option<&[u8]>,
) -> [u8; 32] {
    let mut entropy = address_entropy(miner);
    entropy.extend_from_slice(parent_ticket.unwrap_or_default());
    let round = height.saturating_sub(TICKET_LOOKBACK);
    draw(beacon, DomainTag::TicketProduction, round, &entropy)
}

/// The challenge seed of the winning PoSt of a block at `height`.
pub fn winning_post_seed(beacon: &[u8], height: ChainEpoch, miner: &Address) -> [u8; 32] {
    draw(beacon, DomainTag::WinningPoStChallengeSeed, height, &address_entropy(miner))
}
