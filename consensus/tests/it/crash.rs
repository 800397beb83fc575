//! Crash consistency of the log: after every prefix of what was done to the disc, with un-synced
//! writes lost or torn, recovery finds everything that was acknowledged.

use std::sync::Arc;

use hesper_consensus::testing::{
    CrashImage, Entry, LogId, SimDevice, TraceOp, Vote, Wal, WalOptions,
};
use proptest::prelude::*;

use crate::log::{append, entry, id, options, purge, save_vote};

#[derive(Clone, Debug)]
enum Step {
    Vote,
    Append {
        count: u64,
        bytes: usize,
    },
    /// Steps of one kind that are queued together, so that one sync covers them.
    AppendTogether {
        count: u64,
        bytes: usize,
    },
    Truncate {
        back: u64,
    },
    Purge {
        back: u64,
    },
    Restart,
}

/// What must be found after a crash once it was acknowledged.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// All entries that ever were in the log at their index, oldest first.
    entries: Vec<Entry>,
}

impl Model {
    fn next(&self) -> u64 {
        self.entries
            .last()
            .map(|e| e.log_id.index)
            .or(self.purged.map(|p| p.index))
            .map_or(0, |i| i + 1)
    }
}

struct Run {
    device: SimDevice,
    wal: Option<Wal>,
    options: WalOptions,
    /// The place in `states` of what was acknowledged at mark `n`.
    promised: Vec<usize>,
    /// Every state that the log went through, promised or not.
    states: Vec<Model>,
    now: Model,
    term: u64,
}

impl Run {
    fn new(options: WalOptions) -> Self {
        let device = SimDevice::default();
        let wal = Wal::open(Arc::new(device.clone()), options.clone(), Box::new(|_| {})).unwrap();
        let mut run = Self {
            device,
            wal: Some(wal),
            options,
            promised: vec![],
            states: vec![],
            now: Model::default(),
            term: 1,
        };
        run.states.push(Model::default());
        run.promise();
        run
    }

    fn wal(&self) -> &Wal {
        self.wal.as_ref().unwrap()
    }

    fn promise(&mut self) {
        self.device.mark(self.promised.len() as u64);
        self.promised.push(self.states.len() - 1);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Vote => {
                self.term += 1;
                let vote = Vote::new(self.term, 1);
                self.now.vote = Some(vote);
                self.states.push(self.now.clone());
                save_vote(self.wal(), vote).unwrap();
            }
            Step::Append { count, bytes } => {
                for _ in 0..count {
                    let new = entry(self.term, self.now.next(), bytes);
                    self.now.entries.push(new.clone());
                    self.states.push(self.now.clone());
                    append(self.wal(), vec![new]).unwrap();
                    self.promise();
                }
            }
            Step::AppendTogether { count, bytes } => {
                let mut batch = Vec::new();
                for _ in 0..count {
                    let new = entry(self.term, self.now.next(), bytes);
                    self.now.entries.push(new.clone());
                    self.states.push(self.now.clone());
                    batch.push(new);
                }
                append(self.wal(), batch).unwrap();
            }
            Step::Truncate { back } => {
                let keep = self.now.entries.len().saturating_sub(back as usize);
                self.now.entries.truncate(keep);
                let after = self.now.entries.last().map(|e| e.log_id).or(self.now.purged);
                self.states.push(self.now.clone());
                self.wal().truncate_after(after);
                // Durable with the next write; a vote makes one.
                self.step(&Step::Vote);
                return;
            }
            Step::Purge { back } => {
                let Some(at) = self.now.entries.len().checked_sub(back as usize + 1) else {
                    return;
                };
                let upto = self.now.entries[at].log_id;
                self.now.entries.drain(..=at);
                self.now.purged = Some(upto);
                self.states.push(self.now.clone());
                purge(self.wal(), upto).unwrap();
            }
            Step::Restart => {
                self.wal.take().unwrap().close();
                let wal = Wal::open(
                    Arc::new(self.device.clone()),
                    self.options.clone(),
                    Box::new(|_| {}),
                );
                self.wal = Some(wal.unwrap());
            }
        }
        self.promise();
    }

    /// The first crash after which something promised is missing or something never written is found.
    fn find_fault(&self) -> Option<String> {
        let trace = self.device.trace();
        let mut images = vec![
            CrashImage::KeepAll,
            CrashImage::DropAll,
            CrashImage::DropWrites,
            CrashImage::DropNames,
        ];
        images.extend((0..2).map(CrashImage::DropOne));
        images.extend([1, 2].map(CrashImage::TearLast));
        images.extend([1, 2].map(CrashImage::TearFirst));
        for prefix in 0..=trace.len() {
            let mark = trace[..prefix].iter().rev().find_map(|op| match op {
                TraceOp::Mark(mark) => Some(*mark as usize),
                _ => None,
            });
            for image in &images {
                let disc = SimDevice::after_crash(&trace, prefix, *image);
                if let Err(fault) = self.check(&disc, mark) {
                    return Some(format!("after {prefix} operations, {image:?}: {fault}"));
                }
            }
        }
        None
    }

    fn check(&self, disc: &SimDevice, mark: Option<usize>) -> Result<(), String> {
        let open = || {
            Wal::open(Arc::new(disc.clone()), options(), Box::new(|_| {}))
                .map_err(|e| e.to_string())
        };
        let wal = open()?;
        let found = Model {
            vote: wal.vote(),
            purged: wal.bounds().0,
            entries: wal.entries(.., u64::MAX).map_err(|e| e.to_string())?,
        };
        // What is found must be a state that the log really went through, not older than the promise.
        let oldest = mark.map_or(0, |mark| self.promised[mark]);
        if !self.states[oldest..].contains(&found) {
            let promised = &self.states[oldest];
            return Err(format!(
                "promised vote {:?}, purged {:?}, {} entries; found vote {:?}, purged {:?}, {} entries",
                promised.vote,
                promised.purged,
                promised.entries.len(),
                found.vote,
                found.purged,
                found.entries.len()
            ));
        }
        // It goes on from there, and a second recovery finds what the first one made.
        let next = found.next();
        append(&wal, vec![entry(99, next, 30)]).map_err(|e| e.to_string())?;
        wal.close();
        drop(wal);
        let again = open()?;
        let last = again.entries(next.., u64::MAX).map_err(|e| e.to_string())?;
        if last != vec![entry(99, next, 30)] || again.vote() != found.vote {
            return Err("what was appended after recovery is not found".into());
        }
        Ok(())
    }
}

fn history() -> Vec<Step> {
    vec![
        Step::Vote,
        Step::Append { count: 3, bytes: 100 },
        Step::AppendTogether { count: 6, bytes: 300 },
        Step::Truncate { back: 2 },
        Step::AppendTogether { count: 3, bytes: 700 },
        Step::Restart,
        Step::Append { count: 4, bytes: 200 },
        Step::Purge { back: 3 },
        Step::Vote,
        Step::Append { count: 2, bytes: 1500 },
        Step::Restart,
        Step::AppendTogether { count: 2, bytes: 10 },
    ]
}

#[test]
fn every_prefix_of_a_history_recovers_what_was_acknowledged() {
    let mut run = Run::new(options());
    for step in history() {
        run.step(&step);
    }
    assert_eq!(run.find_fault(), None);
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    let mut run = Run::new(WalOptions { acknowledge_before_sync: true, ..options() });
    for step in history() {
        run.step(&step);
    }
    let fault = run.find_fault();
    assert!(fault.is_some(), "the check does not notice a lost acknowledged write");
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Vote),
        4 => (1..4u64, 1..800usize).prop_map(|(count, bytes)| Step::Append { count, bytes }),
        3 => (1..6u64, 1..900usize).prop_map(|(count, bytes)| Step::AppendTogether { count, bytes }),
        1 => (0..4u64).prop_map(|back| Step::Truncate { back }),
        1 => (0..4u64).prop_map(|back| Step::Purge { back }),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_recover_what_was_acknowledged(steps in proptest::collection::vec(step(), 1..10)) {
        let mut run = Run::new(options());
        for step in &steps {
            run.step(step);
        }
        prop_assert_eq!(run.find_fault(), None);
    }
}

#[test]
fn a_purged_log_continues_at_its_end() {
    let mut run = Run::new(options());
    run.step(&Step::AppendTogether { count: 4, bytes: 10 });
    run.step(&Step::Purge { back: 0 });
    assert_eq!(run.wal().bounds(), (Some(id(1, 3)), Some(id(1, 3))));
    run.step(&Step::Append { count: 1, bytes: 10 });
    assert_eq!(run.find_fault(), None);
}
