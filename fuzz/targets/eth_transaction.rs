//! Raw Ethereum transactions and the signatures that delegated messages store.
#![no_main]

use hesper_chain::delegated::{EthTransaction, SignedEthTransaction, TransactionSignature};
use hesper_chain::{address, message};
use libfuzzer_sys::fuzz_target;

const CHAIN_ID: u64 = 314;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = SignedEthTransaction::parse(data, CHAIN_ID) {
        assert_eq!(found.to_rlp(), data);
        assert!(SignedEthTransaction::parse(data, CHAIN_ID + 1).is_err() || is_homestead(&found));
        let from = address::from_ethereum(&[0x11; 20]);
        let message = found.transaction.to_message(from);
        if let Ok(bytes) = message::encode(&message) {
            assert_eq!(message::decode(&bytes).expect("own bytes"), message);
        }
        // What the message says is what the signature of the transaction stands for.
        if let Ok(again) = EthTransaction::from_message(&message, found.transaction.kind, CHAIN_ID)
        {
            assert_eq!(again.signing_rlp(), found.transaction.signing_rlp());
        }
    }
    if let Ok(found) = TransactionSignature::from_bytes(data, CHAIN_ID) {
        assert_eq!(found.to_bytes(), data);
        let _key = hesper_chain::secp::recover(&[1; 32], &found.recoverable());
    }
});

/// The oldest kind names no chain.
fn is_homestead(found: &SignedEthTransaction) -> bool {
    found.transaction.kind == hesper_chain::delegated::EthKind::Homestead
}
