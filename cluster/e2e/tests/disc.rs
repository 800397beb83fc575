//! A wallet whose disc takes no more records: no signature leaves it, and none that left is missing.

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use hesper_e2e::Wallet;
use serde_json::{Value, json};

/// Room for about a hundred records.
const LOG_KIB: u32 = 64;
const REQUESTS_MAX: usize = 2_000;

#[test]
fn a_full_disc_means_no_signature() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let dir = Utf8PathBuf::try_from(scratch.path().to_owned())?;
    let mut wallet = Wallet::init(&dir, "full")?;
    let key = wallet.new_key("secp256k1")?;
    let token = std::fs::read_to_string(wallet.token_file("sign")?)?;
    wallet.start_with_small_disc(LOG_KIB)?;
    let sign = |nonce: usize| {
        wallet.call(&token, "WalletSignMessage", &json!([key, message(&key, nonce)]))
    };
    let mut signed = 0;
    let refusal = loop {
        ensure!(signed < REQUESTS_MAX, "{signed} signatures, and the disc is not full");
        match sign(signed)? {
            Ok(_) => signed += 1,
            Err(refusal) => break refusal,
        }
    };
    ensure!(signed > 10, "only {signed} signatures: {refusal}");
    ensure!(refusal.contains("nothing is signed") && refusal.contains("log"), "{refusal}");
    for nonce in signed..signed + 5 {
        sign(nonce)?.err().context("it signs again without a record")?;
    }
    wallet.stop()?;

    // With room again: the chain is whole, holds every signature that was released, and goes on.
    wallet.start()?;
    ensure!(wallet.run(&["log", "verify"])?.contains("is whole"), "the chain is broken");
    let records = wallet.run(&["log", "list", "--limit", "1000", "--output", "json"])?;
    ensure!(records.matches("\"signed\"").count() == signed, "{signed} signatures:\n{records}");
    let again = wallet.call(&token, "WalletSignMessage", &json!([key, message(&key, signed)]))?;
    ensure!(again.is_ok(), "it does not sign with room again: {again:?}");
    wallet.stop()
}

fn message(key: &str, nonce: usize) -> Value {
    json!({
        "Version": 0, "To": "f01000", "From": key, "Nonce": nonce, "Value": "1",
        "GasLimit": 1_000_000, "GasFeeCap": "1000", "GasPremium": "10", "Method": 0, "Params": "",
    })
}
