//! **Purpose**: between CBOR, IPLD and JSON along a schema.
//!
//! **Invariants**
//! - Decoding ends by encoding again; other bytes than those that came are refused.
//! - No schema is recursive, so the depth of the walk is bounded by the table.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cid::Cid;
use fvm_shared::address::{Address, Network};
use ipld_core::ipld::Ipld;
use num_bigint::{BigInt, Sign};
use serde_json::{Map, Value, json};

use crate::bitfield;
use crate::error::Reason;
use crate::methods::Vet;
use crate::schema::{Field, Schema};

/// Bytes of a big integer on chain, sign byte included.
const BIG_INT_BYTES_MAX: usize = 128;
/// Bytes of a signature on chain, type byte included.
const SIGNATURE_BYTES_MAX: usize = 201;

pub fn decode(schema: &Schema, bytes: &[u8], vet: Option<Vet>) -> Result<Value, Reason> {
    match (schema, bytes.is_empty()) {
        (Schema::Nothing, true) => return Ok(Value::Null),
        (Schema::Nothing, false) => return Err(Reason::NotEmpty(bytes.len())),
        (_, true) => return Err(Reason::Empty),
        (_, false) => {}
    }
    let ipld: Ipld =
        fvm_ipld_encoding::from_slice(bytes).map_err(|error| Reason::Cbor(error.to_string()))?;
    let json = to_json(schema, &ipld, &mut Path::default())?;
    if encode(schema, &json, vet)? != bytes {
        return Err(Reason::NotCanonical);
    }
    Ok(json)
}

pub fn encode(schema: &Schema, json: &Value, vet: Option<Vet>) -> Result<Vec<u8>, Reason> {
    if matches!(schema, Schema::Nothing) {
        let nothing = json.is_null();
        return if nothing {
            Ok(Vec::new())
        } else {
            Err(Reason::NotEmpty(json.to_string().len()))
        };
    }
    let ipld = to_ipld(schema, json, &mut Path::default())?;
    let bytes =
        fvm_ipld_encoding::to_vec(&ipld).map_err(|error| Reason::Cbor(error.to_string()))?;
    match vet {
        Some(vet) => {
            let again = vet(&bytes).map_err(Reason::Refused)?;
            if again == bytes { Ok(bytes) } else { Err(Reason::NotCanonical) }
        }
        None => Ok(bytes),
    }
}

/// Where in the parameters the walk is.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn inside<T>(
        &mut self,
        step: impl Into<String>,
        walk: impl FnOnce(&mut Path) -> Result<T, Reason>,
    ) -> Result<T, Reason> {
        self.0.push(step.into());
        let walked = walk(self);
        self.0.pop();
        walked
    }

    fn text(&self) -> String {
        if self.0.is_empty() { "the whole".to_owned() } else { self.0.join(".") }
    }

    fn form(&self, wanted: impl Into<String>, found: impl Into<String>) -> Reason {
        Reason::Form { path: self.text(), wanted: wanted.into(), found: found.into() }
    }
}

fn kind_of(ipld: &Ipld) -> String {
    match ipld {
        Ipld::Null => "null".to_owned(),
        Ipld::Bool(_) => "a boolean".to_owned(),
        Ipld::Integer(number) => format!("the number {number}"),
        Ipld::Float(_) => "a float".to_owned(),
        Ipld::String(_) => "a text".to_owned(),
        Ipld::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Ipld::List(list) => format!("an array of {}", list.len()),
        Ipld::Map(_) => "a map".to_owned(),
        Ipld::Link(_) => "a CID".to_owned(),
    }
}

/// The beginning of a value, for messages.
fn shown(json: &Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn to_json(schema: &Schema, ipld: &Ipld, path: &mut Path) -> Result<Value, Reason> {
    let bad = |path: &Path, wanted: &str| path.form(wanted, kind_of(ipld));
    match (schema, ipld) {
        (Schema::Nothing, _) => Err(bad(path, "nothing")),
        (Schema::Uint, Ipld::Integer(number)) => u64::try_from(*number)
            .map(Value::from)
            .map_err(|_| bad(path, "a number of 0 to 2^64-1")),
        (Schema::Int, Ipld::Integer(number)) => {
            i64::try_from(*number).map(Value::from).map_err(|_| bad(path, "a number of 64 bits"))
        }
        (Schema::Bool, Ipld::Bool(value)) => Ok((*value).into()),
        (Schema::Text, Ipld::String(text)) => Ok(text.clone().into()),
        (Schema::Bytes, Ipld::Bytes(bytes)) => Ok(BASE64.encode(bytes).into()),
        (Schema::Hex(length), Ipld::Bytes(bytes)) if bytes.len() == *length => Ok(hex_text(bytes)),
        (Schema::Word, Ipld::Bytes(bytes)) if is_word(bytes) => Ok(hex_text(bytes)),
        (Schema::BigInt, Ipld::Bytes(bytes)) => big_int(bytes)
            .map(|number| number.to_string().into())
            .map_err(|e| path.form(e, kind_of(ipld))),
        (Schema::Address, Ipld::Bytes(bytes)) => Address::from_bytes(bytes)
            .map(|address| address_text(&address).into())
            .map_err(|error| path.form("an address", error.to_string())),
        (Schema::Cid, Ipld::Link(cid)) => Ok(json!({ "/": cid.to_string() })),
        (Schema::BitField, Ipld::Bytes(bytes)) => {
            bitfield::to_json(bytes).map_err(|error| path.form("a bit field", error))
        }
        (Schema::Signature, Ipld::Bytes(bytes)) => match bytes.split_first() {
            Some((kind @ 1..=3, rest)) if bytes.len() <= SIGNATURE_BYTES_MAX => {
                Ok(json!({ "Type": kind, "Data": BASE64.encode(rest) }))
            }
            _ => Err(bad(path, "a signature of the type 1, 2 or 3")),
        },
        (Schema::Label, Ipld::String(text)) => Ok(text.clone().into()),
        (Schema::Label, Ipld::Bytes(bytes)) => Ok(json!({ "Bytes": BASE64.encode(bytes) })),
        (Schema::Option(_), Ipld::Null) => Ok(Value::Null),
        (Schema::Option(inner), _) => to_json(inner, ipld, path),
        (Schema::Array(inner), Ipld::List(list)) => list
            .iter()
            .enumerate()
            .map(|(at, item)| path.inside(at.to_string(), |path| to_json(inner, item, path)))
            .collect(),
        (Schema::Tuple(fields), Ipld::List(list)) if list.len() == fields.len() => {
            tuple_to_json(fields, list, path)
        }
        (Schema::Tuple(fields), _) => {
            Err(bad(path, &format!("an array of {} fields", fields.len())))
        }
        (Schema::Pair(first, second), Ipld::List(list)) => match list.as_slice() {
            [one, two] => Ok(json!([to_json(first, one, path)?, to_json(second, two, path)?])),
            _ => Err(bad(path, "an array of two")),
        },
        (Schema::Any, _) => fvm_ipld_encoding::to_vec(ipld)
            .map(|bytes| BASE64.encode(bytes).into())
            .map_err(|error| Reason::Cbor(error.to_string())),
        (_, _) => Err(bad(path, wanted(schema))),
    }
}

fn tuple_to_json(fields: &[Field], list: &[Ipld], path: &mut Path) -> Result<Value, Reason> {
    let mut object = Map::new();
    for (field, item) in fields.iter().zip(list) {
        let value = path.inside(field.name, |path| to_json(field.schema, item, path))?;
        object.insert(field.name.to_owned(), value);
    }
    Ok(object.into())
}

fn wanted(schema: &Schema) -> &'static str {
    match schema {
        Schema::Nothing => "nothing",
        Schema::Uint => "a number of 0 to 2^64-1",
        Schema::Int => "a number of 64 bits",
        Schema::Bool => "true or false",
        Schema::Text => "a text",
        Schema::Bytes => "bytes (base64)",
        Schema::Hex(_) => "bytes of the right length (0x and hex)",
        Schema::Word => "at most 32 bytes without leading zero (0x and hex)",
        Schema::BigInt => "a decimal number as text",
        Schema::Address => "an address",
        Schema::Cid => "a CID ({\"/\": \"bafy…\"})",
        Schema::BitField => "a bit field (array of run lengths)",
        Schema::Signature => "a signature ({\"Type\": …, \"Data\": …})",
        Schema::Label => "a text, or {\"Bytes\": base64}",
        Schema::Option(inner) => wanted(inner),
        Schema::Array(_) => "an array",
        Schema::Tuple(_) => "an object",
        Schema::Pair(_, _) => "an array of two",
        Schema::Any => "CBOR (base64)",
    }
}

fn to_ipld(schema: &Schema, json: &Value, path: &mut Path) -> Result<Ipld, Reason> {
    let bad = |path: &Path| path.form(wanted(schema), shown(json));
    let text = |path: &Path| json.as_str().ok_or_else(|| bad(path));
    match schema {
        Schema::Nothing => Err(bad(path)),
        Schema::Uint => json.as_u64().map(|n| Ipld::Integer(n.into())).ok_or_else(|| bad(path)),
        Schema::Int => json.as_i64().map(|n| Ipld::Integer(n.into())).ok_or_else(|| bad(path)),
        Schema::Bool => json.as_bool().map(Ipld::Bool).ok_or_else(|| bad(path)),
        Schema::Text => Ok(Ipld::String(text(path)?.to_owned())),
        // Go prints empty bytes as null.
        Schema::Bytes if json.is_null() => Ok(Ipld::Bytes(Vec::new())),
        Schema::Bytes => base64_bytes(text(path)?).map(Ipld::Bytes).ok_or_else(|| bad(path)),
        Schema::Hex(length) => unhex(text(path)?)
            .filter(|bytes| bytes.len() == *length)
            .map(Ipld::Bytes)
            .ok_or_else(|| bad(path)),
        Schema::Word => {
            unhex(text(path)?).filter(|b| is_word(b)).map(Ipld::Bytes).ok_or_else(|| bad(path))
        }
        Schema::BigInt => {
            let number: BigInt = text(path)?.parse().map_err(|_| bad(path))?;
            big_int_bytes(&number).map(Ipld::Bytes).ok_or_else(|| {
                path.form(format!("at most {BIG_INT_BYTES_MAX} bytes long"), shown(json))
            })
        }
        Schema::Address => address(text(path)?)
            .map(|address| Ipld::Bytes(address.to_bytes()))
            .map_err(|error| path.form("an address", format!("{}: {error}", shown(json)))),
        Schema::Cid => {
            let cid = json.as_object().filter(|map| map.len() == 1).and_then(|map| map.get("/"));
            let cid = cid.and_then(Value::as_str).ok_or_else(|| bad(path))?;
            let cid: Cid = cid.parse().map_err(|_| bad(path))?;
            Ok(Ipld::Link(cid))
        }
        Schema::BitField => bitfield::from_json(json)
            .map(Ipld::Bytes)
            .map_err(|error| path.form(wanted(schema), error)),
        Schema::Signature => signature_bytes(json).map(Ipld::Bytes).ok_or_else(|| bad(path)),
        Schema::Label => match json {
            Value::String(text) => Ok(Ipld::String(text.clone())),
            Value::Object(map) if map.len() == 1 => map
                .get("Bytes")
                .and_then(Value::as_str)
                .and_then(base64_bytes)
                .map(Ipld::Bytes)
                .ok_or_else(|| bad(path)),
            _ => Err(bad(path)),
        },
        Schema::Option(_) if json.is_null() => Ok(Ipld::Null),
        Schema::Option(inner) => to_ipld(inner, json, path),
        // Go prints an empty slice that was never made as null.
        Schema::Array(_) if json.is_null() => Ok(Ipld::List(Vec::new())),
        Schema::Array(inner) => {
            let items = json.as_array().ok_or_else(|| bad(path))?;
            let items: Result<Vec<Ipld>, Reason> = items
                .iter()
                .enumerate()
                .map(|(at, item)| path.inside(at.to_string(), |path| to_ipld(inner, item, path)))
                .collect();
            items.map(Ipld::List)
        }
        Schema::Tuple(fields) => tuple_to_ipld(fields, json, path),
        Schema::Pair(first, second) => match json.as_array().map(Vec::as_slice) {
            Some([one, two]) => {
                Ok(Ipld::List(vec![to_ipld(first, one, path)?, to_ipld(second, two, path)?]))
            }
            _ => Err(bad(path)),
        },
        Schema::Any => {
            let bytes = base64_bytes(text(path)?).ok_or_else(|| bad(path))?;
            fvm_ipld_encoding::from_slice(&bytes).map_err(|error| Reason::Cbor(error.to_string()))
        }
    }
}

fn tuple_to_ipld(fields: &[Field], json: &Value, path: &mut Path) -> Result<Ipld, Reason> {
    let object = json.as_object().ok_or_else(|| path.form("an object", shown(json)))?;
    if let Some(field) = object.keys().find(|key| !fields.iter().any(|field| field.name == *key)) {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let fields = names.join(", ");
        return Err(Reason::UnknownField { path: path.text(), field: field.clone(), fields });
    }
    let mut list = Vec::with_capacity(fields.len());
    for field in fields {
        let value = object
            .get(field.name)
            .ok_or_else(|| Reason::MissingField { path: path.text(), field: field.name })?;
        list.push(path.inside(field.name, |path| to_ipld(field.schema, value, path))?);
    }
    Ok(Ipld::List(list))
}

fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

fn hex_text(bytes: &[u8]) -> Value {
    format!("0x{}", hex::encode(bytes)).into()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok()
}

fn is_word(bytes: &[u8]) -> bool {
    bytes.len() <= 32 && bytes.first() != Some(&0)
}

fn signature_bytes(json: &Value) -> Option<Vec<u8>> {
    let object = json.as_object().filter(|map| map.len() == 2)?;
    let kind =
        u8::try_from(object.get("Type")?.as_u64()?).ok().filter(|kind| (1..=3).contains(kind))?;
    let rest = base64_bytes(object.get("Data")?.as_str()?)?;
    (rest.len() < SIGNATURE_BYTES_MAX).then(|| [&[kind], rest.as_slice()].concat())
}

fn big_int(bytes: &[u8]) -> Result<BigInt, String> {
    if bytes.len() > BIG_INT_BYTES_MAX {
        return Err(format!("a number of at most {BIG_INT_BYTES_MAX} bytes"));
    }
    match bytes {
        [] => Ok(BigInt::ZERO),
        [0 | 1] | [_, 0, ..] => Err("a number without leading zero bytes".to_owned()),
        [0, magnitude @ ..] => Ok(BigInt::from_bytes_be(Sign::Plus, magnitude)),
        [1, magnitude @ ..] => Ok(BigInt::from_bytes_be(Sign::Minus, magnitude)),
        _ => Err("a number with the sign byte 0 or 1".to_owned()),
    }
}

fn big_int_bytes(number: &BigInt) -> Option<Vec<u8>> {
    let (sign, magnitude) = number.to_bytes_be();
    let bytes = match sign {
        Sign::NoSign => Vec::new(),
        Sign::Plus => [&[0], magnitude.as_slice()].concat(),
        Sign::Minus => [&[1], magnitude.as_slice()].concat(),
    };
    (bytes.len() <= BIG_INT_BYTES_MAX).then_some(bytes)
}

/// With the prefix of the main network; the prefix is no part of an address.
pub fn address_text(address: &Address) -> String {
    let text = address.to_string();
    format!("f{}", &text[1..])
}

fn address(text: &str) -> Result<Address, fvm_shared::address::Error> {
    let network = if text.starts_with('t') { Network::Testnet } else { Network::Mainnet };
    network.parse_address(text)
}
