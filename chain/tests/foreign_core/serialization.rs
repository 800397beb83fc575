//! filecoin-project/serialization-vectors: headers, messages and message CIDs.

use hesper_chain::block::BlockHeader;
use hesper_chain::json::LotusJson;
use hesper_chain::signature::Signature;
use hesper_chain::{Cid, Message, Network, SignedMessage, cid, message};

use crate::support::{text, vector};

#[test]
fn block_headers_have_the_vectors_bytes_and_cids() {
    let Some(cases) = vector("serialization/block_headers.json") else { return };
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let header = BlockHeader::from_lotus_json(&case["block"]).unwrap();
        let bytes = hex::decode(text(case, "cbor_hex")).unwrap();
        assert_eq!(header.encode().unwrap(), bytes);
        assert_eq!(BlockHeader::decode(&bytes).unwrap(), header);
        assert_eq!(header.cid().unwrap().to_string(), text(case, "cid"));
        assert_eq!(header.to_lotus_json_on(Network::Testnet), case["block"]);
        header.check().unwrap();
    }
}

#[test]
fn unsigned_messages_have_the_vectors_bytes() {
    let Some(cases) = vector("serialization/unsigned_messages.json") else { return };
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 21);
    for case in cases {
        let parsed = Message::from_lotus_json(&case["message"]).unwrap();
        let bytes = hex::decode(text(case, "hex_cbor")).unwrap();
        assert_eq!(message::encode(&parsed).unwrap(), bytes);
        assert_eq!(message::decode(&bytes).unwrap(), parsed);
        let mut shown = parsed.to_lotus_json_on(Network::Testnet);
        let link = shown.as_object_mut().unwrap().remove("CID").unwrap();
        assert_eq!(shown, case["message"]);
        assert_eq!(Cid::from_lotus_json(&link).unwrap(), cid::of_cbor(&bytes));
    }
}

#[test]
fn signed_messages_have_the_vectors_cids() {
    let Some(cases) = vector("serialization/message_signing.json") else { return };
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 2);
    for case in cases {
        let unsigned = Message::from_lotus_json(&case["Unsigned"]).unwrap();
        let found = message::cid(&unsigned).unwrap();
        assert_eq!(found.to_string(), text(case, "Cid"));
        assert_eq!(hex::encode(found.to_bytes()), text(case, "CidHexBytes"));
        // BLS: the signature does not enter the CID.
        let signature = Signature::from_lotus_json(&case["Signature"]).unwrap();
        let signed = SignedMessage { message: unsigned, signature };
        assert_eq!(signed.cid().unwrap(), found);
        assert_eq!(SignedMessage::decode(&signed.encode().unwrap()).unwrap(), signed);
    }
}
