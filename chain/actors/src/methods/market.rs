//! **Purpose**: methods of the storage market actor.

use fil_actor_market_state::v18 as now;
use fil_actor_market_state::v18::Method as M;

use super::miner::BATCH_RETURN;
use super::{
    Address, BigInt, BitField, Bool, Bytes, Cid, Int, Label, Method, Nothing, Signature, Uint,
    plain, typed,
};
use crate::schema::{Schema, array, option, tuple};

const WITHDRAW: Schema = tuple! { ProviderOrClientAddress: Address, Amount: BigInt };
const PUBLISH: Schema = tuple! {
    Deals: array!(tuple! {
        Proposal: tuple! {
            PieceCID: Cid,
            PieceSize: Uint,
            VerifiedDeal: Bool,
            Client: Address,
            Provider: Address,
            Label: Label,
            StartEpoch: Int,
            EndEpoch: Int,
            StoragePricePerEpoch: BigInt,
            ProviderCollateral: BigInt,
            ClientCollateral: BigInt,
        },
        ClientSignature: Signature,
    }),
};
const PUBLISHED: Schema = tuple! { IDs: array!(Uint), ValidDeals: BitField };
const SECTOR_DEALS: Schema =
    tuple! { SectorNumber: Uint, SectorType: Int, SectorExpiry: Int, DealIDs: array!(Uint) };
const PIECES: Schema = tuple! { Data: Cid, Size: Uint };

/// A query by deal id.
const fn query(number: u64, name: &'static str, returns: Schema) -> Method {
    typed::<now::DealQueryParams>(number, name, Uint, returns)
}

pub(super) const METHODS: &[Method] = &[
    plain(1, "Constructor", Nothing, Nothing),
    typed::<now::AddBalanceParams>(2, "AddBalance", Address, Nothing),
    typed::<now::WithdrawBalanceParams>(3, "WithdrawBalance", WITHDRAW, BigInt),
    typed::<now::PublishStorageDealsParams>(4, "PublishStorageDeals", PUBLISH, PUBLISHED),
    typed::<now::VerifyDealsForActivationParams>(
        5,
        "VerifyDealsForActivation",
        tuple! { Sectors: array!(SECTOR_DEALS) },
        tuple! { UnsealedCIDs: array!(option!(Cid)) },
    ),
    typed::<now::BatchActivateDealsParams>(
        6,
        "BatchActivateDeals",
        tuple! { Sectors: array!(SECTOR_DEALS), ComputeCID: Bool },
        tuple! {
            ActivationResults: BATCH_RETURN,
            Activations: array!(tuple! {
                Activated: array!(tuple! {
                    Client: Uint, AllocationID: Uint, Data: Cid, Size: Uint
                }),
                UnsealedCID: option!(Cid),
            }),
        },
    ),
    typed::<now::OnMinerSectorsTerminateParams>(
        7,
        "OnMinerSectorsTerminate",
        tuple! { Epoch: Int, Sectors: BitField },
        Nothing,
    ),
    plain(9, "CronTick", Nothing, Nothing),
    typed::<now::AddBalanceParams>(
        M::AddBalanceExported as u64,
        "AddBalanceExported",
        Address,
        Nothing,
    ),
    typed::<now::WithdrawBalanceParams>(
        M::WithdrawBalanceExported as u64,
        "WithdrawBalanceExported",
        WITHDRAW,
        BigInt,
    ),
    typed::<now::PublishStorageDealsParams>(
        M::PublishStorageDealsExported as u64,
        "PublishStorageDealsExported",
        PUBLISH,
        PUBLISHED,
    ),
    typed::<now::GetBalanceParams>(
        M::GetBalanceExported as u64,
        "GetBalanceExported",
        Address,
        tuple! { Balance: BigInt, Locked: BigInt },
    ),
    query(M::GetDealDataCommitmentExported as u64, "GetDealDataCommitmentExported", PIECES),
    query(M::GetDealClientExported as u64, "GetDealClientExported", Uint),
    query(M::GetDealProviderExported as u64, "GetDealProviderExported", Uint),
    query(M::GetDealLabelExported as u64, "GetDealLabelExported", Label),
    query(
        M::GetDealTermExported as u64,
        "GetDealTermExported",
        tuple! { Start: Int, Duration: Int },
    ),
    query(M::GetDealTotalPriceExported as u64, "GetDealTotalPriceExported", BigInt),
    query(M::GetDealClientCollateralExported as u64, "GetDealClientCollateralExported", BigInt),
    query(M::GetDealProviderCollateralExported as u64, "GetDealProviderCollateralExported", BigInt),
    query(M::GetDealVerifiedExported as u64, "GetDealVerifiedExported", Bool),
    query(
        M::GetDealActivationExported as u64,
        "GetDealActivationExported",
        tuple! { Activated: Int, Terminated: Int },
    ),
    query(M::GetDealSectorExported as u64, "GetDealSectorExported", Uint),
    typed::<now::SettleDealPaymentsParams>(
        M::SettleDealPaymentsExported as u64,
        "SettleDealPaymentsExported",
        BitField,
        tuple! {
            Results: BATCH_RETURN,
            Settlements: array!(tuple! { Payment: BigInt, Completed: Bool }),
        },
    ),
    typed::<fil_actor_miner_state::v18::SectorContentChangedParams>(
        M::SectorContentChangedExported as u64,
        "SectorContentChangedExported",
        array!(tuple! {
            Sector: Uint,
            MinimumCommitmentEpoch: Int,
            Added: array!(tuple! { Data: Cid, Size: Uint, Payload: Bytes }),
        }),
        array!(array!(Bool)),
    ),
];
