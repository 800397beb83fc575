//! **Purpose**: methods that sign, explain or verify.
//!
//! **Invariants**
//! - Lotus's form of `WalletSign`, with two parameters, names no type and so is `unknown`.
//! - `WalletSignMessage` signs the message that it returns: the payload is derived here and again,
//!   from the same bytes, by the wallet.

use hesper_chain::json::LotusJson;
use hesper_chain::signature::{Signature, SignatureKind, message_payload, verify as is_signature};
use hesper_chain::{Address, Message, SignedMessage};
use hesper_jsonrpc::RpcError;
use serde_json::{Value, json};

use super::args::Args;
use super::service::{Call, refused};
use crate::{ObjectType, SignRequest};

type Answer = Result<Value, RpcError>;

pub(super) fn sign(call: &Call<'_>, mut args: Args) -> Answer {
    let signer = args.address(0)?;
    let to_sign = args.bytes(1)?;
    let (object_type, extra) = match args.has(2) {
        false => (ObjectType::Unknown, Vec::new()),
        true => {
            let mut meta = args.fields(2)?;
            let word = meta.text("Type")?.unwrap_or_default();
            // Go's zero value of the type is the empty word.
            let word = if word.is_empty() { ObjectType::Unknown.word() } else { &word };
            (object_type_of(word)?, meta.bytes("Extra")?)
        }
    };
    let request = request(call, signer, object_type, to_sign, extra);
    Ok(call.wallet().sign(&request).map_err(refused)?.to_lotus_json())
}

pub(super) fn explain(call: &Call<'_>, mut args: Args) -> Answer {
    let mut fields = args.fields(0)?;
    let signer = fields.address("Signer")?.ok_or_else(|| args.bad(0, "`Signer` is wanted"))?;
    let word = fields.text("Type")?.unwrap_or_default();
    let object_type = object_type_of(&word)?;
    let (to_sign, extra) = (fields.bytes("ToSign")?, fields.bytes("Extra")?);
    let explanation = call.wallet().explain(&request(call, signer, object_type, to_sign, extra));
    serde_json::to_value(explanation).map_err(|error| RpcError::internal(error.to_string()))
}

pub(super) fn sign_message(call: &Call<'_>, mut args: Args) -> Answer {
    let signer = args.address(0)?;
    let message: Message = args.lotus(1)?;
    let kind = SignatureKind::of_protocol(signer.protocol())
        .ok_or_else(|| args.bad(0, "a key's address is wanted, not that of an actor"))?;
    let to_sign = message_payload(&message, kind, call.shared.extras.eth_chain_id)
        .map_err(|error| args.bad(1, error))?;
    let extra = hesper_chain::message::encode(&message).map_err(|error| args.bad(1, error))?;
    let request = request(call, signer, ObjectType::Message, to_sign, extra);
    let signature = call.wallet().sign(&request).map_err(refused)?;
    Ok(SignedMessage { message, signature }.to_lotus_json_on(call.wallet().network()))
}

pub(super) fn verify(_: &Call<'_>, mut args: Args) -> Answer {
    let signer = args.address(0)?;
    let payload = args.bytes(1)?;
    let signature: Signature = args.lotus(2)?;
    Ok(json!(is_signature(&signature, &signer, &payload).is_ok()))
}

fn object_type_of(word: &str) -> Result<ObjectType, RpcError> {
    ObjectType::of_word(word).map_err(|error| RpcError::invalid_params(error.to_string()))
}

fn request(
    call: &Call<'_>,
    signer: Address,
    object_type: ObjectType,
    to_sign: Vec<u8>,
    extra: Vec<u8>,
) -> SignRequest {
    SignRequest { signer, object_type, to_sign, extra, caller: call.caller.clone(), order: None }
}
