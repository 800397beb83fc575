//! Ethereum style transactions: those of filecoin-project/lotus `chain/types/ethtypes/*_test.go`
//! (MIT / Apache-2.0), transcribed as facts, and every form that must be refused.

use hesper_chain::delegated::{
    EthAddress, EthKind, EthTransaction, METHOD_CREATE_EXTERNAL, METHOD_INVOKE_CONTRACT, RlpError,
    SignedEthTransaction, TransactionError, TransactionSignature, TransactionSignatureError,
};
use hesper_chain::hash::keccak_256;
use hesper_chain::key::{KeyType, SecretKey};
use hesper_chain::secp;
use hesper_chain::signature::{
    PayloadError, Signature, SignatureKind, VerifyError, message_payload, verify, verify_message,
};
use hesper_chain::{Address, Message, RawBytes, TokenAmount, address};
use proptest::prelude::*;

const MAINNET: u64 = 314;
/// The chain id of the two transactions in `TestEIP1559Signatures` (0x01df5e76).
const DEVNET: u64 = 31_415_926;

/// `eth_1559_transactions_test.go`, `prepareTxTestcases`: signed bytes, bytes to sign.
const EIP1559: [(&str, &str); 6] = [
    (
        "02f86282013a8080808094ff000000000000000000000000000000000003ec8080c080a0f411a73e33523b40c1a916e79e67746bd01a4a4fb4ecfa87b441375a215ddfb4a0551692c1553574fab4c227ca70cb1c121dc3a2ef82179a9c984bd7acc0880a38",
        "02df82013a8080808094ff000000000000000000000000000000000003ec8080c0",
    ),
    (
        "02f86382013a81c880808094ff000000000000000000000000000000000003ec8080c001a0ed75a56e365c88479bf3f60251a2dd47ae181f1a3d95724581a3f648487b4396a046628bb9734edf4b4c455f2bbd351e43c466f315272cd1927f2c55d9b52e058b",
        "02e082013a81c880808094ff000000000000000000000000000000000003ec8080c0",
    ),
    (
        "02f88682013a8080808094ff000000000000000000000000000000000003ec80a4f8b2cb4f000000000000000000000000ff00000000000000000000000000000000000064c080a0706d871013403cf8b965dfa7f2be5a4d185d746da45b21d5a67c667c26d255d6a02e68a14f386aa325ce8e82d30405107d53103d038cf20e40af961ef3a3963608",
        "02f84382013a8080808094ff000000000000000000000000000000000003ec80a4f8b2cb4f000000000000000000000000ff00000000000000000000000000000000000064c0",
    ),
    (
        "02f86f82013a81c88082ea6082ea6094ff000000000000000000000000000000000003ec880de0b6b3a764000080c080a0993a50431e82d10d632466d45f8aaffea9a56efa59d529dfd497d3c2a06aabeba0070d3132c6ce1e4ff70b0721d1f4c03ab566b8e2af29d33148033fb3009dc29d",
        "02ec82013a81c88082ea6082ea6094ff000000000000000000000000000000000003ec880de0b6b3a764000080c0",
    ),
    (
        "02f89482013a8082ea6082ea6082ea6094ff000000000000000000000000000000000003ec880de0b6b3a7640000a4f8b2cb4f000000000000000000000000ff00000000000000000000000000000000000064c001a039357ad40087d17551ca2b94723f0394185a993671db02172a7de70c24054852a046c84070dfadd244b358690e5b89c75f3988b21b6614e6e3af2f8ca302d6c42a",
        "02f85182013a8082ea6082ea6082ea6094ff000000000000000000000000000000000003ec880de0b6b3a7640000a4f8b2cb4f000000000000000000000000ff00000000000000000000000000000000000064c0",
    ),
    // `eth_transactions_test.go` of the version before: a creation.
    (
        "02f87382013a81c88080808080a4f8b2cb4f000000000000000000000000ff00000000000000000000000000000000000064c080a0884e063f65a2986844a9e92f9e02561789c231136976715d5afb581435359e87a044295113d06dd7b8bdf105dd412c76fbd966ef6dbe1d8ace984886296a36018c",
        "02f082013a81c88080808080a4f8b2cb4f000000000000000000000000ff00000000000000000000000000000000000064c0",
    ),
];

/// `TestEIP1559Signatures`: signed bytes of creations without code, for chain 31415926.
const EIP1559_DEVNET: [&str; 2] = [
    "02f8598401df5e76028301d69083086a5e835532dd808080c080a0457e33227ac7ceee2ef121755e26b872b6fb04221993f9939349bb7b0a3e1595a02d8ef379e1d2a9e30fa61c92623cc9ed72d80cf6a48cfea341cb916bcc0a81bc",
    "02f8598401df5e76038301d69083086a5e835532dd808080c001a012a232866dcb0671eb0ddc01fb9c01d6ef384ec892bb29691ed0d2d293052ddfa052a6ae38c6139930db21a00eee2a4caced9a6500991b823d64ec664d003bc4b1",
];

/// `eth_legacy_155_transactions_test.go`, `TestEIP155Tx`.
const EIP155: &str = "f86680843b9aca00835dc1ba94c2dca9a18d4a4057921d1bcb22da05e68e46b1d06480820297a0f91ee69c4603c4f21131467ee9e06ad4a96d0a29fa8064db61f3adaea0eb6e92a07181e306bb8f773d94cc3b75e9835de00c004e072e6630c0c46971d38706bb01";
const EIP155_TO: &str = "0xc2dca9a18d4a4057921d1bcb22da05e68e46b1d0";
const EIP155_FROM: &str = "0xa2bbb73ac59b256415e91a820b224dbaf2c268fa";

/// `eth_legacy_homestead_transactions_test.go`: signed bytes, nonce, recipient, gas limit.
const HOMESTEAD: [(&str, u64, &str, u64); 2] = [
    (
        "f882800182540894095e7baea6a6c7c4c2dfeb977efac326af552d8780a3deadbeef0000000101010010101010101010101010101aaabbbbbbcccccccddddddddd1ba048b55bfa915ac795c431978d8a6a992b628d557da5ff759b307d495a36649353a01fffd310ac743f371de3b9f7f9cb56c0b28ad43601b4ab949f53faa07bd2c804",
        0,
        "0x095e7baea6a6c7c4c2dfeb977efac326af552d87",
        0x5408,
    ),
    (
        "f85f030182520794b94f5374fce5edbc8e2a8697c15331677e6ebf0b0a801ba098ff921201554726367d2be8c804a7ff89ccf285ebc57dff8ae4c44b9c19ac4aa07778cde41a8a37f6a087622b38bc201bd3e7df06dce067569d4def1b53dba98c",
        3,
        "0xb94f5374fce5edbc8e2a8697c15331677e6ebf0b",
        0x5207,
    ),
];

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn eth(text: &str) -> EthAddress {
    EthAddress(bytes(text.trim_start_matches("0x")).try_into().unwrap())
}

/// Parses, recovers the sender and checks that message and signature form agree both ways.
fn check(raw: &[u8], chain_id: u64) -> (SignedEthTransaction, Address) {
    let signed = SignedEthTransaction::parse(raw, chain_id).unwrap();
    assert_eq!(signed.to_rlp(), raw);
    assert_eq!(signed.hash(), keccak_256(raw));
    let digest = keccak_256(&signed.transaction.signing_rlp());
    let key = secp::recover(&digest, &signed.signature.recoverable()).unwrap();
    let from = EthAddress::of_public_key(&key).to_address();

    let message = signed.transaction.to_message(from);
    let kind = signed.transaction.kind;
    let back = EthTransaction::from_message(&message, kind, chain_id).unwrap();
    assert_eq!(back, signed.transaction);
    let stored = Signature { kind: SignatureKind::Delegated, bytes: signed.signature.to_bytes() };
    let parsed = TransactionSignature::from_bytes(&stored.bytes, chain_id).unwrap();
    assert_eq!(parsed, signed.signature);
    verify_message(&message, &stored, &from, chain_id).unwrap();

    // Any change of the message, the signature or the chain is another signer or refused.
    let mut other = message.clone();
    other.sequence += 1;
    assert!(verify_message(&other, &stored, &from, chain_id).is_err());
    for position in 0..stored.bytes.len() {
        let mut changed = stored.clone();
        changed.bytes[position] ^= 1;
        assert!(verify_message(&message, &changed, &from, chain_id).is_err(), "{position}");
    }
    if kind != EthKind::Homestead {
        assert!(verify_message(&message, &stored, &from, chain_id + 1).is_err());
    }
    (signed, from)
}

#[test]
fn the_1559_transactions_of_lotus_have_its_signing_bytes_and_signatures() {
    for (raw, signing) in EIP1559 {
        let (signed, from) = check(&bytes(raw), MAINNET);
        assert_eq!(hex::encode(signed.transaction.signing_rlp()), signing);
        assert_eq!(signed.signature.to_bytes().len(), 65);
        let message = signed.transaction.to_message(from);
        let payload = message_payload(&message, SignatureKind::Delegated, MAINNET).unwrap();
        assert_eq!(hex::encode(&payload), signing);
        match signed.transaction.to {
            Some(to) => {
                assert_eq!(to, eth("0xff000000000000000000000000000000000003ec"));
                assert_eq!(message.to, Address::new_id(0x3ec));
                assert_eq!(message.method_num, METHOD_INVOKE_CONTRACT);
            }
            None => {
                assert_eq!(message.to, Address::new_id(10));
                assert_eq!(message.method_num, METHOD_CREATE_EXTERNAL);
            }
        }
    }
    for raw in EIP1559_DEVNET {
        check(&bytes(raw), DEVNET);
    }
}

#[test]
fn the_legacy_transactions_of_lotus_have_its_senders_and_fields() {
    let (signed, from) = check(&bytes(EIP155), MAINNET);
    let transaction = &signed.transaction;
    assert_eq!(from, eth(EIP155_FROM).to_address());
    assert_eq!((transaction.kind, transaction.nonce), (EthKind::Eip155, 0));
    assert_eq!((transaction.to, transaction.gas_limit), (Some(eth(EIP155_TO)), 6_144_442));
    assert_eq!(transaction.value, TokenAmount::from_atto(100));
    let message = transaction.to_message(from);
    assert_eq!(message.gas_fee_cap, TokenAmount::from_atto(1_000_000_000));
    assert_eq!(message.gas_premium, message.gas_fee_cap);
    assert!(message.params.is_empty());
    let stored = signed.signature.to_bytes();
    assert_eq!((stored.len(), stored[0], &stored[65..]), (67, 2, &[0x02, 0x97][..]));

    for (raw, nonce, to, gas_limit) in HOMESTEAD {
        let (signed, _) = check(&bytes(raw), MAINNET);
        let transaction = &signed.transaction;
        assert_eq!((transaction.kind, transaction.nonce), (EthKind::Homestead, nonce));
        assert_eq!((transaction.to, transaction.gas_limit), (Some(eth(to)), gas_limit));
        let stored = signed.signature.to_bytes();
        assert_eq!((stored.len(), stored[0], stored[65]), (66, 1, 27));
    }
}

/// `TestEcRecover` and `TestDelegatedSigner`: bytes to sign, r and s (v is 0), public key.
#[test]
fn recovery_and_delegated_verification_agree_with_lotus() {
    for (message, rs, key) in [
        (
            "02f1030185012a05f2008504a817c800825208942b87d1cb599bc2a606db9a0169fcec96af04ad3a880de0b6b3a764000080c0",
            "479ff7fa64cf8bf641eb81635d1e8a698530d2f219951d234539e6d0748195294b6146d27be50cdbb2853ba9a42f207af8d730272f1ebe9c9a78aeef1d6aa924",
            "048362749392a0e192eff600d21155236c5a0648d300a8e0e44d8617712c7c96384c75825dc5c7595df2a5005fd8a0f7c809119fb9ab36403ed712244fc329348e",
        ),
        (
            "02f08401df5e76038502540be400843b9aca008398968094ff000000000000000000000000000000000003f2832dc6c080c0",
            "cf1fa52fae9154ba21d67aeca9b42adfe186eb9e426c441051a8473efd1908480e6c8c79ffaf35fb8f136c8cf6c5656f1f3befad21f2644321aa6dba58d68737",
            "04cfecc0520d906cbfea387759246e89d85e2998843e56ad1c41de247ce10b3e4c453aa73c8de13c178d94461b6fa3f8b6f74406ce43d2fbab6992d0b283394242",
        ),
    ] {
        let key: [u8; 65] = bytes(key).try_into().unwrap();
        let signature: [u8; 65] = [bytes(rs), vec![0]].concat().try_into().unwrap();
        let message = bytes(message);
        assert_eq!(secp::recover(&keccak_256(&message), &signature), Ok(key));
        let from = EthAddress::of_public_key(&key).to_address();
        let signature = Signature { kind: SignatureKind::Delegated, bytes: signature.to_vec() };
        verify(&signature, &from, &message).unwrap();
        assert!(verify(&signature, &from, &message[1..]).is_err());
    }
    let key = bytes(
        "048362749392a0e192eff600d21155236c5a0648d300a8e0e44d8617712c7c96384c75825dc5c7595df2a5005fd8a0f7c809119fb9ab36403ed712244fc329348e",
    );
    let of_key = EthAddress::of_public_key(&key.try_into().unwrap());
    assert_eq!(of_key, eth("0x3947d223fc5415f43ea099866ab62b1d4d33814d"));
}

#[test]
fn ethereum_and_filecoin_addresses_correspond() {
    let of = |text: &str| EthAddress::of(&address::parse(text).unwrap());
    assert_eq!(of("f01004"), Ok(eth("0xff000000000000000000000000000000000003ec")));
    // FIP-0055: the zero address as an f410 address.
    let zero = eth("0x0000000000000000000000000000000000000000");
    assert_eq!(of("f410faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaonc6iji"), Ok(zero));
    let masked = Address::new_delegated(10, &EthAddress::of_actor_id(5).0).unwrap();
    let short = Address::new_delegated(10, &[1; 19]).unwrap();
    let elsewhere = Address::new_delegated(11, &[1; 20]).unwrap();
    for refused in [masked, short, elsewhere, Address::new_actor(b"x")] {
        assert!(matches!(EthAddress::of(&refused), Err(TransactionError::Address(_))));
    }
    for key in [KeyType::Bls, KeyType::Secp256k1] {
        let address = SecretKey::generate(key).unwrap().address();
        assert!(EthAddress::of(&address).is_err());
    }
}

fn sample(key: &SecretKey) -> Message {
    Message {
        version: 0,
        from: key.address(),
        to: eth(EIP155_TO).to_address(),
        sequence: 7,
        value: TokenAmount::from_atto(5),
        method_num: METHOD_INVOKE_CONTRACT,
        params: RawBytes::new(vec![0x43, 1, 2, 3]),
        gas_limit: 1000,
        gas_fee_cap: TokenAmount::from_atto(300),
        gas_premium: TokenAmount::from_atto(200),
    }
}

#[test]
fn messages_without_an_exact_transaction_are_refused() {
    let key = SecretKey::generate(KeyType::Delegated).unwrap();
    let good = sample(&key);
    let payload = |message: &Message| message_payload(message, SignatureKind::Delegated, MAINNET);
    payload(&good).unwrap();
    let refused = |change: &dyn Fn(&mut Message)| {
        let mut message = good.clone();
        change(&mut message);
        match payload(&message).unwrap_err() {
            PayloadError::Transaction(error) => error,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(&|m| m.version = 1), TransactionError::Version(1));
    let bls = SecretKey::generate(KeyType::Bls).unwrap().address();
    assert!(matches!(refused(&|m| m.from = bls), TransactionError::Address(_)));
    assert!(matches!(refused(&|m| m.to = bls), TransactionError::Address(_)));
    let id = Address::new_id(1000);
    assert!(matches!(refused(&|m| m.from = id), TransactionError::Sender(_)));
    for method in [0, 2, METHOD_CREATE_EXTERNAL] {
        assert!(matches!(refused(&|m| m.method_num = method), TransactionError::Method { .. }));
    }
    assert!(matches!(refused(&|m| m.to = Address::new_id(10)), TransactionError::Method { .. }));
    let minus = TokenAmount::from_atto(-1);
    assert_eq!(refused(&|m| m.value = minus.clone()), TransactionError::Negative("value"));
    let cap = refused(&|m| m.gas_fee_cap = minus.clone());
    assert_eq!(cap, TransactionError::Negative("gas fee cap"));
    let premium = refused(&|m| m.gas_premium = minus.clone());
    assert_eq!(premium, TransactionError::Negative("gas premium"));
    for params in [
        &[0x40][..],                        // an empty byte string
        &[0x43, 1, 2],                      // too short
        &[0x43, 1, 2, 3, 4],                // trailing byte
        &[0x58, 3, 1, 2, 3],                // longer header than needed
        &[0x59, 0, 3, 1, 2, 3],             // the same
        &[0x5f, 0x41, 1, 0xff],             // indefinite length
        &[0x63, b'a', b'b', b'c'],          // text
        &[0x83, 1, 2, 3],                   // array
        &[0x5b, 0, 0, 0, 0, 0, 0, 0, 1, 1], // 64 bit length
        &[0x58],                            // header cut off
    ] {
        let error = refused(&|m| m.params = RawBytes::new(params.to_vec()));
        assert_eq!(error, TransactionError::Params, "{params:?}");
    }
}

#[test]
fn a_legacy_transaction_needs_equal_cap_and_premium() {
    let key = SecretKey::generate(KeyType::Delegated).unwrap();
    let mut message = sample(&key);
    for kind in [EthKind::Homestead, EthKind::Eip155] {
        let outcome = EthTransaction::from_message(&message, kind, MAINNET);
        assert_eq!(outcome, Err(TransactionError::RoundTrip));
    }
    message.gas_premium = message.gas_fee_cap.clone();
    for kind in [EthKind::Eip1559, EthKind::Homestead, EthKind::Eip155] {
        let transaction = EthTransaction::from_message(&message, kind, MAINNET).unwrap();
        let made = key.sign(&transaction.signing_rlp());
        let plain = made.bytes.clone().try_into().unwrap();
        let stored = TransactionSignature::from_recoverable(kind, MAINNET, &plain).to_bytes();
        let signature = Signature { kind: SignatureKind::Delegated, bytes: stored };
        verify_message(&message, &signature, &key.address(), MAINNET).unwrap();
        if kind != EthKind::Eip1559 {
            // The plain form would claim to be an EIP-1559 transaction, whose bytes differ.
            let outcome = verify_message(&message, &made, &key.address(), MAINNET);
            assert!(matches!(outcome, Err(VerifyError::Signer { .. })), "{outcome:?}");
        }
    }
}

#[test]
fn signatures_of_unknown_form_are_refused() {
    let parse = |bytes: &[u8]| TransactionSignature::from_bytes(bytes, MAINNET).unwrap_err();
    for length in [0, 1, 64, 199] {
        let error = parse(&vec![1; length]);
        assert!(matches!(error, TransactionSignatureError::Length(_)), "{length}: {error}");
    }
    let form = |marker: u8, v: &[u8]| [&[marker], &[1u8; 64][..], v].concat();
    assert_eq!(parse(&form(3, &[27])), TransactionSignatureError::Marker(3));
    let wrong_v = TransactionSignatureError::V { chain_id: MAINNET };
    for v in [0, 1, 26, 29] {
        assert_eq!(parse(&form(1, &[v])), wrong_v);
    }
    // 2 * 314 + 35 = 0x0297: other chains, padding and homestead's v are refused.
    for v in [&[0x02, 0x96][..], &[0x02, 0x99], &[0, 0x02, 0x97], &[27]] {
        assert_eq!(parse(&form(2, v)), wrong_v, "{v:?}");
    }
    for v in [&[0x02, 0x97][..], &[0x02, 0x98]] {
        TransactionSignature::from_bytes(&form(2, v), MAINNET).unwrap();
    }
}

#[test]
fn raw_transactions_that_are_not_canonical_are_refused() {
    let parse = |raw: &[u8]| SignedEthTransaction::parse(raw, MAINNET).unwrap_err();
    assert_eq!(parse(&[]), RlpError::Empty);
    assert_eq!(parse(&[0]), RlpError::Type(0));
    assert_eq!(parse(&[1, 0xc0]), RlpError::Type(1));
    assert_eq!(parse(&[4, 0xc0]), RlpError::Type(4));
    let good = bytes(EIP1559[3].0);
    for length in 1..good.len() {
        parse(&good[..length]);
    }
    let mut trailing = good.clone();
    trailing.push(0);
    assert_eq!(parse(&trailing), RlpError::Shape { expected: 12 });
    let mut legacy_trailing = bytes(EIP155);
    legacy_trailing.push(0);
    assert_eq!(parse(&legacy_trailing), RlpError::Shape { expected: 9 });
    let foreign = SignedEthTransaction::parse(&good, 1).unwrap_err();
    assert!(matches!(foreign, RlpError::Signature(TransactionSignatureError::Chain { .. })));
    // The access list sits behind the data; a list with one empty string in it.
    let at = 1 + good.windows(3).position(|bytes| bytes == [0x80, 0xc0, 0x80]).unwrap();
    let mut listed = good.clone();
    listed.splice(at..=at, [0xc1, 0x80]);
    listed[2] += 1;
    assert_eq!(parse(&listed), RlpError::AccessList);
    // A zero as one zero byte instead of the empty string.
    let first = bytes(EIP1559[0].0);
    let mut padded = first.clone();
    padded[6] = 0;
    assert!(matches!(parse(&padded), RlpError::Item("nonce")), "{:?}", parse(&padded));
}

#[test]
fn numbers_beyond_the_chains_range_are_refused() {
    let raw = |change: &dyn Fn(&mut EthTransaction)| {
        let mut signed = SignedEthTransaction::parse(&bytes(EIP1559[3].0), MAINNET).unwrap();
        change(&mut signed.transaction);
        SignedEthTransaction::parse(&signed.to_rlp(), MAINNET)
    };
    let largest = i64::MAX as u64;
    raw(&|t| t.gas_limit = largest).unwrap();
    assert_eq!(raw(&|t| t.gas_limit = largest + 1), Err(RlpError::Item("gas limit")));
    raw(&|t| t.to = Some(EthAddress::of_actor_id(largest))).unwrap();
    let beyond = raw(&|t| t.to = Some(EthAddress::of_actor_id(largest + 1)));
    assert_eq!(beyond, Err(RlpError::Item("to")));
    // 33 bytes are more than an Ethereum number has.
    let wide = TokenAmount::from_atto(num_bigint::BigInt::from(1) << 256);
    assert_eq!(raw(&|t| t.value = wide.clone()), Err(RlpError::Item("value")));
}

proptest! {
    #[test]
    fn every_message_that_has_a_transaction_comes_back_from_it(
        nonce: u64,
        value: u64,
        gas in 0..=i64::MAX as u64,
        cap: u64,
        premium: u64,
        input in proptest::collection::vec(any::<u8>(), 0..400),
        to in proptest::option::of(any::<[u8; 20]>()),
    ) {
        let from = EthAddress([7; 20]).to_address();
        let transaction = EthTransaction {
            kind: EthKind::Eip1559,
            chain_id: MAINNET,
            nonce,
            to: to.map(EthAddress),
            value: TokenAmount::from_atto(value),
            gas_limit: gas,
            max_fee: TokenAmount::from_atto(cap),
            max_priority_fee: TokenAmount::from_atto(premium),
            input,
        };
        let message = transaction.to_message(from);
        let back = EthTransaction::from_message(&message, EthKind::Eip1559, MAINNET);
        prop_assert_eq!(back.unwrap(), transaction.clone());
        let signature = TransactionSignature::from_recoverable(EthKind::Eip1559, MAINNET, &[1; 65]);
        let raw = SignedEthTransaction { transaction, signature }.to_rlp();
        let parsed = SignedEthTransaction::parse(&raw, MAINNET).unwrap();
        prop_assert_eq!(parsed.to_rlp(), raw);
    }

    #[test]
    fn arbitrary_bytes_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = SignedEthTransaction::parse(&raw, MAINNET);
        let _ = TransactionSignature::from_bytes(&raw, MAINNET);
    }
}
