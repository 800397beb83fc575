//! Token amounts as text, and as Lotus writes them.
#![no_main]

use hesper_chain::amount;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(found) = amount::parse(text) {
        assert_eq!(amount::parse(&amount::format_fil(&found)).expect("own text"), found);
    }
    if let Ok(found) = amount::parse_atto(text) {
        assert_eq!(amount::parse_atto(&amount::format_atto(&found)).expect("own text"), found);
    }
});
