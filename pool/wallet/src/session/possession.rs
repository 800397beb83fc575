//! **Purpose**: which challenges are answered, and with what.
//!
//! **Invariants**
//! - Each own random is offered once and answers one challenge; challenges answer them in the order
//!   in which they were offered.
//! - Only keys that were offered with that random are proven.
//!
//! **Source**: `proto/hesper/wallet.proto`, messages `Challenge` and `Possession`; Venus's type
//! `verifyaddress`.

use std::collections::{BTreeSet, VecDeque};

use sha2::{Digest, Sha256};

/// Offers that wait for their challenge; more means that the node does not answer.
const OUTSTANDING_MAX: usize = 64;

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
        let mut extra = [0; 64];
        extra[..32].copy_from_slice(&node_random);
        extra[32..].copy_from_slice(&offer.own_random);
        let (prove, refuse) =
            addresses.into_iter().partition(|address| offer.addresses.contains(address));
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
        offers.note([1; 32], &texts(&["a"])).unwrap();
        offers.note([2; 32], &texts(&["b"])).unwrap();
        let first = offers.answer(&[9; 32], texts(&["a", "b"])).unwrap();
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
    fn a_node_that_never_challenges_is_left() {
        let mut offers = Offers::default();
        for _ in 0..OUTSTANDING_MAX {
            offers.note([1; 32], &[]).unwrap();
        }
        assert_eq!(offers.note([1; 32], &[]), Err(BadChallenge::Unanswered(64)));
    }
}
