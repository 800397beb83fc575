//! Method numbers against a source other than the enumerations from which the table was made.

use hesper_chain::method::{self, ActorKind};

/// The `…MethodNum` constants of filecoin-project/filecoin-solidity, `contracts/v0.8/types`
/// (Apache-2.0), transcribed. It calls DataCap's `Balance` `BalanceOf`.
const PUBLISHED: [(ActorKind, &str, u64); 53] = [
    (ActorKind::Miner, "GetOwner", 3_275_365_574),
    (ActorKind::Miner, "ChangeOwnerAddress", 1_010_589_339),
    (ActorKind::Miner, "IsControllingAddress", 348_244_887),
    (ActorKind::Miner, "GetSectorSize", 3_858_292_296),
    (ActorKind::Miner, "GetAvailableBalance", 4_026_106_874),
    (ActorKind::Miner, "GetVestingFunds", 1_726_876_304),
    (ActorKind::Miner, "ChangeBeneficiary", 1_570_634_796),
    (ActorKind::Miner, "GetBeneficiary", 4_158_972_569),
    (ActorKind::Miner, "ChangeWorkerAddress", 3_302_309_124),
    (ActorKind::Miner, "ChangePeerID", 1_236_548_004),
    (ActorKind::Miner, "ChangeMultiaddrs", 1_063_480_576),
    (ActorKind::Miner, "RepayDebt", 3_665_352_697),
    (ActorKind::Miner, "ConfirmChangeWorkerAddress", 2_354_970_453),
    (ActorKind::Miner, "GetPeerID", 2_812_875_329),
    (ActorKind::Miner, "GetMultiaddrs", 1_332_909_407),
    (ActorKind::Miner, "WithdrawBalance", 2_280_458_852),
    (ActorKind::Market, "AddBalance", 822_473_126),
    (ActorKind::Market, "WithdrawBalance", 2_280_458_852),
    (ActorKind::Market, "GetBalance", 726_108_461),
    (ActorKind::Market, "GetDealDataCommitment", 1_157_985_802),
    (ActorKind::Market, "GetDealClient", 128_053_329),
    (ActorKind::Market, "GetDealProvider", 935_081_690),
    (ActorKind::Market, "GetDealLabel", 46_363_526),
    (ActorKind::Market, "GetDealTerm", 163_777_312),
    (ActorKind::Market, "GetDealTotalPrice", 4_287_162_428),
    (ActorKind::Market, "GetDealClientCollateral", 200_567_895),
    (ActorKind::Market, "GetDealProviderCollateral", 2_986_712_137),
    (ActorKind::Market, "GetDealVerified", 2_627_389_465),
    (ActorKind::Market, "GetDealActivation", 2_567_238_399),
    (ActorKind::Market, "PublishStorageDeals", 2_236_929_350),
    (ActorKind::VerifiedRegistry, "GetClaims", 2_199_871_187),
    (ActorKind::VerifiedRegistry, "AddVerifiedClient", 3_916_220_144),
    (ActorKind::VerifiedRegistry, "RemoveExpiredAllocations", 2_421_068_268),
    (ActorKind::VerifiedRegistry, "ExtendClaimTerms", 1_752_273_514),
    (ActorKind::VerifiedRegistry, "RemoveExpiredClaims", 2_873_373_899),
    (ActorKind::Power, "CreateMiner", 1_173_380_165),
    (ActorKind::Power, "MinerCount", 1_987_646_258),
    (ActorKind::Power, "MinerConsensusCount", 196_739_875),
    (ActorKind::Power, "NetworkRawPower", 931_722_534),
    (ActorKind::Power, "MinerRawPower", 3_753_401_894),
    (ActorKind::DataCap, "Name", 48_890_204),
    (ActorKind::DataCap, "Symbol", 2_061_153_854),
    (ActorKind::DataCap, "TotalSupply", 114_981_429),
    (ActorKind::DataCap, "Balance", 3_261_979_605),
    (ActorKind::DataCap, "Transfer", 80_475_954),
    (ActorKind::DataCap, "TransferFrom", 3_621_052_141),
    (ActorKind::DataCap, "IncreaseAllowance", 1_777_121_560),
    (ActorKind::DataCap, "DecreaseAllowance", 1_529_376_545),
    (ActorKind::DataCap, "RevokeAllowance", 2_765_635_761),
    (ActorKind::DataCap, "Burn", 1_434_719_642),
    (ActorKind::DataCap, "BurnFrom", 2_979_674_018),
    (ActorKind::DataCap, "Allowance", 4_205_072_950),
    (ActorKind::Account, "AuthenticateMessage", 2_643_134_072),
];

/// The two whose names in the actors' enumerations do not end in `Exported`: from the same folder,
/// `CommonTypes.sol`, and from FIP-0054.
const OTHERS: [(ActorKind, &str, &str, u64); 3] = [
    (ActorKind::Multisig, "Receive", "UniversalReceiverHook", 3_726_118_371),
    (ActorKind::VerifiedRegistry, "Receive", "UniversalReceiverHook", 3_726_118_371),
    (ActorKind::Evm, "InvokeEVM", "InvokeContract", 3_844_450_837),
];

#[test]
fn hashed_method_numbers_are_the_published_ones() {
    for (kind, name, number) in PUBLISHED {
        assert_eq!(method::frc42(name), Ok(number));
        assert_eq!(method::number_of(kind, &format!("{name}Exported")), Some(number));
        assert_eq!(method::name_of(kind, number).map(method::base_name), Some(name));
    }
    for (kind, hashed, name, number) in OTHERS {
        assert_eq!(method::frc42(hashed), Ok(number));
        assert_eq!(method::name_of(kind, number), Some(name));
        assert_eq!(method::number_of(kind, name), Some(number));
    }
}
