//! **Purpose**: the randomness beacon: which round belongs to an epoch, and whether an entry is
//! genuine.
//!
//! **Invariants**
//! - An entry is checked against the group key alone; no server is trusted.
//! - A chained entry is bound to the signature before it, an unchained one to its round only.
//!
//! **Source**: drand specification (chained and `bls-unchained-g1-rfc9380` schemes); FIP-0063 (change
//! to quicknet); Lotus `chain/beacon`, `build/buildconstants/drand.go`.

use blst::BLST_ERROR;
use blst::min_sig;
use fvm_shared::clock::ChainEpoch;
use serde::Deserialize;

use crate::block::BeaconEntry;
use crate::bls::{self, BlsError};
use crate::hash::sha_256;

/// The hash-to-curve tag of signatures in G1.
const DST_G1: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

const SCHEME_CHAINED: &str = "pedersen-bls-chained";
const SCHEME_UNCHAINED_G1: &str = "bls-unchained-g1-rfc9380";

/// The group key of a beacon; its type is the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKey {
    /// Key in G1, signatures in G2, each over the signature before it.
    Chained([u8; 48]),
    /// Key in G2, signatures in G1 (RFC 9380 hashing), each over its round alone.
    Unchained([u8; 96]),
}

/// What one must know of a beacon to check its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainInfo {
    pub key: GroupKey,
    /// Seconds between rounds.
    pub period_s: u64,
    /// Unix time of round 1.
    pub genesis_s: u64,
    /// The name under which servers know the beacon.
    pub hash: [u8; 32],
}

/// Why a beacon description, a round or an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrandError {
    #[error("the beacon description is not the JSON of drand's /info: {0}")]
    Json(String),
    #[error("the beacon scheme `{0}` is not supported; use a chained beacon or quicknet")]
    Scheme(String),
    #[error("field {0} of the beacon description is malformed")]
    Field(&'static str),
    #[error("epoch {0} has no beacon round: it lies before the beacon or out of range")]
    Epoch(ChainEpoch),
    #[error("the group key of the beacon is not a valid curve point; correct the configuration")]
    Key,
    #[error("entry of round {round} has a signature of {found} bytes instead of {expected}")]
    Length { round: u64, found: usize, expected: usize },
    #[error("the signature before round {round} has {found} bytes instead of 96")]
    Previous { round: u64, found: usize },
    #[error("entry of round {round} is not genuine: {source}")]
    Signature { round: u64, source: BlsError },
    #[error("the block has {found} beacon entries instead of {expected}")]
    Count { found: usize, expected: usize },
    #[error("beacon entry {position} is of round {found}, but epoch {epoch} needs {expected}")]
    Round { position: usize, found: u64, expected: u64, epoch: ChainEpoch },
    #[error("no beacon is scheduled for epoch {0}")]
    Schedule(ChainEpoch),
}

/// The parts of drand's `/info` answer that matter here.
#[derive(Deserialize)]
struct InfoJson {
    public_key: String,
    period: u64,
    genesis_time: u64,
    hash: String,
    #[serde(rename = "schemeID", default)]
    scheme: Option<String>,
}

impl ChainInfo {
    /// The League of Entropy's chained mainnet, used from Smoke up to Phoenix.
    pub fn mainnet() -> Self {
        Self {
            key: GroupKey::Chained(constant(
                "868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a5699\
                 37c529eeda66c7293784a9402801af31",
            )),
            period_s: 30,
            genesis_s: 1_595_431_050,
            hash: constant("8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce"),
        }
    }

    /// The incentivised test network's beacon, used by mainnet before Smoke.
    pub fn incentinet() -> Self {
        Self {
            key: GroupKey::Chained(constant(
                "8cad0c72c606ab27d36ee06de1d5b2db1faf92e447025ca37575ab3a8aac2eaa\
                 e83192f846fc9e158bc738423753d000",
            )),
            period_s: 30,
            genesis_s: 1_595_873_820,
            hash: constant("80c8b872c714f4c00fdd3daa465d5514049f457f01f85a4caf68cdcd394ba039"),
        }
    }

    /// The unchained quicknet, used since Phoenix.
    pub fn quicknet() -> Self {
        Self {
            key: GroupKey::Unchained(constant(
                "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c\
                 8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb\
                 5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
            )),
            period_s: 3,
            genesis_s: 1_692_803_367,
            hash: constant("52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971"),
        }
    }

    /// Reads the answer of a drand server to `/info`.
    ///
    /// # Errors
    /// On a malformed field or a scheme that Filecoin does not use.
    pub fn from_json(text: &str) -> Result<Self, DrandError> {
        let info: InfoJson =
            serde_json::from_str(text).map_err(|error| DrandError::Json(error.to_string()))?;
        if info.period == 0 {
            return Err(DrandError::Field("period"));
        }
        let key = match info.scheme.as_deref().unwrap_or(SCHEME_CHAINED) {
            SCHEME_CHAINED => GroupKey::Chained(field("public_key", &info.public_key)?),
            SCHEME_UNCHAINED_G1 => GroupKey::Unchained(field("public_key", &info.public_key)?),
            other => return Err(DrandError::Scheme(other.to_owned())),
        };
        let hash = field("hash", &info.hash)?;
        Ok(Self { key, period_s: info.period, genesis_s: info.genesis_time, hash })
    }

    /// Whether each entry is bound to the one before.
    pub fn is_chained(&self) -> bool {
        matches!(self.key, GroupKey::Chained(_))
    }

    /// The newest round that a block at the given time may need. `counts_from_one` is true from
    /// network version 16 on; before it the round was one less.
    ///
    /// # Errors
    /// [`DrandError::Epoch`] when there is none.
    pub fn round_at(
        &self,
        clock: EpochClock,
        epoch: ChainEpoch,
        counts_from_one: bool,
    ) -> Result<u64, DrandError> {
        let none = DrandError::Epoch(epoch);
        // The randomness of an epoch comes from the round at the start of the epoch before.
        let time = u64::try_from(epoch)
            .ok()
            .and_then(|epoch| epoch.checked_mul(clock.block_delay_s))
            .and_then(|offset| offset.checked_add(clock.genesis_s))
            .and_then(|time| time.checked_sub(clock.block_delay_s))
            .ok_or(none.clone())?;
        match (time.checked_sub(self.genesis_s), counts_from_one) {
            (Some(since), true) => Ok(since / self.period_s.max(1) + 1),
            (Some(since), false) => Ok(since / self.period_s.max(1)),
            (None, true) => Ok(1),
            (None, false) => Err(none),
        }
    }
}

/// When epochs of a chain begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochClock {
    /// Unix time of the genesis block.
    pub genesis_s: u64,
    /// Seconds per epoch.
    pub block_delay_s: u64,
}

/// Checks one entry. `previous` is the data of the entry of the round before; an unchained beacon
/// does not look at it.
///
/// # Errors
/// On a wrong length or a signature that does not fit.
pub fn verify(info: &ChainInfo, previous: &[u8], entry: &BeaconEntry) -> Result<(), DrandError> {
    let round = entry.round;
    let found = entry.data.len();
    let refused = |source| DrandError::Signature { round, source };
    match &info.key {
        GroupKey::Chained(key) => {
            if previous.len() != 96 {
                return Err(DrandError::Previous { round, found: previous.len() });
            }
            let signature = entry.data.as_slice().try_into().map_err(|_| DrandError::Length {
                round,
                found,
                expected: 96,
            })?;
            let message = sha_256(&[previous, &round.to_be_bytes()].concat());
            match bls::verify(key, &message, signature) {
                Err(BlsError::PublicKey) => Err(DrandError::Key),
                outcome => outcome.map_err(refused),
            }
        }
        GroupKey::Unchained(key) => {
            if found != 48 {
                return Err(DrandError::Length { round, found, expected: 48 });
            }
            let key = min_sig::PublicKey::key_validate(key).map_err(|_| DrandError::Key)?;
            let signature = min_sig::Signature::sig_validate(&entry.data, true)
                .map_err(|_| refused(BlsError::Signature))?;
            let message = sha_256(&round.to_be_bytes());
            match signature.verify(false, &message, DST_G1, &[], &key, false) {
                BLST_ERROR::BLST_SUCCESS => Ok(()),
                _ => Err(refused(BlsError::Mismatch)),
            }
        }
    }
}

/// Which beacon serves from which epoch on, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(pub Vec<(ChainEpoch, ChainInfo)>);

impl Schedule {
    /// The beacon for an epoch, with the epoch it serves from.
    ///
    /// # Errors
    /// [`DrandError::Schedule`] before the first.
    pub fn at(&self, epoch: ChainEpoch) -> Result<(ChainEpoch, &ChainInfo), DrandError> {
        self.0
            .iter()
            .rev()
            .find(|(start, _)| epoch >= *start)
            .map(|(start, info)| (*start, info))
            .ok_or(DrandError::Schedule(epoch))
    }

    /// Checks the beacon entries of a block at `height` whose parent is at `parent_height` and had
    /// `previous` as its latest entry.
    ///
    /// # Errors
    /// When an entry is missing, superfluous, of a wrong round or not genuine.
    pub fn verify_block_entries(
        &self,
        clock: EpochClock,
        counts_from_one: bool,
        height: ChainEpoch,
        parent_height: ChainEpoch,
        previous: &BeaconEntry,
        entries: &[BeaconEntry],
    ) -> Result<(), DrandError> {
        let (since, info) = self.at(height)?;
        let (parent_since, _) = self.at(parent_height)?;
        if since != parent_since && info.is_chained() {
            // A chain that changes to another chained beacon brings the entry to start from along.
            let [first, second] = entries else {
                return Err(DrandError::Count { found: entries.len(), expected: 2 });
            };
            return verify(info, &first.data, second);
        }
        let newest = info.round_at(clock, height, counts_from_one)?;
        if newest == previous.round {
            return match entries {
                [] => Ok(()),
                _ => Err(DrandError::Count { found: entries.len(), expected: 0 }),
            };
        }
        let Some(last) = entries.last() else {
            return Err(DrandError::Count { found: 0, expected: 1 });
        };
        if info.is_chained() && previous.round == 0 {
            // The first block after genesis has nothing to be bound to.
            return Ok(());
        }
        let position = entries.len() - 1;
        expect_round(position, last.round, newest, height)?;
        if !info.is_chained() {
            let expected = height
                .checked_sub(parent_height)
                .and_then(|gap| usize::try_from(gap).ok())
                .unwrap_or(0);
            if entries.len() != expected {
                return Err(DrandError::Count { found: entries.len(), expected });
            }
            for (position, (entry, epoch)) in
                entries.iter().zip(parent_height.saturating_add(1)..=height).enumerate()
            {
                let round = info.round_at(clock, epoch, counts_from_one)?;
                expect_round(position, entry.round, round, epoch)?;
            }
        }
        let mut before = previous;
        for entry in entries {
            verify(info, &before.data, entry)?;
            before = entry;
        }
        Ok(())
    }
}

fn expect_round(
    position: usize,
    found: u64,
    expected: u64,
    epoch: ChainEpoch,
) -> Result<(), DrandError> {
    if found == expected {
        Ok(())
    } else {
        Err(DrandError::Round { position, found, expected, epoch })
    }
}

fn field<const N: usize>(name: &'static str, text: &str) -> Result<[u8; N], DrandError> {
    let bytes = hex::decode(text).map_err(|_| DrandError::Field(name))?;
    bytes.try_into().map_err(|_| DrandError::Field(name))
}

fn constant<const N: usize>(text: &str) -> [u8; N] {
    field("constant", text).expect("the constants of this module have the right length")
}
