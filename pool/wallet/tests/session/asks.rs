//! Requests on a stream.

use hesper_protos::wallet::{Answer, Ask, RefusalKind, answer};

use crate::node::{Node, ask, keep_alive};
use crate::wallet::{FakeWallet, NOW_MS, start, start_with};

fn refusal(answer: &Answer) -> (RefusalKind, &str) {
    match answer.outcome.as_ref().unwrap() {
        answer::Outcome::Refusal(refusal) => (refusal.kind(), &refusal.message),
        answer::Outcome::Signature(_) => panic!("signed"),
    }
}

fn is_signed(answer: &Answer) -> bool {
    matches!(answer.outcome, Some(answer::Outcome::Signature(_)))
}

#[tokio::test]
async fn a_request_is_signed_under_its_intent_and_deadline() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    keep_alive(&mut stream);
    stream.ask(ask(11, &hello.addresses[0], 40)).await;
    let answer = stream.answer().await;
    assert_eq!(answer.request, 11);
    let Some(answer::Outcome::Signature(value)) = answer.outcome else { panic!("refused") };
    assert_eq!((value.r#type, value.data.len()), (1, 65));
    let asked = wallet.asked.lock().last().unwrap().clone();
    let order = asked.order.unwrap();
    assert_eq!((order.generation, order.intent, order.deadline_ms), (1, 40, NOW_MS + 10_000));
    assert_eq!((asked.object_type.as_str(), asked.to_sign), ("message", vec![40]));
    assert_eq!(asked.caller, "node 3, user alice");
    assert_eq!(session.board.list()[0].answered, 1);
}

#[tokio::test]
async fn a_refusal_keeps_its_kind_and_words() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let _session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    keep_alive(&mut stream);
    stream.ask(ask(1, &hello.addresses[0], 40)).await;
    assert!(is_signed(&stream.answer().await));
    stream.ask(ask(2, &hello.addresses[0], 39)).await;
    let stale = stream.answer().await;
    assert_eq!(
        (stale.request, refusal(&stale)),
        (2, (RefusalKind::Stale, "intent 39 is older than 40"))
    );
    stream.ask(ask(3, &FakeWallet::new(1).texts()[0], 41)).await;
    assert_eq!(refusal(&stream.answer().await).0, RefusalKind::NoKey);
    stream.ask(ask(4, "f1nonsense", 42)).await;
    assert_eq!(refusal(&stream.answer().await).0, RefusalKind::BadObject);
}

#[tokio::test]
async fn requests_are_signed_beside_each_other_up_to_the_bound() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let _session = start_with(&wallet, vec![node.name()], |settings| {
        settings.in_flight_max = 3;
        settings.waiting_max = 2;
    });
    let (mut stream, hello, _) = node.live().await;
    keep_alive(&mut stream);
    wallet.hold();
    for request in 1..=6 {
        stream.ask(ask(request, &hello.addresses[0], 50)).await;
    }
    // Three are signed, two wait, the sixth is too many.
    let sixth = stream.answer().await;
    assert_eq!(sixth.request, 6);
    assert!(refusal(&sixth).1.contains("2 requests wait"));
    let waited = wallet.clone();
    tokio::task::spawn_blocking(move || waited.wait_signing(3)).await.unwrap();
    wallet.release();
    let mut done = Vec::new();
    for _ in 0..5 {
        let answer = stream.answer().await;
        assert!(is_signed(&answer));
        done.push(answer.request);
    }
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3, 4, 5]);
    assert_eq!(wallet.most_at_once(), 3);
}

#[tokio::test]
async fn a_slow_signature_does_not_delay_pings() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let _session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    wallet.hold();
    stream.ask(ask(1, &hello.addresses[0], 50)).await;
    for sequence in 1..=5 {
        stream.ping(sequence).await;
        assert_eq!(stream.pong().await, sequence);
    }
    wallet.release();
    assert_eq!(stream.answer().await.request, 1);
}

#[tokio::test]
async fn what_was_asked_on_a_lost_stream_is_answered_on_the_next_when_asked_again() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let _session = start(&wallet, vec![node.name()]);
    let (stream, hello, _) = node.live().await;
    wallet.hold();
    stream.ask(ask(1, &hello.addresses[0], 50)).await;
    let waited = wallet.clone();
    tokio::task::spawn_blocking(move || waited.wait_signing(1)).await.unwrap();
    drop(stream);
    let mut second = node.stream().await;
    second.hello().await;
    second.welcome().await;
    keep_alive(&mut second);
    wallet.release();
    second.challenge([3; 32], &hello.addresses).await;
    second.ask(ask(1, &hello.addresses[0], 50)).await;
    let answer = second.answer().await;
    assert!(is_signed(&answer));
    // Nothing of the old stream came on this one: the next answer is that to the next request.
    second.ask(ask(2, &hello.addresses[0], 51)).await;
    assert_eq!(second.answer().await.request, 2);
}

#[tokio::test]
async fn texts_and_objects_of_a_request_are_bounded() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let _session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    keep_alive(&mut stream);
    let good = || ask(1, &hello.addresses[0], 40);
    let signed_before = wallet.asked.lock().len();
    for (bad, words) in [
        (Ask { user: "u".repeat(257), ..good() }, "the user has 257 bytes"),
        (Ask { user: "\u{e9}".repeat(129), ..good() }, "the user has 258 bytes"),
        (Ask { user: "al\nice".to_owned(), ..good() }, "control characters"),
        (Ask { signer: "f".repeat(129), ..good() }, "the signer has 129 bytes"),
        (Ask { signer: "f1\u{1b}[2J".to_owned(), ..good() }, "f1\\u{1b}[2J"),
        (Ask { object_type: "m".repeat(33), ..good() }, "the object type has 33 bytes"),
        (Ask { extra: vec![0; 1 << 20].into(), ..good() }, "the object has 1048577 bytes"),
    ] {
        stream.ask(bad).await;
        let answer = stream.answer().await;
        let (kind, message) = refusal(&answer);
        assert_eq!(kind, RefusalKind::BadObject);
        assert!(message.contains(words), "{message}");
        assert!(message.len() < 300 && !message.contains(char::is_control), "{message}");
    }
    assert_eq!(wallet.asked.lock().len(), signed_before);
    stream.ask(Ask { user: "u".repeat(256), ..good() }).await;
    assert!(is_signed(&stream.answer().await));
}
