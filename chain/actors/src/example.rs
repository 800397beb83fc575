//! **Purpose**: examples of parameters, from the layout alone: for help texts, and for tests that
//! compare the layout with the state crates' types.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cid::Cid;
use fvm_shared::address::Address;
use serde_json::{Value, json};

use crate::codec::address_text;
use crate::methods::Method;
use crate::schema::Schema;

impl Method {
    /// Parameters in the right form, filled from `next`; `None` for a method without parameters.
    pub fn example(&self, next: &mut dyn FnMut() -> u64) -> Option<Value> {
        self.takes_params().then(|| fill(&self.params, next))
    }
}

fn bytes(next: &mut dyn FnMut() -> u64, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| next().to_be_bytes()[0]).take(length).collect()
}

fn length(next: &mut dyn FnMut() -> u64, max: u64) -> usize {
    usize::try_from(next() % (max + 1)).unwrap_or(0)
}

fn fill(schema: &Schema, next: &mut dyn FnMut() -> u64) -> Value {
    match schema {
        Schema::Nothing => Value::Null,
        // Small enough for every type of proof, code and status.
        Schema::Uint | Schema::Int => (next() % 3).into(),
        Schema::Bool => next().is_multiple_of(2).into(),
        Schema::Text => format!("text {}", next() % 1000).into(),
        Schema::Bytes => {
            let length = length(next, 40);
            BASE64.encode(bytes(next, length)).into()
        }
        Schema::Hex(length) => format!("0x{}", hex::encode(bytes(next, *length))).into(),
        Schema::Word => format!("0x01{}", hex::encode(bytes(next, 5))).into(),
        Schema::BigInt => (i128::from(next()) * 1_000_003).to_string().into(),
        Schema::Address => match next() % 3 {
            0 => address_text(&Address::new_id(next() % (1 << 40))).into(),
            1 => address_text(&Address::new_actor(&bytes(next, 8))).into(),
            _ => match Address::new_delegated(10, &bytes(next, 20)) {
                Ok(address) => address_text(&address).into(),
                Err(_) => "f00".into(),
            },
        },
        Schema::Cid => {
            let digest = multihash_of(&bytes(next, 32));
            json!({ "/": Cid::new_v1(fvm_ipld_encoding::DAG_CBOR, digest).to_string() })
        }
        Schema::BitField => json!([next() % 50, 1 + next() % 50, 1 + next() % 9, 1]),
        Schema::Signature => match next() % 2 {
            0 => json!({ "Type": 1, "Data": BASE64.encode(bytes(next, 65)) }),
            _ => json!({ "Type": 2, "Data": BASE64.encode(bytes(next, 96)) }),
        },
        Schema::Label => format!("label {}", next() % 1000).into(),
        Schema::Option(inner) => match next() % 3 {
            0 => Value::Null,
            _ => fill(inner, next),
        },
        Schema::Array(inner) => {
            let length = length(next, 3);
            (0..length).map(|_| fill(inner, next)).collect()
        }
        Schema::Tuple(fields) => {
            let fields = fields.iter().map(|f| (f.name.to_owned(), fill(f.schema, next)));
            Value::Object(fields.collect())
        }
        Schema::Pair(first, second) => json!([fill(first, next), fill(second, next)]),
        // The CBOR of a small number.
        Schema::Any => BASE64.encode([u8::try_from(next() % 24).unwrap_or(0)]).into(),
    }
}

/// BLAKE2b-256 of nothing in particular: 32 given bytes under that code.
fn multihash_of(digest: &[u8]) -> cid::multihash::Multihash<64> {
    const BLAKE2B_256: u64 = 0xb220;
    cid::multihash::Multihash::wrap(BLAKE2B_256, digest).expect("32 bytes fit into a multihash")
}
