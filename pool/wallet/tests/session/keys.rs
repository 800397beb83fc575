//! Possession is proven, for exactly the keys that were offered.

use hesper_protos::wallet::{Accepted, Proof, Refused, to_wallet};
use hesper_wallet::session::Stage;
use sha2::{Digest, Sha256};

use crate::node::{Node, keep_alive};
use crate::wallet::{FakeWallet, start};

fn is_proven(proof: &Proof, node_random: [u8; 32], wallet_random: &[u8]) -> bool {
    let payload = Sha256::digest([&node_random[..], wallet_random].concat());
    let kind = u8::try_from(proof.signature_type).unwrap();
    let signature = hesper_chain::signature::Signature {
        kind: hesper_chain::signature::SignatureKind::from_code(kind).unwrap(),
        bytes: proof.signature.to_vec(),
    };
    let signer = hesper_chain::address::parse(&proof.address).unwrap();
    proof.error.is_empty() && hesper_chain::signature::verify(&signature, &signer, &payload).is_ok()
}

#[tokio::test]
async fn the_keys_of_the_greeting_are_proven() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(3);
    let session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, possession) = node.live().await;
    assert_eq!(stream.token.as_deref(), Some("Bearer good"));
    assert_eq!((hello.protocol, hello.wallet_id.len()), (1, 32));
    assert_eq!(hello.addresses, wallet.texts());
    assert_eq!(possession.proofs.len(), 3);
    for proof in &possession.proofs {
        assert!(is_proven(proof, [7; 32], &hello.wallet_random));
        assert!(!is_proven(proof, [8; 32], &hello.wallet_random));
    }
    // The pong shows that the acceptance before it was read.
    stream.ping(9).await;
    assert_eq!(stream.pong().await, 9);
    let state = &session.board.list()[0];
    assert_eq!((state.stage, state.session, state.node_id), (Stage::Live, 5, 3));
    assert_eq!(state.accepted, wallet.texts());
}

#[tokio::test]
async fn a_key_that_was_not_offered_is_not_proven() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(2);
    let _session = start(&wallet, vec![node.name()]);
    let mut stream = node.stream().await;
    let hello = stream.hello().await;
    stream.welcome().await;
    let foreign = FakeWallet::new(1).texts().remove(0);
    let asked = [hello.addresses[0].clone(), foreign.clone()];
    let possession = stream.challenge([7; 32], &asked).await;
    assert!(is_proven(&possession.proofs[0], [7; 32], &hello.wallet_random));
    assert_eq!(possession.proofs[1].address, foreign);
    assert!(possession.proofs[1].error.contains("did not offer"));
    assert!(possession.proofs[1].signature.is_empty());
}

#[tokio::test]
async fn a_bad_challenge_ends_the_stream_and_signs_nothing() {
    for random in [vec![7; 31], vec![7; 64], Vec::new(), vec![1; 32]] {
        let mut node = Node::start().await;
        let wallet = FakeWallet::new(1);
        let _session = start(&wallet, vec![node.name()]);
        let mut stream = node.stream().await;
        let hello = stream.hello().await;
        // The fake wallet's first random, so that the last case is its echo.
        assert_eq!(hello.wallet_random.as_ref(), [1; 32]);
        stream.welcome().await;
        stream.ask_possession(&random, &hello.addresses).await;
        assert_eq!(stream.next().await, None);
        assert!(wallet.asked.lock().is_empty());
    }
}

#[tokio::test]
async fn a_second_challenge_to_one_random_ends_the_stream() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    let asked = wallet.asked.lock().len();
    stream.ask_possession(&[8; 32], &hello.addresses).await;
    assert_eq!(stream.next().await, None);
    assert_eq!(wallet.asked.lock().len(), asked);
    // It comes back, and says why it left.
    node.stream().await;
    assert!(session.board.list()[0].last_error.contains("none was due"));
}

#[tokio::test]
async fn keys_that_come_and_go_are_announced_and_proven_anew() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let _session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    keep_alive(&mut stream);
    let added = wallet.add_key();
    let change = stream.keys_changed().await;
    assert_eq!((change.added, change.removed), (vec![added.clone()], vec![]));
    assert_ne!(change.wallet_random, hello.wallet_random);
    let possession = stream.challenge([9; 32], std::slice::from_ref(&added)).await;
    assert!(is_proven(&possession.proofs[0], [9; 32], &change.wallet_random));
    wallet.remove_key(&hello.addresses[0]);
    let change = stream.keys_changed().await;
    assert_eq!((change.added, change.removed), (vec![], hello.addresses));
    assert!(change.wallet_random.is_empty(), "nothing is to be proven");
}

#[tokio::test]
async fn a_challenge_makes_each_key_sign_once_and_no_more_keys_than_were_offered() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(3);
    let session = start(&wallet, vec![node.name()]);
    let mut stream = node.stream().await;
    let hello = stream.hello().await;
    stream.welcome().await;
    let thrice = vec![hello.addresses[0].clone(); 3];
    let possession = stream.challenge([7; 32], &thrice).await;
    assert_eq!(possession.proofs.len(), 1);
    assert_eq!(wallet.asked.lock().len(), 1);
    drop(stream);
    let mut stream = node.stream().await;
    let hello = stream.hello().await;
    stream.welcome().await;
    stream.ask_possession(&[7; 32], &vec![hello.addresses[0].clone(); 4]).await;
    assert_eq!(stream.next().await, None);
    assert_eq!(wallet.asked.lock().len(), 1);
    node.stream().await;
    assert!(session.board.list()[0].last_error.contains("4 keys, but 3 were offered"));
}

#[tokio::test]
async fn what_a_node_says_of_keys_is_kept_only_of_offered_ones_and_cut() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(2);
    let session = start(&wallet, vec![node.name()]);
    let (mut stream, hello, _) = node.live().await;
    let refused = |address: &str| Refused {
        address: address.to_owned(),
        reason: format!("no\u{1b}[2J{}", "!".repeat(1000)),
    };
    let accepted = Accepted {
        addresses: vec!["f1foreign".to_owned(), hello.addresses[1].clone()],
        refused: vec![refused("f1other"), refused(&hello.addresses[0])],
    };
    stream.send(to_wallet::Message::Accepted(accepted)).await;
    // The pong shows that it was read.
    stream.ping(9).await;
    assert_eq!(stream.pong().await, 9);
    let state = &session.board.list()[0];
    assert_eq!(state.accepted, hello.addresses[1..]);
    let [(address, reason)] = &state.refused[..] else { panic!("{:?}", state.refused) };
    assert_eq!((address, reason.chars().count()), (&hello.addresses[0], 256));
    assert!(!reason.contains(char::is_control));
}
