//! Keys as Lotus exports them.
#![no_main]

use hesper_chain::key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(found) = key::lotus_import(text)
    {
        let again = key::lotus_import(&key::lotus_export(&found)).expect("own export");
        assert_eq!(again.address(), found.address());
    }
    let _key = key::from_lotus_json(data);
});
