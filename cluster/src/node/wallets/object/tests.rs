use hesper_chain::block::{BeaconEntry, BlockHeader, ElectionProof, PoStProof, Ticket};
use hesper_chain::signature::{Signature, SignatureKind, message_payload};
use hesper_chain::{BigInt, Message, RawBytes, TokenAmount, cid, message};
use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::identity::{Peer, Role};

const KEY: &str = "f1abjxfbp274xpdqcpuaykwkfb43omjotacm2p3za";

fn wanted(object_type: &str, to_sign: Vec<u8>, extra: Vec<u8>) -> Wanted {
    Wanted {
        key: KEY.into(),
        object_type: object_type.into(),
        to_sign: to_sign.into(),
        extra: extra.into(),
        user: "acme".into(),
        deadline: Instant::now(),
    }
}

fn header(miner: u64) -> BlockHeader {
    BlockHeader {
        miner: Address::new_id(miner),
        ticket: Some(Ticket { vrf_proof: vec![1; 96] }),
        election_proof: Some(ElectionProof { win_count: 1, vrf_proof: vec![2; 96] }),
        beacon_entries: vec![BeaconEntry { round: 7, data: vec![3; 48] }],
        win_post_proof: vec![PoStProof { proof_type: 3, bytes: vec![4; 192] }],
        parents: vec![cid::of_cbor(b"parent")],
        parent_weight: BigInt::from(1234),
        height: 10,
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

fn block(header: &BlockHeader) -> Object {
    Object::read(&wanted("block", header.encode().unwrap(), Vec::new()))
}

fn call(from: Address, to: Address, method_num: u64, params: Vec<u8>) -> Object {
    let message = Message {
        version: 0,
        from,
        to,
        sequence: 1,
        value: TokenAmount::from_atto(0),
        method_num,
        params: RawBytes::new(params),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(100),
        gas_premium: TokenAmount::from_atto(1),
    };
    let to_sign = message_payload(&message, SignatureKind::Secp256k1, ETH_CHAIN_ID).unwrap();
    Object::read(&wanted("message", to_sign, message::encode(&message).unwrap()))
}

fn post() -> Vec<u8> {
    let post = json!({
        "Deadline": 1,
        "Partitions": [],
        "Proofs": [],
        "ChainCommitEpoch": 10,
        "ChainCommitRand": "",
    });
    hesper_actors::encode_params(hesper_actors::Actor::Miner, SUBMIT_WINDOWED_POST, &post).unwrap()
}

fn caller(role: Role) -> Caller {
    Caller::of_certificate(Peer { name: "c".into(), owner: "acme".into(), role })
}

#[test]
fn a_block_is_signed_for_the_owner_of_its_miner_or_an_administrator() {
    let own = |miner| miner == 1000;
    let (mine, foreign) = (block(&header(1000)), block(&header(1001)));
    assert_eq!(mine, Object::Block { miner: 1000 });
    mine.require_miner(&caller(Role::Client), own).unwrap();
    foreign.require_miner(&caller(Role::Admin), own).unwrap();
    let status = foreign.require_miner(&caller(Role::Client), own).unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    let text = status.message();
    assert!(text.contains("f01001") && text.contains("`acme`"), "{text}");
    // The form with the object beside its signing bytes is the same block.
    let bytes = header(1001).encode().unwrap();
    let beside = Object::read(&wanted("block", bytes.clone(), bytes));
    assert_eq!(beside, foreign);
}

#[test]
fn what_is_no_block_is_charged_and_refused() {
    let mut signed = header(1000);
    signed.block_sig = Some(Signature { kind: SignatureKind::Bls, bytes: vec![1; 96] });
    let good = header(1000).encode().unwrap();
    for bad in [
        block(&signed),
        block(&BlockHeader { parents: Vec::new(), ..header(1000) }),
        block(&BlockHeader { miner: address::parse(KEY).unwrap(), ..header(1000) }),
        Object::read(&wanted("block", Vec::new(), Vec::new())),
        Object::read(&wanted("block", [&good[..], &[0]].concat(), Vec::new())),
        Object::read(&wanted("block", vec![1], good.clone())),
    ] {
        assert!(matches!(bad, Object::NoBlock(_)), "{bad:?}");
        assert_eq!(bad.class(|_| true), Class::Change);
        assert_eq!(bad.require_sound().unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    assert_eq!(block(&header(1000)).class(|_| true), Class::ProofCritical);
    block(&header(1000)).require_sound().unwrap();
}

#[test]
fn only_a_well_formed_draw_goes_past_the_limits() {
    let mut draw = vec![0xa4, 0x65];
    draw.extend(b"Rbase");
    draw.extend([0x58, 32]);
    draw.extend([7; 32]);
    draw.push(0x64);
    draw.extend(b"Pers");
    draw.extend([2, 0x65]);
    draw.extend(b"Round");
    draw.extend([0x1a, 0, 1, 0, 0, 0x67]);
    draw.extend(b"Entropy");
    draw.extend([0x44, 0x43, 0x00, 0xe8, 0x07]);
    let good = Object::read(&wanted("drawrandomparam", draw.clone(), Vec::new()));
    assert_eq!((good.class(|_| false), good), (Class::ProofCritical, Object::Draw));
    draw.push(0);
    for bad in [draw, Vec::new(), vec![0xa0]] {
        let bad = Object::read(&wanted("drawrandomparam", bad, Vec::new()));
        assert_eq!((bad.class(|_| true), bad), (Class::Change, Object::Plain));
    }
}

#[test]
fn only_a_window_post_of_the_key_to_an_own_miner_goes_past_the_limits() {
    let (miner, key) = (Address::new_id(1000), address::parse(KEY).unwrap());
    let good = call(key, miner, SUBMIT_WINDOWED_POST, post());
    assert_eq!(good, Object::WindowPost { miner: 1000 });
    assert_eq!(good.class(|miner| miner == 1000), Class::ProofCritical);
    assert_eq!(good.class(|_| false), Class::Change);
    let other = Address::new_secp256k1(&[4; 65]).unwrap();
    for bad in [
        call(key, miner, SUBMIT_WINDOWED_POST, vec![0x80]),
        call(key, miner, SUBMIT_WINDOWED_POST + 1, post()),
        call(key, key, SUBMIT_WINDOWED_POST, post()),
        call(other, miner, SUBMIT_WINDOWED_POST, post()),
        Object::read(&wanted("message", vec![1; 38], vec![0x80])),
        Object::read(&wanted("message", Vec::new(), Vec::new())),
    ] {
        assert_eq!((bad.class(|_| true), bad), (Class::Change, Object::Plain));
    }
}

#[test]
fn other_words_are_plain() {
    for word in ["unknown", "verifyaddress", "nonsense", "Block"] {
        assert_eq!(Object::read(&wanted(word, vec![1], Vec::new())), Object::Plain);
    }
}
