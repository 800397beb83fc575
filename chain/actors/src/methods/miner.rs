//! **Purpose**: methods of the storage miner actor.

use fil_actor_miner_state::v9 as old;
use fil_actor_miner_state::v18 as now;
use fil_actor_miner_state::v18::Method as M;

use super::{
    Address, Any, BigInt, BitField, Bool, Bytes, Cid, Int, Method, Nothing, Pair, Uint, plain,
    typed,
};
use crate::schema::{Schema, array, option, tuple};

const FILTER_ESTIMATE: Schema = tuple! { PositionEstimate: BigInt, VelocityEstimate: BigInt };
pub(super) const BATCH_RETURN: Schema = tuple! {
    SuccessCount: Uint,
    FailCodes: array!(tuple! { Idx: Uint, Code: Uint }),
};
const DECLARATION: Schema = tuple! { Deadline: Uint, Partition: Uint, Sectors: BitField };
const CHANGE_WORKER: Schema = tuple! { NewWorker: Address, NewControlAddrs: array!(Address) };
const CHANGE_PEER: Schema = tuple! { NewID: Bytes };
const CHANGE_MULTIADDRS: Schema = tuple! { NewMultiaddrs: array!(Bytes) };
const WITHDRAW: Schema = tuple! { AmountRequested: BigInt };
const CHANGE_BENEFICIARY: Schema =
    tuple! { NewBeneficiary: Address, NewQuota: BigInt, NewExpiration: Int };
const BENEFICIARY: Schema = tuple! {
    Active: tuple! {
        Beneficiary: Address,
        Term: tuple! { Quota: BigInt, UsedQuota: BigInt, Expiration: Int },
    },
    Proposed: option!(tuple! {
        NewBeneficiary: Address,
        NewQuota: BigInt,
        NewExpiration: Int,
        ApprovedByBeneficiary: Bool,
        ApprovedByNominee: Bool,
    }),
};
const PIECE: Schema = tuple! {
    CID: Cid,
    Size: Uint,
    VerifiedAllocationKey: option!(tuple! { Client: Uint, ID: Uint }),
    Notify: array!(tuple! { Address: Address, Payload: Bytes }),
};
const PRE_COMMIT: Schema = tuple! {
    SealProof: Int,
    SectorNumber: Uint,
    SealedCID: Cid,
    SealRandEpoch: Int,
    DealIDs: array!(Uint),
    Expiration: Int,
    ReplaceCapacity: Bool,
    ReplaceSectorDeadline: Uint,
    ReplaceSectorPartition: Uint,
    ReplaceSectorNumber: Uint,
};

pub(super) const METHODS: &[Method] = &[
    typed::<now::MinerConstructorParams>(
        1,
        "Constructor",
        tuple! {
            OwnerAddr: Address,
            WorkerAddr: Address,
            ControlAddrs: array!(Address),
            WindowPoStProofType: Int,
            PeerId: Bytes,
            Multiaddrs: array!(Bytes),
        },
        Nothing,
    ),
    plain(
        2,
        "ControlAddresses",
        Nothing,
        tuple! { Owner: Address, Worker: Address, ControlAddrs: array!(Address) },
    ),
    typed::<now::ChangeWorkerAddressParams>(3, "ChangeWorkerAddress", CHANGE_WORKER, Nothing),
    typed::<now::ChangePeerIDParams>(4, "ChangePeerID", CHANGE_PEER, Nothing),
    typed::<now::SubmitWindowedPoStParams>(
        5,
        "SubmitWindowedPoSt",
        tuple! {
            Deadline: Uint,
            Partitions: array!(tuple! { Index: Uint, Skipped: BitField }),
            Proofs: array!(tuple! { PoStProof: Int, ProofBytes: Bytes }),
            ChainCommitEpoch: Int,
            ChainCommitRand: Bytes,
        },
        Nothing,
    ),
    typed::<old::PreCommitSectorParams>(6, "PreCommitSector", PRE_COMMIT, Nothing),
    typed::<old::ProveCommitSectorParams>(
        7,
        "ProveCommitSector",
        tuple! { SectorNumber: Uint, Proof: Bytes },
        Nothing,
    ),
    typed::<old::ExtendSectorExpirationParams>(
        8,
        "ExtendSectorExpiration",
        tuple! {
            Extensions: array!(tuple! {
                Deadline: Uint, Partition: Uint, Sectors: BitField, NewExpiration: Int
            }),
        },
        Nothing,
    ),
    typed::<now::TerminateSectorsParams>(
        9,
        "TerminateSectors",
        tuple! { Terminations: array!(DECLARATION) },
        tuple! { Done: Bool },
    ),
    typed::<now::DeclareFaultsParams>(
        10,
        "DeclareFaults",
        tuple! { Faults: array!(DECLARATION) },
        Nothing,
    ),
    typed::<now::DeclareFaultsRecoveredParams>(
        11,
        "DeclareFaultsRecovered",
        tuple! { Recoveries: array!(DECLARATION) },
        Nothing,
    ),
    typed::<now::DeferredCronEventParams>(
        12,
        "OnDeferredCronEvent",
        tuple! {
            EventPayload: Bytes,
            RewardSmoothed: FILTER_ESTIMATE,
            QualityAdjPowerSmoothed: FILTER_ESTIMATE,
        },
        Nothing,
    ),
    typed::<now::CheckSectorProvenParams>(
        13,
        "CheckSectorProven",
        tuple! { SectorNumber: Uint },
        Nothing,
    ),
    typed::<now::ApplyRewardParams>(
        14,
        "ApplyRewards",
        tuple! { Reward: BigInt, Penalty: BigInt },
        Nothing,
    ),
    typed::<now::ReportConsensusFaultParams>(
        15,
        "ReportConsensusFault",
        tuple! { BlockHeader1: Bytes, BlockHeader2: Bytes, BlockHeaderExtra: Bytes },
        Nothing,
    ),
    typed::<now::WithdrawBalanceParams>(16, "WithdrawBalance", WITHDRAW, BigInt),
    typed::<now::InternalSectorSetupForPresealParams>(
        17,
        "InternalSectorSetupForPreseal",
        tuple! {
            Sectors: array!(Uint),
            RewardSmoothed: FILTER_ESTIMATE,
            RewardBaselinePower: BigInt,
            QualityAdjPowerSmoothed: FILTER_ESTIMATE,
        },
        Nothing,
    ),
    typed::<now::ChangeMultiaddrsParams>(18, "ChangeMultiaddrs", CHANGE_MULTIADDRS, Nothing),
    typed::<now::CompactPartitionsParams>(
        19,
        "CompactPartitions",
        tuple! { Deadline: Uint, Partitions: BitField },
        Nothing,
    ),
    typed::<now::CompactSectorNumbersParams>(
        20,
        "CompactSectorNumbers",
        tuple! { MaskSectorNumbers: BitField },
        Nothing,
    ),
    plain(21, "ConfirmChangeWorkerAddress", Nothing, Nothing),
    plain(22, "RepayDebt", Nothing, Nothing),
    typed::<now::ChangeOwnerAddressParams>(23, "ChangeOwnerAddress", Address, Nothing),
    typed::<now::DisputeWindowedPoStParams>(
        24,
        "DisputeWindowedPoSt",
        tuple! { Deadline: Uint, PoStIndex: Uint },
        Nothing,
    ),
    typed::<old::PreCommitSectorBatchParams>(
        25,
        "PreCommitSectorBatch",
        tuple! { Sectors: array!(PRE_COMMIT) },
        Nothing,
    ),
    typed::<old::ProveCommitAggregateParams>(
        26,
        "ProveCommitAggregate",
        tuple! { SectorNumbers: BitField, AggregateProof: Bytes },
        Nothing,
    ),
    typed::<old::ProveReplicaUpdatesParams>(
        27,
        "ProveReplicaUpdates",
        tuple! {
            Updates: array!(tuple! {
                SectorID: Uint,
                Deadline: Uint,
                Partition: Uint,
                NewSealedSectorCID: Cid,
                Deals: array!(Uint),
                UpdateProofType: Int,
                ReplicaProof: Bytes,
            }),
        },
        BitField,
    ),
    typed::<now::PreCommitSectorBatchParams2>(
        28,
        "PreCommitSectorBatch2",
        tuple! {
            Sectors: array!(tuple! {
                SealProof: Int,
                SectorNumber: Uint,
                SealedCID: Cid,
                SealRandEpoch: Int,
                DealIDs: array!(Uint),
                Expiration: Int,
                UnsealedCid: option!(Cid),
            }),
        },
        Nothing,
    ),
    typed::<old::ProveReplicaUpdatesParams2>(
        29,
        "ProveReplicaUpdates2",
        tuple! {
            Updates: array!(tuple! {
                SectorID: Uint,
                Deadline: Uint,
                Partition: Uint,
                NewSealedSectorCID: Cid,
                NewUnsealedSectorCID: Cid,
                Deals: array!(Uint),
                UpdateProofType: Int,
                ReplicaProof: Bytes,
            }),
        },
        BitField,
    ),
    typed::<now::ChangeBeneficiaryParams>(30, "ChangeBeneficiary", CHANGE_BENEFICIARY, Nothing),
    plain(31, "GetBeneficiary", Nothing, BENEFICIARY),
    typed::<now::ExtendSectorExpiration2Params>(
        32,
        "ExtendSectorExpiration2",
        tuple! {
            Extensions: array!(tuple! {
                Deadline: Uint,
                Partition: Uint,
                Sectors: BitField,
                SectorsWithClaims: array!(tuple! {
                    SectorNumber: Uint, MaintainClaims: array!(Uint), DropClaims: array!(Uint)
                }),
                NewExpiration: Int,
            }),
        },
        Nothing,
    ),
    // No state crate has a type for it (FIP-0070).
    plain(
        33,
        "MovePartitions",
        tuple! { OrigDeadline: Uint, DestDeadline: Uint, Partitions: BitField },
        Nothing,
    ),
    typed::<now::ProveCommitSectors3Params>(
        34,
        "ProveCommitSectors3",
        tuple! {
            SectorActivations: array!(tuple! { SectorNumber: Uint, Pieces: array!(PIECE) }),
            SectorProofs: array!(Bytes),
            AggregateProof: Bytes,
            AggregateProofType: option!(Int),
            RequireActivationSuccess: Bool,
            RequireNotificationSuccess: Bool,
        },
        BATCH_RETURN,
    ),
    typed::<now::ProveReplicaUpdates3Params>(
        35,
        "ProveReplicaUpdates3",
        tuple! {
            SectorUpdates: array!(tuple! {
                Sector: Uint,
                Deadline: Uint,
                Partition: Uint,
                NewSealedCID: Cid,
                Pieces: array!(PIECE),
            }),
            SectorProofs: array!(Bytes),
            AggregateProof: Bytes,
            UpdateProofsType: Int,
            AggregateProofType: option!(Int),
            RequireActivationSuccess: Bool,
            RequireNotificationSuccess: Bool,
        },
        BATCH_RETURN,
    ),
    typed::<now::ProveCommitSectorsNIParams>(
        36,
        "ProveCommitSectorsNI",
        tuple! {
            Sectors: array!(tuple! {
                SealingNumber: Uint,
                SealerID: Uint,
                SealedCID: Cid,
                SectorNumber: Uint,
                SealRandEpoch: Int,
                Expiration: Int,
            }),
            AggregateProof: Bytes,
            SealProofType: Int,
            AggregateProofType: Int,
            ProvingDeadline: Uint,
            RequireActivationSuccess: Bool,
        },
        BATCH_RETURN,
    ),
    typed::<now::ChangeWorkerAddressParams>(
        M::ChangeWorkerAddressExported as u64,
        "ChangeWorkerAddressExported",
        CHANGE_WORKER,
        Nothing,
    ),
    typed::<now::ChangePeerIDParams>(
        M::ChangePeerIDExported as u64,
        "ChangePeerIDExported",
        CHANGE_PEER,
        Nothing,
    ),
    typed::<now::WithdrawBalanceParams>(
        M::WithdrawBalanceExported as u64,
        "WithdrawBalanceExported",
        WITHDRAW,
        BigInt,
    ),
    typed::<now::ChangeMultiaddrsParams>(
        M::ChangeMultiaddrsExported as u64,
        "ChangeMultiaddrsExported",
        CHANGE_MULTIADDRS,
        Nothing,
    ),
    plain(
        M::ConfirmChangeWorkerAddressExported as u64,
        "ConfirmChangeWorkerAddressExported",
        Nothing,
        Nothing,
    ),
    plain(M::RepayDebtExported as u64, "RepayDebtExported", Nothing, Nothing),
    typed::<now::ChangeOwnerAddressParams>(
        M::ChangeOwnerAddressExported as u64,
        "ChangeOwnerAddressExported",
        Address,
        Nothing,
    ),
    typed::<now::ChangeBeneficiaryParams>(
        M::ChangeBeneficiaryExported as u64,
        "ChangeBeneficiaryExported",
        CHANGE_BENEFICIARY,
        Nothing,
    ),
    plain(M::GetBeneficiaryExported as u64, "GetBeneficiaryExported", Nothing, BENEFICIARY),
    plain(
        M::GetOwnerExported as u64,
        "GetOwnerExported",
        Nothing,
        tuple! { Owner: Address, Proposed: option!(Address) },
    ),
    typed::<now::IsControllingAddressParam>(
        M::IsControllingAddressExported as u64,
        "IsControllingAddressExported",
        Address,
        Bool,
    ),
    plain(M::GetSectorSizeExported as u64, "GetSectorSizeExported", Nothing, Uint),
    plain(M::GetAvailableBalanceExported as u64, "GetAvailableBalanceExported", Nothing, BigInt),
    plain(
        M::GetVestingFundsExported as u64,
        "GetVestingFundsExported",
        Nothing,
        tuple! { VestingFunds: array!(Pair(&Int, &BigInt)) },
    ),
    plain(M::GetPeerIDExported as u64, "GetPeerIDExported", Nothing, tuple! { PeerId: Bytes }),
    plain(
        M::GetMultiaddrsExported as u64,
        "GetMultiaddrsExported",
        Nothing,
        tuple! { MultiAddrs: array!(Bytes) },
    ),
    typed::<now::MaxTerminationFeeParams>(
        M::MaxTerminationFeeExported as u64,
        "MaxTerminationFeeExported",
        tuple! { Power: BigInt, InitialPledge: BigInt },
        BigInt,
    ),
    plain(M::InitialPledgeExported as u64, "InitialPledgeExported", Nothing, BigInt),
    typed::<now::GenerateSectorLocationParams>(
        M::GenerateSectorLocationExported as u64,
        "GenerateSectorLocationExported",
        tuple! { SectorNumber: Uint },
        tuple! { Status: Uint, AuxData: Bytes },
    ),
    typed::<now::ValidateSectorStatusParams>(
        M::ValidateSectorStatusExported as u64,
        "ValidateSectorStatusExported",
        tuple! { SectorNumber: Uint, Status: Uint, AuxData: Bytes },
        Bool,
    ),
    // Its parameter is what GenerateSectorLocation returned; no state crate has it as parameters.
    plain(
        M::GetNominalSectorExpirationExported as u64,
        "GetNominalSectorExpirationExported",
        Any,
        Int,
    ),
];
