//! **Purpose**: which wallet signs the blocks of a key. Two wallets that hold the same key have
//! separate records of the blocks that they signed, so asking now one and now the other could get
//! two blocks of one epoch signed, which the chain punishes.
//!
//! **Invariants**
//! - The first request for a block pins its key; afterwards every such request goes to that wallet
//!   until an administrator releases the key.
//! - A pin is never forgotten to make room: with [`PINS_MAX`] of them new keys sign no blocks.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::{PINS, PutRow, encode};

/// Keys that may sign blocks.
const PINS_MAX: usize = 100_000;
/// Longest id of a wallet that is taken.
const WALLET_BYTES_MAX: usize = 64;

/// The wallet of a key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pin {
    #[n(0)]
    pub wallet_id: String,
}

/// All pins, by the canonical text of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<String, Pin>);

impl Pins {
    pub fn load_row(&mut self, key: String, row: &[u8]) -> Result<(), minicbor::decode::Error> {
        self.0.insert(key, minicbor::decode(row)?);
        Ok(())
    }

    pub fn wallet_of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|pin| pin.wallet_id.as_str())
    }

    /// Pins the key to `wallet_id` unless it is pinned already; to which it is now.
    pub fn pin(
        &mut self,
        key: &str,
        wallet_id: String,
        put: &mut PutRow<'_>,
    ) -> Result<String, String> {
        if let Some(pinned) = self.wallet_of(key) {
            return Ok(pinned.to_owned());
        }
        if wallet_id.is_empty() || wallet_id.len() > WALLET_BYTES_MAX {
            return Err(format!("the id of a wallet has 1 to {WALLET_BYTES_MAX} bytes"));
        }
        if self.0.len() >= PINS_MAX {
            return Err(format!(
                "{PINS_MAX} keys are pinned to wallets for blocks; release one that signs none any \
                 more"
            ));
        }
        let pin = Pin { wallet_id: wallet_id.clone() };
        put(PINS, key.as_bytes(), Some(encode(&pin)));
        self.0.insert(key.to_owned(), pin);
        Ok(wallet_id)
    }

    /// Releases the key from `wallet_id`, and from no other: a repetition that comes late must not
    /// undo the pin that came after it.
    pub fn unpin(
        &mut self,
        key: &str,
        wallet_id: &str,
        put: &mut PutRow<'_>,
    ) -> Result<(), String> {
        match self.wallet_of(key) {
            Some(pinned) if pinned == wallet_id => {
                self.0.remove(key);
                put(PINS, key.as_bytes(), None);
                Ok(())
            }
            Some(pinned) => Err(format!("{key} is pinned to the wallet {pinned}, not {wallet_id}")),
            None => Err(format!("{key} is pinned to no wallet: it was asked for no block yet")),
        }
    }

    pub fn validate(&self) -> Result<(), String> {
        let is_odd = |pin: &Pin| pin.wallet_id.is_empty() || pin.wallet_id.len() > WALLET_BYTES_MAX;
        if let Some((key, _)) = self.0.iter().find(|(_, pin)| is_odd(pin)) {
            return Err(format!("{key} is pinned to what is no wallet"));
        }
        if self.0.len() > PINS_MAX {
            return Err(format!("more than {PINS_MAX} keys are pinned"));
        }
        Ok(())
    }
}
