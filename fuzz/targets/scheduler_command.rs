//! Commands of the scheduler, as another node sends them through the log.
#![no_main]

use hesper_scheduler::{Command, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = Command::decode(data) {
        let bytes = found.encode();
        assert_eq!(Command::decode(&bytes).expect("own bytes").encode(), bytes);
    }
    let _reply = Reply::decode(data);
});
