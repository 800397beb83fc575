//! **Purpose**: methods of the power and the reward actors.

use fil_actor_power_state::v18 as power;
use fil_actor_power_state::v18::Method as M;
use fil_actor_reward_state::v18 as reward;

use super::{Address, BigInt, Bool, Bytes, Int, Method, Nothing, Uint, plain, typed};
use crate::schema::{Schema, array, option, tuple};

const CREATE_MINER: Schema = tuple! {
    Owner: Address,
    Worker: Address,
    WindowPoStProofType: Int,
    Peer: Bytes,
    Multiaddrs: array!(Bytes),
};
const CREATED: Schema = tuple! { IDAddress: Address, RobustAddress: Address };
const FILTER_ESTIMATE: Schema = tuple! { PositionEstimate: BigInt, VelocityEstimate: BigInt };

pub(super) const POWER: &[Method] = &[
    plain(1, "Constructor", Nothing, Nothing),
    typed::<power::CreateMinerParams>(2, "CreateMiner", CREATE_MINER, CREATED),
    typed::<power::UpdateClaimedPowerParams>(
        3,
        "UpdateClaimedPower",
        tuple! { RawByteDelta: BigInt, QualityAdjustedDelta: BigInt },
        Nothing,
    ),
    typed::<power::EnrollCronEventParams>(
        4,
        "EnrollCronEvent",
        tuple! { EventEpoch: Int, Payload: Bytes },
        Nothing,
    ),
    plain(5, "OnEpochTickEnd", Nothing, Nothing),
    typed::<power::UpdatePledgeTotalParams>(6, "UpdatePledgeTotal", BigInt, Nothing),
    plain(
        9,
        "CurrentTotalPower",
        Nothing,
        tuple! {
            RawBytePower: BigInt,
            QualityAdjPower: BigInt,
            PledgeCollateral: BigInt,
            QualityAdjPowerSmoothed: FILTER_ESTIMATE,
            RampStartEpoch: Int,
            RampDurationEpochs: Uint,
        },
    ),
    typed::<power::CreateMinerParams>(
        M::CreateMinerExported as u64,
        "CreateMinerExported",
        CREATE_MINER,
        CREATED,
    ),
    plain(M::NetworkRawPowerExported as u64, "NetworkRawPowerExported", Nothing, BigInt),
    typed::<power::MinerRawPowerParams>(
        M::MinerRawPowerExported as u64,
        "MinerRawPowerExported",
        Uint,
        tuple! { RawBytePower: BigInt, MeetsConsensusMinimum: Bool },
    ),
    plain(M::MinerCountExported as u64, "MinerCountExported", Nothing, Int),
    plain(M::MinerConsensusCountExported as u64, "MinerConsensusCountExported", Nothing, Int),
    typed::<power::MinerPowerParams>(
        M::MinerPowerExported as u64,
        "MinerPowerExported",
        Uint,
        tuple! { RawBytePower: BigInt, QualityAdjPower: BigInt },
    ),
];

pub(super) const REWARD: &[Method] = &[
    typed::<reward::ConstructorParams>(1, "Constructor", option!(BigInt), Nothing),
    typed::<reward::AwardBlockRewardParams>(
        2,
        "AwardBlockReward",
        tuple! { Miner: Address, Penalty: BigInt, GasReward: BigInt, WinCount: Int },
        Nothing,
    ),
    plain(
        3,
        "ThisEpochReward",
        Nothing,
        tuple! { ThisEpochRewardSmoothed: FILTER_ESTIMATE, ThisEpochBaselinePower: BigInt },
    ),
    typed::<reward::UpdateNetworkKPIParams>(4, "UpdateNetworkKPI", option!(BigInt), Nothing),
];
