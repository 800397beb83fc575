//! Policies, and what they decide about calls with parameters from anywhere.
//!
//! Input: method, length of the policy's text in two bytes, the text, the parameters of a message.
#![no_main]

use hesper_chain::{Address, Message, Network, TokenAmount, address, message};
use hesper_wallet::object::{Context, ObjectType, parse};
use hesper_wallet::policy::{Facts, Policy, Usage, check};
use libfuzzer_sys::fuzz_target;

const NETWORK: Network = Network::Testnet;

fn decide(policy: &Policy, method_num: u64, params: &[u8]) {
    let from = address::from_bytes(&[1; 21]).expect("an f1 address has 21 bytes");
    let message = Message {
        version: 0,
        to: Address::new_id(1000),
        from,
        sequence: 1,
        value: TokenAmount::from_atto(1),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(100),
        gas_premium: TokenAmount::from_atto(1),
        method_num,
        params: params.to_vec().into(),
    };
    let (Ok(object), Ok(cid)) = (message::encode(&message), message::cid(&message)) else { return };
    let context = Context { network: NETWORK, eth_chain_id: 314, issued: &[] };
    let Ok(parsed) = parse(ObjectType::Message, &cid.to_bytes(), &object, &context) else { return };
    let facts = Facts::of_object(policy, message.from, &parsed);
    assert!(facts.method().is_some(), "a message calls something");
    let explained = policy.decide(&facts, NETWORK, &|_, _| Usage::default());
    assert!(!explained.reasons.is_empty(), "every decision has a reason");
}

fuzz_target!(|data: &[u8]| {
    let [method, high, low, rest @ ..] = data else { return };
    let length = usize::from(*high) << 8 | usize::from(*low);
    let (text, params) = rest.split_at(length.min(rest.len()));
    decide(&Policy::empty(), u64::from(*method), params);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let problems = check(text, NETWORK);
    let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
    assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
    match Policy::parse(text, NETWORK) {
        Ok(policy) => {
            assert!(problems.is_empty());
            decide(&policy, u64::from(*method), params);
        }
        Err(found) => assert_eq!(found.0, problems),
    }
});
