//! **Purpose**: reports kept on disc until a node has acknowledged them.
//!
//! **Invariants**
//! - Sequence numbers are contiguous, go on over restarts and are never used twice in one directory.
//! - A report is in the file before it is sent and before the supervisor may forget the attempt.
//! - Syncing follows in the background: an acknowledged report is durable with the nodes, so only
//!   what waits long for its acknowledgement costs a sync.
//! - A torn tail is cut at start.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};
use hesper_protos::executor::{Report, ReportBatch, report};
use prost::Message;

use crate::frame::{self, Front};

const NAME: &str = "outbox";
const BATCH: u8 = 0;
/// `first sequence that is not acknowledged: u64 LE`; what is below is done.
const FLOOR: u8 = 1;
const REWRITE_BYTES: u64 = 1 << 20;

pub(crate) struct Outbox {
    path: Utf8PathBuf,
    file: File,
    bytes: u64,
    /// Sequence of the first pending report, or of the next one when none is pending.
    floor: u64,
    /// The floor that the file knows.
    floor_written: u64,
    pending: VecDeque<Report>,
    is_dirty: bool,
}

impl Outbox {
    pub(crate) fn open(dir: &Utf8Path) -> io::Result<Outbox> {
        let path = dir.join(NAME);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (floor, pending, whole) = replay(&content);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        if whole < content.len() as u64 {
            file.set_len(whole)?;
        }
        Ok(Outbox {
            path,
            file,
            bytes: whole,
            floor,
            floor_written: floor,
            pending,
            is_dirty: whole > 0,
        })
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Numbers the reports and writes them, with one write for all. After a failure they are still in
    /// `reports` and nothing of them is in the file.
    pub(crate) fn append(&mut self, reports: &mut Vec<report::Report>) -> io::Result<()> {
        if reports.is_empty() {
            return Ok(());
        }
        let first = self.floor + self.pending.len() as u64;
        let numbered: Vec<Report> = (first..)
            .zip(std::mem::take(reports))
            .map(|(sequence, report)| Report { sequence, report: Some(report) })
            .collect();
        let mut bytes = Vec::new();
        if self.floor_written < self.floor {
            push_floor(&mut bytes, self.floor);
        }
        let batch = ReportBatch { reports: numbered };
        push_batch(&mut bytes, &batch);
        if let Err(error) = self.write(&bytes) {
            reports.extend(batch.reports.into_iter().filter_map(|report| report.report));
            return Err(error);
        }
        self.floor_written = self.floor;
        self.is_dirty = true;
        self.pending.extend(batch.reports);
        Ok(())
    }

    /// Writes all or nothing: the rest of a cut frame would hide what comes behind it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// A node has everything up to `through`.
    pub(crate) fn acknowledge(&mut self, through: u64) -> io::Result<()> {
        while self.pending.front().is_some_and(|report| report.sequence <= through) {
            self.pending.pop_front();
            self.floor += 1;
        }
        if self.bytes > REWRITE_BYTES && self.pending.len() < 256 {
            match self.rewrite() {
                // The long file goes on until there is room for a short one.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Writes down what was acknowledged, so that a restart does not send it again.
    pub(crate) fn note_floor(&mut self) -> io::Result<()> {
        if self.floor_written == self.floor {
            return Ok(());
        }
        let mut bytes = Vec::new();
        push_floor(&mut bytes, self.floor);
        self.write(&bytes)?;
        self.floor_written = self.floor;
        Ok(())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        push_floor(&mut bytes, self.floor);
        let batch = ReportBatch { reports: self.pending.iter().cloned().collect() };
        push_batch(&mut bytes, &batch);
        let partial = Utf8PathBuf::from(format!("{}.partial", self.path));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial)?;
        file.write_all(&bytes)?;
        // Before the rename: after a power cut the name must not stand for an empty file.
        file.sync_data()?;
        fs::rename(&partial, &self.path)?;
        drop(file);
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = bytes.len() as u64;
        self.floor_written = self.floor;
        Ok(())
    }

    /// Pending reports above `after`, at most `count`.
    pub(crate) fn after(&self, after: u64, count: usize) -> Vec<Report> {
        let skip = usize::try_from((after + 1).saturating_sub(self.floor)).unwrap_or(usize::MAX);
        self.pending.iter().skip(skip).take(count).cloned().collect()
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &Report> {
        self.pending.iter()
    }

    pub(crate) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The sequence of the last report written, 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        (self.floor + self.pending.len() as u64).saturating_sub(1)
    }

    /// What a background sync has to do, if there is anything to it: nothing is dirty, or all is
    /// acknowledged.
    pub(crate) fn take_dirty(&mut self) -> Option<io::Result<File>> {
        if !self.is_dirty || self.pending.is_empty() {
            return None;
        }
        self.is_dirty = false;
        Some(self.file.try_clone())
    }
}

fn push_floor(bytes: &mut Vec<u8>, floor: u64) {
    let mut payload = vec![FLOOR];
    payload.extend_from_slice(&floor.to_le_bytes());
    frame::append(bytes, &payload);
}

fn push_batch(bytes: &mut Vec<u8>, batch: &ReportBatch) {
    let mut payload = Vec::with_capacity(1 + batch.encoded_len());
    payload.push(BATCH);
    batch.encode(&mut payload).expect("a vector takes all bytes");
    frame::append(bytes, &payload);
}

/// Floor, pending reports and the bytes up to the last whole frame.
fn replay(content: &[u8]) -> (u64, VecDeque<Report>, u64) {
    let mut floor = 1;
    let mut pending: VecDeque<Report> = VecDeque::new();
    let mut at = 0;
    while let Front::Whole { payload, bytes } = frame::front(&content[at..]) {
        match payload.split_first() {
            Some((&BATCH, batch)) => {
                let Ok(batch) = ReportBatch::decode(batch) else {
                    break;
                };
                let next = floor + pending.len() as u64;
                // Numbers follow each other; a gap means that the rest belongs to no known state.
                if (next..)
                    .zip(&batch.reports)
                    .any(|(expected, report)| report.sequence != expected)
                {
                    break;
                }
                pending.extend(batch.reports);
            }
            Some((&FLOOR, text)) => {
                let Ok(text) = <[u8; 8]>::try_from(text) else {
                    break;
                };
                let stored = u64::from_le_bytes(text);
                while floor < stored && pending.pop_front().is_some() {
                    floor += 1;
                }
                floor = floor.max(stored);
            }
            _ => break,
        }
        at += bytes;
    }
    (floor, pending, at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hesper_protos::executor::Gone;

    fn gone(token: u64) -> report::Report {
        report::Report::Gone(Gone { token })
    }

    fn sequences(outbox: &Outbox) -> Vec<u64> {
        outbox.pending().map(|report| report.sequence).collect()
    }

    #[test]
    fn reports_wait_over_restarts_until_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut outbox = Outbox::open(dir).unwrap();
        assert_eq!(outbox.last(), 0);
        outbox.append(&mut vec![gone(1), gone(2), gone(3)]).unwrap();
        outbox.acknowledge(2).unwrap();
        outbox.append(&mut vec![gone(4)]).unwrap();
        assert_eq!(sequences(&outbox), [3, 4]);
        let outbox = Outbox::open(dir).unwrap();
        assert_eq!(sequences(&outbox), [3, 4]);
        assert_eq!(outbox.after(3, 9).len(), 1);
        assert_eq!(outbox.after(0, 9).len(), 2);
        assert_eq!(outbox.after(0, 1)[0].sequence, 3);
    }

    #[test]
    fn every_cut_of_the_file_opens_and_keeps_whole_batches() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut outbox = Outbox::open(dir).unwrap();
        outbox.append(&mut vec![gone(1)]).unwrap();
        let one = fs::read(dir.join(NAME)).unwrap().len();
        outbox.append(&mut vec![gone(2)]).unwrap();
        let whole = fs::read(dir.join(NAME)).unwrap();
        for cut in 0..=whole.len() {
            fs::write(dir.join(NAME), &whole[..cut]).unwrap();
            let mut outbox = Outbox::open(dir).unwrap();
            let expected = usize::from(cut >= one) + usize::from(cut == whole.len());
            assert_eq!(outbox.pending_count(), expected, "cut at {cut}");
            outbox.append(&mut vec![gone(9)]).unwrap();
            assert_eq!(Outbox::open(dir).unwrap().pending_count(), expected + 1);
        }
    }

    #[test]
    fn a_long_file_is_cut_and_numbers_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut outbox = Outbox::open(dir).unwrap();
        let mut through = 0;
        while outbox.bytes <= REWRITE_BYTES {
            outbox.append(&mut (0..1000).map(gone).collect()).unwrap();
            through = outbox.last();
        }
        outbox.acknowledge(through).unwrap();
        assert!(fs::metadata(dir.join(NAME)).unwrap().len() < 64);
        let mut outbox = Outbox::open(dir).unwrap();
        outbox.append(&mut vec![gone(1)]).unwrap();
        assert_eq!(sequences(&outbox), [through + 1]);
        assert_eq!(sequences(&Outbox::open(dir).unwrap()), [through + 1]);
    }
}
