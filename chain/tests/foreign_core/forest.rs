//! Real chains out of the `forest-filecoin` crate 0.39.0 (MIT / Apache-2.0): the snapshot of four
//! epochs, the export of forty and the genesis files of two networks.

use std::collections::HashMap;
use std::path::Path;

use fvm_ipld_encoding::BytesDe;
use hesper_chain::block::{BlockHeader, MsgMeta, msg_meta_root};
use hesper_chain::json::LotusJson;
use hesper_chain::tipset::{Tipset, TipsetKey};
use hesper_chain::{Cid, Message, SignedMessage, cbor, cid, message};
use serde::Deserialize;

use crate::support::forest;

/// File, its blocks, its headers, and the root or the genesis block that `forest` names for it.
struct Chain {
    path: &'static str,
    blocks: usize,
    headers: usize,
    genesis: Option<&'static str>,
}

const CHAINS: [Chain; 4] = [
    Chain { path: "test-snapshots/chain4.car", blocks: 1222, headers: 4, genesis: None },
    Chain { path: "src/genesis/export40.car", blocks: 1581, headers: 49, genesis: None },
    Chain {
        path: "src/networks/calibnet/genesis.car",
        blocks: 1207,
        headers: 1,
        genesis: Some("bafy2bzacecyaggy24wol5ruvs6qm73gjibs2l2iyhcqmvi7r7a4ph7zx3yqd4"),
    },
    Chain {
        path: "src/networks/mainnet/genesis.car",
        blocks: 1222,
        headers: 1,
        genesis: Some("bafy2bzacecnamqgqmifpluoeldx7zzglxcljo6oja4vrmtj7432rphldpdmm2"),
    },
];

#[derive(Deserialize)]
struct CarHeader {
    roots: Vec<Cid>,
    version: u64,
}

struct Car {
    roots: Vec<Cid>,
    blocks: HashMap<Cid, Vec<u8>>,
    headers: HashMap<Cid, BlockHeader>,
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

fn read(path: &Path) -> Car {
    let bytes = std::fs::read(path).unwrap();
    let mut at = 0;
    let length = varint(&bytes, &mut at);
    cbor::validate(&bytes[at..at + length]).unwrap();
    let header: CarHeader = fvm_ipld_encoding::from_slice(&bytes[at..at + length]).unwrap();
    assert_eq!(header.version, 1);
    at += length;
    let mut blocks = HashMap::new();
    while at < bytes.len() {
        let length = varint(&bytes, &mut at);
        let section = &bytes[at..at + length];
        at += length;
        // A CID tells its own length; the rest is the block.
        let cid = Cid::read_bytes(section).unwrap();
        blocks.insert(cid, section[cid.encoded_len()..].to_vec());
    }
    let mut headers = HashMap::new();
    let mut open = header.roots.clone();
    while let Some(cid) = open.pop() {
        // A genesis block names a parent that is no block: a map with its keys out of order,
        // under sha2-256.
        let is_new_block = cid::is_chain_object(&cid) && !headers.contains_key(&cid);
        if let Some(block) = blocks.get(&cid).filter(|_| is_new_block) {
            let header = BlockHeader::decode(block).unwrap();
            open.extend(&header.parents);
            headers.insert(cid, header);
        }
    }
    Car { roots: header.roots, blocks, headers }
}

/// Runs a check on every chain; the crate's absence skips the test.
fn each(check: impl Fn(&Chain, &Car)) {
    let Some(folder) = forest() else { return };
    for chain in &CHAINS {
        check(chain, &read(&folder.join(chain.path)));
    }
}

#[test]
fn every_block_of_the_cars_has_its_cid_and_is_canonical() {
    each(|chain, car| {
        assert_eq!(car.blocks.len(), chain.blocks, "{}", chain.path);
        for (cid, block) in &car.blocks {
            if cid::is_chain_object(cid) {
                assert_eq!(cid::of_cbor(block), *cid);
                cbor::validate(block).unwrap_or_else(|error| panic!("{cid}: {error}"));
            }
        }
    });
}

#[test]
fn every_header_encodes_to_its_bytes_and_cid() {
    each(|chain, car| {
        assert_eq!(car.headers.len(), chain.headers, "{}", chain.path);
        for (cid, header) in &car.headers {
            assert_eq!(header.encode().unwrap(), car.blocks[cid]);
            assert_eq!(header.cid().unwrap(), *cid);
            assert_eq!(BlockHeader::from_lotus_json(&header.to_lotus_json()).unwrap(), *header);
            if header.height > 0 {
                header.check().unwrap();
                assert_ne!(header.signing_bytes().unwrap(), car.blocks[cid]);
            } else {
                assert!(header.check().is_err());
            }
        }
        if let Some(genesis) = chain.genesis {
            assert_eq!(car.roots, [cid::parse(genesis).unwrap()]);
            assert_eq!(car.headers[&car.roots[0]].height, 0);
        }
    });
}

/// A header names its parents in tipset order, so each list says what our order must be.
#[test]
fn tipsets_have_the_order_that_their_children_state() {
    let mut several = 0;
    let count = std::cell::RefCell::new(&mut several);
    each(|_, car| {
        let heads = car.roots.clone();
        let lists = car.headers.values().map(|header| header.parents.clone()).chain([heads]);
        for parents in lists {
            let blocks: Option<Vec<BlockHeader>> =
                parents.iter().rev().map(|cid| car.headers.get(cid).cloned()).collect();
            let Some(blocks) = blocks.filter(|blocks| !blocks.is_empty()) else { continue };
            let tipset = Tipset::new(blocks).unwrap();
            assert_eq!(tipset.cids(), parents);
            let key = tipset.key();
            assert_eq!(TipsetKey::from_bytes(&key.to_bytes()).unwrap(), *key);
            assert_eq!(Tipset::from_lotus_json(&tipset.to_lotus_json()).unwrap(), tipset);
            **count.borrow_mut() += usize::from(parents.len() > 1);
        }
    });
    assert!(several > 0 || forest().is_none(), "no tipset had more than one block");
}

/// Heights rise along the chain, weights do not fall, and beacon rounds go on where they stopped.
#[test]
fn children_continue_their_parents() {
    each(|_, car| {
        for child in car.headers.values() {
            for parent in child.parents.iter().filter_map(|cid| car.headers.get(cid)) {
                assert!(child.height > parent.height);
                if parent.height == 0 {
                    // The genesis block's beacon entry and time are made up.
                    continue;
                }
                assert!(child.timestamp > parent.timestamp);
                assert!(child.parent_weight >= parent.parent_weight);
                let last = parent.beacon_entries.last().map(|entry| entry.round);
                let first = child.beacon_entries.first().map(|entry| entry.round);
                if let (Some(last), Some(first)) = (last, first) {
                    assert!(first == last + 1, "{last} is followed by {first}");
                }
            }
            for pair in child.beacon_entries.windows(2) {
                assert_eq!(pair[1].round, pair[0].round + 1);
            }
        }
    });
}

#[derive(Deserialize)]
struct AmtV0(u64, u64, AmtNode);

/// Which places are taken, the nodes below, the values.
#[derive(Deserialize)]
struct AmtNode(BytesDe, Vec<Cid>, Vec<Cid>);

/// The CIDs in an array of the CAR, in order; none when a part of it is missing.
fn array(car: &Car, root: &Cid) -> Option<Vec<Cid>> {
    fn walk(car: &Car, node: &AmtNode, height: u64, found: &mut Vec<Cid>) -> Option<()> {
        assert!(!node.0.0.is_empty());
        if height == 0 {
            found.extend(&node.2);
            return Some(());
        }
        for link in &node.1 {
            let child = fvm_ipld_encoding::from_slice(car.blocks.get(link)?).unwrap();
            walk(car, &child, height - 1, found)?;
        }
        Some(())
    }
    let AmtV0(height, count, node) = fvm_ipld_encoding::from_slice(car.blocks.get(root)?).unwrap();
    let mut found = Vec::new();
    walk(car, &node, height, &mut found)?;
    assert_eq!(found.len() as u64, count);
    Some(found)
}

#[test]
fn message_roots_and_messages_have_the_cids_of_the_chain() {
    let totals = std::cell::Cell::new((0, 0, 0));
    each(|_, car| {
        for header in car.headers.values() {
            let Some(meta) = car.blocks.get(&header.messages) else { continue };
            let meta: MsgMeta = cbor::decode_canonical(meta).unwrap();
            assert_eq!(meta.cid().unwrap(), header.messages);
            let bls = array(car, &meta.bls_message_root);
            let secp = array(car, &meta.secp_message_root);
            let (Some(bls), Some(secp)) = (bls, secp) else { continue };
            assert_eq!(msg_meta_root(&bls, &secp).unwrap(), header.messages);
            let (mut roots, mut unsigned, mut signed) = totals.get();
            roots += 1;
            for cid in bls {
                let Some(bytes) = car.blocks.get(&cid) else { continue };
                let decoded = message::decode(bytes).unwrap();
                assert_eq!(message::cid(&decoded).unwrap(), cid);
                message::check_for_block(&decoded, 0).unwrap();
                assert_eq!(Message::from_lotus_json(&decoded.to_lotus_json()).unwrap(), decoded);
                unsigned += 1;
            }
            for cid in secp {
                let Some(bytes) = car.blocks.get(&cid) else { continue };
                let decoded = SignedMessage::decode(bytes).unwrap();
                assert_eq!(decoded.cid().unwrap(), cid);
                message::check_for_block(&decoded.message, 0).unwrap();
                let json = decoded.to_lotus_json();
                assert_eq!(SignedMessage::from_lotus_json(&json).unwrap(), decoded);
                signed += 1;
            }
            totals.set((roots, unsigned, signed));
        }
    });
    println!("message roots, BLS messages, signed messages: {:?}", totals.get());
    assert!(totals.get().0 > 0 || forest().is_none(), "no message root was checked");
}
