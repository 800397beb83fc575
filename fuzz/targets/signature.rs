//! Signatures from anywhere, checked with keys from anywhere.
#![no_main]

use hesper_chain::signature::{self, Signature};
use hesper_chain::{address, bls};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = Signature::from_bytes(data) {
        assert_eq!(found.to_bytes(), data);
        let signers = ["f1abjxfbp274xpdqcpuaykwkfb43omjotacm2p3za", "f01000"];
        for signer in signers.iter().filter_map(|text| address::parse(text).ok()) {
            let _verdict = signature::verify(&found, &signer, b"payload");
        }
    }
    if let (Some(key), Some(found)) = (data.first_chunk::<48>(), data.last_chunk::<96>()) {
        assert!(bls::verify(key, b"payload", found).is_err() || data.len() >= 144);
        let _aggregate = bls::aggregate(&[*found]);
    }
});
