use super::*;

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

/// A machine over rows in memory.
#[derive(Default)]
struct Bench {
    intents: Intents,
    rows: Rows,
}

impl Bench {
    fn apply(&mut self, index: u64, command: Command) -> Reply {
        let rows = &mut self.rows;
        let reply = self.intents.apply(index, command, &mut |table, key, row| {
            match row {
                Some(row) => rows.insert((table, key.to_vec()), row),
                None => rows.remove(&(table, key.to_vec())),
            };
        });
        assert_eq!(self.intents.validate(), Ok(()));
        assert_eq!(self.reloaded(), self.intents);
        reply
    }

    fn reloaded(&self) -> Intents {
        let mut again = Intents::default();
        for ((table, key), row) in &self.rows {
            again.load_row(*table, key, row).unwrap();
        }
        again
    }

    /// The wallet that a request for a block goes to, when `best` is the first that holds the key.
    fn block(&mut self, index: u64, key: &str, best: &str) -> String {
        let command = intend(key, Some(best));
        match self.apply(index, command) {
            Reply::Intended { block_wallet: Some(wallet), .. } => wallet,
            other => panic!("{other:?}"),
        }
    }
}

fn intend(key: &str, block_wallet: Option<&str>) -> Command {
    Command::Intend {
        key: key.to_owned(),
        digest: vec![7; 32],
        user: "acme".to_owned(),
        block_wallet: block_wallet.map(str::to_owned),
    }
}

fn unpin(key: &str, wallet_id: &str) -> Command {
    Command::Unpin { key: key.to_owned(), wallet_id: wallet_id.to_owned() }
}

#[test]
fn intents_grow_strictly_even_within_one_entry() {
    let mut bench = Bench::default();
    let history = [(5, "a"), (5, "a"), (5, "b"), (6, "a"), (20, "b"), (21, "a")];
    let given = history.map(|(index, key)| match bench.apply(index, intend(key, None)) {
        Reply::Intended { intent, block_wallet: None, .. } => intent,
        other => panic!("{other:?}"),
    });
    assert_eq!(given, [5, 6, 7, 8, 20, 21]);
    assert_eq!((bench.intents.newest("a"), bench.intents.newest("b")), (Some(21), Some(20)));
    assert_eq!((bench.rows.len(), bench.intents.newest("c")), (2, None));
}

#[test]
fn blocks_of_a_key_go_to_the_wallet_of_the_first() {
    let mut bench = Bench::default();
    assert_eq!(bench.block(1, "a", "w1"), "w1");
    assert_eq!(bench.block(2, "a", "w2"), "w1");
    assert_eq!(bench.block(3, "b", "w2"), "w2");
    // What is no block goes to any wallet and moves no pin.
    assert!(matches!(
        bench.apply(4, intend("a", None)),
        Reply::Intended { block_wallet: None, .. }
    ));
    assert_eq!(bench.block(5, "a", "w2"), "w1");
    assert_eq!(bench.intents.block_wallet("a"), Some("w1"));
    assert_eq!(bench.intents.block_wallet("c"), None);
}

#[test]
fn a_released_key_goes_to_the_next_that_is_asked() {
    let mut bench = Bench::default();
    bench.block(1, "a", "w1");
    assert_eq!(bench.apply(2, unpin("a", "w1")), Reply::Unpinned);
    assert_eq!(bench.intents.block_wallet("a"), None);
    assert_eq!(bench.block(3, "a", "w2"), "w2");
    // A release that comes twice does not touch the new wallet.
    for (key, wallet, word) in [("a", "w1", "pinned to the wallet w2"), ("b", "w1", "no wallet")] {
        match bench.apply(4, unpin(key, wallet)) {
            Reply::Rejected { message } => assert!(message.contains(word), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.block(5, "a", "w1"), "w2");
}

#[test]
fn malformed_commands_are_answered_and_change_nothing() {
    let mut intents = Intents::default();
    let wallet = || Some("w".to_owned());
    for (key, digest, block_wallet) in [
        (String::new(), vec![0; 32], wallet()),
        ("a".into(), vec![0; 31], wallet()),
        ("x".repeat(129), vec![0; 32], None),
        ("a".into(), vec![0; 32], Some(String::new())),
        ("a".into(), vec![0; 32], Some("w".repeat(65))),
    ] {
        let command = Command::Intend { key, digest, user: String::new(), block_wallet };
        let reply = intents.apply(9, command, &mut |_, _, _| panic!("a row was written"));
        assert!(matches!(reply, Reply::Rejected { .. }));
    }
    assert_eq!(intents, Intents::default());
}

#[test]
fn rows_keep_their_bytes_over_versions() {
    let row = Row { intent: 5, digest: vec![1, 2], user: "acme".into() };
    assert_eq!(encode(&row), [0x83, 0x05, 0x42, 1, 2, 0x64, b'a', b'c', b'm', b'e']);
    let intend = |block_wallet| Command::Intend {
        key: "f1a".into(),
        digest: vec![1],
        user: "u".into(),
        block_wallet,
    };
    // As before there were pins.
    let bytes = [0x82, 0, 0x83, 0x63, b'f', b'1', b'a', 0x41, 1, 0x61, b'u'];
    assert_eq!(encode(&intend(None)), bytes);
    assert_eq!(minicbor::decode::<Command>(&bytes).unwrap(), intend(None));
    let bytes = [0x82, 0, 0x84, 0x63, b'f', b'1', b'a', 0x41, 1, 0x61, b'u', 0x61, b'w'];
    assert_eq!(encode(&intend(Some("w".into()))), bytes);
    assert_eq!(encode(&unpin("k", "w")), [0x82, 1, 0x82, 0x61, b'k', 0x61, b'w']);
    let intended = |block_wallet| Reply::Intended { intent: 1, digest: vec![9], block_wallet };
    assert_eq!(encode(&intended(None)), [0x82, 0, 0x82, 1, 0x41, 9]);
    assert_eq!(encode(&intended(Some("w".into()))), [0x82, 0, 0x83, 1, 0x41, 9, 0x61, b'w']);
    assert_eq!(encode(&Reply::Unpinned), [0x82, 2, 0x80]);
    assert_eq!(encode(&pins::Pin { wallet_id: "w".into() }), [0x81, 0x61, b'w']);
}
