//! **Purpose**: one valid object of each type for the tests, with the bytes that are signed for it.
//!
//! **Source**: the bytes of deals, asks and answers are those that go-fil-markets wrote (commit
//! b1a66cfd12686a8af6030fccace49916849b1954), as recorded in filecoin-project/cpp-filecoin
//! `test/core/markets/storage/protocol/*_v1_1_0_named_cbor_test.cpp` and
//! `status_protocol_named_cbor_test.cpp` (Apache-2.0); the vote of fast finality follows
//! filecoin-project/go-f3 `gpbft/payload_test.go` (Apache-2.0 / MIT) with a phase that is signed.

use hesper_chain::block::{BeaconEntry, BlockHeader, ElectionProof, PoStProof, Ticket};
use hesper_chain::key::{KeyType, SecretKey};
use hesper_chain::{Address, BigInt, Message, RawBytes, TokenAmount, cid, message};
use sha2::{Digest, Sha256};

use super::ObjectType;
use super::node::Node;

pub(crate) const PROPOSAL: &str = "8bd82a58230012204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5\
    d7cce23c7785459a190100f555024716b023b7fe84b6e7dcda303c3d754b1a8ff2fc55024716b023b7fe84b6e7dcda\
    303c3d754b1a8ff2fc656c6162656c18651907d24200164300014d4300115c";
pub(crate) const ASK: &str = "a865507269636542007b6d56657269666965645072696365430001c86c4d696e5069\
    65636553697a651901006c4d6178506965636553697a651a00100000654d696e657255024716b023b7fe84b6e7dcda\
    303c3d754b1a8ff2fc6954696d657374616d701904d266457870697279191a85655365714e6f182a";
/// The same ask in the older protocol: what is signed for an answer.
pub(crate) const ASK_TUPLE: &str = "8842007b430001c81901001a0010000055024716b023b7fe84b6e7dcda303c3d\
    754b1a8ff2fc1904d2191a85182a";
const ASK_SIGNATURE: &str = "58610289564aca0dabd06015c1c87816f6aedec346c6c0dad93549503907d97e2147e0\
    b07fb35d29da1477d5e946efbfd5b07708aa8d753060ffdbc244c117e3119d279510ba4b2e0423da649e751b9422cd6\
    d7ee3bbf216a517de6fde0f6eb67640b7";
const RESPONSE: &str = "a465537461746500674d657373616765676d6573736167656850726f706f73616cd82a5823\
    0012204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a6e5075626c6973684d6573736\
    16765d82a58230012204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a";
const LINK: &str = "d82a58230012204bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a";

/// An object, the bytes that are signed for it, and the key that may sign it.
pub(crate) struct Sample {
    pub(crate) object_type: ObjectType,
    pub(crate) object: Vec<u8>,
    pub(crate) signing_bytes: Vec<u8>,
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).expect("a constant of this file is hex")
}

/// The key of the samples: the BLS key of the first message of serialization-vectors
/// `message_signing.json`.
pub(crate) fn key() -> SecretKey {
    let bytes = unhex("a7204e00ff5c6a671900d29e74713ea1aa8f82db0e77fa81bce00ed587ef2d56");
    SecretKey::from_lotus_bytes(KeyType::Bls, &bytes).expect("it is a key")
}

pub(crate) fn message(from: Address, to: Address, method_num: u64, params: Vec<u8>) -> Message {
    Message {
        version: 0,
        to,
        from,
        sequence: 55,
        value: TokenAmount::from_atto(1),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(100),
        gas_premium: TokenAmount::from_atto(1),
        method_num,
        params: RawBytes::new(params),
    }
}

pub(crate) fn header(miner: u64, height: i64, parent: &[u8]) -> BlockHeader {
    BlockHeader {
        miner: Address::new_id(miner),
        ticket: Some(Ticket { vrf_proof: vec![1; 96] }),
        election_proof: Some(ElectionProof { win_count: 1, vrf_proof: vec![2; 96] }),
        beacon_entries: vec![BeaconEntry { round: 7, data: vec![3; 48] }],
        win_post_proof: vec![PoStProof { proof_type: 3, bytes: vec![4; 192] }],
        parents: vec![cid::of_cbor(parent)],
        parent_weight: BigInt::from(1234),
        height,
        parent_state_root: cid::of_cbor(b"state"),
        parent_message_receipts: cid::of_cbor(b"receipts"),
        messages: cid::of_cbor(b"messages"),
        bls_aggregate: None,
        timestamp: 1_700_000_000,
        block_sig: None,
        fork_signaling: 0,
        parent_base_fee: TokenAmount::from_atto(100),
    }
}

pub(crate) fn draw_param(tag: u64, entropy: &[u8]) -> Vec<u8> {
    Node::Map(vec![
        ("Rbase".to_owned(), Node::Bytes(vec![9; 48])),
        ("Pers".to_owned(), Node::Unsigned(tag)),
        ("Round".to_owned(), Node::Unsigned(1000)),
        ("Entropy".to_owned(), Node::Bytes(entropy.to_vec())),
    ])
    .encode()
}

pub(crate) fn voucher(amount: &[u8], signature: Node) -> Vec<u8> {
    let merge = Node::Array(vec![Node::Unsigned(1), Node::Unsigned(2)]);
    Node::Array(vec![
        Node::Bytes(vec![0, 0xe8, 0x07]),
        Node::Unsigned(0),
        Node::Unsigned(0),
        Node::Bytes(Vec::new()),
        Node::Null,
        Node::Unsigned(3),
        Node::Unsigned(4),
        Node::Bytes(amount.to_vec()),
        Node::Unsigned(0),
        Node::Array(vec![merge]),
        signature,
    ])
    .encode()
}

pub(crate) fn vote(phase: u8) -> Vec<u8> {
    let mut vote = b"GPBFT:filecoin:".to_vec();
    vote.push(phase);
    vote.extend_from_slice(&2u64.to_be_bytes());
    vote.extend_from_slice(&1u64.to_be_bytes());
    vote.extend_from_slice(&[5; 64]);
    vote.extend_from_slice(&unhex(
        "0171a0e40220fb3e4d513234f94f1067bd4a496bb848f0730d9b7c7ffa5ac54eecabb6acd3c7",
    ));
    vote
}

/// A sample of each type that has the two common forms; `verifyaddress` has its own.
pub(crate) fn samples() -> Vec<Sample> {
    let from = key().address();
    let object = message::encode(&message(from, Address::new_id(99_999), 0, Vec::new()));
    let object = object.expect("it is a message");
    // The CID of that message in serialization-vectors.
    let message_cid =
        unhex("0171a0e40220cebe89d62b1ff3c34a26d112fd0d1c71debefce08214cce0cdaaf67d532fbfeb");
    let header = header(1000, 10, b"parent").signing_bytes().expect("it is a header");
    let client_deal = unhex(&format!("82{PROPOSAL}584201{}", "00".repeat(65)));
    let client_deal_cid =
        [vec![0x01, 0x71, 0x12, 0x20], Sha256::digest(&client_deal).to_vec()].concat();
    let draw = draw_param(2, &[0x43, 0, 0xe8, 0x07]);
    let drawn = hesper_chain::randomness::draw(
        &[9; 48],
        hesper_chain::randomness::DomainTag::ElectionProofProduction,
        1000,
        &[0x43, 0, 0xe8, 0x07],
    );
    let signed = voucher(&[0, 0x7b], Node::Bytes(vec![1; 66]));
    let unsigned = voucher(&[0, 0x7b], Node::Null);
    let answer = unhex(&format!("a16341736ba26341736b{ASK}695369676e6174757265{ASK_SIGNATURE}"));
    let state = unhex(&format!(
        "a865537461746500674d657373616765676d6573736167656850726f706f73616c{PROPOSAL}\
         6b50726f706f73616c436964{LINK}6b41646446756e6473436964{LINK}6a5075626c697368436964{LINK}\
         664465616c4944182a6d4661737452657472696576616cf5"
    ));
    let same = |object_type, object: Vec<u8>| Sample {
        object_type,
        signing_bytes: object.clone(),
        object,
    };
    let derived =
        |object_type, object, signing_bytes| Sample { object_type, object, signing_bytes };
    vec![
        derived(ObjectType::Message, object, message_cid),
        same(ObjectType::Block, header),
        same(ObjectType::DealProposal, unhex(PROPOSAL)),
        derived(ObjectType::ClientDeal, client_deal, client_deal_cid),
        derived(ObjectType::DrawRandomParam, draw, drawn.to_vec()),
        derived(ObjectType::SignedVoucher, signed, unsigned),
        same(ObjectType::StorageAsk, unhex(ASK)),
        derived(ObjectType::AskResponse, answer, unhex(ASK_TUPLE)),
        same(ObjectType::NetworkResponse, unhex(RESPONSE)),
        same(ObjectType::ProviderDealState, state),
        same(ObjectType::F3, vote(4)),
    ]
}
