use super::*;
use crate::signature::SignatureKind;

pub(crate) fn sample() -> BlockHeader {
    let signature = Signature { kind: SignatureKind::Bls, bytes: vec![7; 96] };
    BlockHeader {
        miner: Address::new_id(1000),
        ticket: Some(Ticket { vrf_proof: vec![1; 96] }),
        election_proof: Some(ElectionProof { win_count: 1, vrf_proof: vec![2; 96] }),
        beacon_entries: vec![BeaconEntry { round: 9, data: vec![3; 48] }],
        win_post_proof: vec![PoStProof { proof_type: 3, bytes: vec![4; 192] }],
        parents: vec![crate::cid::of_cbor(b"parent")],
        parent_weight: BigInt::from(1_000_000),
        height: 12,
        parent_state_root: crate::cid::of_cbor(b"state"),
        parent_message_receipts: crate::cid::of_cbor(b"receipts"),
        messages: crate::cid::of_cbor(b"messages"),
        bls_aggregate: Some(signature.clone()),
        timestamp: 1_700_000_000,
        block_sig: Some(signature),
        fork_signaling: 0,
        parent_base_fee: TokenAmount::from_atto(100),
    }
}

fn refusal(change: impl FnOnce(&mut BlockHeader)) -> HeaderError {
    let mut header = sample();
    change(&mut header);
    header.check().unwrap_err()
}

#[test]
fn a_header_round_trips_and_its_signature_is_not_signed() {
    let header = sample();
    let bytes = header.encode().unwrap();
    assert_eq!(BlockHeader::decode(&bytes).unwrap(), header);
    let mut other = sample();
    other.block_sig = Some(Signature { kind: SignatureKind::Bls, bytes: vec![8; 96] });
    assert_eq!(other.signing_bytes().unwrap(), header.signing_bytes().unwrap());
    assert_ne!(other.cid().unwrap(), header.cid().unwrap());
    let unsigned = BlockHeader::decode(&header.signing_bytes().unwrap()).unwrap();
    assert_eq!(unsigned, BlockHeader { block_sig: None, ..sample() });
}

#[test]
fn cut_long_and_foreign_bytes_are_no_header() {
    let bytes = sample().encode().unwrap();
    for length in 0..bytes.len() {
        assert!(BlockHeader::decode(&bytes[..length]).is_err());
    }
    assert!(BlockHeader::decode(&[&bytes[..], &[0xf6]].concat()).is_err());
    assert!(matches!(
        BlockHeader::decode(&vec![0; BLOCK_BYTES_MAX + 1]),
        Err(DecodeError::TooLong { .. })
    ));
    let large = BlockHeader { miner: Address::new_id(1 << 63), ..sample() };
    assert!(matches!(
        BlockHeader::decode(&large.encode().unwrap()),
        Err(DecodeError::Address { .. })
    ));
}

#[test]
fn each_header_rule_refuses_what_breaks_it() {
    sample().check().unwrap();
    assert_eq!(refusal(|header| header.miner = Address::new_actor(b"m")), HeaderError::Miner);
    assert_eq!(refusal(|header| header.ticket = None), HeaderError::Missing("ticket"));
    assert_eq!(
        refusal(|header| header.election_proof = None),
        HeaderError::Missing("election proof")
    );
    assert_eq!(
        refusal(|header| header.bls_aggregate = None),
        HeaderError::Missing("aggregate signature")
    );
    assert_eq!(refusal(|header| header.block_sig = None), HeaderError::Missing("signature"));
    assert_eq!(refusal(|header| header.parents.clear()), HeaderError::Missing("parents"));
    assert_eq!(
        refusal(|header| header.win_post_proof.clear()),
        HeaderError::Missing("winning PoSt")
    );
    assert_eq!(refusal(|header| header.height = 0), HeaderError::Height(0));
    assert_eq!(refusal(|header| header.height = -1), HeaderError::Height(-1));
    let no_win = ElectionProof { win_count: 0, vrf_proof: vec![2; 96] };
    assert_eq!(refusal(|header| header.election_proof = Some(no_win)), HeaderError::WinCount(0));
    assert_eq!(
        refusal(|header| header.parent_weight = BigInt::from(-1)),
        HeaderError::Negative("parent weight")
    );
    assert_eq!(
        refusal(|header| header.parent_base_fee = TokenAmount::from_atto(-1)),
        HeaderError::Negative("parent base fee")
    );
    let twice = sample().parents[0];
    assert_eq!(refusal(|header| header.parents.push(twice)), HeaderError::ParentTwice(twice));
}

#[test]
fn the_gossip_form_round_trips_and_is_bounded() {
    let cid = crate::cid::of_cbor(b"message");
    let block = BlockMsg { header: sample(), bls_messages: vec![cid], secp_messages: vec![] };
    let bytes = block.encode().unwrap();
    assert_eq!(BlockMsg::decode(&bytes).unwrap(), block);
    assert!(BlockMsg::decode(&[&bytes[..], &[0]].concat()).is_err());
    let full = BlockMsg { bls_messages: vec![cid; BLOCK_MESSAGES_MAX + 1], ..block };
    assert!(matches!(
        BlockMsg::decode(&full.encode().unwrap()),
        Err(DecodeError::TooManyMessages { count: 10_001, .. })
    ));
}

#[test]
fn the_message_root_tells_kinds_and_orders_apart() {
    let (a, b) = (crate::cid::of_cbor(b"a"), crate::cid::of_cbor(b"b"));
    let root = |bls: &[Cid], secp: &[Cid]| msg_meta_root(bls, secp).unwrap();
    // The root of a block without messages, as the chain has it since its second block: bytes 82
    // and two links to the empty array.
    let empty = crate::cid::of_cbor(&[0x83, 0, 0, 0x83, 0x41, 0, 0x80, 0x80]);
    let meta = MsgMeta { bls_message_root: empty, secp_message_root: empty };
    assert_eq!(root(&[], &[]), meta.cid().unwrap());
    assert_ne!(root(&[a], &[]), root(&[], &[a]));
    assert_ne!(root(&[a, b], &[]), root(&[b, a], &[]));
    let many: Vec<Cid> = (0..100_u8).map(|index| crate::cid::of_cbor(&[index])).collect();
    assert_ne!(root(&many, &[]), root(&many[..99], &[]));
}

#[test]
fn the_message_roots_have_a_json_form() {
    use crate::json::LotusJson;
    let (bls, secp) = (crate::cid::of_cbor(b"b"), crate::cid::of_cbor(b"s"));
    let meta = MsgMeta { bls_message_root: bls, secp_message_root: secp };
    let json = meta.to_lotus_json();
    assert_eq!(json["BlsMessages"]["/"], bls.to_string());
    assert_eq!(json["SecpkMessages"]["/"], secp.to_string());
    assert_eq!(MsgMeta::from_lotus_json(&json).unwrap(), meta);
    assert!(MsgMeta::from_lotus_json(&serde_json::json!({})).is_err());
}

#[test]
fn a_signature_that_could_not_be_read_back_is_not_written() {
    let mut header = sample();
    let signature = |length| Some(Signature { kind: SignatureKind::Bls, bytes: vec![0; length] });
    header.block_sig = signature(199);
    assert_eq!(BlockHeader::decode(&header.encode().unwrap()).unwrap(), header);
    header.block_sig = signature(200);
    assert!(header.encode().is_err());
}
