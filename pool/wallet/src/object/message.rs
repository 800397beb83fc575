//! **Purpose**: the type `message`: a message to the chain.
//!
//! **Invariants**: the object is the unsigned message in `Extra`; what is signed is its CID for f1
//! and f3 senders, and the transaction that it stands for, in RLP, for f4 senders. The signer is
//! the sender.
//!
//! **Source**: filecoin-project/venus `venus-shared/types/wallet/sign_types.go` (MTChainMsg);
//! filecoin-project/lotus `chain/types/message.go`, `chain/wallet/key`, `lib/sigs/delegated`.

use hesper_chain::json::LotusJson;
use hesper_chain::signature::{SignatureKind, message_payload};
use hesper_chain::{Address, Message, Protocol, TokenAmount, message};

use super::{Context, ObjectError, ObjectType, Parsed, chain};

pub(super) const SOURCE: (&str, &str) = (
    "filecoin-project/venus venus-shared/types/wallet/sign_types.go, \
     filecoin-project/lotus chain/types/message.go",
    "Extra is the unsigned message, the bytes to sign its CID (f1, f3) or transaction (f4)",
);
const TYPE: ObjectType = ObjectType::Message;

/// A call of an actor's method.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub to: Address,
    pub method: u64,
    pub value: TokenAmount,
    pub params: Vec<u8>,
}

pub(super) fn parse(object: &[u8], context: &Context<'_>) -> Result<Parsed, ObjectError> {
    let message = message::decode(object).map_err(|error| chain(TYPE)(&error))?;
    message::check_for_block(&message, 0).map_err(|error| chain(TYPE)(&error))?;
    let Message { from, to, value, method_num, params, gas_limit, gas_fee_cap, .. } = &message;
    let kind = match from.protocol() {
        Protocol::Secp256k1 => SignatureKind::Secp256k1,
        Protocol::BLS => SignatureKind::Bls,
        Protocol::Delegated => SignatureKind::Delegated,
        Protocol::ID | Protocol::Actor => {
            let what = "its sender is no key address (f1, f3 or f4)";
            return Err(ObjectError::NotSane { object_type: TYPE, what });
        }
    };
    let signing_bytes = message_payload(&message, kind, context.eth_chain_id)
        .map_err(|error| chain(TYPE)(&error))?;
    let call = Call { to: *to, method: *method_num, value: value.clone(), params: params.to_vec() };
    Ok(Parsed {
        signer: Some(*from),
        to: Some(*to),
        call: Some(call),
        value: value.clone(),
        fee_max: gas_fee_cap * *gas_limit,
        ..Parsed::new(TYPE, signing_bytes, message.to_lotus_json_on(context.network))
    })
}
