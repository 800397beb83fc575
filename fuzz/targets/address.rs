//! Addresses as text and as bytes: what is read is written the same way.
#![no_main]

use hesper_chain::{Network, address};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok((found, network)) = address::parse_with_network(text)
    {
        assert_eq!(address::format(&found, network), text);
        let other = match network {
            Network::Mainnet => Network::Testnet,
            Network::Testnet => Network::Mainnet,
        };
        assert!(address::parse_on(other, text).is_err());
    }
    if let Ok(found) = address::from_bytes(data) {
        assert_eq!(found.to_bytes(), data);
        let text = address::format(&found, Network::Mainnet);
        assert_eq!(address::parse(&text).expect("own text"), found);
    }
});
