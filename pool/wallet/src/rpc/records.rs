//! **Purpose**: methods about the sign log.

use std::collections::BTreeSet;

use hesper_jsonrpc::RpcError;
use serde_json::{Value, json};

use super::args::{Args, Fields};
use super::service::Call;
use super::time;
use crate::signlog::{Decision, Entry, LogError, Query};
use crate::{Clock, SystemClock};

type Answer = Result<Value, RpcError>;

/// Newest records among which `ListSignedRecord` looks; older ones are for `Hesper.LogList`. Any
/// token may call it, so that its work must not grow with the log.
pub(super) const LOOK_BACK: usize = 10_000;
/// What the operator may ask for at once.
const LOCAL_LIMIT_MAX: usize = 100_000;
const LIMIT_MAX: usize = 1000;

/// Venus's query. The log keeps a hash of each signature and the parsed object instead of the
/// signature and the raw bytes, so `RawMsg` and `Signature` are null and `Detail` is the record.
pub(super) fn list_signed(call: &Call<'_>, mut args: Args) -> Answer {
    let mut wanted = Wanted::read(call, &mut args.fields(0)?)?;
    if call.caller.scope != crate::Scope::All {
        let network = call.wallet().network();
        let own = call.wallet().addresses(call.caller);
        let texts = own.iter().map(|address| hesper_chain::address::format(address, network));
        wanted.among = Some(texts.collect());
    }
    let entries = call.wallet().log().newest(LOOK_BACK).map_err(unreadable)?;
    let found = entries
        .iter()
        .rev()
        .filter(|entry| wanted.fits(entry))
        .skip(wanted.skip)
        .take(wanted.limit)
        .map(shown);
    Ok(Value::Array(found.collect()))
}

struct Wanted {
    id: Option<String>,
    object: Option<String>,
    signer: Option<String>,
    /// A group's token: its keys.
    among: Option<BTreeSet<String>>,
    is_error: bool,
    after_ms: u64,
    before_ms: u64,
    skip: usize,
    limit: usize,
}

impl Wanted {
    fn read(call: &Call<'_>, fields: &mut Fields) -> Result<Self, RpcError> {
        let network = call.wallet().network();
        let signer = fields.address("Signer")?;
        Ok(Wanted {
            id: fields.text("ID")?,
            object: fields.text("Type")?,
            signer: signer.map(|signer| hesper_chain::address::format(&signer, network)),
            among: None,
            is_error: fields.flag("IsError")?,
            after_ms: read_time(fields, "After")?.unwrap_or(0),
            before_ms: read_time(fields, "Before")?.filter(|ms| *ms > 0).unwrap_or(u64::MAX),
            skip: count(fields.number("Skip")?, 0),
            limit: count(fields.number("Limit")?.filter(|limit| *limit > 0), 100).min(LIMIT_MAX),
        })
    }

    fn fits(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        let is_refused = matches!(record.decision, Decision::Refused { .. });
        // Key management is no signature; it shows under `Hesper.LogList`.
        crate::ObjectType::of_word(&record.object).is_ok()
            && self.id.as_ref().is_none_or(|id| *id == entry.sequence.to_string())
            && self.object.as_ref().is_none_or(|object| *object == record.object)
            && self.signer.as_ref().is_none_or(|signer| *signer == record.key)
            && self.among.as_ref().is_none_or(|among| among.contains(&record.key))
            && (!self.is_error || is_refused)
            && (self.after_ms..=self.before_ms).contains(&record.time_ms)
    }
}

fn read_time(fields: &mut Fields, name: &str) -> Result<Option<u64>, RpcError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    match time::parse(&text) {
        Some(ms) => Ok(Some(ms)),
        None => Err(RpcError::invalid_params(format!("`{name}` is no time of RFC 3339"))),
    }
}

fn count(number: Option<u64>, default: usize) -> usize {
    number.map_or(default, |number| usize::try_from(number).unwrap_or(usize::MAX))
}

fn shown(entry: &Entry) -> Value {
    let record = &entry.record;
    let error = match &record.decision {
        Decision::Refused { reason } => json!(reason),
        Decision::Signed | Decision::Done => Value::Null,
    };
    json!({
        "ID": entry.sequence.to_string(),
        "Type": record.object,
        "Signer": record.key,
        "Err": error,
        "RawMsg": null,
        "Signature": null,
        "CreateAt": time::format(record.time_ms),
        "Detail": detail(entry),
    })
}

fn detail(entry: &Entry) -> Value {
    json!({
        "sequence": entry.sequence,
        "previous": hex::encode(entry.previous),
        "hash": hex::encode(entry.hash),
        "record": entry.record,
    })
}

pub(super) fn tail(call: &Call<'_>, mut args: Args) -> Answer {
    let limit = if args.has(0) { count(Some(args.number(0)?), 0) } else { 100 };
    let entries = call.wallet().log().tail(limit.min(LOCAL_LIMIT_MAX)).map_err(unreadable)?;
    Ok(Value::Array(entries.iter().map(detail).collect()))
}

pub(super) fn list(call: &Call<'_>, mut args: Args) -> Answer {
    let mut fields = args.fields(0)?;
    let network = call.wallet().network();
    let key = fields.address("Key")?;
    let query = Query {
        key: key.map(|key| hesper_chain::address::format(&key, network)),
        from: fields.number("From")?.unwrap_or(1),
        limit: count(fields.number("Limit")?, 100).min(LOCAL_LIMIT_MAX),
    };
    let entries = call.wallet().log().list(&query).map_err(unreadable)?;
    Ok(Value::Array(entries.iter().map(detail).collect()))
}

pub(super) fn verify(call: &Call<'_>, _: Args) -> Answer {
    let summary = call.wallet().log().verify().map_err(unreadable)?;
    serde_json::to_value(summary).map_err(|error| RpcError::internal(error.to_string()))
}

pub(super) fn prune(call: &Call<'_>, mut args: Args) -> Answer {
    let keep_from_ms = args.number(0)?;
    let now_ms = SystemClock.now_ms();
    let pruned = call.wallet().log().prune(keep_from_ms, &call.caller.name, now_ms);
    let pruned = pruned.map_err(unreadable)?;
    Ok(json!({ "records": pruned.records, "segments": pruned.segments }))
}

fn unreadable(error: LogError) -> RpcError {
    RpcError::application(error.to_string())
}
