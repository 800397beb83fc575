//! The log alone: reading back, damage, a full disc.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use hesper_consensus::testing::{
    CommittedLeaderId, EncodedBatch, Entry, LogId, Payload, SimDevice, Vote, Wal, WalError,
    WalOptions,
};

pub fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

pub fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let fill = (term * 31 + index) as u8;
    Entry {
        log_id: id(term, index),
        payload: Payload::Normal(EncodedBatch(Bytes::from(vec![fill; bytes]))),
    }
}

pub fn options() -> WalOptions {
    WalOptions {
        segment_bytes: 2048,
        cache_bytes: 512,
        prepare_ahead: false,
        ..WalOptions::default()
    }
}

pub fn open(device: &SimDevice) -> Result<Wal, WalError> {
    Wal::open(Arc::new(device.clone()), options(), Box::new(|_| {}))
}

pub fn append(wal: &Wal, entries: Vec<Entry>) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    wal.append(entries, Box::new(move |r| drop(done.send(r))))?;
    result.recv().unwrap()
}

pub fn save_vote(wal: &Wal, vote: Vote) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    wal.save_vote(vote, Box::new(move |r| drop(done.send(r))));
    result.recv().unwrap()
}

pub fn purge(wal: &Wal, upto: LogId) -> io::Result<()> {
    let (done, result) = mpsc::channel();
    wal.purge(upto, Box::new(move |r| drop(done.send(r))));
    result.recv().unwrap()
}

#[test]
fn entries_are_read_from_memory_and_from_disc() {
    let device = SimDevice::default();
    let wal = open(&device).unwrap();
    for index in 0..40 {
        append(&wal, vec![entry(1, index, 100)]).unwrap();
    }
    let read = wal.entries(.., u64::MAX).unwrap();
    assert_eq!(read.len(), 40);
    assert!(read.iter().zip(0..).all(|(e, index)| *e == entry(1, index, 100)));
    assert_eq!(wal.entries(10..20, 300).unwrap().len(), 2);
    assert_eq!(wal.entries(39..50, 1).unwrap(), vec![entry(1, 39, 100)]);
    wal.close();
    let wal = open(&device).unwrap();
    assert_eq!(wal.entries(.., u64::MAX).unwrap(), read);
}

#[test]
fn purged_segments_are_removed_and_what_follows_stays() {
    let device = SimDevice::default();
    let wal = open(&device).unwrap();
    save_vote(&wal, Vote::new(3, 1)).unwrap();
    for index in 0..100 {
        append(&wal, vec![entry(1, index, 100)]).unwrap();
    }
    let before = hesper_consensus::testing::Device::list(&device).unwrap().len();
    purge(&wal, id(1, 90)).unwrap();
    wal.close();
    let after = hesper_consensus::testing::Device::list(&device).unwrap().len();
    assert!(after < before, "{after} of {before} files left");
    let wal = open(&device).unwrap();
    assert_eq!(wal.vote(), Some(Vote::new(3, 1)));
    assert_eq!(wal.bounds(), (Some(id(1, 90)), Some(id(1, 99))));
    assert_eq!(wal.entries(.., u64::MAX).unwrap().len(), 9);
}

#[test]
fn a_truncated_log_goes_on_with_other_entries() {
    let device = SimDevice::default();
    let wal = open(&device).unwrap();
    append(&wal, (0..10).map(|index| entry(1, index, 100)).collect()).unwrap();
    wal.truncate_after(Some(id(1, 4)));
    append(&wal, vec![entry(2, 5, 50)]).unwrap();
    let expected: Vec<_> =
        (0..5).map(|index| entry(1, index, 100)).chain([entry(2, 5, 50)]).collect();
    assert_eq!(wal.entries(.., u64::MAX).unwrap(), expected);
    wal.close();
    let wal = open(&device).unwrap();
    assert_eq!(wal.entries(.., u64::MAX).unwrap(), expected);
    assert!(append(&wal, vec![entry(2, 9, 1)]).is_err(), "a hole");
}

#[test]
fn damage_before_the_durable_end_stops_the_node_with_file_and_offset() {
    let device = SimDevice::default();
    let wal = open(&device).unwrap();
    for index in 0..5 {
        append(&wal, vec![entry(1, index, 100)]).unwrap();
    }
    wal.close();
    device.corrupt("wal-0000000000000001.log", 300);
    match open(&device).err().unwrap() {
        WalError::Damaged { file, offset, .. } => {
            assert_eq!(file, "sim:wal-0000000000000001.log");
            assert!((1..=300).contains(&offset), "offset {offset}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn damage_of_the_last_record_is_noticed_after_an_orderly_close() {
    let device = SimDevice::default();
    let wal = open(&device).unwrap();
    append(&wal, vec![entry(1, 0, 100)]).unwrap();
    let end = device.trace().iter().rev().find_map(|op| match op {
        hesper_consensus::testing::TraceOp::Write { offset, bytes, .. } => {
            Some(*offset as usize + bytes.len())
        }
        _ => None,
    });
    wal.close();
    device.corrupt("wal-0000000000000001.log", end.unwrap() - 20);
    assert!(matches!(open(&device).err().unwrap(), WalError::Damaged { .. }));
}

#[test]
fn a_missing_segment_is_damage() {
    let device = SimDevice::default();
    let wal = open(&device).unwrap();
    for index in 0..60 {
        append(&wal, vec![entry(1, index, 100)]).unwrap();
    }
    wal.close();
    hesper_consensus::testing::Device::remove(&device, "wal-0000000000000002.log").unwrap();
    let error = open(&device).err().unwrap();
    assert!(error.to_string().contains("wal-0000000000000002.log"), "{error}");
}

#[test]
fn a_full_disc_stops_the_log_and_nothing_more_is_acknowledged() {
    let device = SimDevice::default();
    let (told, message) = mpsc::channel();
    let on_failure = Box::new(move |message| drop(told.send(message)));
    let wal = Wal::open(Arc::new(device.clone()), options(), on_failure).unwrap();
    append(&wal, vec![entry(1, 0, 100)]).unwrap();
    device.limit_bytes(1000);
    let mut acknowledged = 0;
    let mut refused = None;
    for index in 1..30 {
        match append(&wal, vec![entry(1, index, 100)]) {
            Ok(()) => acknowledged = index,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    assert!(refused.is_some());
    let message = message.recv().unwrap();
    assert!(message.contains("wal-"), "{message}");
    assert!(append(&wal, vec![entry(1, acknowledged + 2, 1)]).is_err());
    assert!(save_vote(&wal, Vote::new(9, 1)).is_err());
    wal.close();
    let again = open(&SimDevice::after_crash(
        &device.trace(),
        device.trace().len(),
        hesper_consensus::testing::CrashImage::KeepAll,
    ))
    .unwrap();
    assert_eq!(again.entries(.., u64::MAX).unwrap().len() as u64, acknowledged + 1);
}
