use hesper_actors::Actor;
use hesper_chain::key::KeyType;
use hesper_chain::method::ActorKind;
use hesper_chain::signature::{SignatureKind, message_payload};
use hesper_chain::{Address, Message, RawBytes, TokenAmount, message};
use hesper_wallet::{ObjectType, SignRequest};
use serde_json::json;

use super::*;

#[test]
fn the_words_of_the_policy_are_those_of_the_decoder() {
    for actor in Actor::ALL {
        let kind = ActorKind::of_name(actor.word()).expect("the policy knows every actor");
        let back: Actor = kind.name().parse().expect("the decoder knows its word");
        assert_eq!(back, actor);
    }
    for kind in [ActorKind::Placeholder, ActorKind::EthAccount] {
        assert_eq!(decode_params(kind.name(), 0, &[]), None);
    }
}

#[test]
fn parameters_that_cannot_be_read_are_not_shown() {
    let amount = json!({ "AmountRequested": "5" });
    let bytes = hesper_actors::encode_params(Actor::Miner, 16, &amount).unwrap();
    assert_eq!(decode_params("storageminer", 16, &bytes), Some(amount));
    assert_eq!(decode_params("storageminer", 16, &bytes[1..]), None);
    assert_eq!(decode_params("storageminer", 999, &bytes), None);
    assert_eq!(decode_params("nonsense", 16, &bytes), None);
}

#[test]
fn an_opened_wallet_records_decoded_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallet").to_str().unwrap().to_owned();
    let overrides =
        [("data_dir", path), ("name", "w1".to_owned()), ("scrypt_log_n", "10".to_owned())];
    let config = config::Wallet::load(None, &overrides).unwrap();
    let wallet = open_wallet(&config, Some(Secret::new("password".to_owned()))).unwrap();
    let from = wallet.new_key(&Caller::local(), KeyType::Secp256k1).unwrap();
    let params = hesper_actors::encode_params(Actor::Market, 2, &json!("f01000")).unwrap();
    let message = Message {
        version: 0,
        from,
        to: Address::new_id(5),
        sequence: 1,
        value: TokenAmount::from_atto(1),
        method_num: 2,
        params: RawBytes::new(params),
        gas_limit: 1_000_000,
        gas_fee_cap: TokenAmount::from_atto(100),
        gas_premium: TokenAmount::from_atto(1),
    };
    let request = SignRequest {
        signer: from,
        object_type: ObjectType::Message,
        to_sign: message_payload(&message, SignatureKind::Secp256k1, 314).unwrap(),
        extra: message::encode(&message).unwrap(),
        caller: Caller::local(),
        order: None,
    };
    wallet.sign(&request).unwrap();
    let last = wallet.log().tail(1).unwrap().remove(0).record;
    assert_eq!(last.shown["DecodedParams"], json!("f01000"));
    assert_eq!(last.method.as_deref(), Some("AddBalance"));
}
