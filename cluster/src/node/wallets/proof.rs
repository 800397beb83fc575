//! **Purpose**: has a wallet prove that it holds the keys that it offers.
//!
//! **Invariants**
//! - What is signed depends on random bytes of both sides: an old proof is worth nothing, and a node
//!   cannot make a wallet sign bytes of its choice.
//!
//! **Source**: the challenge of the Venus gateway: a signature of the type `verifyaddress` over
//! sha256(node's random bytes ‖ wallet's random bytes).

use std::collections::BTreeMap;

use hesper_chain::signature::{self, Signature, SignatureKind};
use hesper_chain::{Address, Network, address};
use hesper_protos::wallet::{Challenge, Proof, Refused};
use sha2::{Digest, Sha256};
use tonic::Status;

/// Random bytes on each side.
pub const RANDOM_BYTES: usize = 32;
/// Keys that one stream may have.
pub const KEYS_MAX: usize = 4_096;

/// A challenge that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub node_random: [u8; RANDOM_BYTES],
    pub wallet_random: Vec<u8>,
    /// As the wallet writes them.
    pub addresses: Vec<String>,
}

/// How the keys of a challenge fared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// As the wallet writes it, to its canonical text.
    pub proven: BTreeMap<String, String>,
    pub refused: Vec<Refused>,
}

/// The longest text that may stand for an address.
const ADDRESS_BYTES_MAX: usize = 128;

impl Open {
    /// A fresh challenge for these keys.
    ///
    /// # Errors
    /// The wallet's random bytes are not 32, or the system gives none.
    pub fn new(addresses: Vec<String>, wallet_random: Vec<u8>) -> Result<Self, Status> {
        if wallet_random.len() != RANDOM_BYTES {
            return Err(Status::invalid_argument(format!(
                "`wallet_random` has {} bytes; it must have {RANDOM_BYTES}",
                wallet_random.len()
            )));
        }
        if addresses.len() > KEYS_MAX {
            return Err(Status::invalid_argument(format!(
                "{} keys are offered on one stream; at most {KEYS_MAX} are taken, spread them over \
                 several wallets",
                addresses.len()
            )));
        }
        if addresses.iter().any(|text| text.len() > ADDRESS_BYTES_MAX) {
            return Err(Status::invalid_argument(format!(
                "an offered key is longer than {ADDRESS_BYTES_MAX} bytes; no address is"
            )));
        }
        let mut node_random = [0; RANDOM_BYTES];
        getrandom::fill(&mut node_random)
            .map_err(|error| Status::internal(format!("no random bytes: {error}")))?;
        Ok(Self { node_random, wallet_random, addresses })
    }

    /// The message that asks for it.
    pub fn message(&self) -> Challenge {
        Challenge {
            node_random: self.node_random.to_vec().into(),
            addresses: self.addresses.clone(),
        }
    }

    /// Checks the answers. Takes about a millisecond per key.
    pub fn check(&self, proofs: &[Proof]) -> Verdict {
        let mut digest = Sha256::new();
        digest.update(self.node_random);
        digest.update(&self.wallet_random);
        let payload: [u8; 32] = digest.finalize().into();
        let by_address: BTreeMap<&str, &Proof> =
            proofs.iter().map(|proof| (proof.address.as_str(), proof)).collect();
        let mut verdict = Verdict::default();
        for text in &self.addresses {
            match check_one(text, by_address.get(text.as_str()).copied(), &payload) {
                Ok(canonical) => {
                    verdict.proven.insert(text.clone(), canonical);
                }
                Err(reason) => {
                    verdict.refused.push(Refused { address: text.clone(), reason });
                }
            }
        }
        verdict
    }
}

fn check_one(text: &str, proof: Option<&Proof>, payload: &[u8; 32]) -> Result<String, String> {
    let (address, canonical) = canonical(text)?;
    let proof = proof.ok_or("the wallet sent no proof for this key")?;
    if !proof.error.is_empty() {
        return Err(format!("the wallet did not prove this key: {}", proof.error));
    }
    let kind = u8::try_from(proof.signature_type)
        .ok()
        .and_then(SignatureKind::from_code)
        .ok_or_else(|| format!("there is no signature type {}", proof.signature_type))?;
    let signature = Signature { kind, bytes: proof.signature.to_vec() };
    signature::verify(&signature, &address, payload)
        .map_err(|error| format!("the proof of this key is wrong: {error}"))?;
    Ok(canonical)
}

/// An address that can sign, and its text with the prefix `f`, by which the tables know it.
///
/// # Errors
/// The text is no address, or the address is not that of a key.
pub fn canonical(text: &str) -> Result<(Address, String), String> {
    let address = address::parse(text).map_err(|error| error.to_string())?;
    if !address::is_key(&address) {
        return Err(format!(
            "`{text}` is not the address of a key; name the key's own address (f1, f3 or f410)"
        ));
    }
    let text = address::format(&address, Network::Mainnet);
    Ok((address, text))
}

#[cfg(test)]
mod tests {
    use hesper_chain::key::{KeyType, SecretKey};

    use super::*;

    fn proof(key: &SecretKey, open: &Open, wallet_random: &[u8]) -> Proof {
        let mut digest = Sha256::new();
        digest.update(open.node_random);
        digest.update(wallet_random);
        let payload: [u8; 32] = digest.finalize().into();
        let signature = key.sign(&payload);
        Proof {
            address: address::format(&key.address(), Network::Testnet),
            signature_type: u32::from(signature.kind.code()),
            signature: signature.bytes.into(),
            error: String::new(),
        }
    }

    #[test]
    fn keys_of_all_types_prove_themselves_and_are_known_by_one_text() {
        let keys: Vec<SecretKey> = [KeyType::Bls, KeyType::Secp256k1, KeyType::Delegated]
            .into_iter()
            .map(|kind| SecretKey::generate(kind).unwrap())
            .collect();
        let texts: Vec<String> =
            keys.iter().map(|key| address::format(&key.address(), Network::Testnet)).collect();
        let open = Open::new(texts.clone(), vec![7; 32]).unwrap();
        let proofs: Vec<Proof> = keys.iter().map(|key| proof(key, &open, &[7; 32])).collect();
        let verdict = open.check(&proofs);
        assert_eq!(verdict.refused, []);
        for (key, text) in keys.iter().zip(&texts) {
            assert_eq!(verdict.proven[text], address::format(&key.address(), Network::Mainnet));
        }
    }

    #[test]
    fn what_is_not_proven_is_refused_and_named() {
        let [held, other] = [(); 2].map(|()| SecretKey::generate(KeyType::Secp256k1).unwrap());
        let text = |key: &SecretKey| address::format(&key.address(), Network::Testnet);
        let open =
            Open::new(vec![text(&held), text(&other), "f01000".into()], vec![7; 32]).unwrap();
        // The one signs with the wrong random bytes, the other is claimed without its key.
        let stolen = Proof { address: text(&other), ..proof(&held, &open, &[7; 32]) };
        let verdict = open.check(&[proof(&held, &open, &[8; 32]), stolen]);
        assert!(verdict.proven.is_empty());
        let reasons: Vec<&str> = verdict.refused.iter().map(|r| r.reason.as_str()).collect();
        assert!(reasons[0].contains("is wrong") && reasons[1].contains("is wrong"), "{reasons:?}");
        assert!(reasons[2].contains("not the address of a key"), "{reasons:?}");
    }

    #[test]
    fn missing_proofs_errors_and_odd_types_are_refused() {
        let keys = [(); 3].map(|()| SecretKey::generate(KeyType::Bls).unwrap());
        let texts: Vec<String> =
            keys.iter().map(|key| address::format(&key.address(), Network::Testnet)).collect();
        let open = Open::new(texts, vec![7; 32]).unwrap();
        let locked = Proof { error: "locked".into(), ..proof(&keys[1], &open, &[7; 32]) };
        let odd = Proof { signature_type: 9, ..proof(&keys[2], &open, &[7; 32]) };
        let verdict = open.check(&[locked, odd]);
        let reasons: Vec<&str> = verdict.refused.iter().map(|r| r.reason.as_str()).collect();
        assert!(reasons[0].contains("no proof"), "{reasons:?}");
        assert!(reasons[1].contains("locked"), "{reasons:?}");
        assert!(reasons[2].contains("no signature type 9"), "{reasons:?}");
        assert!(verdict.proven.is_empty());
    }

    #[test]
    fn random_bytes_of_another_length_and_too_many_keys_are_refused() {
        assert!(Open::new(Vec::new(), vec![7; 31]).is_err());
        assert!(Open::new(vec![String::new(); KEYS_MAX + 1], vec![7; 32]).is_err());
        let [one, two] = [(); 2].map(|()| Open::new(Vec::new(), vec![7; 32]).unwrap().node_random);
        assert_ne!(one, two);
    }
}
