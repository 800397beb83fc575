//! Messages, signed messages and what is signed of them.
#![no_main]

use hesper_chain::message::{self, SignedMessage};
use hesper_chain::signature::{SignatureKind, message_payload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = message::decode(data) {
        assert_eq!(message::encode(&found).expect("it was read"), data);
        for kind in [SignatureKind::Secp256k1, SignatureKind::Bls, SignatureKind::Delegated] {
            let _payload = message_payload(&found, kind, 314);
        }
        let _verdict = message::check_for_block(&found, 0);
    }
    if let Ok(found) = SignedMessage::decode(data) {
        assert_eq!(found.encode().expect("it was read"), data);
        let from = found.message.from;
        let _verdict =
            hesper_chain::signature::verify_message(&found.message, &found.signature, &from, 314);
    }
});
