//! Objects to sign: what the wallet would sign follows from the form that it shows, and a digest
//! that differs in one bit is refused.
//!
//! Input: type, place of a change, then the object.
#![no_main]

use hesper_chain::Network;
use hesper_wallet::object::{Context, ObjectType, Parsed, parse};
use libfuzzer_sys::fuzz_target;

const ISSUED: [[u8; 32]; 1] = [[7; 32]];

fn context() -> Context<'static> {
    Context { network: Network::Mainnet, eth_chain_id: 314, issued: &ISSUED }
}

/// The object with the digest that the wallet itself derives, which only a refusal tells for types
/// that are not signed without one.
fn parsed(object_type: ObjectType, object: &[u8]) -> Option<Parsed> {
    let digests = match object_type {
        ObjectType::Message => message_digests(object),
        // SHA-256 of both halves; Venus leaves the second one out.
        ObjectType::VerifyAddress => [object.to_vec(), [object, &ISSUED[0]].concat()]
            .iter()
            .map(|halves| hesper_chain::hash::sha_256(halves).to_vec())
            .collect(),
        _ => return parse(object_type, object, &[], &context()).ok(),
    };
    digests.iter().find_map(|digest| parse(object_type, digest, object, &context()).ok())
}

fn message_digests(object: &[u8]) -> Vec<Vec<u8>> {
    use hesper_chain::message;
    use hesper_chain::signature::{SignatureKind, message_payload};
    let Ok(found) = message::decode(object) else { return Vec::new() };
    let kinds = [SignatureKind::Bls, SignatureKind::Delegated];
    kinds.iter().filter_map(|kind| message_payload(&found, *kind, 314).ok()).collect()
}

fuzz_target!(|data: &[u8]| {
    let [index, place, object @ ..] = data else { return };
    let object_type = ObjectType::ALL[usize::from(*index) % ObjectType::ALL.len()];
    let Some(found) = parsed(object_type, object) else { return };
    assert_eq!(found.object_type, object_type);
    assert!(found.shown.is_object());

    // With its own digest it is the same object; with another one it is refused as such.
    let again = parse(object_type, &found.signing_bytes, object, &context());
    assert_eq!(again.expect("the wallet's own digest"), found);
    let mut digest = found.signing_bytes.clone();
    let at = usize::from(*place) % digest.len();
    digest[at] ^= 1 << (place % 8);
    let refused = parse(object_type, &digest, object, &context()).expect_err("a changed digest");
    assert!(refused.is_mismatch(), "{refused}");

    // Another object with other signing bytes is shown as another one.
    let mut other = object.to_vec();
    let at = usize::from(*place) % other.len();
    other[at] = other[at].wrapping_add(1 | place >> 4);
    if let Some(other) = parsed(object_type, &other)
        && other.shown == found.shown
    {
        assert_eq!(other.signing_bytes, found.signing_bytes, "one form, two signatures");
    }
    // Nothing follows an object.
    let longer = [object, &[*place]].concat();
    if let Some(longer) = parsed(object_type, &longer) {
        assert_ne!(longer.signing_bytes, found.signing_bytes);
        assert_ne!(longer.shown, found.shown);
    }
});
