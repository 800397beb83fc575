//! filecoin-project/venus, msg_parser: 24 real messages. They lack nonce, value and gas, so their
//! CIDs cannot be recomputed from them; what they state about CIDs, addresses and methods is
//! checked, and so is that real parameters are canonical.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hesper_chain::method::{self, ActorKind};
use hesper_chain::{Network, Protocol, address, cbor, cid};

use crate::support::{text, vector};

/// The kind of actor behind a receiver, where the address does not tell: taken from the method
/// names that Venus decoded.
fn kind_of(to: &str, name: &str) -> ActorKind {
    let receiver = address::parse(to).unwrap();
    if let Some(kind) = ActorKind::of_singleton(&receiver) {
        return kind;
    }
    match name {
        "Approve" | "Propose" => ActorKind::Multisig,
        "transfer" | "not-exist-method" => ActorKind::Account,
        _ => ActorKind::Miner,
    }
}

/// Venus's name, and ours where they differ.
const OTHER_NAMES: [(&str, &str); 3] = [
    ("Addbalance", "AddBalance"),
    ("ConfirmUpdateWorkerKey", "ConfirmChangeWorkerAddress"),
    ("transfer", "Send"),
];

#[test]
fn real_messages_name_known_methods() {
    let Some(cases) = vector("venus/parsed_messages.json") else { return };
    let cases = cases.as_array().unwrap();
    assert_eq!(cases.len(), 24);
    let mut retired = 0;
    for case in cases {
        let name = text(case, "name");
        let kind = kind_of(text(case, "to"), name);
        let number = case["method"].as_u64().unwrap();
        let ours = OTHER_NAMES.iter().find(|(venus, _)| *venus == name).map_or(name, |own| own.1);
        match method::check(kind, number) {
            Ok(found) => assert_eq!(found, ours),
            Err(method::UnknownMethod::Retired { name: found, .. }) => {
                assert_eq!(found, ours);
                retired += 1;
            }
            Err(method::UnknownMethod::Never { .. }) => assert_eq!(name, "not-exist-method"),
        }
    }
    // PreCommitSector, PreCommitSectorBatch, ProveCommitAggregate, ProveCommitSector.
    assert_eq!(retired, 4);
}

#[test]
fn real_messages_have_canonical_addresses_cids_and_parameters() {
    let Some(cases) = vector("venus/parsed_messages.json") else { return };
    for case in cases.as_array().unwrap() {
        let unsigned = cid::parse(text(case, "cid")).unwrap();
        let signed = cid::parse(text(case, "signed_cid")).unwrap();
        assert!(cid::is_chain_object(&unsigned) && cid::is_chain_object(&signed));
        let from = address::parse_on(Network::Mainnet, text(case, "from")).unwrap();
        address::parse_on(Network::Mainnet, text(case, "to")).unwrap();
        // Only a BLS signature leaves the CID as it is.
        assert_eq!(unsigned == signed, from.protocol() == Protocol::BLS);
        for member in ["params", "return"] {
            let bytes = STANDARD.decode(text(case, member)).unwrap();
            if !bytes.is_empty() {
                cbor::validate(&bytes).unwrap_or_else(|error| panic!("{member} {case}: {error}"));
            }
        }
    }
}
