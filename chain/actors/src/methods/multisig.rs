//! **Purpose**: methods of the multisig and the payment channel actors.

use fil_actor_multisig_state::v18 as multisig;
use fil_actor_paych_state::v18 as paych;

use super::{
    Address, Any, BigInt, Bool, Bytes, Int, Method, Nothing, Signature, Uint, plain, typed,
};
use crate::schema::{Schema, array, option, tuple};

const TRANSACTION: Schema = tuple! { ID: Int, ProposalHash: Bytes };

pub(super) const MULTISIG: &[Method] = &[
    typed::<multisig::ConstructorParams>(
        1,
        "Constructor",
        tuple! {
            Signers: array!(Address),
            NumApprovalsThreshold: Uint,
            UnlockDuration: Int,
            StartEpoch: Int,
        },
        Nothing,
    ),
    typed::<multisig::ProposeParams>(
        2,
        "Propose",
        tuple! { To: Address, Value: BigInt, Method: Uint, Params: Bytes },
        tuple! { TxnID: Int, Applied: Bool, Code: Uint, Ret: Bytes },
    ),
    typed::<multisig::TxnIDParams>(
        3,
        "Approve",
        TRANSACTION,
        tuple! { Applied: Bool, Code: Uint, Ret: Bytes },
    ),
    typed::<multisig::TxnIDParams>(4, "Cancel", TRANSACTION, Nothing),
    typed::<multisig::AddSignerParams>(
        5,
        "AddSigner",
        tuple! { Signer: Address, Increase: Bool },
        Nothing,
    ),
    typed::<multisig::RemoveSignerParams>(
        6,
        "RemoveSigner",
        tuple! { Signer: Address, Decrease: Bool },
        Nothing,
    ),
    typed::<multisig::SwapSignerParams>(
        7,
        "SwapSigner",
        tuple! { From: Address, To: Address },
        Nothing,
    ),
    typed::<multisig::ChangeNumApprovalsThresholdParams>(
        8,
        "ChangeNumApprovalsThreshold",
        tuple! { NewThreshold: Uint },
        Nothing,
    ),
    typed::<multisig::LockBalanceParams>(
        9,
        "LockBalance",
        tuple! { StartEpoch: Int, UnlockDuration: Int, Amount: BigInt },
        Nothing,
    ),
    // Takes whatever a token actor sends.
    plain(multisig::Method::UniversalReceiverHook as u64, "UniversalReceiverHook", Any, Nothing),
];

const VOUCHER: Schema = tuple! {
    ChannelAddr: Address,
    TimeLockMin: Int,
    TimeLockMax: Int,
    SecretHash: Bytes,
    Extra: option!(tuple! { Actor: Address, Method: Uint, Data: Bytes }),
    Lane: Uint,
    Nonce: Uint,
    Amount: BigInt,
    MinSettleHeight: Int,
    Merges: array!(tuple! { Lane: Uint, Nonce: Uint }),
    Signature: option!(Signature),
};

pub(super) const PAYCH: &[Method] = &[
    typed::<paych::ConstructorParams>(
        1,
        "Constructor",
        tuple! { From: Address, To: Address },
        Nothing,
    ),
    typed::<paych::UpdateChannelStateParams>(
        2,
        "UpdateChannelState",
        tuple! { Sv: VOUCHER, Secret: Bytes },
        Nothing,
    ),
    plain(3, "Settle", Nothing, Nothing),
    plain(4, "Collect", Nothing, Nothing),
];
