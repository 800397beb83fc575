//! **Purpose**: methods about tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hesper_jsonrpc::RpcError;
use serde_json::{Value, json};

use super::args::Args;
use super::service::Call;
use super::token::{Claims, TokenError, words};
use crate::{Clock, SystemClock};

type Answer = Result<Value, RpcError>;

/// Of the maker's name, the part that the name of a made token shows.
const MAKER_CHARS_MAX: usize = 60;

pub(super) fn verify(call: &Call<'_>, mut args: Args) -> Answer {
    let token = args.text(0)?;
    let claims = call.shared.tokens.verify(&token, SystemClock.now_ms()).map_err(refused)?;
    Ok(json!(words(claims.permission().map_err(refused)?)))
}

/// As Lotus does, the token goes out as bytes, which JSON shows in base64. It is bound to the token
/// that makes it; only one that is made over the Unix socket stands for itself.
pub(super) fn new(call: &Call<'_>, mut args: Args) -> Answer {
    let maker: String = call.caller.name.chars().take(MAKER_CHARS_MAX).collect();
    let name = format!("by {maker}");
    let claims = Claims { allow: args.strings(0)?, name, ..Claims::default() };
    let tokens = &call.shared.tokens;
    let token = match call.token {
        Some(parent) => tokens.issue_with(parent, claims, SystemClock.now_ms()),
        None => tokens.issue(claims),
    };
    Ok(json!(STANDARD.encode(token.map_err(refused)?)))
}

pub(super) fn token_new(call: &Call<'_>, mut args: Args) -> Answer {
    let allow = vec![args.text(0)?];
    let groups = args.strings_or_one(1)?;
    let expires_at_s = match args.has(2) {
        true => Some(SystemClock.now_ms().saturating_add(args.number(2)?) / 1000),
        false => None,
    };
    let name = if args.has(3) { args.text(3)? } else { String::new() };
    let claims = Claims { allow, groups, name, expires_at_s, ..Claims::default() };
    Ok(json!(call.shared.tokens.issue(claims).map_err(refused)?))
}

pub(super) fn token_revoke(call: &Call<'_>, mut args: Args) -> Answer {
    let text = args.text(0)?;
    let tokens = &call.shared.tokens;
    let id = if text.contains('.') { tokens.id_of(&text).map_err(refused)? } else { text };
    tokens.revoke(&id).map_err(refused)?;
    Ok(json!(id))
}

pub(super) fn token_rotate(call: &Call<'_>, _: Args) -> Answer {
    call.shared.tokens.rotate().map_err(refused)?;
    Ok(Value::Null)
}

fn refused(error: TokenError) -> RpcError {
    RpcError::application(error.to_string())
}
