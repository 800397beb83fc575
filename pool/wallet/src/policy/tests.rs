use hesper_chain::{Address, Message, Network, TokenAmount, address, message};
use insta::assert_snapshot;

use super::*;
use crate::object::node::Node;
use crate::object::{Context, Parsed, parse, samples};

const KEY: &str =
    "t3sogjuub37grt2tuvvlxbiamthwxenf2dwgq6sn7gpj72c5omg7gojjplsdsovgq6g3aagwerkght3e7boqfq";
const OTHER: &str =
    "t3unbjghaftrz676njfgakmfwvirbu5kxpafb57ex2s4sd7p2e5un2mru5fn3l2hnahcqsxtvwxy5j2cdtlaaa";

fn policy(rules: &str) -> Policy {
    let text = rules.replace("$KEY", KEY).replace("$OTHER", OTHER);
    Policy::parse(&text, Network::Testnet).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> String {
    let text = text.replace("$KEY", KEY);
    let lines = check(&text, Network::Testnet);
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn parsed(change: impl FnOnce(&mut Message)) -> Parsed {
    let from = samples::key().address();
    let mut message = samples::message(from, Address::new_id(1000), 5, Vec::new());
    change(&mut message);
    let object = message::encode(&message).expect("it is a message");
    let digest = message::cid(&message).expect("it is a message").to_bytes();
    let context = Context { network: Network::Testnet, eth_chain_id: 314, issued: &[] };
    parse(ObjectType::Message, &digest, &object, &context).expect("it is a message")
}

fn call(to: u64, method: u64) -> Parsed {
    parsed(|message| {
        message.to = Address::new_id(to);
        message.method_num = method;
    })
}

fn proposal(to: u64, method: u64, params: &[u8]) -> Vec<u8> {
    Node::Array(vec![
        Node::Bytes(Address::new_id(to).to_bytes()),
        Node::Bytes(vec![0, 5]),
        Node::Unsigned(method),
        Node::Bytes(params.to_vec()),
    ])
    .encode()
}

fn propose(through: u64, params: Vec<u8>) -> Parsed {
    parsed(|message| {
        message.to = Address::new_id(through);
        message.method_num = 2;
        message.params = params.into();
    })
}

fn decide(policy: &Policy, parsed: &Parsed) -> Explanation {
    decide_with(policy, parsed, Usage::default())
}

fn decide_with(policy: &Policy, parsed: &Parsed, usage: Usage) -> Explanation {
    let facts = Facts::of_object(policy, samples::key().address(), parsed);
    policy.decide(&facts, Network::Testnet, &|_, _| usage)
}

#[test]
fn the_key_of_the_samples_is_the_one_of_the_rules() {
    assert_eq!(address::format(&samples::key().address(), Network::Testnet), KEY);
}

#[test]
fn a_key_without_rules_signs_all_but_what_needs_a_rule() {
    let policy = policy("[actors]\nt01000 = \"miner\"\nt02000 = \"multisig\"");
    assert!(decide(&policy, &call(1000, 5)).allowed, "window PoSt");
    assert!(decide(&policy, &call(3000, 0)).allowed, "transfer");
    for (what, method) in [
        ("worker", 3),
        ("withdrawal", 16),
        ("confirmed worker", 21),
        ("owner", 23),
        ("beneficiary", 30),
        ("exported withdrawal", 2_280_458_852),
        ("exported worker", 3_302_309_124),
    ] {
        let refused = decide(&policy, &call(1000, method));
        assert!(!refused.allowed, "{what}");
        assert_eq!(refused.rule, None);
    }
    assert!(!decide(&policy, &call(5, 3)).allowed, "withdrawal from the market");
    assert!(!decide(&policy, &call(2000, 3)).allowed, "approval");
    assert!(!decide(&policy, &call(1000, 77)).allowed, "no such method");
    let facts = Facts::of_export(samples::key().address());
    assert!(!policy.decide(&facts, Network::Testnet, &|_, _| Usage::default()).allowed);
    let context = Context { network: Network::Testnet, eth_chain_id: 314, issued: &[] };
    let unknown = parse(ObjectType::Unknown, b"hello", &[], &context).expect("it is text");
    assert_snapshot!(decide(&policy, &unknown), @r"
    refused by default
      the type `unknown` needs a rule that allows it to this key
    ");
}

#[test]
fn a_policy_may_refuse_keys_without_rules() {
    assert!(!decide(&policy("keys_without_rules = \"deny\""), &call(1000, 5)).allowed);
}

#[test]
fn an_undeclared_destination_is_judged_by_every_actor_type() {
    let policy = Policy::empty();
    assert!(decide(&policy, &call(1000, 5)).allowed);
    for method in [3, 16, 21, 23, 30] {
        let refused = decide(&policy, &call(1000, method));
        assert!(!refused.allowed, "method {method}");
    }
}

#[test]
fn proposals_are_judged_by_what_they_propose() {
    let policy = policy("[actors]\nt01000 = \"miner\"\nt02000 = \"multisig\"");
    let withdraw = proposal(1000, 16, &[1]);
    assert!(decide(&policy, &propose(2000, proposal(1000, 0, &[]))).allowed);
    assert!(!decide(&policy, &propose(2000, withdraw.clone())).allowed);
    assert!(
        !decide(&policy, &propose(4000, withdraw.clone())).allowed,
        "through an undeclared one"
    );
    let inner = proposal(2000, 2, &withdraw);
    assert!(!decide(&policy, &propose(2000, inner)).allowed, "two deep");
    assert!(!decide(&policy, &propose(2000, proposal(2000, 5, &[1]))).allowed, "another signer");
    assert!(!decide(&policy, &propose(2000, vec![0x84])).allowed, "unreadable");
    assert!(!decide(&policy, &propose(4000, vec![0x84])).allowed, "unreadable, undeclared");
    assert!(decide(&policy, &propose(4000, Vec::new())).allowed, "a miner's control addresses");
    assert!(decide(&policy, &propose(1000, vec![0x84])).allowed, "not of a multisig");
    let mut deep = proposal(1000, 0, &[]);
    for _ in 0..6 {
        deep = proposal(2000, 2, &deep);
    }
    assert!(!decide(&policy, &propose(2000, deep)).allowed, "deeper than is judged");
}

#[test]
fn a_key_with_rules_signs_only_what_they_allow() {
    let policy = policy(
        r#"
        [actors]
        t01000 = "miner"
        [[rule]]
        id = "posts"
        keys = ["$KEY"]
        objects = ["message"]
        methods = ["SubmitWindowedPoSt"]
        to = ["t01000"]
        fee_max = "0.0000000001 FIL"
        "#,
    );
    assert_snapshot!(decide(&policy, &call(1000, 5)), @r"
    allowed by rule `posts`
      rule `posts` allows it
    ");
    assert_snapshot!(decide(&policy, &call(1000, 6)), @r"
    refused by default
      rule `posts`: it does not name method 6, which a storageminer actor does not have
      the key has rules, and none of them allows it
    ");
    assert!(!decide(&policy, &call(1000, 7)).allowed, "another method");
    assert_snapshot!(decide(&policy, &call(1000, 16)), @r"
    refused by default
      rule `posts`: it does not name the dangerous `WithdrawBalance`
      the key has rules, and none of them allows it
    ");
    assert_snapshot!(decide(&policy, &call(1001, 5)), @r"
    refused by default
      rule `posts`: t01001 is not among its destinations
      the key has rules, and none of them allows it
    ");
    let dear = parsed(|message| message.gas_fee_cap = TokenAmount::from_atto(101));
    assert_snapshot!(decide(&policy, &dear), @r"
    refused by default
      rule `posts`: the greatest possible fee, 0.000000000101 FIL, is more than 0.0000000001 FIL
      the key has rules, and none of them allows it
    ");
    let mut facts = Facts::of_object(&policy, samples::key().address(), &call(1000, 5));
    facts.subject = Subject::Object(ObjectType::Block);
    let usage = |_: &str, _| Usage::default();
    assert!(!policy.decide(&facts, Network::Testnet, &usage).allowed, "another object");
}

#[test]
fn dangerous_methods_need_a_rule_that_names_them() {
    let broad = policy(
        "[actors]\nt01000 = \"miner\"\n[[rule]]\nid = \"all\"\nkeys = [\"$KEY\"]\n\
        objects = [\"message\"]\n[[rule]]\nid = \"star\"\nkeys = [\"$KEY\"]\n\
        objects = [\"message\"]\nmethods = [\"*\"]",
    );
    assert!(decide(&broad, &call(1000, 5)).allowed);
    assert!(!decide(&broad, &call(1000, 16)).allowed);
    let named = policy(
        r#"
        [actors]
        t01000 = "miner"
        [[rule]]
        id = "withdraw"
        keys = ["$KEY"]
        objects = ["message"]
        methods = ["miner.WithdrawBalance"]
        to = ["t01000", "t01001"]
        dangerous = true
        "#,
    );
    assert!(decide(&named, &call(1000, 16)).allowed);
    assert!(decide(&named, &call(1000, 2_280_458_852)).allowed, "its exported twin");
    assert!(!decide(&named, &call(1000, 23)).allowed, "another dangerous one");
    // Number 3 of an undeclared actor may be more than one dangerous method.
    assert!(decide(&named, &call(1001, 16)).allowed);
    assert!(!decide(&named, &call(1001, 3)).allowed);
}

#[test]
fn a_rule_for_a_nested_danger_must_name_every_call() {
    let rule = |methods: &str, to: &str| {
        policy(&format!(
            "[actors]\nt01000 = \"miner\"\nt02000 = \"multisig\"\n[[rule]]\nid = \"msig\"\n\
             keys = [\"$KEY\"]\nobjects = [\"message\"]\ndangerous = true\nmethods = {methods}\n\
             to = {to}"
        ))
    };
    let withdraw = propose(2000, proposal(1000, 16, &[1]));
    let both = r#"["Propose", "miner.WithdrawBalance"]"#;
    assert!(decide(&rule(both, r#"["t02000", "t01000"]"#), &withdraw).allowed);
    assert!(!decide(&rule(both, r#"["t02000"]"#), &withdraw).allowed);
    assert!(
        !decide(&rule(r#"["miner.WithdrawBalance"]"#, r#"["t02000", "t01000"]"#), &withdraw)
            .allowed
    );
}

#[test]
fn a_denial_wins_over_every_permission_and_reaches_into_proposals() {
    let policy = policy(
        r#"
        [actors]
        t02000 = "multisig"
        [[rule]]
        id = "all"
        keys = ["$KEY"]
        objects = ["message"]
        [[rule]]
        id = "not-there"
        effect = "deny"
        keys = ["$KEY"]
        objects = ["message"]
        to = ["t03000"]
        "#,
    );
    assert!(decide(&policy, &call(1000, 0)).allowed);
    assert_snapshot!(decide(&policy, &call(3000, 0)), @r"
    refused by rule `not-there`
      rule `not-there` denies it
    ");
    assert!(!decide(&policy, &propose(2000, proposal(3000, 0, &[]))).allowed);
}

#[test]
fn limits_count_value_of_proposals_days_and_rates() {
    let policy = policy(
        r#"
        [actors]
        t02000 = "multisig"
        [[rule]]
        id = "small"
        keys = ["$KEY"]
        objects = ["message"]
        value_max = "5"
        value_per_day_max = "100"
        per_minute_max = 3
        "#,
    );
    let value = |atto| parsed(|message| message.value = TokenAmount::from_atto(atto));
    assert!(decide(&policy, &value(5)).allowed);
    assert!(!decide(&policy, &value(6)).allowed);
    // 1 attoFIL with the message and 5 that it proposes to send.
    assert!(!decide(&policy, &propose(2000, proposal(1000, 0, &[]))).allowed);
    let used = |signed, value_today| Usage { signed, value_today };
    assert!(decide_with(&policy, &value(5), used(2, 95)).allowed);
    assert_snapshot!(decide_with(&policy, &value(5), used(3, 0)), @r"
    refused by default
      rule `small`: 3 signatures in a minute were made already
      the key has rules, and none of them allows it
    ");
    assert!(!decide_with(&policy, &value(5), used(0, 96)).allowed);
}

#[test]
fn groups_share_rules_and_other_keys_do_not() {
    let policy = policy(
        r#"
        [[group]]
        name = "tenant"
        keys = ["$OTHER"]
        [[rule]]
        id = "tenant"
        groups = ["tenant"]
        objects = ["export"]
        "#,
    );
    let other = address::parse_on(Network::Testnet, OTHER).expect("it is an address");
    let export = |key| {
        policy.decide(&Facts::of_export(key), Network::Testnet, &|_, _| Usage::default()).allowed
    };
    assert_eq!(policy.group("tenant"), [other]);
    assert!(policy.group("nobody").is_empty());
    assert!(export(other));
    assert!(!export(samples::key().address()));
    // It has no rule itself, so it keeps the default.
    assert!(decide(&policy, &call(1000, 5)).allowed);
}

#[test]
fn methods_are_named_by_name_number_or_hash() {
    let allows = |method: &str, parsed: &Parsed| {
        let rules = format!(
            "[[rule]]\nid = \"a\"\nkeys = [\"$KEY\"]\nobjects = [\"message\"]\n\
             methods = [\"{method}\"]"
        );
        decide(&policy(&rules), parsed).allowed
    };
    let contract = parsed(|message| {
        message.to = address::from_ethereum(&[0x22; 20]);
        message.method_num = 3_844_450_837;
    });
    assert!(allows("InvokeContract", &contract) && allows("evm.InvokeContract", &contract));
    assert!(allows("3844450837", &contract) && allows("frc42:InvokeEVM", &contract));
    assert!(!allows("frc42:Transfer", &contract) && !allows("Send", &contract));
    assert!(!allows("miner.SubmitWindowedPoSt", &call(5, 5)), "f05 is the market");
}

#[test]
fn a_check_lists_all_problems_with_their_lines() {
    let text = r#"
colour = "red"
[actors]
t01 = "minr"
f01000 = "miner"
[[group]]
keys = ["t01000"]
[[rule]]
keys = ["t3nonsense"]
groups = ["nobody"]
objects = ["mesage", "block"]
methods = ["WithdrawBalanc"]
value_max = "lots"
per_minute_max = 1.5
[[rule]]
id = "b"
keys = ["$KEY"]
objects = ["message"]
methods = ["WithdrawBalance"]
[[rule]]
id = "b"
effect = "maybe"
objects = ["message"]
dangerous = true
[[rule]]
id = "c"
effect = "deny"
keys = []
objects = ["message"]
value_max = "1 FIL"
"#;
    assert_snapshot!(problems(text), @r#"
    line 2: a policy has no key `colour`; it has actors, group, rule, keys_without_rules
    line 4: "minr" is no actor type; `miner` and `multisig` are
    line 5: address "f01000" carries the prefix of another network; this network's addresses begin with 't'
    line 6: the group has no name
    line 7: `t01000` is no key; write the f1, f3 or f4 address of the key
    line 8: the rule has no id; the log names rules by it
    line 8: rule `` names methods, but not the object `message`
    line 9: could not parse address "t3nonsense": the checksum does not match the address; check it for a typing error
    line 10: there is no group `nobody`
    line 11: "mesage" is no type of object; see the list of types in WALLET.md
    line 12: no actor has a method `WithdrawBalanc`; write frc42:Name for a contract's own method
    line 13: `value_max`: "lots" is not a unit of FIL; use FIL, nanoFIL, attoFIL, ...
    line 14: `per_minute_max` must be a whole number of at most 65536
    line 19: rule `b` names the dangerous WithdrawBalance; add `dangerous = true` if it shall allow it
    line 20: the rule names neither keys nor groups
    line 20: rule `b` denies; `dangerous` is for allowing
    line 21: there are two rules with the id `b`
    line 22: the effect is "maybe"; write allow or deny
    line 25: rule `c` denies; limits belong to rules that allow
    line 28: `keys` must be a list of texts with at least one of them
    "#);
}

#[test]
fn what_is_not_toml_is_a_problem_with_its_line() {
    let lines = check("[[rule]]\nid = \"a\nkeys = 3\n", Network::Testnet);
    let is_named = |problem: &Problem| problem.line == 2 && problem.message.contains("string");
    assert!(lines.iter().any(is_named), "{lines:?}");
}

#[test]
fn the_examples_can_be_used() {
    let examples = [
        include_str!("examples/storage-provider.toml"),
        include_str!("examples/pool-member.toml"),
        include_str!("examples/hot-key.toml"),
        include_str!("examples/cold-key.toml"),
    ];
    for example in examples {
        assert_eq!(check(example, Network::Mainnet), []);
    }
}
