use hesper_chain::{Address, Network, address, message};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::samples::{self, Sample, draw_param, header, key, samples, unhex, vote, voucher};
use super::*;

/// Makes a valid object invalid.
type Change<T> = fn(&mut T);

const ISSUED: [[u8; 32]; 2] = [[7; 32], [8; 32]];

fn context() -> Context<'static> {
    Context { network: Network::Testnet, eth_chain_id: 314, issued: &ISSUED }
}

fn parse_checked(sample: &Sample, to_sign: &[u8]) -> Result<Parsed, ObjectError> {
    parse(sample.object_type, to_sign, &sample.object, &context())
}

#[test]
fn every_type_but_unknown_is_supported_and_names_its_source() {
    let table = supported();
    assert_eq!(table.len(), ObjectType::ALL.len());
    for support in table {
        assert_eq!(ObjectType::of_word(support.object_type.word()).ok(), Some(support.object_type));
        let is_unknown = support.object_type == ObjectType::Unknown;
        assert_eq!(support.is_supported, !is_unknown);
        assert_eq!(support.source == "none", is_unknown, "{}", support.object_type.word());
    }
    assert!(matches!(ObjectType::of_word("Message"), Err(ObjectError::NoSuchType { .. })));
}

#[test]
fn each_valid_object_gives_the_bytes_that_others_sign_for_it() {
    for sample in samples() {
        let word = sample.object_type.word();
        let parsed = parse_checked(&sample, &sample.signing_bytes);
        let parsed = parsed.unwrap_or_else(|error| panic!("{word}: {error:?}"));
        assert_eq!(parsed.signing_bytes, sample.signing_bytes, "{word}");
        assert!(parsed.shown.is_object(), "{word}");
        // Venus's form, in which the object stands where we have the digest.
        let plain = parse(sample.object_type, &sample.object, &[], &context());
        match sample.object_type {
            ObjectType::Message => assert!(matches!(plain, Err(ObjectError::Missing { .. }))),
            _ => assert_eq!(plain.expect(word).signing_bytes, sample.signing_bytes, "{word}"),
        }
    }
}

#[test]
fn one_changed_byte_of_the_callers_digest_is_refused_for_each_type() {
    for sample in samples() {
        for at in 0..sample.signing_bytes.len() {
            let mut digest = sample.signing_bytes.clone();
            digest[at] ^= 1;
            let word = sample.object_type.word();
            let refused = parse_checked(&sample, &digest).expect_err(word);
            assert!(refused.is_mismatch(), "{word}, byte {at}: {refused}");
        }
        let mut longer = sample.signing_bytes.clone();
        longer.push(0);
        for digest in [&longer[..], &longer[..longer.len() - 2], &[]] {
            assert!(parse_checked(&sample, digest).expect_err("a digest").is_mismatch());
        }
    }
}

#[test]
fn one_changed_byte_of_the_object_is_refused_for_each_type() {
    for sample in samples() {
        // What is not signed may change: the voucher's and the ask's old signature.
        let unsigned_tail = match sample.object_type {
            ObjectType::SignedVoucher => 66,
            ObjectType::AskResponse => 97,
            _ => 0,
        };
        for at in 0..sample.object.len() - unsigned_tail {
            for bit in [0x01, 0x20, 0x80] {
                let mut changed = sample.object.clone();
                changed[at] ^= bit;
                let changed = Sample { object: changed, ..sample_of(sample.object_type) };
                let result = parse_checked(&changed, &sample.signing_bytes);
                assert!(result.is_err(), "{}, byte {at}", sample.object_type.word());
            }
        }
    }
}

fn sample_of(object_type: ObjectType) -> Sample {
    let found = samples().into_iter().find(|sample| sample.object_type == object_type);
    found.expect("there is a sample of the type")
}

#[test]
fn trailing_and_missing_bytes_are_refused_for_each_type() {
    for sample in samples() {
        let word = sample.object_type.word();
        for tail in [&[0][..], &[0xf6], &sample.object] {
            let longer = [&sample.object[..], tail].concat();
            let checked = parse(sample.object_type, &sample.signing_bytes, &longer, &context());
            assert!(checked.is_err(), "{word}");
            assert!(parse(sample.object_type, &longer, &[], &context()).is_err(), "{word}");
        }
        for length in 0..sample.object.len() {
            let shorter = &sample.object[..length];
            let plain = parse(sample.object_type, shorter, &[], &context());
            assert!(plain.is_err(), "{word} of {length} bytes");
        }
    }
}

/// The attack of the older wallets: they parse Extra, show it to the filter, and sign the other
/// bytes.
#[test]
fn an_innocent_extra_with_the_digest_of_another_message_is_refused() {
    let from = key().address();
    let innocent = message::encode(&samples::message(from, Address::new_id(99), 0, Vec::new()));
    let evil = samples::message(from, Address::new_id(1234), 23, vec![0x42, 0, 1]);
    let evil = message::cid(&evil).expect("it is a message").to_bytes();
    let refused =
        parse(ObjectType::Message, &evil, &innocent.expect("it is a message"), &context());
    assert!(matches!(refused, Err(ObjectError::Mismatch { .. })), "{refused:?}");
}

#[test]
fn an_object_of_one_type_is_no_object_of_another() {
    for sample in samples() {
        for other in ObjectType::ALL {
            // These two are not what is signed; what is signed for them has its own test below.
            let is_only_shown =
                matches!(sample.object_type, ObjectType::ClientDeal | ObjectType::AskResponse);
            if other == sample.object_type || (is_only_shown && other == ObjectType::Unknown) {
                continue;
            }
            let plain = parse(other, &sample.object, &[], &context());
            assert!(plain.is_err(), "a {} as {}", sample.object_type.word(), other.word());
        }
    }
}

#[test]
fn no_permissive_type_signs_what_is_signed_for_another() {
    let permissive = [ObjectType::DrawRandomParam, ObjectType::F3, ObjectType::VerifyAddress];
    for sample in samples() {
        for object_type in permissive {
            if object_type == sample.object_type {
                continue;
            }
            let target = &sample.signing_bytes;
            let word = sample.object_type.word();
            assert!(parse(object_type, target, &[], &context()).is_err(), "{word}");
            assert!(parse(object_type, target, target, &context()).is_err(), "{word}");
        }
        let as_unknown = parse(ObjectType::Unknown, &sample.signing_bytes, &[], &context());
        // A bare digest of randomness tells nothing; a rule for `unknown` lets it through.
        let is_bare = sample.object_type == ObjectType::DrawRandomParam;
        assert_eq!(as_unknown.is_ok(), is_bare, "{}", sample.object_type.word());
    }
}

#[test]
fn a_transaction_of_a_delegated_sender_is_derived_and_not_taken_over() {
    let from = address::from_ethereum(&[0x11; 20]);
    let to = address::from_ethereum(&[0x22; 20]);
    let mut transfer = samples::message(
        from,
        to,
        hesper_chain::method::frc42("InvokeEVM").expect("it is a name"),
        Vec::new(),
    );
    let object = message::encode(&transfer).expect("it is a message");
    let payload = hesper_chain::signature::message_payload(
        &transfer,
        hesper_chain::signature::SignatureKind::Delegated,
        314,
    )
    .expect("it is a transaction");
    let parsed = parse(ObjectType::Message, &payload, &object, &context()).expect("it fits");
    assert_eq!(parsed.signing_bytes, payload);
    // The CID is not what a delegated key signs.
    let cid = message::cid(&transfer).expect("it is a message").to_bytes();
    assert!(parse(ObjectType::Message, &cid, &object, &context()).is_err());
    // Another chain's transaction is another payload.
    let elsewhere = Context { eth_chain_id: 314_159, ..context() };
    assert!(parse(ObjectType::Message, &payload, &object, &elsewhere).is_err());
    transfer.sequence += 1;
    let next = message::encode(&transfer).expect("it is a message");
    assert!(parse(ObjectType::Message, &payload, &next, &context()).is_err());
    assert!(parse(ObjectType::Unknown, &payload, &[], &context()).is_err());
}

#[test]
fn messages_that_no_block_may_hold_are_refused() {
    let from = key().address();
    let valid = samples::message(from, Address::new_id(99), 0, Vec::new());
    let cases: [(&str, Change<hesper_chain::Message>); 7] = [
        ("version", |message| message.version = 1),
        ("negative value", |message| message.value = -message.value.clone()),
        ("more than there is", |message| {
            message.value *= 3_000_000_000_000_000_000_000_000_000i128
        }),
        ("premium above cap", |message| message.gas_premium *= 1000),
        ("no gas", |message| message.gas_limit = 0),
        ("too much gas", |message| message.gas_limit = 10_000_000_001),
        ("sender is no key", |message| message.from = Address::new_id(5)),
    ];
    for (what, change) in cases {
        let mut message = valid.clone();
        change(&mut message);
        let object = message::encode(&message).expect(what);
        let digest = message::cid(&message).expect(what).to_bytes();
        assert!(parse(ObjectType::Message, &digest, &object, &context()).is_err(), "{what}");
    }
}

#[test]
fn headers_without_what_a_block_needs_are_refused() {
    let cases: [(&str, Change<hesper_chain::block::BlockHeader>); 5] = [
        ("genesis", |header| header.height = 0),
        ("orphan", |header| header.parents.clear()),
        ("no ticket", |header| header.ticket = None),
        ("no election", |header| header.election_proof = None),
        ("miner is no id", |header| header.miner = key().address()),
    ];
    for (what, change) in cases {
        let mut header = header(1000, 10, b"parent");
        change(&mut header);
        let object = header.encode().expect(what);
        assert!(parse(ObjectType::Block, &object, &[], &context()).is_err(), "{what}");
    }
    let mut signed = header(1000, 10, b"parent");
    signed.block_sig = Some(key().sign(b"header"));
    let object = signed.encode().expect("it is a header");
    assert!(parse(ObjectType::Block, &object, &[], &context()).is_err());
}

#[test]
fn a_block_hands_on_what_a_second_one_would_contradict() {
    let header = header(1000, 10, b"parent");
    let object = header.signing_bytes().expect("it is a header");
    let parsed = parse(ObjectType::Block, &object, &[], &context()).expect("it is a block");
    let facts = parsed.block.expect("it is a block");
    assert_eq!((facts.miner, facts.epoch), (Address::new_id(1000), 10));
    assert_eq!(facts.header, hesper_chain::cid::of_cbor(&object));
    assert_eq!(facts.parents, header.parents[0].to_bytes());
}

#[test]
fn only_draws_of_the_chains_own_are_signed() {
    let miner = [0x43, 0, 0xe8, 0x07];
    let ticket = [&miner[..], &[1; 96]].concat();
    let accepted = [(1, &miner[..]), (2, &miner), (1, &ticket)];
    for (tag, entropy) in accepted {
        let object = draw_param(tag, entropy);
        let parsed = parse(ObjectType::DrawRandomParam, &object, &[], &context());
        let parsed = parsed.expect("it is a draw");
        assert_eq!(parsed.to, Some(Address::new_id(1000)));
        assert_eq!(parsed.signing_bytes.len(), 32);
    }
    let longer = [&ticket[..], &[0]].concat();
    let key_address = [&[0x45, 1][..], &[0; 4]].concat();
    let refused: [(&str, u64, &[u8]); 7] = [
        ("winning PoSt", 3, &miner),
        ("no tag", 0, &miner),
        ("election with a ticket", 2, &ticket),
        ("longer than a ticket", 1, &longer),
        ("no miner", 1, &[]),
        ("miner cut short", 1, &miner[..3]),
        ("miner is no id", 1, &key_address),
    ];
    for (what, tag, entropy) in refused {
        let object = draw_param(tag, entropy);
        let result = parse(ObjectType::DrawRandomParam, &object, &[], &context());
        assert!(result.is_err(), "{what}");
    }
}

#[test]
fn a_voucher_is_signed_without_its_signature_and_for_its_amount() {
    let parse = |object: &[u8]| parse(ObjectType::SignedVoucher, object, &[], &context());
    let parsed = parse(&voucher(&[0, 0x7b], node::Node::Null)).expect("it is a voucher");
    assert_eq!(parsed.value, TokenAmount::from_atto(0x7b));
    assert_eq!(parsed.shown["Merges"], json!([{ "Lane": 1, "Nonce": 2 }]));
    let refused = [
        ("negative", &[1, 0x7b][..]),
        ("leading zero", &[0, 0, 0x7b]),
        ("zero in bytes", &[0]),
        ("no sign", &[2, 1]),
        ("oversize", &[&[0][..], &[0x7f; 128]].concat()),
    ];
    for (what, amount) in refused {
        assert!(parse(&voucher(amount, node::Node::Null)).is_err(), "{what}");
    }
}

#[test]
fn a_proposal_shows_what_it_costs_and_who_may_sign_it() {
    let parsed = parse(ObjectType::DealProposal, &unhex(samples::PROPOSAL), &[], &context());
    let parsed = parsed.expect("it is a proposal");
    // 22 attoFIL for each of 1901 epochs, and the client's collateral.
    assert_eq!(parsed.value, TokenAmount::from_atto(22 * 1901 + 4444));
    assert_eq!(parsed.signer, None, "its client is no key address");
    assert_eq!(parsed.shown["Client"], json!("t2i4llai5x72clnz643iydyplvjmni74x4vyme7ny"));
    assert_eq!(parsed.shown["Label"], json!("label"));
}

/// filecoin-project/go-f3 `gpbft/payload_test.go` and `gpbft/vrf_test.go` (Apache-2.0 / MIT).
#[test]
fn payloads_of_fast_finality_are_laid_out_as_go_f3_does() {
    let vote = unhex(
        "47504246543af09f90a03a060000000000000002000000000000000\
         1f09f90a1206669736820756e64612064612073656120f09faabc2020f09f8c8a\
         0000000000000000000000000000000000000000000000000000000000000000\
         0171a0e40220fb3e4d513234f94f1067bd4a496bb848f0730d9b7c7ffa5ac54eecabb6acd3c7",
    );
    let payload = f3::split(&vote).expect("it is a vote");
    assert!(matches!(
        payload,
        f3::Payload::Vote { network: "🐠", phase: 6, round: 2, instance: 1, .. }
    ));
    assert_eq!(f3::join(&payload), vote);
    let ticket = [
        &b"VRF:longnetworkname:"[..],
        &[0xff; 20],
        b":",
        &(i64::MAX as u64).to_be_bytes(),
        &(i64::MAX as u64).to_be_bytes(),
    ]
    .concat();
    let payload = f3::split(&ticket).expect("it is a ticket");
    let expected = f3::Payload::Ticket {
        network: "longnetworkname",
        beacon: &[0xff; 20],
        instance: i64::MAX as u64,
        round: i64::MAX as u64,
    };
    assert_eq!(payload, expected);
    assert_eq!(f3::join(&payload), ticket);
}

#[test]
fn votes_that_are_never_signed_and_lengths_of_digests_are_refused() {
    let parse = |object: &[u8]| parse(ObjectType::F3, object, &[], &context());
    for phase in 0..=7 {
        assert_eq!(parse(&vote(phase)).is_ok(), (1..=5).contains(&phase), "phase {phase}");
    }
    let ticket = |network: &str, beacon: usize| {
        let network = format!("VRF:{network}:");
        [network.as_bytes(), &vec![6; beacon], b":", &[0; 16]].concat()
    };
    assert!(parse(&ticket("filecoin", 96)).is_ok());
    assert!(parse(&ticket("filecoin", 20)).is_err(), "no beacon has 20 bytes");
    assert!(parse(&ticket("", 32)).is_err(), "no network");
    assert!(parse(&ticket("a b", 32)).is_err(), "no network name");
    let like_digest = ticket("calibratio", 0);
    assert_eq!(like_digest.len(), 32);
    assert!(parse(&like_digest).is_err(), "it could stand for a digest");
    let like_cid = ticket("calibrationnet/2", 0);
    assert_eq!(like_cid.len(), 38);
    assert!(parse(&like_cid).is_err(), "it could stand for a CID");
}

#[test]
fn possession_is_proven_only_with_a_random_value_of_this_wallet() {
    let prove =
        |to_sign: &[u8], extra: &[u8]| parse(ObjectType::VerifyAddress, to_sign, extra, &context());
    let digest = |theirs: [u8; 32], ours: [u8; 32]| {
        Sha256::new().chain_update(theirs).chain_update(ours).finalize().to_vec()
    };
    let right = digest([1; 32], ISSUED[1]);
    let both = [[1; 32], ISSUED[1]].concat();
    assert_eq!(prove(&right, &both).expect("it fits").signing_bytes, right);
    assert_eq!(prove(&right, &[1; 32]).expect("it fits").signing_bytes, right);

    let foreign = digest([1; 32], [9; 32]);
    let foreign_extra = [[1; 32], [9; 32]].concat();
    assert!(prove(&foreign, &foreign_extra).expect_err("not issued").is_mismatch());
    assert!(prove(&foreign, &[1; 32]).expect_err("not issued").is_mismatch());
    let mut wrong = right.clone();
    wrong[31] ^= 1;
    assert!(prove(&wrong, &both).expect_err("changed").is_mismatch());
    assert!(prove(&wrong, &[1; 32]).is_err());
    let mut other = both.clone();
    other[0] ^= 1;
    assert!(prove(&right, &other).expect_err("changed").is_mismatch());
    for length in [0, 31, 33, 63, 65] {
        assert!(prove(&right, &vec![1; length]).is_err(), "{length}");
    }
}

#[test]
fn unknown_bytes_are_taken_as_they_are() {
    let parsed = parse(ObjectType::Unknown, b"hello", &[], &context()).expect("it is text");
    assert_eq!(parsed.signing_bytes, b"hello");
    assert!(parse(ObjectType::Unknown, b"hello", b"hellO", &context()).is_err());
    assert!(parse(ObjectType::Unknown, &[0; 65 * 1024], &[], &context()).is_err());
    assert!(parse(ObjectType::Unknown, &[], &[], &context()).is_err());
    // Objects that no other type signs, and digests, are as unknown as text.
    for bytes in [&[0x82, 1, 2][..], &[0xa1, 0x61, b'a', 1], &[7; 32]] {
        assert!(parse(ObjectType::Unknown, bytes, &[], &context()).is_ok(), "{bytes:?}");
    }
    let message = samples().swap_remove(0);
    let refused = parse(ObjectType::Unknown, &message.signing_bytes, &[], &context());
    let text = refused.expect_err("it is a message's CID").to_string();
    assert!(text.contains("Filecoin.WalletSignMessage"), "{text}");
    // Ethereum transactions of the older forms.
    assert!(parse(ObjectType::Unknown, &[0xc2, 1, 2], &[], &context()).is_err());
    assert!(parse(ObjectType::Unknown, &[0x01, 0xc1, 1], &[], &context()).is_err());
}

#[test]
fn a_hostile_key_is_not_repeated_whole() {
    let null = super::node::Node::Null;
    let long = super::node::Node::Map(vec![("x".repeat(100_000), null)]).encode();
    let answer = parse(ObjectType::AskResponse, &long, &[], &context()).expect_err("not its key");
    let ObjectError::Shape { source: ShapeError::WrongKey { found, .. }, .. } = answer else {
        panic!("{answer}");
    };
    assert_eq!(found.len(), 40);
}

#[test]
fn an_object_that_is_too_long_is_refused_before_it_is_parsed() {
    for object_type in ObjectType::ALL {
        let long = vec![0x82; 129 << 10];
        assert!(parse(object_type, &long, &[], &context()).is_err(), "{}", object_type.word());
        assert!(parse(object_type, &long, &long, &context()).is_err(), "{}", object_type.word());
    }
}
