//! **Purpose**: methods about keys, the password and the default address.

use hesper_chain::json::LotusJson;
use hesper_chain::key::{SecretKey, lotus_import};
use hesper_jsonrpc::RpcError;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::args::Args;
use super::service::{Call, refused};

type Answer = Result<Value, RpcError>;

pub(super) fn new(call: &Call<'_>, mut args: Args) -> Answer {
    let key_type = args.key_type(0)?;
    let address = call.wallet().new_key(call.caller, key_type).map_err(refused)?;
    Ok(address.to_lotus_json_on(call.wallet().network()))
}

pub(super) fn has(call: &Call<'_>, mut args: Args) -> Answer {
    Ok(json!(call.wallet().has(call.caller, &args.address(0)?)))
}

pub(super) fn list(call: &Call<'_>, _: Args) -> Answer {
    Ok(call.wallet().addresses(call.caller).to_lotus_json_on(call.wallet().network()))
}

pub(super) fn export(call: &Call<'_>, mut args: Args) -> Answer {
    let text = call.wallet().export(call.caller, &args.address(0)?).map_err(refused)?;
    let json = Zeroizing::new(hex::decode(text.as_bytes()).map_err(unreadable)?);
    serde_json::from_slice(&json).map_err(unreadable)
}

/// The wallet's own export can always be read; if not, its content is no part of the error.
fn unreadable<E>(_: E) -> RpcError {
    RpcError::internal("the exported key is no KeyInfo")
}

pub(super) fn export_hex(call: &Call<'_>, mut args: Args) -> Answer {
    let text = call.wallet().export(call.caller, &args.address(0)?).map_err(refused)?;
    Ok(json!(text.as_str()))
}

pub(super) fn import(call: &Call<'_>, mut args: Args) -> Answer {
    let mut info = args.fields(0)?;
    let key_type = info.key_type("Type")?;
    let bytes = info.secret_bytes("PrivateKey")?;
    let key = SecretKey::from_lotus_bytes(key_type, &bytes).map_err(|error| args.bad(0, error))?;
    take_in(call, key)
}

pub(super) fn import_hex(call: &Call<'_>, mut args: Args) -> Answer {
    let text = Zeroizing::new(args.text(0)?);
    let key = lotus_import(&text).map_err(|error| args.bad(0, error))?;
    take_in(call, key)
}

fn take_in(call: &Call<'_>, key: SecretKey) -> Answer {
    let address = call.wallet().import(call.caller, key).map_err(refused)?;
    Ok(address.to_lotus_json_on(call.wallet().network()))
}

/// The call itself is the confirmation: command lines ask before they make it.
pub(super) fn delete(call: &Call<'_>, mut args: Args) -> Answer {
    let address = args.address(0)?;
    let typed = hesper_chain::address::format(&address, call.wallet().network());
    call.wallet().delete(call.caller, &address, &typed).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn forget_orders(call: &Call<'_>, mut args: Args) -> Answer {
    call.wallet().forget_orders(call.caller, &args.address(0)?).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn default(call: &Call<'_>, _: Args) -> Answer {
    let address = call.wallet().default_address(call.caller).ok_or_else(|| {
        RpcError::application("there is no default address; set one with WalletSetDefault")
    })?;
    Ok(address.to_lotus_json_on(call.wallet().network()))
}

pub(super) fn set_default(call: &Call<'_>, mut args: Args) -> Answer {
    call.wallet().set_default(call.caller, &args.address(0)?).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn validate(call: &Call<'_>, mut args: Args) -> Answer {
    Ok(args.address(0)?.to_lotus_json_on(call.wallet().network()))
}

pub(super) fn set_password(call: &Call<'_>, mut args: Args) -> Answer {
    call.wallet().set_password(call.caller, &args.secret(0)?).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn unlock(call: &Call<'_>, mut args: Args) -> Answer {
    call.wallet().unlock(call.caller, &args.secret(0)?).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn lock(call: &Call<'_>, mut args: Args) -> Answer {
    if args.has(0) {
        call.wallet().verify_password(call.caller, &args.secret(0)?).map_err(refused)?;
    }
    call.wallet().lock(call.caller).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn lock_state(call: &Call<'_>, _: Args) -> Answer {
    Ok(json!(call.wallet().is_locked()))
}

pub(super) fn verify_password(call: &Call<'_>, mut args: Args) -> Answer {
    call.wallet().verify_password(call.caller, &args.secret(0)?).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn change_password(call: &Call<'_>, mut args: Args) -> Answer {
    let (old, new) = (args.secret(0)?, args.secret(1)?);
    call.wallet().change_password(call.caller, &old, &new).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn add_support_account(_: &Call<'_>, _: Args) -> Answer {
    Err(RpcError::application(
        "accounts are not kept in the wallet: bind the signers to a user in the pool, with \
         `hesper auth signer add`",
    ))
}

/// Sessions announce keys by themselves; what is left is to say when one is not held.
pub(super) fn add_new_address(call: &Call<'_>, mut args: Args) -> Answer {
    let addresses = args.addresses(0)?;
    let foreign = addresses.iter().find(|address| !call.wallet().has(call.caller, address));
    match foreign {
        None => Ok(Value::Null),
        Some(address) => Err(RpcError::application(format!(
            "the wallet does not hold the key of {}",
            hesper_chain::address::format(address, call.wallet().network())
        ))),
    }
}
