//! Names of users, signers and miners as callers write them.
#![no_main]

use hesper_auth::names;
use hesper_chain::{Network, Protocol, address};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _verdict = names::check_user(text);
    let signer = names::signer(text);
    if let Ok(found) = &signer {
        assert_eq!(names::signer(found).as_ref(), Ok(found), "one text");
    }
    let miner = names::miner(text);
    let Ok(found) = address::parse(text) else { return };
    match found.protocol() {
        Protocol::ID => assert_eq!(miner, Ok(found.id().expect("it has one"))),
        Protocol::Actor => assert!(signer.is_err() && miner.is_err()),
        // What the address library takes, the machine keeps under the same text.
        Protocol::Secp256k1 | Protocol::BLS | Protocol::Delegated => {
            assert_eq!(signer.as_deref(), Ok(address::format(&found, Network::Mainnet).as_str()));
        }
    }
});
