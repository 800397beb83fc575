//! **Purpose**: methods about the wallet as a whole, most of them for the command line.

use hesper_chain::Network;
use hesper_jsonrpc::RpcError;
use serde_json::{Value, json};

use super::args::Args;
use super::service::{Call, refused};
use crate::object;
use crate::policy::Policy;

type Answer = Result<Value, RpcError>;

/// Crates whose events the wallet's process emits.
const SUBSYSTEMS: [&str; 3] = ["hesper", "hesper_wallet", "hesper_jsonrpc"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// Lotus packs versions as three bytes; this is the API of Venus's wallet that is spoken.
const API_VERSION: u32 = 131_840;

pub(super) fn log_subsystems(_: &Call<'_>, _: Args) -> Answer {
    Ok(json!(SUBSYSTEMS))
}

pub(super) fn log_set_level(call: &Call<'_>, mut args: Args) -> Answer {
    let (subsystem, level) = (args.text(0)?, args.text(1)?.to_lowercase());
    if subsystem != "*" && !SUBSYSTEMS.contains(&subsystem.as_str()) {
        return Err(args.bad(0, format!("the subsystems are `*`, {}", SUBSYSTEMS.join(", "))));
    }
    if !LEVELS.contains(&level.as_str()) {
        return Err(args.bad(1, format!("the levels are {}", LEVELS.join(", "))));
    }
    let set = call.shared.extras.set_level.as_ref().ok_or_else(|| {
        RpcError::application("this process cannot change its log level; restart it with another")
    })?;
    set(&subsystem, &level).map_err(RpcError::application)?;
    Ok(Value::Null)
}

pub(super) fn version(_: &Call<'_>, _: Args) -> Answer {
    Ok(json!({
        "Version": concat!("hesper-wallet ", env!("CARGO_PKG_VERSION")),
        "APIVersion": API_VERSION,
    }))
}

pub(super) fn state(call: &Call<'_>, _: Args) -> Answer {
    let wallet = call.wallet();
    let streams = call.shared.board.list();
    let id = crate::session::wallet_id(wallet.dir())
        .map_err(|error| RpcError::application(error.to_string()))?;
    Ok(json!({
        "wallet_id": id,
        "directory": wallet.dir(),
        "network": match wallet.network() {
            Network::Mainnet => "f",
            Network::Testnet => "t",
        },
        "has_password": wallet.has_password(),
        "is_locked": wallet.is_locked(),
        "keys": wallet.addresses(call.caller).len(),
        "policy_file": call.shared.extras.policy_file,
        "streams": streams.len(),
        "live_streams":
            streams.iter().filter(|stream| stream.stage == crate::session::Stage::Live).count(),
    }))
}

pub(super) fn object_types(_: &Call<'_>, _: Args) -> Answer {
    let types = object::supported().into_iter().map(|support| {
        json!({
            "type": support.object_type.word(),
            "is_supported": support.is_supported,
            "source": support.source,
            "note": support.note,
        })
    });
    Ok(Value::Array(types.collect()))
}

pub(super) fn policy_reload(call: &Call<'_>, _: Args) -> Answer {
    let path = call.shared.extras.policy_file.as_ref().ok_or_else(|| {
        RpcError::application(
            "the wallet was started without a policy file; name one with `policy`",
        )
    })?;
    let policy = Policy::load(path, call.wallet().network())
        .map_err(|error| RpcError::application(error.to_string()))?;
    call.wallet().set_policy(call.caller, policy).map_err(refused)?;
    Ok(Value::Null)
}

pub(super) fn sessions(call: &Call<'_>, _: Args) -> Answer {
    Ok(json!(call.shared.board.list()))
}
