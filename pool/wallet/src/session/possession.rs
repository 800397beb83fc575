//! **Purpose**: which challenges are answered, and with what.
//!
//! **Invariants**
//! - Each own random is offered once and answers one challenge; challenges answer them in the order
//!   in which they were offered.
//! - Only keys that were offered with that random are proven, each once; a challenge that names more
//!   keys than were offered ends the stream, so that a node sets no more work than it was offered.
//!
//! **Source**: `proto/hesper/wallet.proto`, messages `Challenge` and `Possession`; Venus's type
//! `verifyaddress`.

use std::collections::{BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

/// Offers that wait for their challenge; more means that the node does not answer.
const OUTSTANDING_MAX: usize = 64;
/// The longest address, f4 with a sub-address of 54 bytes, has some 115 characters.
pub(super) const ADDRESS_BYTES_MAX: usize = 128;

/// Own randoms that wait for a challenge.
#[derive(Default)]
pub(super) struct Offers {
    outstanding: VecDeque<Offer>,
}

struct Offer {
    own_random: [u8; 32],
    addresses: BTreeSet<String>,
}

/// What one challenge is answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// SHA-256 over both randoms.
    pub(super) to_sign: [u8; 32],
    /// Both randoms, from which the wallet derives `to_sign` itself.
    pub(super) extra: [u8; 64],
    pub(super) prove: Vec<String>,
    /// Asked for, but not offered with this random.
    pub(super) refuse: Vec<String>,
}

/// Why a challenge is not answered and the stream ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadChallenge {
    #[error("a challenge came though none was due: the wallet's random was not asked for it")]
    NotDue,
    #[error("a challenge's random has {0} bytes instead of 32")]
    Length(usize),
    #[error("a challenge's random is the wallet's own, so that the node mixed nothing in")]
    Echo,
    #[error("a challenge names {asked} keys, but {offered} were offered")]
    TooMany { asked: usize, offered: usize },
    #[error("a challenge names a key of {0} bytes, which is no address")]
    Address(usize),
    #[error("the node leaves {0} offers without challenge")]
    Unanswered(usize),
}

impl Offers {
    /// Notes that `addresses` were offered with `own_random`.
    pub(super) fn note(
        &mut self,
        own_random: [u8; 32],
        addresses: &[String],
    ) -> Result<(), BadChallenge> {
        if self.outstanding.len() >= OUTSTANDING_MAX {
            return Err(BadChallenge::Unanswered(self.outstanding.len()));
        }
        let addresses = addresses.iter().cloned().collect();
        self.outstanding.push_back(Offer { own_random, addresses });
        Ok(())
    }

    /// What to answer to a challenge.
    pub(super) fn answer(
        &mut self,
        node_random: &[u8],
        addresses: Vec<String>,
    ) -> Result<Task, BadChallenge> {
        let offer = self.outstanding.pop_front().ok_or(BadChallenge::NotDue)?;
        let node_random = <[u8; 32]>::try_from(node_random)
            .map_err(|_| BadChallenge::Length(node_random.len()))?;
        if node_random == offer.own_random {
            return Err(BadChallenge::Echo);
        }
        let offered = offer.addresses.len();
        if addresses.len() > offered {
            return Err(BadChallenge::TooMany { asked: addresses.len(), offered });
        }
        if let Some(long) = addresses.iter().find(|address| address.len() > ADDRESS_BYTES_MAX) {
            return Err(BadChallenge::Address(long.len()));
        }
        let asked: BTreeSet<String> = addresses.into_iter().collect();
        let mut extra = [0; 64];
        extra[..32].copy_from_slice(&node_random);
        extra[32..].copy_from_slice(&offer.own_random);
        let (prove, refuse) =
            asked.into_iter().partition(|address| offer.addresses.contains(address));
        Ok(Task { to_sign: Sha256::digest(extra).into(), extra, prove, refuse })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_challenge_answers_the_oldest_own_random() {
        let mut offers = Offers::default();
        offers.note([1; 32], &texts(&["a", "c"])).unwrap();
        offers.note([2; 32], &texts(&["b"])).unwrap();
        let first = offers.answer(&[9; 32], texts(&["b", "a"])).unwrap();
        assert_eq!((first.prove, first.refuse), (texts(&["a"]), texts(&["b"])));
        assert_eq!(first.extra, [[9; 32], [1; 32]].concat()[..]);
        let expected: [u8; 32] = Sha256::digest(first.extra).into();
        assert_eq!(first.to_sign, expected);
        let second = offers.answer(&[9; 32], texts(&["b"])).unwrap();
        assert_eq!(second.extra[32..], [2; 32]);
    }

    #[test]
    fn a_challenge_that_is_not_due_is_refused() {
        let mut offers = Offers::default();
        assert_eq!(offers.answer(&[9; 32], texts(&["a"])), Err(BadChallenge::NotDue));
        offers.note([1; 32], &texts(&["a"])).unwrap();
        offers.answer(&[9; 32], texts(&["a"])).unwrap();
        assert_eq!(offers.answer(&[8; 32], texts(&["a"])), Err(BadChallenge::NotDue));
    }

    #[test]
    fn a_challenge_without_own_share_of_the_node_is_refused() {
        let mut offers = Offers::default();
        for (random, expected) in [
            (vec![9; 31], BadChallenge::Length(31)),
            (vec![], BadChallenge::Length(0)),
            (vec![9; 64], BadChallenge::Length(64)),
            (vec![1; 32], BadChallenge::Echo),
        ] {
            offers.note([1; 32], &[]).unwrap();
            assert_eq!(offers.answer(&random, vec![]), Err(expected));
        }
    }

    #[test]
    fn a_key_is_proven_once_however_often_it_is_named() {
        let mut offers = Offers::default();
        offers.note([1; 32], &texts(&["a", "b", "c"])).unwrap();
        let task = offers.answer(&[9; 32], texts(&["a", "a", "a"])).unwrap();
        assert_eq!((task.prove, task.refuse), (texts(&["a"]), texts(&[])));
        offers.note([2; 32], &texts(&["a", "b", "c"])).unwrap();
        let task = offers.answer(&[9; 32], texts(&["x", "b", "x"])).unwrap();
        assert_eq!((task.prove, task.refuse), (texts(&["b"]), texts(&["x"])));
    }

    #[test]
    fn a_challenge_of_more_keys_than_offered_or_of_no_address_is_refused() {
        let mut offers = Offers::default();
        offers.note([1; 32], &texts(&["a", "b"])).unwrap();
        let expected = BadChallenge::TooMany { asked: 3, offered: 2 };
        assert_eq!(offers.answer(&[9; 32], texts(&["a", "b", "a"])), Err(expected));
        offers.note([1; 32], &texts(&["a", "b"])).unwrap();
        let long = "f".repeat(ADDRESS_BYTES_MAX + 1);
        assert_eq!(offers.answer(&[9; 32], vec![long]), Err(BadChallenge::Address(129)));
        offers.note([1; 32], &[]).unwrap();
        let expected = BadChallenge::TooMany { asked: 1, offered: 0 };
        assert_eq!(offers.answer(&[9; 32], texts(&["a"])), Err(expected));
    }

    #[test]
    fn a_node_that_never_challenges_is_left() {
        let mut offers = Offers::default();
        for _ in 0..OUTSTANDING_MAX {
            offers.note([1; 32], &[]).unwrap();
        }
        assert_eq!(offers.note([1; 32], &[]), Err(BadChallenge::Unanswered(64)));
    }
}
