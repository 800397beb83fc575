//! **Purpose**: a signature through the whole cluster: a message enters a node that neither leads nor
//! holds the wallet's stream, becomes an intent in the log, goes to the wallet, is judged by 50 rules,
//! written to the sign log and signed.
//!
//! **Invariants**: real processes with the settings that ship, mutual TLS everywhere, fsync on a disc;
//! the sign log holds 100,000 records before the first measured request; every signature is checked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hesper_chain::signature::{self, Signature, SignatureKind};
use hesper_chain::{Address, Message, RawBytes, TokenAmount, address, message};
use hesper_protos::wallet::signing_client::SigningClient;
use hesper_protos::wallet::{ListWalletsRequest, SignRequest};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::case::Case;
use crate::pool::{self, Pool};
use crate::procs::Proc;
use crate::stats::{self, Better};

const RECORDS: usize = 100_000;
const RULES: usize = 50;
const REQUESTS: usize = 1_500;
const WARM_UP: usize = 100;
/// Connections that fill the log.
const FILLERS: usize = 64;
const UP_LIMIT: Duration = Duration::from_secs(60);

pub async fn measure(case: &mut Case) -> Result<()> {
    let dir = case.new_dir("wallet")?;
    let pool = Pool::start(&case.hesper, &dir, 3).await?;
    let leader = pool.leader().await?;
    let mut others = (0..pool.size()).filter(|at| *at != leader);
    let (stream, entry) = (others.next().context("1")?, others.next().context("2")?);
    let home = dir.join("home");
    let (signer, filler) = make(case, &pool, &dir, &home)?;
    std::fs::write(home.join("policy.toml"), policy(&signer))?;
    let nodes = [pool.address(leader)?, pool.address(stream)?];
    let _wallet = run(case, &dir, &home, &nodes)?;
    let mut client = SigningClient::new(pool.channel(entry)?);
    wait_known(&mut client, &signer).await?;
    fill(&home, &filler, case.plan.count(RECORDS)).await?;

    let from = address::parse(&signer)?;
    let mut samples = Vec::new();
    for at in 0..case.plan.count(REQUESTS) + WARM_UP {
        let (request, payload) = request(from, &signer, at)?;
        let begun = Instant::now();
        let reply = client.sign(request).await.context("the message was not signed")?.into_inner();
        if at >= WARM_UP {
            samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        let value = reply.signature.context("no signature in the reply")?;
        let found = Signature { kind: SignatureKind::Bls, bytes: value.data.to_vec() };
        signature::verify(&found, &from, &payload)?;
    }
    let p50 = stats::percentile(&samples, 50).context("no samples")?;
    let p99 = stats::percentile(&samples, 99).context("no samples")?;
    case.note(&format!("{} requests: p50 {p50:.2} ms, p99 {p99:.1} ms", samples.len()));
    case.value("wallet_sign_e2e_p50_ms", "ms", Better::Lower, p50, &samples)?;
    case.value("wallet_sign_e2e_p99_ms", "ms", Better::Lower, p99, &samples)
}

/// Makes the wallet, lets it join, and makes the measured key and the one that fills the log.
fn make(case: &Case, pool: &Pool, dir: &Path, home: &Path) -> Result<(String, String)> {
    std::fs::write(password(dir), "a password of the benchmark\n")?;
    let call = |verb: &str, args: &[&str]| -> Result<String> {
        let mut all: Vec<OsString> = vec!["wallet".into(), verb.into()];
        all.extend(args.iter().map(OsString::from));
        all.extend(["--data-dir".into(), home.as_os_str().to_owned()]);
        if verb != "join" {
            all.extend(["--password-fd".into(), "3".into()]);
        }
        pool::command(Path::new("/bin/bash"), &[], &with_password(&case.hesper, dir, all))
    };
    call("init", &["--name", "home", "--rpc", "off"])?;
    let token = pool.token("wallet", "home")?;
    call("join", &["--name", "home", "--token", &token])?;
    let key = |kind: &str| -> Result<String> {
        let out = call("new", &["--type", kind, "--output", "json"])?;
        let json: Value =
            serde_json::from_str(&out).context("`hesper wallet new` printed no JSON")?;
        let address = json.get("address").and_then(Value::as_str);
        Ok(address.with_context(|| format!("no address in {out}"))?.to_owned())
    };
    Ok((key("bls")?, key("secp256k1")?))
}

fn run(case: &Case, dir: &Path, home: &Path, nodes: &[String]) -> Result<Proc> {
    let mut args: Vec<OsString> =
        vec!["wallet".into(), "run".into(), "--data-dir".into(), home.into()];
    args.extend(["--nodes".into(), nodes.join(",").into()]);
    args.extend(["--password-fd".into(), "3".into()]);
    Proc::start("home", Path::new("/bin/bash"), with_password(&case.hesper, dir, args), dir)
}

fn password(dir: &Path) -> PathBuf {
    dir.join("password")
}

/// The password on descriptor 3, as an operator's script gives it.
fn with_password(hesper: &Path, dir: &Path, args: Vec<OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> =
        vec!["-c".into(), "exec \"$@\" 3<\"$0\"".into(), password(dir).into(), hesper.into()];
    all.extend(args);
    all
}

/// So many rules of which the last one allows what is asked for.
fn policy(key: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for at in 1..RULES {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[[rule]]\nid = \"other-{at}\"\nkeys = [\"{key}\"]\nobjects = [\"message\"]\nto = [\"f0{}\"]\n\
             value_max = \"1 FIL\"\nper_day_max = 100\n\n",
            5_000 + at
        );
    }
    text + &format!(
        "[[rule]]\nid = \"measured\"\nkeys = [\"{key}\"]\nobjects = [\"message\"]\nto = [\"f01000\"]\n\
         value_max = \"1 FIL\"\nvalue_per_day_max = \"1000000 FIL\"\nper_minute_max = 60000\n"
    )
}

/// Until the entry node knows that a wallet holds the key.
async fn wait_known(
    client: &mut SigningClient<tonic::transport::Channel>,
    key: &str,
) -> Result<()> {
    let limit = Instant::now() + UP_LIMIT;
    loop {
        let listed = client.list_wallets(ListWalletsRequest {}).await?.into_inner().sessions;
        let streams =
            listed.iter().filter(|it| it.addresses.iter().any(|known| known == key)).count();
        if streams == 2 {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "{streams} streams of the wallet are known, not 2");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Fills the sign log over the wallet's own socket, with a key that no rule names.
async fn fill(home: &Path, key: &str, records: usize) -> Result<()> {
    let each = records.div_ceil(FILLERS);
    let mut tasks = tokio::task::JoinSet::new();
    for filler in 0..FILLERS {
        let (socket, key) = (home.join("wallet.sock"), key.to_owned());
        tasks.spawn(async move {
            let stream = UnixStream::connect(&socket).await.context("the wallet's socket")?;
            let (read, mut write) = stream.into_split();
            let mut answers = BufReader::new(read).lines();
            for at in 0..each {
                let message = json!({
                    "Version": 0, "To": "f01000", "From": key, "Nonce": filler * each + at,
                    "Value": "1", "GasLimit": 1_000_000, "GasFeeCap": "1000", "GasPremium": "10",
                    "Method": 0, "Params": "",
                });
                let request = json!({
                    "jsonrpc": "2.0", "id": at, "method": "Filecoin.WalletSignMessage",
                    "params": [key, message],
                });
                write.write_all(format!("{request}\n").as_bytes()).await?;
                let answer = answers.next_line().await?.context("the wallet hung up")?;
                let answer: Value = serde_json::from_str(&answer)?;
                ensure!(answer.get("error").is_none(), "not signed: {answer}");
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// A message of its own, and what is signed of it.
fn request(from: Address, signer: &str, nonce: usize) -> Result<(SignRequest, Vec<u8>)> {
    let message = Message {
        version: 0,
        from,
        to: Address::new_id(1000),
        sequence: nonce as u64,
        value: TokenAmount::from_atto(1_000_000_000u64),
        method_num: 0,
        params: RawBytes::default(),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(1_000u64),
        gas_premium: TokenAmount::from_atto(10u64),
    };
    let payload = message::cid(&message)?.to_bytes();
    let request = SignRequest {
        id: None,
        signer: signer.to_owned(),
        object_type: "message".to_owned(),
        to_sign: payload.clone().into(),
        extra: message::encode(&message)?.into(),
        timeout_ms: 10_000,
    };
    Ok((request, payload))
}
