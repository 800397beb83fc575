//! **Purpose**: methods of the small actors: account, cron, EAM, EVM, init, system.

use fil_actor_account_state::v18 as account;
use fil_actor_cron_state::v18 as cron;
use fil_actor_eam_state::v18 as eam;
use fil_actor_evm_state::v18 as evm;
use fil_actor_init_state::v18 as init;

use super::{
    Address, BigInt, Bool, Bytes, Cid, Hex, Maybe, Method, Nothing, Text, Uint, Word, plain, typed,
};
use crate::schema::{Schema, array, option, tuple};

/// Length of an Ethereum address in bytes.
const ETH_ADDRESS: Schema = Hex(20);
const CREATED: Schema = tuple! {
    ActorID: Uint,
    RobustAddress: option!(Address),
    EthAddress: ETH_ADDRESS,
};

pub(super) const ACCOUNT: &[Method] = &[
    typed::<account::types::ConstructorParams>(1, "Constructor", Address, Nothing),
    plain(2, "PubkeyAddress", Nothing, Address),
    typed::<account::types::AuthenticateMessageParams>(
        account::Method::AuthenticateMessageExported as u64,
        "AuthenticateMessageExported",
        tuple! { Signature: Bytes, Message: Bytes },
        Bool,
    ),
];

pub(super) const CRON: &[Method] = &[
    typed::<cron::ConstructorParams>(
        1,
        "Constructor",
        tuple! { Entries: array!(tuple! { Receiver: Address, MethodNum: Uint }) },
        Nothing,
    ),
    plain(2, "EpochTick", Nothing, Nothing),
];

pub(super) const EAM: &[Method] = &[
    plain(1, "Constructor", Nothing, Nothing),
    typed::<eam::CreateParams>(2, "Create", tuple! { Initcode: Bytes, Nonce: Uint }, CREATED),
    typed::<eam::Create2Params>(3, "Create2", tuple! { Initcode: Bytes, Salt: Hex(32) }, CREATED),
    // The bare init code as one byte string.
    plain(4, "CreateExternal", Bytes, CREATED),
];

pub(super) const EVM: &[Method] = &[
    typed::<evm::ConstructorParams>(
        1,
        "Constructor",
        tuple! { Creator: ETH_ADDRESS, Initcode: Bytes },
        Nothing,
    ),
    typed::<evm::ConstructorParams>(
        2,
        "Resurrect",
        tuple! { Creator: ETH_ADDRESS, Initcode: Bytes },
        Nothing,
    ),
    plain(3, "GetBytecode", Nothing, Maybe(&Cid)),
    plain(4, "GetBytecodeHash", Nothing, Hex(32)),
    typed::<evm::GetStorageAtParams>(5, "GetStorageAt", tuple! { StorageKey: Word }, Word),
    typed::<evm::DelegateCallParams>(
        6,
        "InvokeContractDelegate",
        tuple! { Code: Cid, Input: Bytes, Caller: ETH_ADDRESS, Value: BigInt },
        Bytes,
    ),
    typed::<evm::InvokeContractParams>(
        evm::Method::InvokeContract as u64,
        "InvokeContract",
        Bytes,
        Bytes,
    ),
];

pub(super) const INIT: &[Method] = &[
    typed::<init::ConstructorParams>(1, "Constructor", tuple! { NetworkName: Text }, Nothing),
    typed::<init::ExecParams>(
        2,
        "Exec",
        tuple! { CodeCID: Cid, ConstructorParams: Bytes },
        tuple! { IDAddress: Address, RobustAddress: Address },
    ),
    typed::<init::Exec4Params>(
        3,
        "Exec4",
        tuple! { CodeCID: Cid, ConstructorParams: Bytes, SubAddress: Bytes },
        tuple! { IDAddress: Address, RobustAddress: Address },
    ),
];

pub(super) const SYSTEM: &[Method] = &[plain(1, "Constructor", Nothing, Nothing)];
