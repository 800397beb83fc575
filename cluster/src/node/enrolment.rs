//! **Purpose**: the replicated book of who may enter the cluster: one-time join tokens, node ids
//! and the cluster's own constants.
//!
//! **Invariants**
//! - A token admits one holder, once, before its expiry in state time.
//! - A node id is never given twice.
//! - The cluster's constants are set once and never change.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

/// First byte of every command of this module inside a composed command.
pub const MODULE: u8 = 2;
/// Table of join tokens: BLAKE3 of the secret to [`Token`].
pub const TOKENS: u8 = 64;
/// Table with the one row [`Constants`].
pub const CONSTANTS: u8 = 65;
/// Join tokens that are kept at once, used ones included; the oldest expired go first.
const TOKENS_MAX: usize = 10_000;

/// What a holder of a token becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    #[n(0)]
    Node,
    #[n(1)]
    Executor,
    #[n(2)]
    Client,
    #[n(3)]
    Admin,
    #[n(4)]
    Wallet,
}

impl Role {
    /// The word used in certificates, tokens and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Role::Node => "node",
            Role::Executor => "executor",
            Role::Client => "client",
            Role::Admin => "admin",
            Role::Wallet => "wallet",
        }
    }

    /// Reads [`Role::word`].
    pub fn parse(word: &str) -> Option<Self> {
        [Role::Node, Role::Executor, Role::Client, Role::Admin, Role::Wallet]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

/// A one-time right to enter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Token {
    #[n(0)]
    pub role: Role,
    #[n(1)]
    pub owner: String,
    /// The only name that may use it; empty: any.
    #[n(2)]
    pub name: String,
    #[n(3)]
    pub expires_at_ms: u64,
    /// Who used it, and when.
    #[n(4)]
    pub used: Option<Use>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Use {
    #[n(0)]
    pub by: String,
    #[n(1)]
    pub at_ms: u64,
}

/// Set once, when the cluster is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Constants {
    #[n(0)]
    pub cluster_id: String,
    /// Key of the capabilities that executors check on transfers: 32 bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub transfer_key: Vec<u8>,
    #[n(2)]
    pub next_node_id: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    #[n(0)]
    Found {
        #[n(0)]
        cluster_id: String,
        #[cbor(n(1), with = "minicbor::bytes")]
        transfer_key: Vec<u8>,
    },
    #[n(1)]
    CreateToken {
        #[cbor(n(0), with = "minicbor::bytes")]
        secret_hash: Vec<u8>,
        #[n(1)]
        role: Role,
        #[n(2)]
        owner: String,
        #[n(3)]
        name: String,
        #[n(4)]
        valid_ms: u64,
    },
    #[n(2)]
    UseToken {
        #[cbor(n(0), with = "minicbor::bytes")]
        secret_hash: Vec<u8>,
        #[n(1)]
        role: Role,
        #[n(2)]
        name: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    #[n(0)]
    Founded,
    #[n(1)]
    TokenCreated {
        #[n(0)]
        expires_at_ms: u64,
    },
    /// The holder enters; `node_id` is 0 for every role but `Node`.
    #[n(2)]
    Admitted {
        #[n(0)]
        owner: String,
        #[n(1)]
        node_id: u64,
        #[n(2)]
        role: Role,
    },
    #[n(3)]
    Rejected {
        #[n(0)]
        message: String,
    },
}

/// Writes one row; `None` deletes it.
pub type PutRow<'a> = dyn FnMut(u8, &[u8], Option<Vec<u8>>) + 'a;

/// The book in memory; its rows are written through [`PutRow`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolment {
    tokens: BTreeMap<Vec<u8>, Token>,
    constants: Constants,
}

impl Enrolment {
    /// Takes up one row at start.
    ///
    /// # Errors
    /// A row that cannot be read: the table is named.
    pub fn load_row(&mut self, table: u8, key: &[u8], row: &[u8]) -> Result<(), String> {
        let unreadable = |error| format!("row of table {table} is unreadable: {error}");
        if table == TOKENS {
            let token = minicbor::decode(row).map_err(unreadable)?;
            self.tokens.insert(key.to_vec(), token);
        } else {
            self.constants = minicbor::decode(row).map_err(unreadable)?;
        }
        Ok(())
    }

    /// Whether a token was ever made; what it admits is decided when it is used.
    pub fn knows(&self, secret_hash: &[u8]) -> bool {
        self.tokens.contains_key(secret_hash)
    }

    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// Applies one committed command. Total: a bad command is answered with `Rejected`.
    pub fn apply(&mut self, now_ms: u64, command: Command, put: &mut PutRow<'_>) -> Reply {
        match command {
            Command::Found { cluster_id, transfer_key } => {
                self.found(cluster_id, transfer_key, put)
            }
            Command::CreateToken { secret_hash, role, owner, name, valid_ms } => {
                let token = Token {
                    role,
                    owner,
                    name,
                    expires_at_ms: now_ms.saturating_add(valid_ms),
                    used: None,
                };
                self.create_token(now_ms, secret_hash, token, put)
            }
            Command::UseToken { secret_hash, role, name } => {
                self.use_token(now_ms, &secret_hash, role, &name, put)
            }
        }
    }

    fn found(&mut self, cluster_id: String, transfer_key: Vec<u8>, put: &mut PutRow<'_>) -> Reply {
        if !self.constants.cluster_id.is_empty() {
            return Reply::Rejected {
                message: format!(
                    "this cluster was already founded as {}; nothing to do",
                    self.constants.cluster_id
                ),
            };
        }
        // Node 1 is the founder.
        self.constants = Constants { cluster_id, transfer_key, next_node_id: 2 };
        self.put_constants(put);
        Reply::Founded
    }

    fn create_token(
        &mut self,
        now_ms: u64,
        secret_hash: Vec<u8>,
        token: Token,
        put: &mut PutRow<'_>,
    ) -> Reply {
        self.drop_expired(now_ms, put);
        if self.tokens.len() >= TOKENS_MAX {
            return Reply::Rejected {
                message: format!(
                    "there are {TOKENS_MAX} join tokens already; wait until some expire"
                ),
            };
        }
        let expires_at_ms = token.expires_at_ms;
        put(TOKENS, &secret_hash, Some(encode(&token)));
        self.tokens.insert(secret_hash, token);
        Reply::TokenCreated { expires_at_ms }
    }

    fn use_token(
        &mut self,
        now_ms: u64,
        secret_hash: &[u8],
        role: Role,
        name: &str,
        put: &mut PutRow<'_>,
    ) -> Reply {
        let token = match self.tokens.get_mut(secret_hash) {
            None => return rejected("this join token is not known here; ask for a new one"),
            Some(token) => token,
        };
        if let Some(used) = &token.used {
            return Reply::Rejected {
                message: format!(
                    "this join token was already used by `{}`; each token admits one holder, ask \
                     for a new one",
                    used.by
                ),
            };
        }
        if token.expires_at_ms <= now_ms {
            return rejected("this join token has expired; ask for a new one");
        }
        if token.role != role && !(token.role == Role::Admin && role == Role::Client) {
            return Reply::Rejected {
                message: format!(
                    "this join token admits a {}, not a {}",
                    token.role.word(),
                    role.word()
                ),
            };
        }
        if !token.name.is_empty() && token.name != name {
            return Reply::Rejected {
                message: format!("this join token admits only `{}`, not `{name}`", token.name),
            };
        }
        token.used = Some(Use { by: name.to_owned(), at_ms: now_ms });
        put(TOKENS, secret_hash, Some(encode(token)));
        let (owner, role) = (token.owner.clone(), token.role);
        let node_id = if role == Role::Node { self.take_node_id(put) } else { 0 };
        Reply::Admitted { owner, node_id, role }
    }

    fn take_node_id(&mut self, put: &mut PutRow<'_>) -> u64 {
        let id = self.constants.next_node_id;
        self.constants.next_node_id += 1;
        self.put_constants(put);
        id
    }

    fn put_constants(&self, put: &mut PutRow<'_>) {
        put(CONSTANTS, b"", Some(encode(&self.constants)));
    }

    /// Expired tokens are of no use to anyone; dropping them when a new one is made bounds the table.
    fn drop_expired(&mut self, now_ms: u64, put: &mut PutRow<'_>) {
        self.tokens.retain(|hash, token| {
            let keep = token.expires_at_ms > now_ms;
            if !keep {
                put(TOKENS, hash, None);
            }
            keep
        });
    }
}

fn rejected(message: &str) -> Reply {
    Reply::Rejected { message: message.to_owned() }
}

/// Bytes of a command, reply or row.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("encoding into memory cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

    fn run(history: Vec<(u64, Command)>) -> (Enrolment, Rows, Vec<Reply>) {
        let mut book = Enrolment::default();
        let mut rows = Rows::new();
        let replies = history
            .into_iter()
            .map(|(now, command)| {
                book.apply(now, command, &mut |table, key, row| {
                    match row {
                        Some(row) => rows.insert((table, key.to_vec()), row),
                        None => rows.remove(&(table, key.to_vec())),
                    };
                })
            })
            .collect();
        (book, rows, replies)
    }

    fn found() -> (u64, Command) {
        (0, Command::Found { cluster_id: "c".into(), transfer_key: vec![7; 32] })
    }

    fn create(secret: u8, role: Role, name: &str) -> (u64, Command) {
        let command = Command::CreateToken {
            secret_hash: vec![secret],
            role,
            owner: "acme".into(),
            name: name.into(),
            valid_ms: 1_000,
        };
        (10, command)
    }

    fn take(now: u64, secret: u8, role: Role, name: &str) -> (u64, Command) {
        (now, Command::UseToken { secret_hash: vec![secret], role, name: name.into() })
    }

    fn message(reply: &Reply) -> &str {
        match reply {
            Reply::Rejected { message } => message,
            other => panic!("expected a rejection, got {other:?}"),
        }
    }

    #[test]
    fn a_token_admits_once() {
        let (_, _, replies) = run(vec![
            found(),
            create(1, Role::Executor, ""),
            take(20, 1, Role::Executor, "e1"),
            take(21, 1, Role::Executor, "e2"),
        ]);
        assert_eq!(
            replies[2],
            Reply::Admitted { owner: "acme".into(), node_id: 0, role: Role::Executor }
        );
        assert!(message(&replies[3]).contains("already used by `e1`"));
    }

    #[test]
    fn expired_unknown_and_foreign_tokens_are_refused() {
        let (_, _, replies) = run(vec![
            found(),
            create(1, Role::Executor, "e1"),
            take(1_010, 1, Role::Executor, "e1"),
            take(20, 2, Role::Executor, "e1"),
            take(20, 1, Role::Node, "e1"),
            take(20, 1, Role::Executor, "e9"),
        ]);
        assert!(message(&replies[2]).contains("expired"));
        assert!(message(&replies[3]).contains("not known"));
        assert!(message(&replies[4]).contains("admits a executor, not a node"));
        assert!(message(&replies[5]).contains("only `e1`"));
    }

    #[test]
    fn node_ids_are_never_given_twice() {
        let (_, _, replies) = run(vec![
            found(),
            create(1, Role::Node, ""),
            create(2, Role::Node, ""),
            take(20, 1, Role::Node, "n2"),
            take(20, 2, Role::Node, "n3"),
        ]);
        let ids: Vec<u64> = replies
            .iter()
            .filter_map(|reply| match reply {
                Reply::Admitted { node_id, .. } => Some(*node_id),
                _ => None,
            })
            .collect();
        assert_eq!(ids, [2, 3]);
    }

    #[test]
    fn a_cluster_is_founded_once() {
        let (book, _, replies) = run(vec![found(), found()]);
        assert!(message(&replies[1]).contains("already founded"));
        assert_eq!(book.constants().transfer_key, vec![7; 32]);
    }

    #[test]
    fn reload_equals_memory() {
        let (book, rows, _) = run(vec![
            found(),
            create(1, Role::Node, ""),
            create(2, Role::Client, "c"),
            take(20, 1, Role::Node, "n2"),
            (5_000, create(3, Role::Client, "").1),
        ]);
        let mut again = Enrolment::default();
        for ((table, key), row) in &rows {
            again.load_row(*table, key, row).unwrap();
        }
        assert_eq!(again, book);
    }
}
