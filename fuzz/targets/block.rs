//! Block headers and gossiped blocks.
#![no_main]

use hesper_chain::block::{BlockHeader, BlockMsg};
use hesper_chain::tipset::{Tipset, TipsetKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = BlockHeader::decode(data) {
        assert_eq!(found.encode().expect("it was read"), data);
        let _bytes = found.signing_bytes().expect("a header has signing bytes");
        let _verdict = found.check();
        let _tipset = Tipset::new(vec![found]);
    }
    if let Ok(found) = BlockMsg::decode(data) {
        assert_eq!(found.encode().expect("it was read"), data);
    }
    if let Ok(found) = TipsetKey::from_bytes(data) {
        assert_eq!(found.to_bytes(), data);
    }
});
