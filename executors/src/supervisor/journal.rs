//! **Purpose**: the supervisor's memory on disc: which attempts it took and how they ended.
//!
//! **Invariants**
//! - An end is written here before the agent hears of it, and kept until the agent confirmed it.
//! - The file is not synced: it has to survive the death of processes, not of the machine, with
//!   which every child dies too.
//! - A torn or damaged tail is cut at start.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};
use minicbor::{Decode, Encode};

use crate::frame::{self, Front};
use crate::protocol::{Ended, Live};

const NAME: &str = "supervisor.journal";
const BYTES_MAX: u64 = 1 << 20;

#[derive(Encode, Decode)]
enum Record {
    /// A supervisor began; its children carry the boot id in their environment.
    #[n(0)]
    Boot {
        #[n(0)]
        boot_id: String,
        #[n(1)]
        machine_boot_id: String,
    },
    #[n(1)]
    Accepted(#[n(0)] Vec<Live>),
    #[n(2)]
    Started {
        #[n(0)]
        token: u64,
        #[n(1)]
        pid: u32,
        #[n(2)]
        at_ms: u64,
    },
    #[n(3)]
    Ended(#[n(0)] Ended),
    #[n(4)]
    Confirmed(#[n(0)] Vec<u64>),
}

/// What an earlier supervisor of the directory left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Boot id and machine boot of the last supervisor.
    pub(crate) boot: Option<(String, String)>,
    /// Accepted and not ended.
    pub(crate) live: BTreeMap<u64, Live>,
    /// Ended and not confirmed.
    pub(crate) ended: BTreeMap<u64, Ended>,
}

pub(crate) struct Journal {
    path: Utf8PathBuf,
    file: File,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the journal of `dir` and reads what is left in it.
    pub(crate) fn open(dir: &Utf8Path) -> io::Result<(Journal, Left)> {
        let path = dir.join(NAME);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (left, whole) = replay(&content);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.set_len(whole)?;
        Ok((Journal { path, file, bytes: whole, buffer: Vec::new() }, left))
    }

    pub(crate) fn accepted(&mut self, live: Vec<Live>) {
        self.push(&Record::Accepted(live));
    }

    pub(crate) fn started(&mut self, token: u64, pid: u32, at_ms: u64) {
        self.push(&Record::Started { token, pid, at_ms });
    }

    pub(crate) fn ended(&mut self, ended: &Ended) {
        self.push(&Record::Ended(ended.clone()));
    }

    pub(crate) fn confirmed(&mut self, tokens: &[u64]) {
        self.push(&Record::Confirmed(tokens.to_vec()));
    }

    fn push(&mut self, record: &Record) {
        frame::append_value(&mut self.buffer, record);
    }

    /// Hands what was pushed to the kernel in one write. After a failure nothing of it is in the
    /// file, and the next call tries again.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            // What was written of it would hide everything behind it.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Whether the file holds much more than what is still needed.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > BYTES_MAX
    }

    /// Replaces the file by one that holds `left` alone; after a failure the old one goes on.
    pub(crate) fn rewrite(&mut self, left: Left) -> io::Result<()> {
        let mut bytes = Vec::new();
        if let Some((boot_id, machine_boot_id)) = left.boot {
            frame::append_value(&mut bytes, &Record::Boot { boot_id, machine_boot_id });
        }
        frame::append_value(&mut bytes, &Record::Accepted(left.live.into_values().collect()));
        for ended in left.ended.into_values() {
            frame::append_value(&mut bytes, &Record::Ended(ended));
        }
        let partial = Utf8PathBuf::from(format!("{}.partial", self.path));
        fs::write(&partial, &bytes)?;
        fs::rename(&partial, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = bytes.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Rebuilds what is left from the records; returns the bytes up to the last whole one.
fn replay(content: &[u8]) -> (Left, u64) {
    let mut left = Left::default();
    let mut at = 0;
    while let Front::Whole { payload, bytes } = frame::front(&content[at..]) {
        let Some(record) = frame::value::<Record>(payload) else {
            break;
        };
        apply(&mut left, record);
        at += bytes;
    }
    (left, at as u64)
}

fn apply(left: &mut Left, record: Record) {
    match record {
        Record::Boot { boot_id, machine_boot_id } => left.boot = Some((boot_id, machine_boot_id)),
        Record::Accepted(live) => {
            left.live.extend(live.into_iter().map(|live| (live.token, live)));
        }
        Record::Started { token, pid, at_ms } => {
            if let Some(live) = left.live.get_mut(&token) {
                live.pid = pid;
                live.started_at_ms = at_ms;
            }
        }
        Record::Ended(ended) => {
            left.live.remove(&ended.token);
            left.ended.insert(ended.token, ended);
        }
        Record::Confirmed(tokens) => {
            for token in tokens {
                left.ended.remove(&token);
                // One of several in a process may end before the process does.
                left.live.remove(&token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(token: u64) -> Live {
        Live { token, lease: 1, ..Live::default() }
    }

    fn ended(token: u64) -> Ended {
        Ended { token, code: 7, ..Ended::default() }
    }

    #[test]
    fn a_torn_tail_is_cut_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let (mut journal, left) = Journal::open(dir).unwrap();
        assert!(left.boot.is_none());
        journal.push(&Record::Boot { boot_id: "b".into(), machine_boot_id: "m".into() });
        journal.accepted(vec![live(1), live(2), live(3)]);
        journal.started(1, 40, 50);
        journal.ended(&ended(2));
        journal.ended(&ended(3));
        journal.confirmed(&[3]);
        journal.accepted(vec![live(4)]);
        journal.started(4, 41, 51);
        journal.confirmed(&[4]);
        journal.write().unwrap();
        let whole = fs::read(dir.join(NAME)).unwrap();
        for torn in 1..10 {
            fs::write(dir.join(NAME), [&whole[..], &whole[..torn]].concat()).unwrap();
            let (_, left) = Journal::open(dir).unwrap();
            assert_eq!(left.boot, Some(("b".into(), "m".into())));
            assert_eq!(left.live.len(), 1);
            assert_eq!(left.live[&1].pid, 40);
            assert_eq!(left.ended.keys().copied().collect::<Vec<_>>(), [2]);
            assert_eq!(fs::read(dir.join(NAME)).unwrap(), whole);
        }
    }

    #[test]
    fn a_rewritten_journal_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let (mut journal, mut left) = Journal::open(dir).unwrap();
        left.boot = Some(("b".into(), "m".into()));
        left.live.insert(1, live(1));
        left.ended.insert(2, ended(2));
        journal.rewrite(left).unwrap();
        journal.confirmed(&[2]);
        journal.write().unwrap();
        let (_, left) = Journal::open(dir).unwrap();
        assert_eq!((left.live.len(), left.ended.len()), (1, 0));
    }
}
