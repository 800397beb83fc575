//! **Purpose**: the methods of the built-in actors, kind by kind: number and name.
//!
//! **Invariants**: sorted by number; a name that ends in `Exported` has the number that FRC-0042
//! gives to the name without that ending (a test hashes each of them).
//!
//! **Source**: the `Method` enumerations of the `fil_actor_*_state` crates 27.2, actors version 18;
//! the retired ones from the comments there.

use super::Method;

const fn m(number: u64, name: &'static str) -> Method {
    Method { number, name }
}

pub(super) static SYSTEM: &[Method] = &[m(1, "Constructor")];

pub(super) static INIT: &[Method] = &[m(1, "Constructor"), m(2, "Exec"), m(3, "Exec4")];

pub(super) static CRON: &[Method] = &[m(1, "Constructor"), m(2, "EpochTick")];

pub(super) static REWARD: &[Method] = &[
    m(1, "Constructor"),
    m(2, "AwardBlockReward"),
    m(3, "ThisEpochReward"),
    m(4, "UpdateNetworkKPI"),
];

pub(super) static POWER: &[Method] = &[
    m(1, "Constructor"),
    m(2, "CreateMiner"),
    m(3, "UpdateClaimedPower"),
    m(4, "EnrollCronEvent"),
    m(5, "OnEpochTickEnd"),
    m(6, "UpdatePledgeTotal"),
    m(9, "CurrentTotalPower"),
    m(36_284_446, "MinerPowerExported"),
    m(196_739_875, "MinerConsensusCountExported"),
    m(931_722_534, "NetworkRawPowerExported"),
    m(1_173_380_165, "CreateMinerExported"),
    m(1_987_646_258, "MinerCountExported"),
    m(3_753_401_894, "MinerRawPowerExported"),
];

pub(super) static MARKET: &[Method] = &[
    m(1, "Constructor"),
    m(2, "AddBalance"),
    m(3, "WithdrawBalance"),
    m(4, "PublishStorageDeals"),
    m(5, "VerifyDealsForActivation"),
    m(6, "BatchActivateDeals"),
    m(7, "OnMinerSectorsTerminate"),
    m(9, "CronTick"),
    m(46_363_526, "GetDealLabelExported"),
    m(128_053_329, "GetDealClientExported"),
    m(163_777_312, "GetDealTermExported"),
    m(200_567_895, "GetDealClientCollateralExported"),
    m(726_108_461, "GetBalanceExported"),
    m(822_473_126, "AddBalanceExported"),
    m(935_081_690, "GetDealProviderExported"),
    m(1_157_985_802, "GetDealDataCommitmentExported"),
    m(1_900_091_594, "SettleDealPaymentsExported"),
    m(2_034_386_435, "SectorContentChangedExported"),
    m(2_236_929_350, "PublishStorageDealsExported"),
    m(2_280_458_852, "WithdrawBalanceExported"),
    m(2_567_238_399, "GetDealActivationExported"),
    m(2_611_213_344, "GetDealSectorExported"),
    m(2_627_389_465, "GetDealVerifiedExported"),
    m(2_986_712_137, "GetDealProviderCollateralExported"),
    m(4_287_162_428, "GetDealTotalPriceExported"),
];

pub(super) static MINER: &[Method] = &[
    m(1, "Constructor"),
    m(2, "ControlAddresses"),
    m(3, "ChangeWorkerAddress"),
    m(4, "ChangePeerID"),
    m(5, "SubmitWindowedPoSt"),
    m(9, "TerminateSectors"),
    m(10, "DeclareFaults"),
    m(11, "DeclareFaultsRecovered"),
    m(12, "OnDeferredCronEvent"),
    m(13, "CheckSectorProven"),
    m(14, "ApplyRewards"),
    m(15, "ReportConsensusFault"),
    m(16, "WithdrawBalance"),
    m(17, "InternalSectorSetupForPreseal"),
    m(18, "ChangeMultiaddrs"),
    m(19, "CompactPartitions"),
    m(20, "CompactSectorNumbers"),
    m(21, "ConfirmChangeWorkerAddress"),
    m(22, "RepayDebt"),
    m(23, "ChangeOwnerAddress"),
    m(24, "DisputeWindowedPoSt"),
    m(28, "PreCommitSectorBatch2"),
    m(30, "ChangeBeneficiary"),
    m(31, "GetBeneficiary"),
    m(32, "ExtendSectorExpiration2"),
    m(34, "ProveCommitSectors3"),
    m(35, "ProveReplicaUpdates3"),
    m(36, "ProveCommitSectorsNI"),
    m(348_244_887, "IsControllingAddressExported"),
    m(1_010_589_339, "ChangeOwnerAddressExported"),
    m(1_063_480_576, "ChangeMultiaddrsExported"),
    m(1_236_548_004, "ChangePeerIDExported"),
    m(1_321_604_665, "GenerateSectorLocationExported"),
    m(1_332_909_407, "GetMultiaddrsExported"),
    m(1_570_634_796, "ChangeBeneficiaryExported"),
    m(1_726_876_304, "GetVestingFundsExported"),
    m(2_280_458_852, "WithdrawBalanceExported"),
    m(2_354_970_453, "ConfirmChangeWorkerAddressExported"),
    m(2_812_875_329, "GetPeerIDExported"),
    m(3_010_055_991, "GetNominalSectorExpirationExported"),
    m(3_092_458_564, "ValidateSectorStatusExported"),
    m(3_180_523_767, "InitialPledgeExported"),
    m(3_275_365_574, "GetOwnerExported"),
    m(3_302_309_124, "ChangeWorkerAddressExported"),
    m(3_665_352_697, "RepayDebtExported"),
    m(3_858_292_296, "GetSectorSizeExported"),
    m(4_026_106_874, "GetAvailableBalanceExported"),
    m(4_127_382_196, "MaxTerminationFeeExported"),
    m(4_158_972_569, "GetBeneficiaryExported"),
];

pub(super) static MULTISIG: &[Method] = &[
    m(1, "Constructor"),
    m(2, "Propose"),
    m(3, "Approve"),
    m(4, "Cancel"),
    m(5, "AddSigner"),
    m(6, "RemoveSigner"),
    m(7, "SwapSigner"),
    m(8, "ChangeNumApprovalsThreshold"),
    m(9, "LockBalance"),
    m(3_726_118_371, "UniversalReceiverHook"),
];

pub(super) static PAYMENT_CHANNEL: &[Method] =
    &[m(1, "Constructor"), m(2, "UpdateChannelState"), m(3, "Settle"), m(4, "Collect")];

pub(super) static VERIFIED_REGISTRY: &[Method] = &[
    m(1, "Constructor"),
    m(2, "AddVerifier"),
    m(3, "RemoveVerifier"),
    m(4, "AddVerifiedClient"),
    m(7, "RemoveVerifiedClientDataCap"),
    m(8, "RemoveExpiredAllocations"),
    m(9, "ClaimAllocations"),
    m(10, "GetClaims"),
    m(11, "ExtendClaimTerms"),
    m(12, "RemoveExpiredClaims"),
    m(1_752_273_514, "ExtendClaimTermsExported"),
    m(2_199_871_187, "GetClaimsExported"),
    m(2_421_068_268, "RemoveExpiredAllocationsExported"),
    m(2_873_373_899, "RemoveExpiredClaimsExported"),
    m(3_726_118_371, "UniversalReceiverHook"),
    m(3_916_220_144, "AddVerifiedClientExported"),
];

pub(super) static ACCOUNT: &[Method] =
    &[m(1, "Constructor"), m(2, "PubkeyAddress"), m(2_643_134_072, "AuthenticateMessageExported")];

pub(super) static DATA_CAP: &[Method] = &[
    m(1, "Constructor"),
    m(48_890_204, "NameExported"),
    m(80_475_954, "TransferExported"),
    m(114_981_429, "TotalSupplyExported"),
    m(116_935_346, "MintExported"),
    m(1_434_719_642, "BurnExported"),
    m(1_529_376_545, "DecreaseAllowanceExported"),
    m(1_777_121_560, "IncreaseAllowanceExported"),
    m(2_061_153_854, "SymbolExported"),
    m(2_624_896_501, "DestroyExported"),
    m(2_765_635_761, "RevokeAllowanceExported"),
    m(2_979_674_018, "BurnFromExported"),
    m(3_261_979_605, "BalanceExported"),
    m(3_621_052_141, "TransferFromExported"),
    m(3_936_767_397, "GranularityExported"),
    m(4_205_072_950, "AllowanceExported"),
];

pub(super) static EAM: &[Method] =
    &[m(1, "Constructor"), m(2, "Create"), m(3, "Create2"), m(4, "CreateExternal")];

pub(super) static EVM: &[Method] = &[
    m(1, "Constructor"),
    m(2, "Resurrect"),
    m(3, "GetBytecode"),
    m(4, "GetBytecodeHash"),
    m(5, "GetStorageAt"),
    m(6, "InvokeContractDelegate"),
    m(3_844_450_837, "InvokeContract"),
];

pub(super) static POWER_RETIRED: &[Method] =
    &[m(7, "OnConsensusFault"), m(8, "SubmitPoRepForBulkVerify")];

pub(super) static MARKET_RETIRED: &[Method] = &[m(8, "ComputeDataCommitment")];

pub(super) static MINER_RETIRED: &[Method] = &[
    m(6, "PreCommitSector"),
    m(7, "ProveCommitSector"),
    m(8, "ExtendSectorExpiration"),
    m(25, "PreCommitSectorBatch"),
    m(26, "ProveCommitAggregate"),
    m(27, "ProveReplicaUpdates"),
    m(29, "ProveReplicaUpdates2"),
    m(33, "MovePartitions"),
];

pub(super) static VERIFIED_REGISTRY_RETIRED: &[Method] = &[m(5, "UseBytes"), m(6, "RestoreBytes")];

pub(super) static ACCOUNT_RETIRED: &[Method] = &[m(3, "AuthenticateMessage")];

pub(super) static DATA_CAP_RETIRED: &[Method] = &[
    m(2, "Mint"),
    m(3, "Destroy"),
    m(10, "Name"),
    m(11, "Symbol"),
    m(12, "TotalSupply"),
    m(13, "BalanceOf"),
    m(14, "Transfer"),
    m(15, "TransferFrom"),
    m(16, "IncreaseAllowance"),
    m(17, "DecreaseAllowance"),
    m(18, "RevokeAllowance"),
    m(19, "Burn"),
    m(20, "BurnFrom"),
    m(21, "Allowance"),
];
