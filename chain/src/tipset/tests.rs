use super::*;
use crate::TokenAmount;
use crate::signature::{Signature, SignatureKind};

fn block(miner: u64, ticket: u8) -> BlockHeader {
    let signature = Signature { kind: SignatureKind::Bls, bytes: vec![0; 96] };
    BlockHeader {
        miner: Address::new_id(miner),
        ticket: Some(Ticket { vrf_proof: vec![ticket; 96] }),
        election_proof: None,
        beacon_entries: vec![],
        win_post_proof: vec![],
        parents: vec![crate::cid::of_cbor(b"parent")],
        parent_weight: BigInt::from(5),
        height: 3,
        parent_state_root: crate::cid::of_cbor(b"state"),
        parent_message_receipts: crate::cid::of_cbor(b"receipts"),
        messages: crate::cid::of_cbor(b"messages"),
        bls_aggregate: Some(signature.clone()),
        timestamp: 100 + miner,
        block_sig: Some(signature),
        fork_signaling: 0,
        parent_base_fee: TokenAmount::from_atto(100),
    }
}

fn differs(change: impl FnOnce(&mut BlockHeader)) -> &'static str {
    let mut other = block(2, 2);
    change(&mut other);
    match Tipset::new(vec![block(1, 1), other]) {
        Err(TipsetError::Differs { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn order_is_by_ticket_digest_whatever_the_input_order() {
    let blocks: Vec<BlockHeader> = (1..=6).map(|miner| block(miner.into(), miner)).collect();
    let tipset = Tipset::new(blocks.clone()).unwrap();
    let digests: Vec<[u8; 32]> =
        tipset.blocks().iter().map(|block| block.ticket.as_ref().unwrap().digest()).collect();
    assert!(digests.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(tipset.min_ticket().digest(), digests[0]);
    let reversed = Tipset::new(blocks.into_iter().rev().collect()).unwrap();
    assert_eq!(reversed, tipset);
    assert_eq!(tipset.min_timestamp(), 101);
    assert_eq!((tipset.height(), tipset.parents().cids().len()), (3, 1));
}

#[test]
fn equal_tickets_are_ordered_by_cid() {
    let tipset = Tipset::new((1..=5).map(|miner| block(miner, 1)).collect()).unwrap();
    let cids: Vec<Vec<u8>> = tipset.cids().iter().map(Cid::to_bytes).collect();
    assert!(cids.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn blocks_that_do_not_belong_together_are_refused() {
    assert!(matches!(Tipset::new(vec![]), Err(TipsetError::Empty)));
    assert_eq!(differs(|block| block.height = 4), "height");
    assert_eq!(differs(|block| block.parents.clear()), "parents");
    assert_eq!(differs(|block| block.parent_weight += 1), "parent weight");
    assert_eq!(
        differs(|block| block.parent_state_root = crate::cid::of_cbor(b"other")),
        "parent state"
    );
    assert_eq!(
        differs(|block| block.parent_message_receipts = crate::cid::of_cbor(b"other")),
        "parent receipts"
    );
    assert_eq!(
        differs(|block| block.parent_base_fee = TokenAmount::from_atto(101)),
        "parent base fee"
    );
}

#[test]
fn a_block_a_miner_or_no_ticket_twice_is_refused() {
    assert!(matches!(Tipset::new(vec![block(1, 1), block(1, 1)]), Err(TipsetError::BlockTwice(_))));
    assert!(matches!(
        Tipset::new(vec![block(1, 1), block(1, 2)]),
        Err(TipsetError::MinerTwice(miner)) if miner == "f01"
    ));
    let bare = BlockHeader { ticket: None, ..block(1, 1) };
    assert!(matches!(Tipset::new(vec![bare]), Err(TipsetError::NoTicket(_))));
}

#[test]
fn a_key_is_read_back_from_its_bytes_only() {
    let tipset = Tipset::new(vec![block(1, 1), block(2, 2)]).unwrap();
    let bytes = tipset.key().to_bytes();
    assert_eq!(bytes.len(), 2 * CID_BYTES);
    assert_eq!(TipsetKey::from_bytes(&bytes).unwrap(), *tipset.key());
    assert!(TipsetKey::from_bytes(&[]).unwrap().is_empty());
    assert!(matches!(TipsetKey::from_bytes(&bytes[1..]), Err(KeyError::Length(75))));
    let mut broken = bytes.clone();
    broken[CID_BYTES] = 2;
    assert!(matches!(TipsetKey::from_bytes(&broken), Err(KeyError::Cid { index: 1, .. })));
    broken[CID_BYTES] = 1;
    broken[CID_BYTES + 1] = 0x55;
    assert!(matches!(TipsetKey::from_bytes(&broken), Err(KeyError::NoBlock { index: 1, .. })));
}

#[test]
fn the_cid_of_a_key_is_that_of_its_bytes() {
    let tipset = Tipset::new(vec![block(1, 1)]).unwrap();
    let bytes = [&[0x58, 38][..], &tipset.key().to_bytes()].concat();
    assert_eq!(tipset.key().cid(), crate::cid::of_cbor(&bytes));
}

#[test]
fn tipsets_and_keys_have_one_cbor_form() {
    use crate::cbor::{DecodeError, decode_canonical, encode};
    let tipset = Tipset::new((1..=3).map(|miner| block(miner, 1)).collect()).unwrap();
    let bytes = encode(&tipset).unwrap();
    assert_eq!(decode_canonical::<Tipset>(&bytes).unwrap(), tipset);
    let (cids, blocks) = (tipset.cids().to_vec(), tipset.blocks().to_vec());
    let reversed: Vec<BlockHeader> = blocks.iter().rev().cloned().collect();
    let wrong = [
        encode(&(&cids, &blocks, 4)).unwrap(),
        encode(&(&cids[1..], &blocks, 3)).unwrap(),
        encode(&(&cids, &blocks[1..], 3)).unwrap(),
        encode(&(Vec::<Cid>::new(), Vec::<BlockHeader>::new(), 3)).unwrap(),
        [&bytes[..], &[0]].concat(),
    ];
    for bytes in wrong {
        assert!(decode_canonical::<Tipset>(&bytes).is_err());
    }
    let unsorted = encode(&(&cids, &reversed, 3)).unwrap();
    assert!(matches!(decode_canonical::<Tipset>(&unsorted), Err(DecodeError::OtherForm { .. })));

    let key = encode(tipset.key()).unwrap();
    assert_eq!(&decode_canonical::<TipsetKey>(&key).unwrap(), tipset.key());
    assert!(decode_canonical::<TipsetKey>(&encode(&cids).unwrap()).is_err());
    assert!(decode_canonical::<TipsetKey>(&[0x41, 1]).is_err());
}
