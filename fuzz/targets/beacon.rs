//! Answers of a drand server, and entries that claim to be its.
//!
//! Input: round, length of the entry's signature, the signature, the one before it; or JSON.
#![no_main]

use hesper_chain::block::BeaconEntry;
use hesper_chain::drand::{ChainInfo, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(info) = ChainInfo::from_json(text)
    {
        let entry = BeaconEntry { round: 1, data: vec![0; 48] };
        assert!(verify(&info, &[], &entry).is_err());
    }
    let [round, length, rest @ ..] = data else { return };
    let (signature, previous) = rest.split_at(usize::from(*length).min(rest.len()));
    let entry = BeaconEntry { round: u64::from(*round), data: signature.to_vec() };
    for info in [ChainInfo::mainnet(), ChainInfo::incentinet(), ChainInfo::quicknet()] {
        let _verdict = verify(&info, previous, &entry);
    }
});
