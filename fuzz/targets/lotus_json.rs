//! Lotus JSON of every type: what is read is written and read again as the same thing.
#![no_main]

use hesper_chain::block::{BeaconEntry, BlockHeader, BlockMsg, ElectionProof, PoStProof, Ticket};
use hesper_chain::json::LotusJson;
use hesper_chain::message::SignedMessage;
use hesper_chain::signature::Signature;
use hesper_chain::tipset::{Tipset, TipsetKey};
use hesper_chain::{Address, Cid, Message, TokenAmount};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn check<T: LotusJson>(json: &Value) {
    if let Ok(found) = T::from_lotus_json(json) {
        let written = found.to_lotus_json();
        let again = T::from_lotus_json(&written).unwrap_or_else(|_| panic!("own JSON: {written}"));
        assert_eq!(again.to_lotus_json(), written);
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(json) = serde_json::from_slice::<Value>(data) else { return };
    check::<Address>(&json);
    check::<Cid>(&json);
    check::<TokenAmount>(&json);
    check::<Message>(&json);
    check::<SignedMessage>(&json);
    check::<Signature>(&json);
    check::<BlockHeader>(&json);
    check::<BlockMsg>(&json);
    check::<Tipset>(&json);
    check::<TipsetKey>(&json);
    check::<Ticket>(&json);
    check::<ElectionProof>(&json);
    check::<BeaconEntry>(&json);
    check::<PoStProof>(&json);
});
