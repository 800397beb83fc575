//! **Purpose**: the replicated record of what wallets are asked to sign: every request is an applied
//! intent before a wallet hears of it.
//!
//! **Invariants**
//! - Intents grow strictly over the whole log, whatever the key: a wallet that saw one refuses every
//!   older one of that key.
//! - One row per key, the newest; at most [`KEYS_MAX`] rows, the oldest intents go first.
//! - The intent of a block says to which wallet its key is pinned, and only that one is asked.

mod pins;

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};

use pins::Pins;

/// First byte of every command of this module inside a composed command.
pub const MODULE: u8 = 4;
/// Table of the newest intent per key: canonical text of the address to [`Row`].
pub const INTENTS: u8 = 80;
/// Table of the wallets that keys are pinned to: canonical text of the address to [`pins::Pin`].
pub const PINS: u8 = 81;
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
        /// For a block: id of the wallet that the key is pinned to unless it is pinned already.
        #[n(3)]
        block_wallet: Option<String>,
    },
    /// The wallet signs no more blocks with the key, so another one may. Only for administrators,
    /// which whoever applies it must have checked.
    #[n(1)]
    Unpin {
        #[n(0)]
        key: String,
        #[n(1)]
        wallet_id: String,
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
        /// For a block: id of the only wallet to ask.
        #[n(2)]
        block_wallet: Option<String>,
    },
    #[n(1)]
    Rejected {
        #[n(0)]
        message: String,
    },
    #[n(2)]
    Unpinned,
}

/// Writes one row; `None` deletes it.
pub type PutRow<'a> = dyn FnMut(u8, &[u8], Option<Vec<u8>>) + 'a;

/// All newest intents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intents {
    rows: BTreeMap<String, Row>,
    /// The same, by age.
    by_intent: BTreeSet<(u64, String)>,
    pins: Pins,
}

impl Intents {
    /// Takes up one row at start.
    ///
    /// # Errors
    /// A row that cannot be read.
    pub fn load_row(&mut self, table: u8, key: &[u8], row: &[u8]) -> Result<(), String> {
        let unreadable = |why: String| format!("row of table {table} is unreadable: {why}");
        let key = std::str::from_utf8(key).map_err(|error| unreadable(error.to_string()))?;
        if table == PINS {
            let loaded = self.pins.load_row(key.to_owned(), row);
            return loaded.map_err(|error| unreadable(error.to_string()));
        }
        let row: Row = minicbor::decode(row).map_err(|error| unreadable(error.to_string()))?;
        self.by_intent.insert((row.intent, key.to_owned()));
        self.rows.insert(key.to_owned(), row);
        Ok(())
    }

    /// Applies one committed command at log index `index`. Total.
    pub fn apply(&mut self, index: u64, command: Command, put: &mut PutRow<'_>) -> Reply {
        match command {
            Command::Intend { key, digest, user, block_wallet } => {
                self.intend(index, key, Row { intent: 0, digest, user }, block_wallet, put)
            }
            Command::Unpin { key, wallet_id } => match self.pins.unpin(&key, &wallet_id, put) {
                Ok(()) => Reply::Unpinned,
                Err(message) => Reply::Rejected { message },
            },
        }
    }

    fn intend(
        &mut self,
        index: u64,
        key: String,
        asked: Row,
        block_wallet: Option<String>,
        put: &mut PutRow<'_>,
    ) -> Reply {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || asked.digest.len() != 32 {
            return Reply::Rejected {
                message: format!(
                    "an intent names an address of at most {KEY_BYTES_MAX} bytes and a digest of 32"
                ),
            };
        }
        let block_wallet = match block_wallet.map(|wallet| self.pins.pin(&key, wallet, put)) {
            Some(Ok(pinned)) => Some(pinned),
            Some(Err(message)) => return Reply::Rejected { message },
            None => None,
        };
        // Several requests may share an entry of the log, hence not simply the index.
        let intent = self.by_intent.last().map_or(index, |(last, _)| index.max(last + 1));
        let row = Row { intent, ..asked };
        let digest = row.digest.clone();
        put(INTENTS, key.as_bytes(), Some(encode(&row)));
        if let Some(old) = self.rows.insert(key.clone(), row) {
            self.by_intent.remove(&(old.intent, key.clone()));
        }
        self.by_intent.insert((intent, key));
        self.forget_oldest(put);
        Reply::Intended { intent, digest, block_wallet }
    }

    /// The newest intent of a key.
    pub fn newest(&self, key: &str) -> Option<u64> {
        self.rows.get(key).map(|row| row.intent)
    }

    /// Id of the wallet that signs the key's blocks.
    pub fn block_wallet(&self, key: &str) -> Option<&str> {
        self.pins.wallet_of(key)
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
        self.pins.validate()
    }
}

/// Bytes of a command, reply or row.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("encoding into memory cannot fail")
}

#[cfg(test)]
mod tests;
