//! Which streams are kept, and when one is given up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hesper_wallet::session::Stage;

use crate::node::{Node, Stream, keep_alive};
use crate::wallet::{FakeWallet, start, start_with};

async fn first_of(nodes: &mut [Node; 3]) -> (usize, Stream) {
    let [a, b, c] = nodes;
    tokio::select! {
        stream = a.stream() => (0, stream),
        stream = b.stream() => (1, stream),
        stream = c.stream() => (2, stream),
    }
}

/// Greets the next stream and keeps it.
async fn greet(nodes: &mut [Node; 3]) -> (usize, Stream) {
    let (index, mut stream) = first_of(nodes).await;
    stream.hello().await;
    stream.welcome().await;
    keep_alive(&mut stream);
    (index, stream)
}

#[tokio::test]
async fn two_streams_to_different_nodes_are_kept_over_the_loss_of_one() {
    let mut nodes = [Node::start().await, Node::start().await, Node::start().await];
    let wallet = FakeWallet::new(1);
    let _session = start(&wallet, nodes.iter().map(Node::name).collect());
    let (first, lost) = greet(&mut nodes).await;
    let (second, _kept) = greet(&mut nodes).await;
    assert_ne!(first, second);
    drop(lost);
    nodes[first].kill();
    let (third, _stream) = greet(&mut nodes).await;
    assert_eq!(BTreeSet::from([first, second, third]).len(), 3, "the unused node is next");
}

#[tokio::test]
async fn with_fewer_nodes_there_is_a_stream_to_each() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    // The same node twice is one node.
    let session = start(&wallet, vec![node.name(), node.name()]);
    let _live = node.live().await;
    assert_eq!(session.board.list().len(), 1);
}

#[tokio::test]
async fn a_silent_stream_is_given_up_and_opened_anew() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let session = start_with(&wallet, vec![node.name()], |settings| {
        settings.silence = Duration::from_millis(500);
    });
    let (mut silent, _, _) = node.live().await;
    // Nothing is sent any more, so the wallet ends it by itself.
    assert_eq!(silent.next().await, None);
    node.stream().await;
    assert!(session.board.list()[0].last_error.contains("nothing came for 500 ms"));
}

#[tokio::test]
async fn a_node_that_never_greets_is_given_up() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let session = start_with(&wallet, vec![node.name()], |settings| {
        settings.greeting = Duration::from_millis(500);
    });
    let mut mute = node.stream().await;
    mute.hello().await;
    assert_eq!(mute.next().await, None);
    node.stream().await;
    assert!(session.board.list()[0].last_error.contains("no answer to the greeting"));
}

#[tokio::test]
async fn a_node_that_says_goodbye_is_left_and_dialled_again() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let session = start(&wallet, vec![node.name()]);
    let (mut stream, _, _) = node.live().await;
    stream.goodbye().await;
    assert_eq!(stream.next().await, None);
    node.live().await;
    assert!(session.board.list()[0].last_error.contains("goodbye: the node stops"));
}

#[tokio::test]
async fn the_token_is_read_anew_after_a_refusal() {
    let mut node = Node::start().await;
    let wallet = FakeWallet::new(1);
    let tokens = parking_lot::Mutex::new(vec!["good", "bad"]);
    let session = start_with(&wallet, vec![node.name()], |settings| {
        settings.token = Arc::new(move || {
            let mut tokens = tokens.lock();
            let token = if tokens.len() > 1 { tokens.pop() } else { tokens.first().copied() };
            token.map(str::to_owned)
        });
    });
    let (stream, _, _) = node.live().await;
    assert_eq!(stream.token.as_deref(), Some("Bearer good"));
    assert!(session.board.list()[0].last_error.contains("the token was revoked"));
}

#[tokio::test]
async fn a_node_that_is_away_is_dialled_until_it_is_there() {
    let mut away = Node::start().await;
    away.kill();
    let mut there = Node::start().await;
    let wallet = FakeWallet::new(1);
    let session = start_with(&wallet, vec![away.name(), there.name()], |settings| {
        settings.streams = 1;
    });
    // Whichever comes first in the list, the one that is there is reached.
    there.live().await;
    let list = session.board.list();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].node, there.name());
    assert_ne!(list[0].stage, Stage::Waiting);
}
