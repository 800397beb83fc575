//! Round trips and refusals over generated values.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use hesper_chain::block::{BeaconEntry, BlockHeader, BlockMsg, ElectionProof, PoStProof, Ticket};
use hesper_chain::json::LotusJson;
use hesper_chain::signature::{Signature, SignatureKind};
use hesper_chain::{
    Address, BigInt, Cid, Message, Network, RawBytes, SignedMessage, TokenAmount, address, amount,
    cbor, cid, message,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn any_address() -> impl Strategy<Value = Address> {
    let id = 0..=i64::MAX as u64;
    prop_oneof![
        id.clone().prop_map(Address::new_id),
        vec(any::<u8>(), 65).prop_map(|key| Address::new_secp256k1(&key).unwrap()),
        vec(any::<u8>(), 1..40).prop_map(|bytes| Address::new_actor(&bytes)),
        vec(any::<u8>(), 48).prop_map(|key| Address::new_bls(&key).unwrap()),
        (id, vec(any::<u8>(), 0..=54)).prop_map(|(namespace, subaddress)| {
            Address::new_delegated(namespace, &subaddress).unwrap()
        }),
    ]
}

fn any_integer() -> impl Strategy<Value = BigInt> {
    (any::<bool>(), vec(any::<u8>(), 0..=127)).prop_map(|(negative, bytes)| {
        let magnitude = BigInt::from_bytes_be(num_bigint::Sign::Plus, &bytes);
        if negative { -magnitude } else { magnitude }
    })
}

fn any_amount() -> impl Strategy<Value = TokenAmount> {
    any_integer().prop_map(TokenAmount::from_atto)
}

fn any_cid() -> impl Strategy<Value = Cid> {
    any::<[u8; 8]>().prop_map(|bytes| cid::of_cbor(&bytes))
}

prop_compose! {
    fn any_message()(
        to in any_address(),
        from in any_address(),
        sequence in any::<u64>(),
        value in any_amount(),
        gas_limit in 0..=i64::MAX as u64,
        gas_fee_cap in any_amount(),
        gas_premium in any_amount(),
        method_num in any::<u64>(),
        params in vec(any::<u8>(), 0..300),
    ) -> Message {
        Message {
            version: 0, to, from, sequence, value, gas_limit, gas_fee_cap, gas_premium, method_num,
            params: RawBytes::new(params),
        }
    }
}

fn any_signature() -> impl Strategy<Value = Signature> {
    let kind = prop::sample::select(SignatureKind::ALL.to_vec());
    (kind, vec(any::<u8>(), 0..200)).prop_map(|(kind, bytes)| Signature { kind, bytes })
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..100)
}

prop_compose! {
    fn any_header()(
        miner in any_address(),
        ticket in prop::option::of(any_bytes().prop_map(|vrf_proof| Ticket { vrf_proof })),
        election_proof in prop::option::of((any::<i64>(), any_bytes()).prop_map(
            |(win_count, vrf_proof)| ElectionProof { win_count, vrf_proof },
        )),
        beacon_entries in vec((any::<u64>(), any_bytes()).prop_map(
            |(round, data)| BeaconEntry { round, data },
        ), 0..3),
        win_post_proof in vec((any::<i64>(), any_bytes()).prop_map(
            |(proof_type, bytes)| PoStProof { proof_type, bytes },
        ), 0..3),
        parents in vec(any_cid(), 0..4),
        (parent_weight, height, timestamp, fork_signaling) in
            (any_integer(), any::<i64>(), any::<u64>(), any::<u64>()),
        roots in (any_cid(), any_cid(), any_cid()),
        (bls_aggregate, block_sig) in
            (prop::option::of(any_signature()), prop::option::of(any_signature())),
        parent_base_fee in any_amount(),
    ) -> BlockHeader {
        BlockHeader {
            miner, ticket, election_proof, beacon_entries, win_post_proof, parents, parent_weight,
            height, parent_state_root: roots.0, parent_message_receipts: roots.1,
            messages: roots.2, bls_aggregate, timestamp, block_sig, fork_signaling,
            parent_base_fee,
        }
    }
}

/// Changes one byte of an encoding: what still decodes must be another value of these very bytes.
fn damaged(bytes: &[u8], at: prop::sample::Index, flip: u8) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[at.index(bytes.len())] ^= flip;
    damaged
}

proptest! {
    #[test]
    fn addresses_round_trip(address in any_address(), main in any::<bool>()) {
        let network = if main { Network::Mainnet } else { Network::Testnet };
        let text = address::format(&address, network);
        prop_assert_eq!(address::parse_with_network(&text).unwrap(), (address, network));
        prop_assert_eq!(address::from_bytes(&address.to_bytes()).unwrap(), address);
        let json = address.to_lotus_json_on(network);
        prop_assert_eq!(Address::from_lotus_json(&json).unwrap(), address);
        prop_assert_eq!(address::check(&address), Ok(()));
    }

    #[test]
    fn any_text_and_bytes_that_pass_are_canonical(
        text in "[ft][0-5][a-z0-9]{0,50}", bytes in vec(any::<u8>(), 0..70),
    ) {
        if let Ok((address, network)) = address::parse_with_network(&text) {
            prop_assert_eq!(address::format(&address, network), text);
        }
        if let Ok(address) = address::from_bytes(&bytes) {
            prop_assert_eq!(address.to_bytes(), bytes);
        }
    }

    #[test]
    fn amounts_round_trip(amount in any_amount()) {
        let bytes = cbor::encode(&amount).unwrap();
        prop_assert_eq!(&cbor::decode_canonical::<TokenAmount>(&bytes).unwrap(), &amount);
        prop_assert_eq!(&amount::parse_atto(&amount::format_atto(&amount)).unwrap(), &amount);
        prop_assert_eq!(&TokenAmount::from_lotus_json(&amount.to_lotus_json()).unwrap(), &amount);
        if !amount.is_negative() {
            prop_assert_eq!(&amount::parse(&amount::format_fil(&amount)).unwrap(), &amount);
        }
    }

    #[test]
    fn messages_round_trip(message in any_message(), signature in any_signature()) {
        let bytes = message::encode(&message).unwrap();
        prop_assert_eq!(&message::decode(&bytes).unwrap(), &message);
        prop_assert_eq!(&Message::from_lotus_json(&message.to_lotus_json()).unwrap(), &message);
        let signed = SignedMessage { message, signature };
        prop_assert_eq!(&SignedMessage::decode(&signed.encode().unwrap()).unwrap(), &signed);
        prop_assert_eq!(&SignedMessage::from_lotus_json(&signed.to_lotus_json()).unwrap(), &signed);
    }

    #[test]
    fn headers_round_trip(header in any_header(), cids in vec(any_cid(), 0..5)) {
        let bytes = header.encode().unwrap();
        prop_assert_eq!(&BlockHeader::decode(&bytes).unwrap(), &header);
        prop_assert_eq!(&BlockHeader::from_lotus_json(&header.to_lotus_json()).unwrap(), &header);
        let block = BlockMsg { header, bls_messages: cids.clone(), secp_messages: cids };
        prop_assert_eq!(&BlockMsg::decode(&block.encode().unwrap()).unwrap(), &block);
        prop_assert_eq!(&BlockMsg::from_lotus_json(&block.to_lotus_json()).unwrap(), &block);
    }

    #[test]
    fn a_damaged_message_is_refused_or_another(
        message in any_message(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let bytes = damaged(&message::encode(&message).unwrap(), at, flip);
        if let Ok(other) = message::decode(&bytes) {
            prop_assert_ne!(&other, &message);
            prop_assert_eq!(message::encode(&other).unwrap(), bytes);
        }
    }

    #[test]
    fn a_damaged_header_is_refused_or_another(
        header in any_header(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let bytes = damaged(&header.encode().unwrap(), at, flip);
        if let Ok(other) = BlockHeader::decode(&bytes) {
            prop_assert_ne!(&other, &header);
            prop_assert_eq!(other.encode().unwrap(), bytes);
        }
    }

    /// Whatever the checker passes, the general decoder reads and writes back to the same bytes.
    #[test]
    fn what_validates_is_read_by_the_general_decoder(bytes in vec(any::<u8>(), 0..40)) {
        if cbor::validate(&bytes).is_ok() {
            let read: ipld_core::ipld::Ipld = fvm_ipld_encoding::from_slice(&bytes).unwrap();
            prop_assert_eq!(fvm_ipld_encoding::to_vec(&read).unwrap(), bytes);
        }
    }
}
