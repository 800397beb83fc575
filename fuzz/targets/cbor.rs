//! The check for canonical CBOR, and CIDs as bytes and as text: one form each.
#![no_main]

use hesper_chain::{cbor, cid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if cbor::validate(data).is_ok() {
        // What is complete neither goes on nor was complete before.
        assert!(cbor::validate(&[data, &[0]].concat()).is_err());
        assert!(cbor::validate(&data[..data.len() - 1]).is_err());
    }
    if let Ok(found) = cid::from_bytes(data) {
        assert_eq!(found.to_bytes(), data);
        assert_eq!(cid::parse(&cid::format(&found)).expect("own text"), found);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(found) = cid::parse(text)
    {
        assert_eq!(cid::format(&found), text);
    }
});
