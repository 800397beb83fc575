//! **Purpose**: the rows in memory, and how they are loaded and written.
//!
//! **Invariants**
//! - A row changes only through the `put_*` and `drop_*` functions here, which write it to the store and
//!   keep the index; so the store always holds exactly the rows in memory.

use std::collections::BTreeMap;

use minicbor::Encode;
use thiserror::Error;

use crate::index::Index;
use crate::model::{
    AuditRow, Limit, Meta, Miner, NodeRow, Secret, ShareRow, Signer, TokenRow, User,
};
use crate::tables;
use crate::validate::BrokenInvariant;

/// Writes one row; `None` deletes it.
pub type PutRow<'a> = dyn FnMut(u8, &[u8], Option<Vec<u8>>) + 'a;

/// The replicated state of this module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) miners: BTreeMap<u64, Miner>,
    /// By address, then user.
    pub(crate) signers: BTreeMap<(String, String), Signer>,
    pub(crate) tokens: BTreeMap<u64, TokenRow>,
    pub(crate) secrets: BTreeMap<u64, Secret>,
    pub(crate) limits: BTreeMap<u64, Limit>,
    /// By limit, then node.
    pub(crate) shares: BTreeMap<(u64, u64), ShareRow>,
    pub(crate) nodes: BTreeMap<u64, NodeRow>,
    pub(crate) audit: BTreeMap<u64, AuditRow>,
    pub(crate) meta: Meta,
    pub(crate) index: Index,
}

/// The stored rows are not a state that this version can go on from. The node must not start.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("table {table} is not one of this module; the store is newer than this version")]
    Table { table: u8 },
    #[error(
        "table {table} has a key of an unknown form: {key:02x?}; the store is damaged or newer"
    )]
    Key { table: u8, key: Vec<u8> },
    #[error("could not decode a row of table {table}; the store is damaged or newer")]
    Row {
        table: u8,
        #[source]
        source: minicbor::decode::Error,
    },
}

impl State {
    /// Takes up one row at start; rows come in any order.
    ///
    /// # Errors
    /// A row that this version cannot read.
    pub fn load_row(&mut self, table: u8, key: &[u8], row: &[u8]) -> Result<(), LoadError> {
        let number = || number_of(table, key);
        match table {
            tables::USERS => {
                self.users.insert(text_of(table, key)?, decode(table, row)?);
            }
            tables::MINERS => self.keep_miner(number()?, decode(table, row)?),
            tables::SIGNERS => {
                let (address, user) = signer_of(key)?;
                self.keep_signer(address, user, decode(table, row)?);
            }
            tables::TOKENS => {
                let id = number()?;
                let token: TokenRow = decode(table, row)?;
                if id != token.id {
                    return Err(unknown_key(table, key));
                }
                self.keep_token(token);
            }
            tables::SECRETS => {
                self.secrets.insert(number()?, decode(table, row)?);
            }
            tables::LIMITS => self.keep_limit(number()?, decode(table, row)?),
            tables::SHARES => {
                self.shares.insert(share_of(key)?, decode(table, row)?);
            }
            tables::NODES => {
                self.nodes.insert(number()?, decode(table, row)?);
            }
            tables::AUDIT => self.keep_audit(number()?, decode(table, row)?),
            tables::META => self.meta = decode(table, row)?,
            _ => return Err(LoadError::Table { table }),
        }
        Ok(())
    }

    /// To be called once, when all rows are loaded.
    ///
    /// # Errors
    /// The rows contradict each other: the node must not start with them.
    pub fn loaded(&self) -> Result<(), BrokenInvariant> {
        self.validate()
    }

    fn keep_miner(&mut self, id: u64, miner: Miner) {
        self.index.add(&miner.user, |holdings| {
            holdings.miners.insert(id);
        });
        self.miners.insert(id, miner);
    }

    fn keep_signer(&mut self, address: String, user: String, signer: Signer) {
        self.index.add(&user, |holdings| {
            holdings.signers.insert(address.clone());
        });
        self.signers.insert((address, user), signer);
    }

    fn keep_token(&mut self, token: TokenRow) {
        self.index.add(&token.user, |holdings| {
            holdings.tokens.insert(token.id);
        });
        self.tokens.insert(token.id, token);
    }

    fn keep_limit(&mut self, id: u64, limit: Limit) {
        self.index.add(&limit.user, |holdings| {
            holdings.limits.insert(id);
        });
        self.limits.insert(id, limit);
    }

    fn keep_audit(&mut self, number: u64, row: AuditRow) {
        self.index.add_audit(number, &row);
        self.audit.insert(number, row);
    }

    pub(crate) fn put_user(&mut self, name: &str, user: User, put: &mut PutRow<'_>) {
        put(tables::USERS, name.as_bytes(), Some(encode(&user)));
        self.users.insert(name.to_owned(), user);
    }

    pub(crate) fn put_miner(&mut self, id: u64, miner: Miner, put: &mut PutRow<'_>) {
        if let Some(before) = self.miners.get(&id) {
            self.index.remove(&before.user, |holdings| {
                holdings.miners.remove(&id);
            });
        }
        put(tables::MINERS, &id.to_be_bytes(), Some(encode(&miner)));
        self.keep_miner(id, miner);
    }

    pub(crate) fn drop_miner(&mut self, id: u64, put: &mut PutRow<'_>) {
        let Some(before) = self.miners.remove(&id) else { return };
        put(tables::MINERS, &id.to_be_bytes(), None);
        self.index.remove(&before.user, |holdings| {
            holdings.miners.remove(&id);
        });
    }

    pub(crate) fn put_signer(
        &mut self,
        address: &str,
        user: &str,
        signer: Signer,
        put: &mut PutRow<'_>,
    ) {
        put(tables::SIGNERS, &signer_key(address, user), Some(encode(&signer)));
        self.keep_signer(address.to_owned(), user.to_owned(), signer);
    }

    pub(crate) fn drop_signer(&mut self, address: &str, user: &str, put: &mut PutRow<'_>) {
        if self.signers.remove(&(address.to_owned(), user.to_owned())).is_none() {
            return;
        }
        put(tables::SIGNERS, &signer_key(address, user), None);
        self.index.remove(user, |holdings| {
            holdings.signers.remove(address);
        });
    }

    pub(crate) fn put_token(&mut self, token: TokenRow, put: &mut PutRow<'_>) {
        put(tables::TOKENS, &token.id.to_be_bytes(), Some(encode(&token)));
        self.keep_token(token);
    }

    pub(crate) fn drop_token(&mut self, id: u64, put: &mut PutRow<'_>) {
        let Some(before) = self.tokens.remove(&id) else { return };
        put(tables::TOKENS, &id.to_be_bytes(), None);
        self.index.remove(&before.user, |holdings| {
            holdings.tokens.remove(&id);
        });
    }

    pub(crate) fn put_secret(&mut self, kid: u64, secret: Secret, put: &mut PutRow<'_>) {
        put(tables::SECRETS, &kid.to_be_bytes(), Some(encode(&secret)));
        self.secrets.insert(kid, secret);
    }

    pub(crate) fn drop_secret(&mut self, kid: u64, put: &mut PutRow<'_>) {
        if self.secrets.remove(&kid).is_some() {
            put(tables::SECRETS, &kid.to_be_bytes(), None);
        }
    }

    pub(crate) fn put_limit(&mut self, id: u64, limit: Limit, put: &mut PutRow<'_>) {
        put(tables::LIMITS, &id.to_be_bytes(), Some(encode(&limit)));
        self.keep_limit(id, limit);
    }

    /// Removes a limit and what nodes hold of it.
    pub(crate) fn drop_limit(&mut self, id: u64, put: &mut PutRow<'_>) {
        let Some(before) = self.limits.remove(&id) else { return };
        put(tables::LIMITS, &id.to_be_bytes(), None);
        self.index.remove(&before.user, |holdings| {
            holdings.limits.remove(&id);
        });
        let nodes: Vec<u64> = self.shares_of(id).map(|(node, _)| node).collect();
        for node in nodes {
            self.drop_share(id, node, put);
        }
    }

    pub(crate) fn drop_share(&mut self, limit: u64, node: u64, put: &mut PutRow<'_>) {
        if self.shares.remove(&(limit, node)).is_some() {
            put(tables::SHARES, &share_key(limit, node), None);
        }
    }

    pub(crate) fn put_share(
        &mut self,
        limit: u64,
        node: u64,
        share: ShareRow,
        put: &mut PutRow<'_>,
    ) {
        put(tables::SHARES, &share_key(limit, node), Some(encode(&share)));
        self.shares.insert((limit, node), share);
    }

    pub(crate) fn drop_node(&mut self, node: u64, put: &mut PutRow<'_>) {
        if self.nodes.remove(&node).is_some() {
            put(tables::NODES, &node.to_be_bytes(), None);
        }
    }

    pub(crate) fn put_node(&mut self, node: u64, row: NodeRow, put: &mut PutRow<'_>) {
        put(tables::NODES, &node.to_be_bytes(), Some(encode(&row)));
        self.nodes.insert(node, row);
    }

    pub(crate) fn put_audit(&mut self, number: u64, row: AuditRow, put: &mut PutRow<'_>) {
        put(tables::AUDIT, &number.to_be_bytes(), Some(encode(&row)));
        self.keep_audit(number, row);
    }

    pub(crate) fn drop_audit(&mut self, number: u64, put: &mut PutRow<'_>) {
        let Some(before) = self.audit.remove(&number) else { return };
        put(tables::AUDIT, &number.to_be_bytes(), None);
        self.index.remove_audit(number, &before);
    }

    /// Shares of all nodes in a limit.
    pub(crate) fn shares_of(&self, limit: u64) -> impl Iterator<Item = (u64, &ShareRow)> {
        self.shares.range((limit, 0)..=(limit, u64::MAX)).map(|((_, node), row)| (*node, row))
    }
}

pub(crate) fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("encoding into a vector does not fail")
}

fn decode<T: for<'b> minicbor::Decode<'b, ()>>(table: u8, row: &[u8]) -> Result<T, LoadError> {
    minicbor::decode(row).map_err(|source| LoadError::Row { table, source })
}

fn unknown_key(table: u8, key: &[u8]) -> LoadError {
    LoadError::Key { table, key: key.to_vec() }
}

fn number_of(table: u8, key: &[u8]) -> Result<u64, LoadError> {
    key.try_into().map(u64::from_be_bytes).map_err(|_| unknown_key(table, key))
}

fn text_of(table: u8, key: &[u8]) -> Result<String, LoadError> {
    str::from_utf8(key).map(str::to_owned).map_err(|_| unknown_key(table, key))
}

fn signer_key(address: &str, user: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(address.len() + user.len() + 1);
    key.extend_from_slice(address.as_bytes());
    key.push(0);
    key.extend_from_slice(user.as_bytes());
    key
}

fn signer_of(key: &[u8]) -> Result<(String, String), LoadError> {
    let text = text_of(tables::SIGNERS, key)?;
    match text.split_once('\0') {
        Some((address, user)) => Ok((address.to_owned(), user.to_owned())),
        None => Err(unknown_key(tables::SIGNERS, key)),
    }
}

fn share_key(limit: u64, node: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&limit.to_be_bytes());
    key[8..].copy_from_slice(&node.to_be_bytes());
    key
}

fn share_of(key: &[u8]) -> Result<(u64, u64), LoadError> {
    let (limit, node) = key.split_at_checked(8).ok_or_else(|| unknown_key(tables::SHARES, key))?;
    Ok((number_of(tables::SHARES, limit)?, number_of(tables::SHARES, node)?))
}
