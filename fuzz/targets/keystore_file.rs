//! Key files of Venus from anywhere: those that ask for little work are tried with a password.
#![no_main]

use hesper_wallet::keystore::venus::decrypt_file;
use hesper_wallet::protect::Secret;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Whether opening the file is fast: other costs are legal, and slow on purpose.
fn is_cheap(text: &str) -> bool {
    let Ok(json) = serde_json::from_str::<Value>(text) else { return true };
    let number = |field| json["crypto"]["kdfparams"][field].as_u64().unwrap_or_default();
    let scrypt = u128::from(number("n")) * u128::from(number("r")) * u128::from(number("p"));
    scrypt <= 1024 && number("c") <= 64
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if !is_cheap(text) {
        return;
    }
    if let Ok(key) = decrypt_file(text, &Secret::new("correct horse".to_owned())) {
        // The file names the key that it holds.
        let address = hesper_chain::address::format(&key.address(), hesper_chain::Network::Mainnet);
        let json: Value = serde_json::from_str(text).expect("it was read");
        let named = hesper_chain::address::parse(json["address"].as_str().unwrap_or_default());
        assert_eq!(named.expect("it was read"), key.address(), "{address}");
    }
});
