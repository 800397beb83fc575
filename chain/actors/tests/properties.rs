//! The table against the types of the state crates, on random values; and what must be refused.

use hesper_actors::{Actor, ParamsError, decode_params, encode_params, methods};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn numbers_and_names_are_unique_within_an_actor() {
    for actor in Actor::ALL {
        let mine: Vec<_> = methods().filter(|(of, _)| *of == actor).map(|(_, m)| m).collect();
        assert!(!mine.is_empty(), "{actor}");
        for (at, method) in mine.iter().enumerate() {
            let same = |other: &&&hesper_actors::Method| {
                other.number == method.number || other.name == method.name
            };
            assert!(!mine[at + 1..].iter().any(|other| same(&other)), "{actor}.{}", method.name);
        }
    }
}

#[test]
fn every_method_with_parameters_is_vetted_but_those_without_a_type() {
    let unvetted: Vec<String> = methods()
        .filter(|(_, method)| method.takes_params() && !method.is_vetted())
        .map(|(actor, method)| format!("{actor}.{}", method.name))
        .collect();
    assert_eq!(
        unvetted,
        [
            "eam.CreateExternal",
            "storageminer.MovePartitions",
            "storageminer.GetNominalSectorExpirationExported",
            "multisig.UniversalReceiverHook",
            "verifiedregistry.UniversalReceiverHook",
        ]
    );
}

/// Enough variety: each field is filled from the seed, so that lists, options and signs vary.
#[derive(Clone, Debug)]
struct Seed(Vec<u64>, usize);

impl Seed {
    fn next(&mut self) -> u64 {
        self.1 += 1;
        self.0[self.1 % self.0.len()]
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(self.1 as u32 % 64)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is made from JSON is accepted by the actor's own type and read back as the same JSON.
    #[test]
    fn parameters_survive_the_way_to_bytes_and_back(seed in prop::collection::vec(any::<u64>(), 5..20)) {
        let mut seed = Seed(seed, 0);
        for (actor, method) in methods() {
            let Some(json) = method.example(&mut || seed.next()) else { continue };
            let bytes = encode_params(actor, method.number, &json)
                .map_err(|e| TestCaseError::fail(format!("{e}\n{json}")))?;
            let again = decode_params(actor, method.number, &bytes)
                .map_err(|e| TestCaseError::fail(format!("{e}\n{json}")))?;
            prop_assert_eq!(&again, &json);
            // Cut, extended or altered in its head it is never taken for something else silently.
            prop_assert!(decode_params(actor, method.number, &bytes[..bytes.len() - 1]).is_err());
            prop_assert!(decode_params(actor, method.number, &[&bytes[..], &[0]].concat()).is_err());
        }
    }

    /// Bytes from anywhere: an error or JSON, never a panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (actor, method) in methods() {
            if let Ok(json) = decode_params(actor, method.number, &bytes) {
                prop_assert_eq!(encode_params(actor, method.number, &json).expect("it was read"), bytes.clone());
            }
        }
    }
}

fn refusal(actor: Actor, number: u64, json: Value) -> String {
    encode_params(actor, number, &json).expect_err("it is wrong").to_string()
}

#[test]
fn a_wrong_field_is_named() {
    let address = "f01000";
    assert_eq!(
        refusal(Actor::Miner, 3, json!({ "NewWorker": address })),
        "could not make the parameters of storageminer.ChangeWorkerAddress from JSON: \
         `the whole` lacks the field `NewControlAddrs`"
    );
    let unknown = json!({ "NewWorker": address, "NewControlAddrs": [], "Extra": 1 });
    assert!(refusal(Actor::Miner, 3, unknown).contains("unknown field `Extra`"));
    let nested = json!({ "NewWorker": address, "NewControlAddrs": ["f01", "x"] });
    assert!(refusal(Actor::Miner, 3, nested).contains("`NewControlAddrs.1` must be an address"));
    let negative = json!({ "SectorNumber": -1, "Proof": "" });
    assert!(refusal(Actor::Miner, 7, negative).contains("`SectorNumber` must be a number of 0"));
    let oversize = json!({ "AmountRequested": format!("1{}", "0".repeat(400)) });
    assert!(refusal(Actor::Miner, 16, oversize).contains("at most 128 bytes"));
    assert!(refusal(Actor::Miner, 22, json!({ "a": 1 })).contains("takes none"));
}

#[test]
fn an_unknown_method_is_named_with_its_actor() {
    let error = decode_params(Actor::Miner, 99, &[]).expect_err("there is no 99");
    assert!(matches!(error, ParamsError::UnknownMethod { number: 99, .. }), "{error}");
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    // WithdrawBalance: an array of one byte string; first as it is, then with a longer head, then
    // with a leading zero in the number, then with an indefinite length.
    let good = [0x81, 0x42, 0x00, 0x05];
    assert_eq!(decode_params(Actor::Miner, 16, &good).unwrap(), json!({ "AmountRequested": "5" }));
    for bad in [
        &[0x81, 0x58, 0x02, 0x00, 0x05][..],
        &[0x81, 0x43, 0x00, 0x00, 0x05],
        &[0x9f, 0x42, 0x00, 0x05, 0xff],
        &[0x81, 0x41, 0x00],
        &[0x81, 0x42, 0x02, 0x05],
        &[0x82, 0x42, 0x00, 0x05, 0x40],
        &[],
    ] {
        assert!(decode_params(Actor::Miner, 16, bad).is_err(), "{bad:02x?}");
    }
}
