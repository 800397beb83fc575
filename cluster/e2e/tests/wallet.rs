//! Wallets of a cluster: asked through every node, losing nodes and wallets, and by those who may not.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hesper::client::Client;
use hesper::identity::{Expect, Identity, client_tls, dirs, endpoint};
use hesper_e2e::{Cluster, PATIENCE, Wallet, wait_until};
use hesper_protos::wallet::answer::Outcome;
use hesper_protos::wallet::wallet_relay_client::WalletRelayClient;
use hesper_protos::wallet::{
    Ask, RefusalKind, RelayRequest, SignReply, SignRequest, WalletSession,
};

/// Requests of the tests in which something dies.
const REQUESTS: u32 = 60;

/// The draw of an election of f01000 in CBOR: something that a wallet signs for a miner's worker.
fn draw(round: u32) -> Vec<u8> {
    let mut object = vec![0xa4, 0x65];
    object.extend(b"Rbase");
    object.extend([0x58, 32]);
    object.extend([7; 32]);
    object.push(0x64);
    object.extend(b"Pers");
    object.extend([2, 0x65]);
    object.extend(b"Round");
    object.push(0x1a);
    object.extend((0x0001_0000 + round).to_be_bytes());
    object.push(0x67);
    object.extend(b"Entropy");
    object.extend([0x44, 0x43, 0x00, 0xe8, 0x07]);
    object
}

fn request(key: &str, round: u32) -> SignRequest {
    SignRequest {
        id: None,
        signer: key.to_owned(),
        object_type: "drawrandomparam".to_owned(),
        to_sign: draw(round).into(),
        extra: Vec::new().into(),
        timeout_ms: 30_000,
    }
}

/// A wallet that has joined the cluster for `owner`, not running.
fn joined(cluster: &Cluster, name: &str, owner: &str) -> anyhow::Result<Wallet> {
    let wallet = Wallet::init(&cluster.dir, name)?;
    let token = cluster.token("wallet", owner)?;
    wallet.run(&["join", "--name", name, "--token", &token])?;
    Ok(wallet)
}

/// Two running wallets with the same key.
async fn twins(cluster: &Cluster) -> anyhow::Result<(Wallet, Wallet, String)> {
    let mut one = joined(cluster, "w1", "demo")?;
    let mut two = joined(cluster, "w2", "demo")?;
    let key = one.new_key("bls")?;
    one.set_policy(&format!(
        "[[rule]]\nid = \"copy\"\nkeys = [{key:?}]\nobjects = [\"export\"]\n"
    ))?;
    let file = cluster.dir.join("key.hex");
    one.run(&["export", &key, "--to", file.as_str()])?;
    std::fs::remove_file(one.dir.join("policy.toml"))?;
    two.run(&["import", file.as_str()])?;
    one.start()?;
    two.start()?;
    sessions(cluster, 4).await?;
    Ok((one, two, key))
}

/// Waits until every node that runs knows of so many streams with proven keys.
async fn sessions(cluster: &Cluster, count: usize) -> anyhow::Result<Vec<WalletSession>> {
    wait_until(&format!("every node knows of {count} wallet streams"), PATIENCE, async || {
        let mut found = Vec::new();
        for at in 0..cluster.nodes.len() {
            if cluster.node_process(at).is_none() {
                continue;
            }
            let listed = of_node(cluster, at)?.wallets().await.unwrap_or_default();
            found = listed.into_iter().filter(|it| !it.addresses.is_empty()).collect();
            if found.len() != count {
                return Ok(None);
            }
        }
        Ok(Some(found))
    })
    .await
}

fn of_node(cluster: &Cluster, at: usize) -> anyhow::Result<Client> {
    cluster.client_of(vec![cluster.nodes[at].address.clone()])
}

fn signature(reply: SignReply) -> anyhow::Result<Vec<u8>> {
    Ok(reply.signature.context("no signature in the reply")?.data.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_wallet_through_every_node() -> anyhow::Result<()> {
    let cluster = Cluster::start(3).await?;
    let mut wallet = joined(&cluster, "w1", "demo")?;
    let keys = [wallet.new_key("bls")?, wallet.new_key("secp256k1")?, wallet.new_key("delegated")?];
    wallet.start()?;
    let streams = sessions(&cluster, 2).await?;
    ensure!(streams[0].node_id != streams[1].node_id, "both streams end on one node");
    for key in &keys {
        let mut intents = Vec::new();
        let mut signatures = Vec::new();
        for at in 0..3 {
            let reply = of_node(&cluster, at)?.sign(request(key, 1)).await?;
            assert_eq!(reply.wallet, "w1");
            intents.push(reply.intent);
            signatures.push(signature(reply)?);
        }
        assert!(intents.is_sorted_by(|a, b| a < b), "{intents:?}");
        assert!(signatures.iter().all(|one| *one == signatures[0]), "signing is deterministic");
    }
    let client = of_node(&cluster, 0)?;
    let unknown = client.sign(request("f1abjxfbp274xpdqcpuaykwkfb43omjotacm2p3za", 1)).await;
    let error = unknown.unwrap_err().to_string();
    assert!(error.contains("f1abjxfbp274xpdqcpuaykwkfb43omjotacm2p3za"), "{error}");
    assert!(error.contains("wallets connected: 1"), "{error}");
    let shown = cluster.run(&["wallet", "sessions"])?;
    assert!(shown.contains("w1") && shown.contains("demo"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_dies_is_replaced_by_the_other_with_the_key() -> anyhow::Result<()> {
    let cluster = Cluster::start(3).await?;
    let (mut one, two, key) = twins(&cluster).await?;
    let client = of_node(&cluster, 2)?;
    let mut longest = Duration::ZERO;
    for round in 0..REQUESTS {
        if round == REQUESTS / 3 {
            one.kill();
        }
        let started = Instant::now();
        client.sign(request(&key, round)).await.with_context(|| two.log_text())?;
        longest = longest.max(started.elapsed());
    }
    println!("longest request while a wallet died: {longest:?}");
    let left = sessions(&cluster, 2).await?;
    assert!(left.iter().all(|stream| stream.name == "w2"), "{left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_when_the_node_of_a_stream_dies() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(3).await?;
    let (_one, two, key) = twins(&cluster).await?;
    let holder = sessions(&cluster, 4).await?[0].node_id;
    let victim = wait_for_node(&cluster, holder).await?;
    let entry = (0..3).find(|at| *at != victim).context("two nodes are left")?;
    let client = of_node(&cluster, entry)?;
    let mut longest = Duration::ZERO;
    for round in 0..REQUESTS {
        if round == REQUESTS / 3 {
            cluster.kill_node(victim);
        }
        let started = Instant::now();
        client.sign(request(&key, round)).await.with_context(|| two.log_text())?;
        longest = longest.max(started.elapsed());
    }
    println!("longest request while a node died: {longest:?}");
    // Both wallets go back to two streams, on the nodes that are left.
    sessions(&cluster, 4).await?;
    Ok(())
}

async fn wait_for_node(cluster: &Cluster, id: u64) -> anyhow::Result<usize> {
    for at in 0..cluster.nodes.len() {
        if of_node(cluster, at)?.status(false).await?.node_id == id {
            return Ok(at);
        }
    }
    anyhow::bail!("there is no node {id}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_refuses_an_intent_older_than_the_last() -> anyhow::Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut wallet = joined(&cluster, "w1", "demo")?;
    let key = wallet.new_key("bls")?;
    wallet.start()?;
    let stream = sessions(&cluster, 1).await?.remove(0);
    let client = cluster.client()?;
    let first = client.sign(request(&key, 1)).await?;
    let second = client.sign(request(&key, 2)).await?;
    ensure!(second.intent > first.intent, "intents grow");
    // As a node that lost the leadership and does not know it would ask.
    let ask = |intent, round| Ask {
        request: 0,
        generation: 1,
        intent,
        deadline_ms: 10_000,
        signer: key.clone(),
        object_type: "drawrandomparam".to_owned(),
        to_sign: draw(round).into(),
        extra: Vec::new().into(),
        user: "demo".to_owned(),
    };
    let identity = Identity::load(&dirs::identity(&cluster.nodes[0].dir))?;
    let tls = client_tls(&identity, Expect::Node);
    let channel = endpoint(&cluster.nodes[0].address, &tls)?.connect().await?;
    let mut relay = WalletRelayClient::new(channel);
    for (intent, round, kind) in [
        (first.intent, 3, Some(RefusalKind::Stale)),
        (second.intent, 3, Some(RefusalKind::Stale)),
        // The same intent with the same object is answered with the same bytes.
        (second.intent, 2, None),
    ] {
        let asked = RelayRequest { session: stream.session, ask: Some(ask(intent, round)) };
        match (relay.relay(asked).await?.into_inner().outcome, kind) {
            (Some(Outcome::Refusal(refusal)), Some(kind)) => {
                assert_eq!(refusal.kind(), kind, "{}", refusal.message);
            }
            (Some(Outcome::Signature(value)), None) => {
                assert_eq!(value.data, signature(second.clone())?);
            }
            (other, _) => anyhow::bail!("intent {intent}, round {round}: {other:?}"),
        }
    }
    // Only nodes may speak so.
    let operator = Identity::load(&cluster.nodes[0].dir.join("client"))?;
    let tls = client_tls(&operator, Expect::Node);
    let channel = endpoint(&cluster.nodes[0].address, &tls)?.connect().await?;
    let asked = RelayRequest { session: stream.session, ask: Some(ask(9_999, 9)) };
    let status = WalletRelayClient::new(channel).relay(asked).await.unwrap_err();
    assert!(status.message().contains("role node"), "{}", status.message());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_users_wallet_is_cut_off_and_comes_back() -> anyhow::Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.run(&["auth", "user", "add", "acme"])?;
    let mut wallet = joined(&cluster, "w1", "acme")?;
    let key = wallet.new_key("secp256k1")?;
    wallet.start()?;
    sessions(&cluster, 1).await?;
    let client = cluster.client()?;
    client.sign(request(&key, 1)).await?;
    cluster.run(&["auth", "user", "disable", "acme"])?;
    wait_until("the stream has ended", PATIENCE, async || {
        Ok(client.wallets().await?.is_empty().then_some(()))
    })
    .await?;
    let error = client.sign(request(&key, 2)).await.unwrap_err().to_string();
    assert!(error.contains(&key) && error.contains("wallets connected: 0"), "{error}");
    cluster.run(&["auth", "user", "enable", "acme"])?;
    sessions(&cluster, 1).await?;
    client.sign(request(&key, 3)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_refuses_by_its_policy_and_says_so() -> anyhow::Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut wallet = joined(&cluster, "w1", "demo")?;
    let key = wallet.new_key("bls")?;
    wallet.set_policy(&format!(
        "[[rule]]\nid = \"blocks-only\"\nkeys = [{key:?}]\nobjects = [\"block\"]\n"
    ))?;
    wallet.start()?;
    sessions(&cluster, 1).await?;
    let error = cluster.client()?.sign(request(&key, 1)).await.unwrap_err().to_string();
    assert!(error.contains("`w1` refused to sign"), "{error}");
    let log = wallet.run(&["log", "list"])?;
    assert!(log.contains("drawrandomparam") && log.contains("refused"), "{log}");
    let verified = wallet.run(&["log", "verify"])?;
    assert!(verified.contains("is whole"), "{verified}");
    Ok(())
}

/// The header of a block of f01000 in CBOR.
fn block(height: u32) -> Vec<u8> {
    let proof = |mark: u8| [&[0x58, 96][..], &[mark; 96]].concat();
    let cid = [&[0xd8, 0x2a, 0x58, 0x27, 0, 1, 0x71, 0xa0, 0xe4, 2, 0x20][..], &[9; 32]].concat();
    let mut header = vec![0x90, 0x43, 0x00, 0xe8, 0x07, 0x81];
    header.extend(proof(1));
    header.extend([0x82, 1]);
    header.extend(proof(2));
    // No beacon entries, no winning PoSt, one parent, its weight.
    header.extend([0x80, 0x80, 0x81]);
    header.extend(&cid);
    header.extend([0x42, 0, 1, 0x1a]);
    header.extend((0x0001_0000 + height).to_be_bytes());
    header.extend(cid.repeat(3));
    // No aggregate, a time, no signature, no fork signalled, a base fee.
    header.extend([0xf6, 1, 0xf6, 0, 0x42, 0, 100]);
    header
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_a_key_are_signed_by_one_wallet_until_it_is_released() -> anyhow::Result<()> {
    let cluster = Cluster::start(3).await?;
    let (mut one, mut two, key) = twins(&cluster).await?;
    let streams = sessions(&cluster, 4).await?;
    let ask = |height| SignRequest {
        object_type: "block".to_owned(),
        to_sign: block(height).into(),
        ..request(&key, 0)
    };
    let client = of_node(&cluster, 0)?;
    let reply = client.sign(ask(1)).await?;
    let first = reply.wallet.clone();
    for at in 0..3 {
        let again = of_node(&cluster, at)?.sign(ask(1)).await?;
        assert_eq!((&again.wallet, signature(again.clone())?), (&first, signature(reply.clone())?));
    }
    let pinned = streams.iter().find(|stream| stream.name == first).context("it is connected")?;
    if first == "w1" {
        one.kill()
    } else {
        two.kill()
    }
    sessions(&cluster, 2).await?;
    // Only blocks wait for it.
    assert_ne!(client.sign(request(&key, 1)).await?.wallet, first);
    let error = client.sign(ask(1)).await.unwrap_err().to_string();
    assert!(error.contains(&pinned.wallet_id) && error.contains("release-blocks"), "{error}");
    let id = pinned.wallet_id.as_str();
    cluster.run(&["wallet", "release-blocks", &key, "--wallet", id])?;
    assert_ne!(client.sign(ask(1)).await?.wallet, first);
    Ok(())
}
