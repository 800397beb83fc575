//! The session of a real wallet: its own keys, fences and lock.

use std::sync::Arc;
use std::time::Duration;

use hesper_chain::key::KeyType;
use hesper_chain::signature::{Signature, SignatureKind, message_payload, verify};
use hesper_chain::{Address, Message, TokenAmount};
use hesper_protos::wallet::{Answer, Ask, RefusalKind, answer};
use hesper_wallet::keystore::Scrypt;
use hesper_wallet::protect::Secret;
use hesper_wallet::session::{Board, Settings as SessionSettings, run, wallet_id};
use hesper_wallet::{Caller, Settings, Wallet};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tonic::transport::Endpoint;

use crate::node::{Node, keep_alive};
use crate::wallet::text;

struct Real {
    wallet: Arc<Wallet>,
    key: Address,
    _stop: oneshot::Sender<()>,
    _dir: tempfile::TempDir,
}

fn password() -> Secret {
    Secret::new("correct horse".to_owned())
}

fn start(node: &Node) -> Real {
    let dir = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(dir.path()).unwrap();
    let mut settings = Settings::new(path);
    // Scrypt as cheap as it gets: its strength is not what is tested here.
    settings.scrypt = Scrypt { log_n: 2, r: 1, p: 1 };
    let wallet = Arc::new(Wallet::open(settings).unwrap());
    wallet.set_password(&Caller::local(), &password()).unwrap();
    let key = wallet.new_key(&Caller::local(), KeyType::Secp256k1).unwrap();
    let id = wallet_id(path).unwrap();
    let mut settings = SessionSettings::new(id, "real".to_owned(), vec![node.name()]);
    settings.silence = Duration::from_secs(20);
    let (stop, stopped) = oneshot::channel::<()>();
    let dial =
        Arc::new(|node: &str| Ok(Endpoint::from_shared(format!("http://{node}"))?.connect_lazy()));
    let holder = wallet.clone();
    tokio::spawn(async move {
        let stop = async move {
            let _asked_or_gone = stopped.await;
        };
        run(settings, holder, dial, Board::new(), stop).await;
    });
    Real { wallet, key, _stop: stop, _dir: dir }
}

fn message(from: Address, nonce: u64) -> Message {
    Message {
        version: 0,
        from,
        to: Address::new_id(1000),
        sequence: nonce,
        value: TokenAmount::from_atto(5),
        method_num: 0,
        params: Default::default(),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(100),
        gas_premium: TokenAmount::from_atto(10),
    }
}

/// A request to sign a message, and the bytes that a good signature is over.
fn ask(request: u64, message: &Message, generation: u64, intent: u64) -> (Ask, Vec<u8>) {
    let payload = message_payload(message, SignatureKind::Secp256k1, 314).unwrap();
    let ask = Ask {
        request,
        generation,
        intent,
        deadline_ms: 60_000,
        signer: text(&message.from),
        object_type: "message".to_owned(),
        to_sign: payload.clone().into(),
        extra: hesper_chain::message::encode(message).unwrap().into(),
        user: "alice".to_owned(),
    };
    (ask, payload)
}

fn signature(answer: &Answer) -> Signature {
    match answer.outcome.as_ref().unwrap() {
        answer::Outcome::Signature(value) => Signature {
            kind: SignatureKind::from_code(u8::try_from(value.r#type).unwrap()).unwrap(),
            bytes: value.data.to_vec(),
        },
        answer::Outcome::Refusal(refusal) => panic!("refused: {}", refusal.message),
    }
}

fn refused(answer: &Answer) -> RefusalKind {
    match answer.outcome.as_ref().unwrap() {
        answer::Outcome::Signature(_) => panic!("signed"),
        answer::Outcome::Refusal(refusal) => refusal.kind(),
    }
}

#[tokio::test]
async fn possession_is_proven_and_a_message_signed_under_its_intent() {
    let mut node = Node::start().await;
    let real = start(&node);
    let (mut stream, hello, possession) = node.live().await;
    keep_alive(&mut stream);
    assert_eq!(hello.addresses, [text(&real.key)]);
    let proof = &possession.proofs[0];
    assert_eq!(proof.error, "");
    let payload = Sha256::digest([&[7; 32][..], &hello.wallet_random].concat());
    let kind = SignatureKind::Secp256k1;
    let proven = Signature { kind, bytes: proof.signature.to_vec() };
    verify(&proven, &real.key, &payload).unwrap();

    let (request, payload) = ask(1, &message(real.key, 1), 1, 100);
    stream.ask(request.clone()).await;
    let first = signature(&stream.answer().await);
    verify(&first, &real.key, &payload).unwrap();
    // The same intent with the same bytes: the same signature.
    stream.ask(Ask { request: 2, ..request }).await;
    assert_eq!(signature(&stream.answer().await), first);
    let record = real.wallet.log().tail(1).unwrap().remove(0).record;
    assert_eq!(record.caller, "node 3, user alice");
}

#[tokio::test]
async fn stale_orders_are_refused_as_such() {
    let mut node = Node::start().await;
    let real = start(&node);
    let (mut stream, _, _) = node.live().await;
    keep_alive(&mut stream);
    let cases = [
        (5, 100, 1, None),
        (5, 99, 2, Some(RefusalKind::Stale)),
        (4, 200, 2, Some(RefusalKind::Stale)),
        // The same intent for other bytes.
        (5, 100, 2, Some(RefusalKind::Stale)),
        (5, 101, 2, None),
        (6, 1, 3, None),
    ];
    for (request, (generation, intent, nonce, expected)) in (1..).zip(cases) {
        stream.ask(ask(request, &message(real.key, nonce), generation, intent).0).await;
        let answer = stream.answer().await;
        match expected {
            None => drop(signature(&answer)),
            Some(kind) => assert_eq!(refused(&answer), kind, "{generation} {intent} {nonce}"),
        }
    }
}

#[tokio::test]
async fn a_passed_deadline_and_a_changed_digest_are_refused() {
    let mut node = Node::start().await;
    let real = start(&node);
    let (mut stream, _, _) = node.live().await;
    keep_alive(&mut stream);
    let (request, payload) = ask(1, &message(real.key, 1), 1, 100);
    stream.ask(Ask { deadline_ms: 0, ..request.clone() }).await;
    assert_eq!(refused(&stream.answer().await), RefusalKind::Expired);
    let mut other = payload;
    other[20] ^= 1;
    stream.ask(Ask { to_sign: other.into(), ..request.clone() }).await;
    assert_eq!(refused(&stream.answer().await), RefusalKind::Mismatch);
    stream.ask(Ask { object_type: "nonsense".to_owned(), ..request }).await;
    assert_eq!(refused(&stream.answer().await), RefusalKind::Unsupported);
}

#[tokio::test]
async fn a_locked_wallet_takes_its_keys_back_and_offers_them_again() {
    let mut node = Node::start().await;
    let real = start(&node);
    let (mut stream, hello, _) = node.live().await;
    keep_alive(&mut stream);
    let (wallet, key) = (real.wallet.clone(), text(&real.key));
    tokio::task::spawn_blocking(move || wallet.lock(&Caller::local())).await.unwrap().unwrap();
    let change = stream.keys_changed().await;
    assert_eq!((change.added, change.removed), (vec![], vec![key.clone()]));
    stream.ask(ask(1, &message(real.key, 1), 1, 100).0).await;
    assert_eq!(refused(&stream.answer().await), RefusalKind::Locked);
    let wallet = real.wallet.clone();
    let unlocked = move || wallet.unlock(&Caller::local(), &password());
    tokio::task::spawn_blocking(unlocked).await.unwrap().unwrap();
    let change = stream.keys_changed().await;
    assert_eq!((change.added, change.removed), (vec![key.clone()], vec![]));
    assert_ne!(change.wallet_random, hello.wallet_random);
    let possession = stream.challenge([9; 32], &[key]).await;
    assert_eq!(possession.proofs[0].error, "");
    stream.ask(ask(2, &message(real.key, 1), 1, 100).0).await;
    signature(&stream.answer().await);
}
