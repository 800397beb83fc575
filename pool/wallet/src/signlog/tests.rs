//! Histories of the log: what it keeps, what it refuses, what it survives.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Faults that a test switches on.
#[derive(Default)]
struct Faults {
    /// 1: the disc is full; 2: writes fail otherwise; 3: syncs fail; 4: full, and truncation fails.
    mode: AtomicUsize,
    syncs: AtomicUsize,
    /// While true, writes wait.
    is_held: Mutex<bool>,
    released: Condvar,
}

impl Faults {
    fn wait_for_release(&self) {
        let mut is_held = self.is_held.lock();
        while *is_held {
            self.released.wait(&mut is_held);
        }
    }

    fn release(&self) {
        *self.is_held.lock() = false;
        self.released.notify_all();
    }
}

struct FaultyTail {
    file: File,
    faults: Arc<Faults>,
}

impl Tail for FaultyTail {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.faults.wait_for_release();
        match self.faults.mode.load(Ordering::SeqCst) {
            1 | 4 => {
                // As a real disc does: a part arrives before there is no more space.
                self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            2 => Err(io::Error::other("the cable fell out")),
            _ => self.file.write_all_at(bytes, offset),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        match self.faults.mode.load(Ordering::SeqCst) {
            3 => Err(io::Error::other("lost page")),
            _ => self.file.sync_data(),
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        match self.faults.mode.load(Ordering::SeqCst) {
            4 => Err(io::Error::other("read-only now")),
            _ => self.file.set_len(length),
        }
    }
}

fn temporary() -> (TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap().join("log");
    (dir, path)
}

fn open_faulty(dir: &Utf8Path) -> (SignLog, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let shared = Arc::clone(&faults);
    let open_tail: OpenTail = Box::new(move |path| {
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Box::new(FaultyTail { file, faults: Arc::clone(&shared) }) as Box<dyn Tail>)
    });
    (SignLog::open_on(dir, Settings::default(), open_tail).unwrap(), faults)
}

fn small() -> Settings {
    Settings { segment_bytes: 2_000 }
}

fn signed(intent: u64, time_ms: u64) -> Record {
    Record {
        time_ms,
        caller: "pool".into(),
        key: "f1key".into(),
        object: "message".into(),
        method: Some("Send".into()),
        to: Some("f01000".into()),
        value: Some(1_000_000_000_000_000_000_000),
        rule: Some("sends".into()),
        shown: serde_json::json!({"Nonce": intent}),
        digest: format!("digest-{intent}"),
        decision: Decision::Signed,
        fence: Some(Fence { generation: 1, intent }),
        signature_hash: Some("ab".into()),
    }
}

fn fill(dir: &Utf8Path, settings: Settings, count: u64) {
    let log = SignLog::open_with(dir, settings).unwrap();
    for intent in 1..=count {
        let receipt = log.append(&signed(intent, 1_000 * intent)).unwrap();
        assert_eq!(receipt.sequence, intent);
    }
}

fn last_segment(dir: &Utf8Path) -> Utf8PathBuf {
    segment::path_of(dir, *segment::list(dir).unwrap().last().unwrap())
}

#[track_caller]
fn assert_damaged(dir: &Utf8Path, file: &Utf8Path) -> (u64, String) {
    let verified = verify(dir).unwrap_err();
    match SignLog::open(dir).unwrap_err() {
        LogError::Damaged { file: found, offset, reason } => {
            assert_eq!(found, file);
            let text = verified.to_string();
            assert!(text.contains(file.as_str()) && text.contains(&offset.to_string()), "{text}");
            (offset, reason)
        }
        other => panic!("opened, or failed otherwise: {other}"),
    }
}

#[test]
fn records_come_back_in_order_after_a_restart() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 30);
    assert!(segment::list(&dir).unwrap().len() > 3, "the test wants several files");
    let log = SignLog::open_with(&dir, small()).unwrap();
    let entries = log.list(&Query { key: None, from: 0, limit: 100 }).unwrap();
    assert_eq!(entries.len(), 30);
    for (entry, intent) in entries.iter().zip(1..) {
        assert_eq!((entry.sequence, &entry.record), (intent, &signed(intent, 1_000 * intent)));
    }
    assert_eq!(log.tail(2).unwrap(), entries[28..]);
    let summary = log.verify().unwrap();
    assert_eq!((summary.first, summary.last, summary.records), (1, 30, 30));
    assert_eq!(summary.head, hex::encode(entries[29].hash));
    assert_eq!(log.append(&signed(31, 31_000)).unwrap().sequence, 31);
}

#[test]
fn a_list_is_filtered_by_key_and_place() {
    let (_guard, dir) = temporary();
    let log = SignLog::open(&dir).unwrap();
    for intent in 1..=6 {
        let key = if intent % 2 == 0 { "f1even" } else { "f1odd" };
        log.append(&Record { key: key.into(), ..signed(intent, intent) }).unwrap();
    }
    let query = Query { key: Some("f1even".into()), from: 3, limit: 1 };
    let found = log.list(&query).unwrap();
    assert_eq!(found.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [4]);
}

#[test]
fn counters_and_fences_survive_a_restart() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 30);
    let log = SignLog::open_with(&dir, small()).unwrap();
    let usage = log.usage("f1key", Some("sends"), 30_000, 10_000);
    assert_eq!(usage.signed, 10);
    assert_eq!(usage.value_today, 30 * 1_000_000_000_000_000_000_000);
    let mark = log.fence("f1key").unwrap();
    assert_eq!((mark.fence.intent, mark.digest.as_str()), (30, "digest-30"));
    assert_eq!(log.fence("f1other"), None);
}

#[test]
fn a_second_wallet_on_the_directory_is_refused_with_the_pid() {
    let (_guard, dir) = temporary();
    let first = SignLog::open(&dir).unwrap();
    let error = SignLog::open(&dir).unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    drop(first);
    assert!(SignLog::open(&dir).is_ok());
}

#[test]
fn a_torn_tail_is_cut_and_the_log_goes_on() {
    let (_guard, dir) = temporary();
    fill(&dir, Settings::default(), 3);
    let path = last_segment(&dir);
    let whole = fs::read(&path).unwrap();
    let mut torn = Vec::new();
    frame::push(&mut torn, &[1; 32], b"{\"caller\":\"never acknowledged\"}");
    for cut in [1, 3, 10, torn.len() - 1, torn.len()] {
        fs::write(&path, [&whole[..], &torn[..cut]].concat()).unwrap();
        assert_eq!(verify(&dir).unwrap().records, 3, "a reader skips {cut} bytes");
        drop(SignLog::open(&dir).unwrap());
        assert_eq!(fs::read(&path).unwrap(), whole, "{cut} bytes are cut");
    }
    let log = SignLog::open(&dir).unwrap();
    assert_eq!(log.append(&signed(4, 4_000)).unwrap().sequence, 4);
    assert_eq!(log.verify().unwrap().records, 4);
}

#[test]
fn a_written_record_that_was_not_marked_is_kept() {
    // The process died between the write and the mark: nobody was told, but the chain goes on.
    let (_guard, dir) = temporary();
    fill(&dir, Settings::default(), 3);
    let before = verify(&dir).unwrap();
    let mut head = [0; 32];
    hex::decode_to_slice(&before.head, &mut head).unwrap();
    let path = last_segment(&dir);
    let mut bytes = fs::read(&path).unwrap();
    frame::push(&mut bytes, &head, &serde_json::to_vec(&signed(4, 4_000)).unwrap());
    fs::write(&path, bytes).unwrap();
    let log = SignLog::open(&dir).unwrap();
    assert_eq!(log.verify().unwrap().last, 4);
    assert_eq!(log.fence("f1key").unwrap().fence.intent, 4);
}

#[test]
fn every_changed_byte_of_an_acknowledged_record_stops_the_wallet() {
    let (_guard, dir) = temporary();
    fill(&dir, Settings::default(), 2);
    let path = last_segment(&dir);
    let whole = fs::read(&path).unwrap();
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        fs::write(&path, &changed).unwrap();
        match verify(&dir).unwrap_err() {
            LogError::Damaged { file, offset, .. } => {
                assert_eq!(file, path);
                assert!(offset as usize <= index, "byte {index} is reported at {offset}");
            }
            other => panic!("byte {index}: {other}"),
        }
        // Opening to write does more work, so that it is tried with some of them.
        if index % 40 == 0 {
            assert_damaged(&dir, &path);
        }
    }
}

#[test]
fn an_acknowledged_record_that_was_cut_off_stops_the_wallet() {
    let (_guard, dir) = temporary();
    fill(&dir, Settings::default(), 3);
    let path = last_segment(&dir);
    let whole = fs::read(&path).unwrap();
    for cut in [whole.len() - 1, whole.len() - 200, segment::HEADER_BYTES] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_damaged(&dir, &path);
    }
}

#[test]
fn zeros_in_place_of_acknowledged_records_stop_the_wallet() {
    let (_guard, dir) = temporary();
    fill(&dir, Settings::default(), 3);
    let path = last_segment(&dir);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 100;
    bytes[last..].fill(0);
    fs::write(&path, bytes).unwrap();
    assert_damaged(&dir, &path);
}

#[test]
fn damage_in_an_older_file_and_a_missing_file_are_named() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 30);
    let segments = segment::list(&dir).unwrap();
    let second = segment::path_of(&dir, segments[1]);
    let whole = fs::read(&second).unwrap();
    let mut changed = whole.clone();
    changed[segment::HEADER_BYTES + 20] ^= 1;
    fs::write(&second, changed).unwrap();
    let (offset, reason) = assert_damaged(&dir, &second);
    assert_eq!(offset, segment::HEADER_BYTES as u64);
    assert!(reason.contains("hash chain"), "{reason}");

    fs::remove_file(&second).unwrap();
    let third = segment::path_of(&dir, segments[2]);
    let (_, reason) = assert_damaged(&dir, &third);
    assert!(reason.contains("missing"), "{reason}");

    fs::write(&second, whole).unwrap();
    assert_eq!(verify(&dir).unwrap().records, 30);
}

#[test]
fn a_removed_last_file_is_noticed() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 30);
    let path = last_segment(&dir);
    fs::remove_file(&path).unwrap();
    assert_damaged(&dir, &path);
}

#[test]
fn a_forged_history_with_a_right_chain_does_not_fit_the_mark() {
    let (_guard, dir) = temporary();
    let (_other_guard, other) = temporary();
    fill(&dir, Settings::default(), 3);
    let log = SignLog::open(&other).unwrap();
    for intent in 1..=3 {
        log.append(&Record { caller: "forger".into(), ..signed(intent, 1_000 * intent) }).unwrap();
    }
    drop(log);
    fs::copy(last_segment(&other), last_segment(&dir)).unwrap();
    assert_damaged(&dir, &last_segment(&dir));
}

#[test]
fn a_full_disc_signs_nothing_and_leaves_nothing() {
    let (_guard, dir) = temporary();
    let (log, faults) = open_faulty(&dir);
    log.append(&signed(1, 1_000)).unwrap();
    let before = fs::read(last_segment(&dir)).unwrap();
    faults.mode.store(1, Ordering::SeqCst);
    let error = log.append(&signed(2, 2_000)).unwrap_err();
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(fs::read(last_segment(&dir)).unwrap(), before);
    assert_eq!(log.fence("f1key").unwrap().fence.intent, 1);
    assert_eq!(log.usage("f1key", None, 2_000, 10_000).signed, 1);

    faults.mode.store(0, Ordering::SeqCst);
    assert_eq!(log.append(&signed(2, 2_000)).unwrap().sequence, 2);
    assert_eq!(log.verify().unwrap().records, 2);
}

#[test]
fn another_write_error_may_be_tried_again() {
    let (_guard, dir) = temporary();
    let (log, faults) = open_faulty(&dir);
    faults.mode.store(2, Ordering::SeqCst);
    let error = log.append(&signed(1, 1_000)).unwrap_err();
    assert!(matches!(&error, LogError::Write { reason, .. } if reason.contains("cable")));
    faults.mode.store(0, Ordering::SeqCst);
    assert_eq!(log.append(&signed(1, 1_000)).unwrap().sequence, 1);
}

#[test]
fn a_failed_fsync_is_final_until_the_log_is_opened_anew() {
    let (_guard, dir) = temporary();
    let (log, faults) = open_faulty(&dir);
    log.append(&signed(1, 1_000)).unwrap();
    faults.mode.store(3, Ordering::SeqCst);
    assert!(matches!(log.append(&signed(2, 2_000)), Err(LogError::Broken { .. })));
    faults.mode.store(0, Ordering::SeqCst);
    let syncs = faults.syncs.load(Ordering::SeqCst);
    assert!(matches!(log.append(&signed(3, 3_000)), Err(LogError::Broken { .. })));
    assert_eq!(faults.syncs.load(Ordering::SeqCst), syncs, "fsync is never retried");
    drop(log);
    let log = SignLog::open(&dir).unwrap();
    assert!(log.append(&signed(4, 4_000)).is_ok());
    assert!(log.verify().is_ok());
}

#[test]
fn a_write_that_cannot_be_undone_is_final() {
    let (_guard, dir) = temporary();
    let (log, faults) = open_faulty(&dir);
    faults.mode.store(4, Ordering::SeqCst);
    assert!(matches!(log.append(&signed(1, 1_000)), Err(LogError::Broken { .. })));
    drop(log);
    assert_eq!(SignLog::open(&dir).unwrap().verify().unwrap().records, 0);
}

#[test]
fn concurrent_callers_lose_nothing() {
    let (_guard, dir) = temporary();
    let log = SignLog::open_with(&dir, small()).unwrap();
    let sequences: Vec<u64> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8_u64)
            .map(|caller| {
                let log = &log;
                scope.spawn(move || {
                    (0..25_u64)
                        .map(|turn| {
                            let record = signed(caller * 100 + turn, 1_000);
                            log.append(&record).unwrap().sequence
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    let distinct: BTreeSet<u64> = sequences.iter().copied().collect();
    assert_eq!(distinct, (1..=200).collect());
    assert_eq!(log.verify().unwrap().records, 200);
    assert_eq!(log.usage("f1key", None, 1_000, 1_000).signed, 200);
}

/// Gives way to other threads until `is_there`, a bounded number of times.
fn comes(is_there: impl Fn() -> bool) -> bool {
    (0..50_000_000).any(|_| {
        std::thread::yield_now();
        is_there()
    })
}

/// Lets one caller write and seven queue up behind it, then releases the write; gives how they
/// fared and how many fsyncs that took.
fn eight_at_once(log: &SignLog, faults: &Faults) -> (Vec<Result<Receipt, LogError>>, usize) {
    *faults.is_held.lock() = true;
    let before = faults.syncs.load(Ordering::SeqCst);
    let results = std::thread::scope(|scope| {
        let first = scope.spawn(|| log.append(&signed(100, 1)));
        let is_writing = comes(|| log.state.lock().file.is_none());
        let mut callers: Vec<_> =
            (0..7).map(|turn| scope.spawn(move || log.append(&signed(turn, 1)))).collect();
        let is_queued = comes(|| log.state.lock().pending.records.len() == 7);
        callers.push(first);
        faults.release();
        assert!(is_writing && is_queued);
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    (results, faults.syncs.load(Ordering::SeqCst) - before)
}

#[test]
fn callers_that_queue_up_share_one_fsync() {
    let (_guard, dir) = temporary();
    let (log, faults) = open_faulty(&dir);
    let (results, syncs) = eight_at_once(&log, &faults);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(syncs, 2, "one for the first, one for the seven behind it");
    assert_eq!(log.verify().unwrap().records, 8);
}

#[test]
fn callers_that_queue_up_behind_a_full_disc_all_fail() {
    let (_guard, dir) = temporary();
    let (log, faults) = open_faulty(&dir);
    faults.mode.store(1, Ordering::SeqCst);
    let (results, syncs) = eight_at_once(&log, &faults);
    assert!(results.iter().all(|result| matches!(result, Err(LogError::Full { .. }))));
    assert_eq!((syncs, log.verify().unwrap().records), (0, 0));
    faults.mode.store(0, Ordering::SeqCst);
    assert_eq!(log.append(&signed(1, 1)).unwrap().sequence, 1);
}

#[test]
fn pruning_keeps_chain_counters_and_fences() {
    let (_guard, dir) = temporary();
    let now = 100 * DAY_MS;
    let log = SignLog::open_with(&dir, small()).unwrap();
    for intent in 1..=40 {
        let time_ms = if intent <= 20 { 10 * DAY_MS } else { now };
        log.append(&Record { key: format!("f1key{}", intent / 21), ..signed(intent, time_ms) })
            .unwrap();
    }
    let before = log.verify().unwrap();
    let pruned = log.prune(now, "admin", now).unwrap();
    assert!(pruned.segments > 1 && pruned.records > 10, "{pruned:?}");
    let after = log.verify().unwrap();
    assert_eq!(after.pruned_through, pruned.records);
    assert_eq!(after.records, before.records + 1 - pruned.records);
    assert_eq!(after.last, 41);
    drop(log);

    let log = SignLog::open_with(&dir, small()).unwrap();
    assert_eq!(log.verify().unwrap(), after);
    assert_eq!(log.fence("f1key0").unwrap().fence.intent, 20);
    assert_eq!(log.fence("f1key1").unwrap().fence.intent, 40);
    assert_eq!(log.usage("f1key1", None, now, 1_000).signed, 20);
    assert_eq!(log.append(&signed(50, now)).unwrap().sequence, 42);

    let again = log.prune(now, "admin", now).unwrap();
    assert_eq!(again, Pruned::default(), "the last two days stay");
    let later = log.prune(now + 10 * DAY_MS, "admin", now + 10 * DAY_MS).unwrap();
    assert!(later.segments > 0);
    drop(log);
    let log = SignLog::open_with(&dir, small()).unwrap();
    assert_eq!(log.fence("f1key0").unwrap().fence.intent, 20);
    assert!(log.verify().is_ok());
}

/// A pruned log, and its checkpoint file.
fn pruned() -> (TempDir, Utf8PathBuf, Utf8PathBuf) {
    let (guard, dir) = temporary();
    fill(&dir, small(), 30);
    let log = SignLog::open_with(&dir, small()).unwrap();
    log.prune(10 * DAY_MS, "admin", 10 * DAY_MS).unwrap();
    drop(log);
    let checkpoint = segment::Checkpoint::path(&dir);
    (guard, dir, checkpoint)
}

#[test]
fn a_changed_checkpoint_is_noticed() {
    let (_guard, dir, checkpoint) = pruned();
    let text = fs::read_to_string(&checkpoint).unwrap();
    // Somebody wants a spent limit back.
    let changed = text.replace("000000000000000000000", "0");
    assert_ne!(changed, text);
    fs::write(&checkpoint, changed).unwrap();
    assert_damaged(&dir, &checkpoint);
    fs::write(&checkpoint, text).unwrap();
    assert!(SignLog::open(&dir).is_ok());
    fs::remove_file(&checkpoint).unwrap();
    assert!(matches!(SignLog::open(&dir), Err(LogError::Damaged { .. })));
}

#[test]
fn a_crash_between_checkpoint_and_removal_is_finished_at_the_next_start() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 30);
    let kept: Vec<(Utf8PathBuf, Vec<u8>)> = segment::list(&dir)
        .unwrap()
        .into_iter()
        .map(|first| segment::path_of(&dir, first))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let log = SignLog::open_with(&dir, small()).unwrap();
    log.prune(10 * DAY_MS, "admin", 10 * DAY_MS).unwrap();
    let after = log.verify().unwrap();
    drop(log);
    let removed: Vec<_> = kept.iter().filter(|(path, _)| !path.exists()).collect();
    assert!(!removed.is_empty());
    removed.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    assert_eq!(verify(&dir).unwrap(), after, "a reader passes over them");
    drop(SignLog::open_with(&dir, small()).unwrap());
    assert!(removed.iter().all(|(path, _)| !path.exists()));
}

#[test]
fn a_crash_before_the_checkpoint_loses_nothing() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 30);
    let log = SignLog::open_with(&dir, small()).unwrap();
    // The record of a prune whose checkpoint never reached the disc.
    log.append(&Record {
        object: read::PRUNE.into(),
        shown: serde_json::json!({"through": 10, "checkpoint": "00"}),
        decision: Decision::Done,
        ..Record::default()
    })
    .unwrap();
    drop(log);
    assert_eq!(SignLog::open(&dir).unwrap().verify().unwrap().records, 31);
}

#[test]
fn an_export_verifies_anywhere_and_any_change_is_found() {
    let (_guard, dir) = temporary();
    fill(&dir, small(), 12);
    let mut lines = Vec::new();
    assert_eq!(export(&dir, &mut lines).unwrap(), 12);
    let summary = verify_export(&lines[..]).unwrap();
    assert_eq!((summary.records, &summary.head), (12, &verify(&dir).unwrap().head));
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(value["record"]["caller"], "pool");
    }
    for index in (0..lines.len() - 1).step_by(7) {
        let mut changed = lines.clone();
        changed[index] ^= 1;
        assert!(verify_export(&changed[..]).is_err(), "byte {index}");
    }
    let text = String::from_utf8(lines).unwrap();
    let without_third: String =
        text.lines().enumerate().filter(|(n, _)| *n != 2).map(|(_, l)| format!("{l}\n")).collect();
    let error = verify_export(without_third.as_bytes()).unwrap_err();
    assert!(matches!(error, LogError::BadExport { line: 3, .. }), "{error}");
}

#[test]
fn a_record_over_a_mebibyte_is_refused() {
    let (_guard, dir) = temporary();
    let log = SignLog::open(&dir).unwrap();
    let record = Record { caller: "x".repeat(1 << 20), ..Record::default() };
    assert!(matches!(log.append(&record), Err(LogError::TooLarge { .. })));
    assert_eq!(log.append(&signed(1, 1)).unwrap().sequence, 1);
}

#[test]
fn readers_see_whole_records_while_a_wallet_writes() {
    let (_guard, dir) = temporary();
    let log = SignLog::open_with(&dir, small()).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (1..=60).for_each(|intent| {
                log.append(&signed(intent, intent)).unwrap();
            });
        });
        let mut seen = 0;
        while !writer.is_finished() {
            let records = verify(&dir).unwrap().records;
            assert!(records >= seen);
            seen = records;
        }
    });
    assert_eq!(verify(&dir).unwrap().records, 60);
}

#[test]
fn an_old_line_without_newer_fields_is_read() {
    let line = r#"{"time_ms":5,"caller":"a","object":"block","decision":"signed"}"#;
    let record: Record = serde_json::from_str(line).unwrap();
    assert_eq!(record.decision, Decision::Signed);
    assert_eq!(serde_json::to_string(&record).unwrap(), line);
}

#[test]
fn a_log_of_many_records_opens_with_its_counters() {
    const RECORDS: u64 = 100_000;
    let (_guard, dir) = temporary();
    durable::private_dir(&dir).unwrap();
    let path = segment::create(&dir, Position::START).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let mut head = frame::GENESIS;
    for intent in 1..=RECORDS {
        let body = serde_json::to_vec(&signed(intent, DAY_MS + intent)).unwrap();
        head = frame::push(&mut bytes, &head, &body);
    }
    fs::write(&path, bytes).unwrap();
    let started = std::time::Instant::now();
    let log = SignLog::open(&dir).unwrap();
    println!("opened {RECORDS} records in {} ms", started.elapsed().as_millis());
    assert_eq!(log.fence("f1key").unwrap().fence.intent, RECORDS);
    assert_eq!(log.usage("f1key", None, DAY_MS + RECORDS, 10_000).signed, 10_000);
    assert_eq!(log.append(&signed(RECORDS + 1, DAY_MS)).unwrap().sequence, RECORDS + 1);
}

#[test]
fn the_newest_records_are_found_without_opening_older_files() {
    let (_kept, dir) = temporary();
    fill(&dir, small(), 100);
    let log = SignLog::open_with(&dir, small()).unwrap();
    let segments = segment::list(&dir).unwrap();
    assert!(segments.len() > 4, "{segments:?}");
    for limit in [0, 1, 7, 20, 100, 1000] {
        assert_eq!(log.newest(limit).unwrap(), log.tail(limit).unwrap(), "for {limit}");
    }
    // The oldest file is gone: who walks notices, who looks at the newest does not come near.
    fs::remove_file(segment::path_of(&dir, segments[0])).unwrap();
    assert!(matches!(log.tail(5), Err(LogError::Damaged { .. })));
    let found = log.newest(5).unwrap();
    assert_eq!(found.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [96, 97, 98, 99, 100]);
    // Damage in what is read is noticed: a file in the middle that is another's, and a changed byte.
    let middle = segments[segments.len() - 2];
    fs::remove_file(segment::path_of(&dir, middle)).unwrap();
    assert!(matches!(log.newest(50), Err(LogError::Damaged { .. })));
    let last = segment::path_of(&dir, segments[segments.len() - 1]);
    let mut bytes = fs::read(&last).unwrap();
    bytes[segment::HEADER_BYTES + 8] ^= 1;
    fs::write(&last, bytes).unwrap();
    assert!(matches!(log.newest(1), Err(LogError::Damaged { .. })));
}

#[test]
fn the_newest_records_begin_after_what_was_pruned_and_end_before_a_torn_tail() {
    let (_kept, dir) = temporary();
    fill(&dir, small(), 50);
    let log = SignLog::open_with(&dir, small()).unwrap();
    assert!(log.prune(30_000, "operator", 10 * DAY_MS).unwrap().records > 10);
    assert_eq!(log.newest(1000).unwrap(), log.tail(1000).unwrap());
    let last = segment::path_of(&dir, *segment::list(&dir).unwrap().last().unwrap());
    let torn = OpenOptions::new().append(true).open(last).unwrap();
    io::Write::write_all(&mut &torn, &[9, 0, 0, 0, 1]).unwrap();
    assert_eq!(log.newest(1000).unwrap(), log.tail(1000).unwrap());
}
