//! The first forty epochs of the main network, out of the `forest-filecoin` crate 0.39.0 (MIT /
//! Apache-2.0): block and message signatures, VRF proofs, win counts, beacon entries, base fees.
//! The keys come out of the state in the same files.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use fvm_ipld_amt::Amtv0;
use fvm_ipld_blockstore::{Blockstore as _, MemoryBlockstore};
use hesper_chain::base_fee::next_before_smoke;
use hesper_chain::block::{BeaconEntry, BlockHeader, MsgMeta};
use hesper_chain::bls::{BlsError, INFINITY, verify_aggregate};
use hesper_chain::drand::DrandError;
use hesper_chain::election::win_count;
use hesper_chain::network::NetworkParams;
use hesper_chain::randomness::{election_input, ticket_input};
use hesper_chain::signature::{SignatureKind, verify, verify_message};
use hesper_chain::{Address, Cid, Message, Payload, Protocol, SignedMessage, message, vrf};

use crate::support::forest;

/// Files, and how many headers above genesis each has.
const FILES: [(&str, usize); 2] =
    [("test-snapshots/chain4.car", 3), ("src/genesis/export40.car", 48)];

struct Chain {
    headers: HashMap<Cid, BlockHeader>,
    store: MemoryBlockstore,
    /// BLS keys of the account actors in the state.
    accounts: Vec<Address>,
}

fn varint(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}

fn read(bytes: &[u8]) -> Chain {
    let mut at = 0;
    let header = varint(bytes, &mut at);
    at += header;
    let (mut headers, mut accounts) = (HashMap::new(), Vec::new());
    let store = MemoryBlockstore::new();
    while at < bytes.len() {
        let length = varint(bytes, &mut at);
        let section = &bytes[at..at + length];
        at += length;
        let cid = Cid::read_bytes(section).unwrap();
        let block = &section[cid.encoded_len()..];
        if let Ok(header) = BlockHeader::decode(block) {
            headers.insert(cid, header);
        }
        // The state of an account actor: an array of one f3 address.
        if let Some(key) = block.strip_prefix(&[0x81, 0x58, 0x31, 3]) {
            accounts.push(Address::new_bls(key).unwrap());
        }
        store.put_keyed(&cid, block).unwrap();
    }
    Chain { headers, store, accounts }
}

/// Runs a check on each chain; without the crate the test is skipped.
fn each(check: impl Fn(&Chain)) {
    let Some(folder) = forest() else { return };
    for (path, count) in FILES {
        let chain = read(&std::fs::read(folder.join(path)).unwrap());
        assert_eq!(chain.mined().count(), count, "{path}");
        check(&chain);
    }
}

impl Chain {
    /// All headers above genesis.
    fn mined(&self) -> impl Iterator<Item = &BlockHeader> {
        self.headers.values().filter(|header| header.height > 0)
    }

    fn parents(&self, header: &BlockHeader) -> Vec<&BlockHeader> {
        header.parents.iter().map(|cid| &self.headers[cid]).collect()
    }

    /// The account whose key signed the block.
    fn worker(&self, header: &BlockHeader) -> Address {
        let signed = header.signing_bytes().unwrap();
        let signature = header.block_sig.as_ref().unwrap();
        let fits = |key: &&Address| verify(signature, key, &signed).is_ok();
        let found: Vec<&Address> = self.accounts.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "block of {:?} at {}", header.miner, header.height);
        *found[0]
    }

    fn list(&self, root: &Cid) -> Option<Vec<Cid>> {
        let array = Amtv0::<Cid, _>::load(root, &self.store).ok()?;
        let mut cids = Vec::new();
        array
            .for_each(|_, cid| {
                cids.push(*cid);
                Ok(())
            })
            .ok()?;
        Some(cids)
    }

    /// The BLS and the other messages of a block, if the file has them all.
    fn messages(&self, header: &BlockHeader) -> Option<(Vec<Message>, Vec<SignedMessage>)> {
        let block = |cid: &Cid| self.store.get(cid).unwrap();
        let meta: MsgMeta =
            hesper_chain::cbor::decode_canonical(&block(&header.messages)?).unwrap();
        let bls = self.list(&meta.bls_message_root)?;
        let secp = self.list(&meta.secp_message_root)?;
        let bls: Option<Vec<Message>> =
            bls.iter().map(|cid| Some(message::decode(&block(cid)?).unwrap())).collect();
        let secp: Option<Vec<SignedMessage>> =
            secp.iter().map(|cid| Some(SignedMessage::decode(&block(cid)?).unwrap())).collect();
        Some((bls?, secp?))
    }
}

fn beacon(header: &BlockHeader) -> &BeaconEntry {
    header.beacon_entries.last().unwrap()
}

#[test]
fn every_block_is_signed_by_one_key_per_miner() {
    each(|chain| {
        let mut workers = BTreeMap::new();
        for header in chain.mined() {
            let worker = chain.worker(header);
            let known = workers.entry(header.miner.id().unwrap()).or_insert(worker);
            assert_eq!(*known, worker);
            let mut other = header.clone();
            other.timestamp += 1;
            let signature = header.block_sig.as_ref().unwrap();
            assert!(verify(signature, &worker, &other.signing_bytes().unwrap()).is_err());
        }
        let distinct: BTreeSet<Vec<u8>> = workers.values().map(|key| key.to_bytes()).collect();
        assert_eq!(distinct.len(), workers.len());
    });
}

#[test]
fn every_election_proof_and_ticket_is_a_vrf_proof_of_the_worker() {
    each(|chain| {
        for header in chain.mined() {
            let worker = chain.worker(header);
            let (data, height) = (&beacon(header).data, header.height);
            let election = &header.election_proof.as_ref().unwrap().vrf_proof;
            let ticket = &header.ticket.as_ref().unwrap().vrf_proof;
            let input = election_input(data, height, &header.miner);
            vrf::verify(&worker, &input, election).unwrap();
            assert!(vrf::verify(&worker, &input, ticket).is_err());
            // All of this is below the Smoke height, so the parent's ticket has no part in it.
            let input = ticket_input(data, height, &header.miner, None);
            vrf::verify(&worker, &input, ticket).unwrap();
            let parent = &chain.parents(header)[0].ticket.as_ref().unwrap().vrf_proof;
            let chained = ticket_input(data, height, &header.miner, Some(parent));
            assert!(vrf::verify(&worker, &chained, ticket).is_err());
            let shifted = ticket_input(data, height + 1, &header.miner, None);
            assert!(vrf::verify(&worker, &shifted, ticket).is_err());
        }
    });
}

/// The network began with three miners of equal power, and the lookback of all these epochs is the
/// genesis state.
#[test]
fn every_win_count_is_that_of_a_third_of_the_power() {
    each(|chain| {
        for header in chain.mined() {
            let proof = header.election_proof.as_ref().unwrap();
            let wins = win_count(&proof.vrf_proof, &1.into(), &3.into());
            assert_eq!(i64::try_from(wins), Ok(proof.win_count), "height {}", header.height);
        }
    });
}

#[test]
fn every_blocks_beacon_entries_are_genuine_and_of_the_right_rounds() {
    let network = NetworkParams::mainnet();
    each(|chain| {
        for header in chain.mined() {
            let parent = chain.parents(header)[0];
            let check = |entries: &[BeaconEntry]| {
                network.drand.verify_block_entries(
                    network.clock,
                    network.counts_rounds_from_one(header.height),
                    header.height,
                    parent.height,
                    beacon(parent),
                    entries,
                )
            };
            let entries = &header.beacon_entries;
            check(entries).unwrap();
            assert_eq!(network.beacon_round(header.height), Ok(beacon(header).round));
            assert_eq!(check(&[]), Err(DrandError::Count { found: 0, expected: 1 }));
            if parent.height == 0 {
                // The first block may bring any entry along, as genesis has none to go on from.
                continue;
            }
            let mut flipped = entries.clone();
            flipped[0].data[40] ^= 1;
            assert!(check(&flipped).is_err());
            let mut late = entries.clone();
            late.last_mut().unwrap().round += 1;
            assert!(matches!(check(&late), Err(DrandError::Round { .. })));
        }
    });
}

#[test]
fn block_aggregates_and_message_signatures_are_valid() {
    let (aggregates, signed, empty) = (Cell::new(0), Cell::new(0), Cell::new(0));
    each(|chain| {
        for header in chain.mined() {
            let Some((bls, others)) = chain.messages(header) else { continue };
            for SignedMessage { message, signature } in &others {
                if message.from.protocol() == Protocol::Secp256k1 {
                    assert_eq!(signature.kind, SignatureKind::Secp256k1);
                    verify_message(message, signature, &message.from, 314).unwrap();
                    signed.set(signed.get() + 1);
                }
            }
            let key = |message: &Message| match message.from.payload() {
                Payload::BLS(key) => Some(*key),
                _ => None,
            };
            let Some(keys) = bls.iter().map(key).collect::<Option<Vec<_>>>() else { continue };
            let cids: Vec<Vec<u8>> =
                bls.iter().map(|message| message::cid(message).unwrap().to_bytes()).collect();
            let cids: Vec<&[u8]> = cids.iter().map(Vec::as_slice).collect();
            let sum = &header.bls_aggregate.as_ref().unwrap().bytes;
            let sum = sum.as_slice().try_into().unwrap();
            verify_aggregate(&keys, &cids, sum).unwrap();
            if keys.is_empty() {
                assert_eq!(*sum, INFINITY);
                empty.set(empty.get() + 1);
            } else {
                let fewer = verify_aggregate(&keys[1..], &cids[1..], sum);
                assert_eq!(fewer, Err(BlsError::Mismatch));
                aggregates.set(aggregates.get() + 1);
            }
        }
    });
    let counts = (aggregates.get(), empty.get(), signed.get());
    println!("aggregates, empty aggregates, signed messages: {counts:?}");
    assert!(forest().is_none() || counts.0 + counts.1 > 0, "{counts:?}");
}

#[test]
fn every_base_fee_follows_from_the_messages_of_the_parents() {
    let checked = Cell::new(0);
    each(|chain| {
        for header in chain.mined() {
            let parents = chain.parents(header);
            if parents[0].height == 0 {
                // Genesis executes nothing that pays for gas.
                assert_eq!(
                    next_before_smoke(&parents[0].parent_base_fee, 0, 1),
                    header.parent_base_fee
                );
                continue;
            }
            let Some(lists) =
                parents.iter().map(|parent| chain.messages(parent)).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let mut gas = BTreeMap::new();
            for (bls, others) in &lists {
                for message in bls {
                    gas.insert(message::cid(message).unwrap(), message.gas_limit);
                }
                for signed in others {
                    gas.insert(signed.cid().unwrap(), signed.message.gas_limit);
                }
            }
            let blocks = u64::try_from(parents.len()).unwrap();
            let next = next_before_smoke(&parents[0].parent_base_fee, gas.values().sum(), blocks);
            assert_eq!(next, header.parent_base_fee, "height {}", header.height);
            checked.set(checked.get() + 1);
        }
    });
    println!("base fees: {}", checked.get());
    assert!(forest().is_none() || checked.get() > 0);
}
