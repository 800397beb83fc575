use fvm_ipld_encoding::RawBytes;
use fvm_shared::address::Address;
use num_bigint::BigInt;

use super::*;

fn sample() -> Message {
    Message {
        version: 0,
        to: Address::new_id(1234),
        from: Address::new_actor(b"sender"),
        sequence: 7,
        value: TokenAmount::from_whole(2),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(100),
        gas_premium: TokenAmount::from_atto(99),
        method_num: 16,
        params: RawBytes::new(vec![0x81, 0x40]),
    }
}

fn refusal(change: impl FnOnce(&mut Message)) -> MessageError {
    let mut message = sample();
    change(&mut message);
    check_for_block(&message, 500).unwrap_err()
}

/// The sample with one field replaced by other CBOR; fields count from 0.
fn with_field(field: usize, cbor: &[u8]) -> Vec<u8> {
    let message = sample();
    let fields = [
        cbor::encode(&message.version),
        cbor::encode(&message.to),
        cbor::encode(&message.from),
        cbor::encode(&message.sequence),
        cbor::encode(&message.value),
        cbor::encode(&message.gas_limit),
        cbor::encode(&message.gas_fee_cap),
        cbor::encode(&message.gas_premium),
        cbor::encode(&message.method_num),
        cbor::encode(&message.params),
    ];
    let mut bytes = vec![0x8a];
    for (index, part) in fields.into_iter().enumerate() {
        bytes.extend(if index == field { cbor.to_vec() } else { part.unwrap() });
    }
    bytes
}

#[test]
fn a_message_round_trips() {
    let bytes = encode(&sample()).unwrap();
    assert_eq!(decode(&bytes).unwrap(), sample());
    assert_eq!(with_field(10, &[]), bytes);
}

#[test]
fn changed_bytes_are_refused_or_another_message() {
    let bytes = encode(&sample()).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        if let Ok(message) = decode(&changed) {
            assert_ne!(message, sample());
            assert_eq!(encode(&message).unwrap(), changed);
        }
        assert!(decode(&bytes[..at]).is_err(), "{at} bytes were taken for a message");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let bytes = [encode(&sample()).unwrap(), vec![0]].concat();
    assert!(matches!(decode(&bytes), Err(DecodeError::Trailing { count: 1, .. })));
}

#[test]
fn a_tuple_of_another_length_is_refused() {
    let mut longer = encode(&sample()).unwrap();
    longer[0] = 0x8b;
    longer.push(0);
    assert!(decode(&longer).is_err());
    let mut shorter = with_field(9, &[]);
    shorter[0] = 0x89;
    assert!(decode(&shorter).is_err());
}

#[test]
fn numbers_that_are_not_canonical_or_negative_are_refused() {
    assert!(matches!(decode(&with_field(3, &[0x18, 7])), Err(DecodeError::NotCanonical { .. })));
    assert!(decode(&with_field(3, &[0x20])).is_err(), "a negative nonce");
    assert!(decode(&with_field(5, &[0x20])).is_err(), "a negative gas limit");
    let limit = [0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(
        decode(&with_field(5, &limit)),
        Err(DecodeError::Number { field: "gas limit", .. })
    ));
}

#[test]
fn addresses_with_undefined_protocols_or_64_bit_ids_are_refused() {
    assert!(decode(&with_field(1, &[0x42, 5, 1])).is_err());
    assert!(decode(&with_field(1, &[0x40])).is_err(), "the undefined address");
    let id = cbor::encode(&Address::new_id(1 << 63)).unwrap();
    assert!(matches!(decode(&with_field(1, &id)), Err(DecodeError::Address { .. })));
}

#[test]
fn oversize_amounts_are_refused_and_have_no_cid() {
    let largest: BigInt = BigInt::from(2).pow(127 * 8) - 1;
    let mut message = sample();
    message.value = TokenAmount::from_atto(largest.clone());
    assert_eq!(decode(&encode(&message).unwrap()).unwrap(), message);
    message.value = TokenAmount::from_atto(largest + 1);
    assert!(encode(&message).is_err());
    assert!(cid(&message).is_err());
    let oversize = [&[0x58, 129, 0][..], &[0xff; 128]].concat();
    assert!(decode(&with_field(4, &oversize)).is_err());
}

#[test]
fn a_sound_message_may_enter_a_block() {
    check_for_block(&sample(), 1_000_000).unwrap();
}

#[test]
fn each_rule_for_blocks_refuses_what_breaks_it() {
    assert_eq!(refusal(|message| message.version = 1), MessageError::Version(1));
    assert!(matches!(
        refusal(|message| message.from = Address::new_id(1 << 63)),
        MessageError::Address { field: "sender", .. }
    ));
    let mut zero = [0; 48];
    zero[0] = 0xc0;
    assert_eq!(
        refusal(|message| message.to = Address::new_bls(&zero).unwrap()),
        MessageError::ZeroReceiver
    );
    assert!(matches!(
        refusal(|message| message.value = TokenAmount::from_atto(-1)),
        MessageError::Amount { field: "value", source: AmountError::Negative(_) }
    ));
    assert!(matches!(
        refusal(|message| message.value = TokenAmount::from_whole(2_000_000_001_u64)),
        MessageError::Amount { field: "value", source: AmountError::MoreThanExists(_) }
    ));
    assert!(matches!(
        refusal(|message| message.gas_fee_cap = TokenAmount::from_atto(-1)),
        MessageError::Amount { field: "gas fee cap", .. }
    ));
    assert!(matches!(
        refusal(|message| message.gas_premium = TokenAmount::from_atto(-1)),
        MessageError::Amount { field: "gas premium", .. }
    ));
    assert!(matches!(
        refusal(|message| message.gas_premium = TokenAmount::from_atto(101)),
        MessageError::PremiumAboveFeeCap { .. }
    ));
    for limit in [0, BLOCK_GAS_LIMIT + 1] {
        assert_eq!(refusal(|message| message.gas_limit = limit), MessageError::GasLimit(limit));
    }
    assert_eq!(
        refusal(|message| message.gas_limit = 499),
        MessageError::GasTooLow { limit: 499, needed: 500 }
    );
}

#[test]
fn only_a_bls_signature_leaves_the_cid_as_it_is() {
    for kind in SignatureKind::ALL {
        let signed =
            SignedMessage { message: sample(), signature: Signature { kind, bytes: vec![1; 65] } };
        let bytes = signed.encode().unwrap();
        assert_eq!(SignedMessage::decode(&bytes).unwrap(), signed);
        let is_bls = kind == SignatureKind::Bls;
        assert_eq!(signed.cid().unwrap() == cid(&sample()).unwrap(), is_bls);
        let counted = if is_bls { encode(&sample()).unwrap().len() } else { bytes.len() };
        assert_eq!(signed.chain_bytes().unwrap(), counted);
        assert!(SignedMessage::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn signatures_of_unknown_kind_or_length_are_refused() {
    let message = encode(&sample()).unwrap();
    let signed = |signature: &[u8]| [&[0x82][..], &message, signature].concat();
    assert!(SignedMessage::decode(&signed(&[0x42, 1, 0])).is_ok());
    assert!(SignedMessage::decode(&signed(&[0x42, 4, 0])).is_err());
    assert!(SignedMessage::decode(&signed(&[0x40])).is_err());
    assert!(SignedMessage::decode(&signed(&[0xf6])).is_err());
    let long = [&[0x58, 201, 1][..], &[0; 200]].concat();
    assert!(SignedMessage::decode(&signed(&long)).is_err());
}
