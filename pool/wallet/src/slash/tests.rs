//! Histories of the table of signed blocks.

use tempfile::TempDir;

use super::*;

fn temporary() -> (TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("blocks");
    (dir, path)
}

fn header(name: &str) -> Cid {
    cid::of_cbor(name.as_bytes())
}

fn miner(id: u64) -> Address {
    Address::new_id(id)
}

#[test]
fn a_second_block_of_an_epoch_is_refused_also_after_a_restart() {
    let (_guard, dir) = temporary();
    let table = BlockTable::open(&dir).unwrap();
    table.reserve(&miner(1000), 5, b"parents a", &header("one")).unwrap();
    let again = |table: &BlockTable| {
        let error = table.reserve(&miner(1000), 5, b"parents b", &header("two")).unwrap_err();
        assert!(matches!(
            &error,
            Conflict::Epoch { epoch: 5, first, .. } if *first == cid::format(&header("one"))
        ));
        assert!(error.to_string().contains("f01000"), "{error}");
    };
    again(&table);
    drop(table);
    let table = BlockTable::open(&dir).unwrap();
    again(&table);
    table.reserve(&miner(1001), 5, b"parents b", &header("two")).unwrap();
    table.reserve(&miner(1000), 6, b"parents b", &header("two")).unwrap();
}

#[test]
fn a_second_block_on_the_same_parents_is_refused() {
    let (_guard, dir) = temporary();
    let table = BlockTable::open(&dir).unwrap();
    table.reserve(&miner(1000), 5, b"parents", &header("one")).unwrap();
    drop(table);
    let table = BlockTable::open(&dir).unwrap();
    let error = table.reserve(&miner(1000), 7, b"parents", &header("two")).unwrap_err();
    assert!(matches!(error, Conflict::Parents { epoch: 5, .. }), "{error}");
}

#[test]
fn the_same_header_passes_again_and_writes_nothing() {
    let (_guard, dir) = temporary();
    let table = BlockTable::open(&dir).unwrap();
    table.reserve(&miner(1000), 5, b"parents", &header("one")).unwrap();
    let length = fs::metadata(dir.join(FILE)).unwrap().len();
    table.reserve(&miner(1000), 5, b"parents", &header("one")).unwrap();
    assert_eq!(fs::metadata(dir.join(FILE)).unwrap().len(), length);
    // The same header hash with other parents cannot be the same header.
    assert!(table.reserve(&miner(1000), 5, b"other", &header("one")).is_err());
}

#[test]
fn an_interrupted_append_is_cut_and_a_changed_byte_is_damage() {
    let (_guard, dir) = temporary();
    let table = BlockTable::open(&dir).unwrap();
    table.reserve(&miner(1000), 5, b"a", &header("one")).unwrap();
    table.reserve(&miner(1000), 6, b"b", &header("two")).unwrap();
    drop(table);
    let path = dir.join(FILE);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [&whole[..], &[9, 0, 0, 0, b'{']].concat()).unwrap();
    drop(BlockTable::open(&dir).unwrap());
    assert_eq!(fs::read(&path).unwrap(), whole);
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        fs::write(&path, changed).unwrap();
        let error = BlockTable::open(&dir).unwrap_err();
        assert!(
            matches!(error, TableError::Damaged { offset, .. } if offset <= index as u64),
            "byte {index}: {error}"
        );
    }
    for cut in [MAGIC.len(), whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = BlockTable::open(&dir).unwrap_err();
        assert!(matches!(error, TableError::Damaged { .. }), "cut at {cut}: {error}");
    }
    fs::write(&path, whole).unwrap();
    assert!(BlockTable::open(&dir).is_ok());
}

/// A table that is about to forget: blocks at the epochs from 0 on, one more than are kept and `more`.
fn full(dir: &Utf8Path, more: usize) -> BlockTable {
    let table = BlockTable::open(dir).unwrap();
    {
        // As after many blocks, without writing them one by one to the disc.
        let mut inner = table.inner.lock();
        let known = inner.miners.entry(miner(1000)).or_default();
        for epoch in 0..(ROWS_KEPT + more) as i64 {
            let parents = *blake3::hash(&epoch.to_le_bytes()).as_bytes();
            known.insert(epoch, Row { parents, header: header("old") });
        }
        inner.records = 3 * ROWS_KEPT;
    }
    table
}

#[test]
fn what_was_forgotten_is_refused() {
    let (_guard, dir) = temporary();
    let table = full(&dir, 5);
    let newest = (ROWS_KEPT + 5) as i64;
    table.reserve(&miner(1000), newest, b"new", &header("new")).unwrap();
    let error = table.reserve(&miner(1000), 3, b"x", &header("x")).unwrap_err();
    assert!(matches!(error, Conflict::TooOld { epoch: 3, floor: 6, .. }), "{error}");
    drop(table);
    let table = BlockTable::open(&dir).unwrap();
    assert_eq!(table.inner.lock().records, ROWS_KEPT + 2);
    for (epoch, is_too_old) in [(5, true), (7, false)] {
        let error = table.reserve(&miner(1000), epoch, b"x", &header("x")).unwrap_err();
        assert_eq!(matches!(error, Conflict::TooOld { .. }), is_too_old, "{error}");
    }
    let error = table.reserve(&miner(1000), newest, b"x", &header("x")).unwrap_err();
    assert!(matches!(error, Conflict::Epoch { .. }));
}

/// A block on the parents of another is slashed at whatever epoch it stands.
#[test]
fn parents_of_forgotten_blocks_are_never_built_on_again() {
    let (_guard, dir) = temporary();
    let table = full(&dir, 5);
    let newest = (ROWS_KEPT + 5) as i64;
    table.reserve(&miner(1000), newest, b"new", &header("new")).unwrap();
    let again = |table: &BlockTable| {
        let parents = 2i64.to_le_bytes();
        let error = table.reserve(&miner(1000), newest + 9, &parents, &header("x")).unwrap_err();
        assert!(matches!(error, Conflict::SpentParents { .. }), "{error}");
    };
    again(&table);
    drop(table);
    again(&BlockTable::open(&dir).unwrap());
}

#[test]
fn an_absurd_epoch_keeps_no_later_block_out() {
    let (_guard, dir) = temporary();
    let table = full(&dir, 0);
    table.reserve(&miner(1000), i64::MAX, b"absurd", &header("absurd")).unwrap();
    let next = ROWS_KEPT as i64;
    table.reserve(&miner(1000), next, b"next", &header("next")).unwrap();
    drop(table);
    let table = BlockTable::open(&dir).unwrap();
    table.reserve(&miner(1000), next + 1, b"after", &header("after")).unwrap();
}

#[test]
fn a_second_wallet_on_the_table_is_refused() {
    let (_guard, dir) = temporary();
    let _first = BlockTable::open(&dir).unwrap();
    assert!(matches!(BlockTable::open(&dir), Err(TableError::Dir(_))));
}

#[test]
fn only_one_of_many_concurrent_blocks_passes() {
    let (_guard, dir) = temporary();
    let table = BlockTable::open(&dir).unwrap();
    let passed = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|turn: u32| {
                let table = &table;
                scope.spawn(move || {
                    let name = turn.to_string();
                    table.reserve(&miner(1000), 9, name.as_bytes(), &header(&name)).is_ok()
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).filter(|passed| *passed).count()
    });
    assert_eq!(passed, 1);
}
