//! **Purpose**: the parameters in which the networks differ.
//!
//! **Invariants**: upgrades are ascending in version; an upgrade at epoch h is in force from h + 1
//! on, because h itself still runs the old version.
//!
//! **Source**: Lotus `build/buildconstants/params_{mainnet,calibnet,2k}.go`; heights also in Forest
//! `src/networks`.

use fvm_shared::address::Network;
use fvm_shared::clock::ChainEpoch;

use crate::deadline::{DeadlineParams, STANDARD};
use crate::drand::{ChainInfo, EpochClock, Schedule};

/// From this version on the beacon's rounds are counted from one.
const VERSION_SKYR: u32 = 16;

/// The parameters of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkParams {
    /// Name in the genesis block, part of topic names; `None` where each network has its own.
    pub name: Option<&'static str>,
    /// Prefix of address texts.
    pub prefix: Network,
    /// EIP-155 chain id.
    pub eth_chain_id: u64,
    /// Genesis time and length of an epoch.
    pub clock: EpochClock,
    /// Version in force at genesis.
    pub genesis_version: u32,
    /// Last epoch of the version before, and the version that follows; without versions that were
    /// in force before genesis.
    pub upgrades: Vec<(ChainEpoch, u32)>,
    /// Last epoch at which tickets ignore the parent's ticket and the first base fee rule holds.
    pub smoke_height: ChainEpoch,
    /// First tipset whose successor's base fee follows the premium rule.
    pub firehorse_height: ChainEpoch,
    pub drand: Schedule,
    pub deadlines: DeadlineParams,
    /// Quality adjusted power below which a miner cannot win, in bytes.
    pub consensus_power_min: u64,
    /// Epochs between a pre-commit and its interactive challenge.
    pub pre_commit_challenge_delay: ChainEpoch,
}

impl NetworkParams {
    /// The Filecoin main network.
    pub fn mainnet() -> Self {
        Self {
            name: Some("testnetnet"),
            prefix: Network::Mainnet,
            eth_chain_id: 314,
            clock: EpochClock { genesis_s: 1_598_306_400, block_delay_s: 30 },
            genesis_version: 0,
            upgrades: vec![
                (41_280, 1),
                (51_000, 2),
                (94_000, 3),
                (138_720, 4),
                (140_760, 5),
                (170_000, 6),
                (265_200, 7),
                (272_400, 8),
                (336_458, 9),
                (550_321, 10),
                (665_280, 11),
                (712_320, 12),
                (892_800, 13),
                (1_231_620, 14),
                (1_594_680, 15),
                (1_960_320, 16),
                (2_383_680, 17),
                (2_683_348, 18),
                (2_809_800, 19),
                (2_870_280, 20),
                (3_469_380, 21),
                (3_855_360, 22),
                (4_154_640, 23),
                (4_461_240, 24),
                (4_878_840, 25),
                (5_138_040, 26),
                (5_348_280, 27),
                (6_052_800, 28),
                (6_470_279, 29),
            ],
            smoke_height: 51_000,
            firehorse_height: 6_052_800,
            drand: Schedule(vec![
                (0, ChainInfo::incentinet()),
                (51_000, ChainInfo::mainnet()),
                (3_855_480, ChainInfo::quicknet()),
            ]),
            deadlines: STANDARD,
            consensus_power_min: 10 << 40,
            pre_commit_challenge_delay: 150,
        }
    }

    /// The calibration test network.
    pub fn calibration() -> Self {
        Self {
            name: Some("calibrationnet"),
            prefix: Network::Testnet,
            eth_chain_id: 314_159,
            clock: EpochClock { genesis_s: 1_667_326_380, block_delay_s: 30 },
            genesis_version: 0,
            upgrades: vec![
                (-1, 3),
                (30, 4),
                (60, 5),
                (90, 6),
                (120, 7),
                (240, 8),
                (270, 9),
                (330, 10),
                (360, 11),
                (390, 12),
                (420, 13),
                (450, 14),
                (480, 15),
                (510, 16),
                (16_800, 17),
                (322_354, 18),
                (489_094, 19),
                (492_214, 20),
                (1_013_134, 21),
                (1_427_974, 22),
                (1_779_094, 23),
                (2_078_794, 24),
                (2_523_454, 25),
                (2_543_614, 26),
                (3_007_294, 27),
                (3_694_534, 28),
                (4_109_133, 29),
            ],
            smoke_height: -2,
            firehorse_height: 3_694_534,
            drand: Schedule(vec![(0, ChainInfo::mainnet()), (1_428_094, ChainInfo::quicknet())]),
            deadlines: STANDARD,
            consensus_power_min: 32 << 30,
            pre_commit_challenge_delay: 150,
        }
    }

    /// A development network with 2 KiB sectors that starts at version 28.
    pub fn devnet_2k(genesis_s: u64) -> Self {
        Self {
            name: None,
            prefix: Network::Testnet,
            eth_chain_id: 31_415_926,
            clock: EpochClock { genesis_s, block_delay_s: 4 },
            genesis_version: 28,
            upgrades: Vec::new(),
            smoke_height: -2,
            firehorse_height: -30,
            drand: Schedule(vec![(0, ChainInfo::quicknet())]),
            deadlines: STANDARD,
            consensus_power_min: 2048,
            pre_commit_challenge_delay: 10,
        }
    }

    /// The network version in force at an epoch.
    pub fn version_at(&self, epoch: ChainEpoch) -> u32 {
        self.upgrades
            .iter()
            .rev()
            .find(|(last_of_old, _)| epoch > *last_of_old)
            .map_or(self.genesis_version, |(_, version)| *version)
    }

    /// The newest beacon round that a block of this epoch needs.
    ///
    /// # Errors
    /// When no beacon serves the epoch or it has no round.
    pub fn beacon_round(&self, epoch: ChainEpoch) -> Result<u64, crate::drand::DrandError> {
        let (_, info) = self.drand.at(epoch)?;
        info.round_at(self.clock, epoch, self.counts_rounds_from_one(epoch))
    }

    /// Whether beacon rounds are counted from one at this epoch.
    pub fn counts_rounds_from_one(&self, epoch: ChainEpoch) -> bool {
        self.version_at(epoch) >= VERSION_SKYR
    }
}
