//! **Purpose**: methods of the data cap actor, a token after FRC-0046.

use fil_actor_datacap_state::v18 as now;
use fil_actor_datacap_state::v18::Method as M;
use frc46_token::token::types as frc46;

use super::{Address, BigInt, Bytes, Method, Nothing, Text, Uint, plain, typed};
use crate::schema::{array, tuple};

pub(super) const DATACAP: &[Method] = &[
    typed::<now::ConstructorParams>(1, "Constructor", Address, Nothing),
    typed::<now::MintParams>(
        M::MintExported as u64,
        "MintExported",
        tuple! { To: Address, Amount: BigInt, Operators: array!(Address) },
        tuple! { Balance: BigInt, Supply: BigInt, RecipientData: Bytes },
    ),
    typed::<now::DestroyParams>(
        M::DestroyExported as u64,
        "DestroyExported",
        tuple! { Owner: Address, Amount: BigInt },
        tuple! { Balance: BigInt },
    ),
    plain(M::NameExported as u64, "NameExported", Nothing, Text),
    plain(M::SymbolExported as u64, "SymbolExported", Nothing, Text),
    plain(M::GranularityExported as u64, "GranularityExported", Nothing, Uint),
    plain(M::TotalSupplyExported as u64, "TotalSupplyExported", Nothing, BigInt),
    typed::<now::BalanceParams>(M::BalanceExported as u64, "BalanceExported", Address, BigInt),
    typed::<frc46::TransferParams>(
        M::TransferExported as u64,
        "TransferExported",
        tuple! { To: Address, Amount: BigInt, OperatorData: Bytes },
        tuple! { FromBalance: BigInt, ToBalance: BigInt, RecipientData: Bytes },
    ),
    typed::<frc46::TransferFromParams>(
        M::TransferFromExported as u64,
        "TransferFromExported",
        tuple! { From: Address, To: Address, Amount: BigInt, OperatorData: Bytes },
        tuple! { FromBalance: BigInt, ToBalance: BigInt, Allowance: BigInt, RecipientData: Bytes },
    ),
    typed::<frc46::IncreaseAllowanceParams>(
        M::IncreaseAllowanceExported as u64,
        "IncreaseAllowanceExported",
        tuple! { Operator: Address, Increase: BigInt },
        BigInt,
    ),
    typed::<frc46::DecreaseAllowanceParams>(
        M::DecreaseAllowanceExported as u64,
        "DecreaseAllowanceExported",
        tuple! { Operator: Address, Decrease: BigInt },
        BigInt,
    ),
    typed::<frc46::RevokeAllowanceParams>(
        M::RevokeAllowanceExported as u64,
        "RevokeAllowanceExported",
        tuple! { Operator: Address },
        BigInt,
    ),
    typed::<frc46::BurnParams>(
        M::BurnExported as u64,
        "BurnExported",
        tuple! { Amount: BigInt },
        tuple! { Balance: BigInt },
    ),
    typed::<frc46::BurnFromParams>(
        M::BurnFromExported as u64,
        "BurnFromExported",
        tuple! { Owner: Address, Amount: BigInt },
        tuple! { Balance: BigInt, Allowance: BigInt },
    ),
    typed::<frc46::GetAllowanceParams>(
        M::AllowanceExported as u64,
        "AllowanceExported",
        tuple! { Owner: Address, Operator: Address },
        BigInt,
    ),
];
