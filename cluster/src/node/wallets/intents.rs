//! **Purpose**: the replicated record of what wallets are asked to sign: every request is an applied
//! intent before a wallet hears of it.
//!
//! **Invariants**
//! - Intents grow strictly over the whole log, whatever the key: a wallet that saw one refuses every
//!   older one of that key.
//! - One row per key, the newest; at most [`KEYS_MAX`] rows, the oldest intents go first.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

/// First byte of every command of this module inside a composed command.
pub const MODULE: u8 = 4;
/// Table of the newest intent per key: canonical text of the address to [`Row`].
pub const INTENTS: u8 = 80;
/// Keys that are remembered at once.
const KEYS_MAX: usize = 100_000;
/// Longest text of an address that is taken.
const KEY_BYTES_MAX: usize = 128;

/// The newest intent of a key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Row {
    #[n(0)]
    pub intent: u64,
    /// Of everything that is to be signed.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub digest: Vec<u8>,
    /// On whose behalf.
    #[n(2)]
    pub user: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// A request to sign is about to go to a wallet.
    #[n(0)]
    Intend {
        #[n(0)]
        key: String,
        #[cbor(n(1), with = "minicbor::bytes")]
        digest: Vec<u8>,
        #[n(2)]
        user: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    #[n(0)]
    Intended {
        #[n(0)]
        intent: u64,
        /// As proposed: a repeated request with other content is recognised by it.
        #[cbor(n(1), with = "minicbor::bytes")]
        digest: Vec<u8>,
    },
    #[n(1)]
    Rejected {
        #[n(0)]
        message: String,
    },
}

/// Writes one row; `None` deletes it.
pub type PutRow<'a> = dyn FnMut(u8, &[u8], Option<Vec<u8>>) + 'a;

/// All newest intents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    rows: BTreeMap<String, Row>,
    /// The same, by age.
    by_intent: BTreeSet<(u64, String)>,
}

impl Intents {
    /// Takes up one row at start.
    ///
    /// # Errors
    /// A row that cannot be read.
    pub fn load_row(&mut self, key: &[u8], row: &[u8]) -> Result<(), String> {
        let unreadable = |why: String| format!("row of table {INTENTS} is unreadable: {why}");
        let key = std::str::from_utf8(key).map_err(|error| unreadable(error.to_string()))?;
        let row: Row = minicbor::decode(row).map_err(|error| unreadable(error.to_string()))?;
        self.by_intent.insert((row.intent, key.to_owned()));
        self.rows.insert(key.to_owned(), row);
        Ok(())
    }

    /// Applies one committed command at log index `index`. Total.
    pub fn apply(&mut self, index: u64, command: Command, put: &mut PutRow<'_>) -> Reply {
        let Command::Intend { key, digest, user } = command;
        if key.is_empty() || key.len() > KEY_BYTES_MAX || digest.len() != 32 {
            return Reply::Rejected {
                message: format!(
                    "an intent names an address of at most {KEY_BYTES_MAX} bytes and a digest of 32"
                ),
            };
        }
        // Several requests may share an entry of the log, hence not simply the index.
        let intent = self.by_intent.last().map_or(index, |(last, _)| index.max(last + 1));
        let row = Row { intent, digest: digest.clone(), user };
        put(INTENTS, key.as_bytes(), Some(encode(&row)));
        if let Some(old) = self.rows.insert(key.clone(), row) {
            self.by_intent.remove(&(old.intent, key.clone()));
        }
        self.by_intent.insert((intent, key));
        self.forget_oldest(put);
        Reply::Intended { intent, digest }
    }

    fn forget_oldest(&mut self, put: &mut PutRow<'_>) {
        while self.rows.len() > KEYS_MAX
            && let Some((_, key)) = self.by_intent.pop_first()
        {
            self.rows.remove(&key);
            put(INTENTS, key.as_bytes(), None);
        }
    }

    /// What is wrong with the state, if anything.
    ///
    /// # Errors
    /// The broken invariant.
    pub fn validate(&self) -> Result<(), String> {
        let by_intent: BTreeSet<(u64, String)> =
            self.rows.iter().map(|(key, row)| (row.intent, key.clone())).collect();
        if by_intent != self.by_intent {
            return Err("the order of intents is not that of their rows".to_owned());
        }
        let distinct: BTreeSet<u64> = by_intent.iter().map(|(intent, _)| *intent).collect();
        if distinct.len() != self.rows.len() {
            return Err("two keys have the same intent".to_owned());
        }
        if self.rows.len() > KEYS_MAX {
            return Err(format!("more than {KEYS_MAX} keys are remembered"));
        }
        Ok(())
    }
}

/// Bytes of a command, reply or row.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("encoding into memory cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn run(history: &[(u64, &str)]) -> (Intents, Rows, Vec<u64>) {
        let mut intents = Intents::default();
        let mut rows = Rows::new();
        let given = history
            .iter()
            .map(|(index, key)| {
                let command = Command::Intend {
                    key: (*key).to_owned(),
                    digest: vec![7; 32],
                    user: "acme".to_owned(),
                };
                let reply = intents.apply(*index, command, &mut |_, key, row| {
                    match row {
                        Some(row) => rows.insert(key.to_vec(), row),
                        None => rows.remove(key),
                    };
                });
                assert_eq!(intents.validate(), Ok(()));
                match reply {
                    Reply::Intended { intent, .. } => intent,
                    Reply::Rejected { message } => panic!("{message}"),
                }
            })
            .collect();
        (intents, rows, given)
    }

    #[test]
    fn intents_grow_strictly_even_within_one_entry() {
        let (_, _, given) = run(&[(5, "a"), (5, "a"), (5, "b"), (6, "a"), (20, "b"), (21, "a")]);
        assert_eq!(given, [5, 6, 7, 8, 20, 21]);
    }

    #[test]
    fn reload_equals_memory() {
        let (intents, rows, _) = run(&[(5, "a"), (6, "b"), (7, "a")]);
        let mut again = Intents::default();
        for (key, row) in &rows {
            again.load_row(key, row).unwrap();
        }
        assert_eq!(again, intents);
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn malformed_commands_are_answered_and_change_nothing() {
        let mut intents = Intents::default();
        for (key, digest) in [
            (String::new(), vec![0; 32]),
            ("a".into(), vec![0; 31]),
            ("x".repeat(129), vec![0; 32]),
        ] {
            let command = Command::Intend { key, digest, user: String::new() };
            let reply = intents.apply(9, command, &mut |_, _, _| panic!("a row was written"));
            assert!(matches!(reply, Reply::Rejected { .. }));
        }
        assert_eq!(intents, Intents::default());
    }

    #[test]
    fn rows_keep_their_bytes_over_versions() {
        let row = Row { intent: 5, digest: vec![1, 2], user: "acme".into() };
        assert_eq!(encode(&row), [0x83, 0x05, 0x42, 1, 2, 0x64, b'a', b'c', b'm', b'e']);
        let command = Command::Intend { key: "f1a".into(), digest: vec![1], user: "u".into() };
        assert_eq!(encode(&command), [0x82, 0, 0x83, 0x63, b'f', b'1', b'a', 0x41, 1, 0x61, b'u']);
        let reply = Reply::Intended { intent: 1, digest: vec![9] };
        assert_eq!(encode(&reply), [0x82, 0, 0x82, 1, 0x41, 9]);
    }
}
