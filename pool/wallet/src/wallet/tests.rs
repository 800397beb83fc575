use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use camino::Utf8PathBuf;
use hesper_chain::key::{KeyType, SecretKey};
use hesper_chain::{Message, cid, message, signature};

use super::*;
use crate::keystore::Scrypt;
use crate::object::samples;
use crate::protect::Secret;
use crate::signlog::Entry;

/// Noon of a day, so that no test comes near midnight.
const NOON_MS: u64 = 1_700_000_000_000 / 86_400_000 * 86_400_000 + 43_200_000;
const PASSWORD: &str = "correct horse";

struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Desk {
    // Fields drop in this order: the wallet before its directory.
    wallet: Wallet,
    clock: Arc<HandClock>,
    dir: tempfile::TempDir,
    key: Address,
}

fn open(dir: &tempfile::TempDir, clock: &Arc<HandClock>, policy: &str) -> Wallet {
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("the path is UTF-8");
    let policy = policy.replace("$KEY", &key_text());
    let policy = Policy::parse(&policy, Network::Mainnet);
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    Wallet::open(Settings {
        scrypt: Scrypt { log_n: 4, r: 8, p: 1 },
        policy: policy.unwrap_or_else(|problems| panic!("{problems}")),
        clock,
        ..Settings::new(path)
    })
    .expect("the wallet opens")
}

fn key_text() -> String {
    address::format(&samples::key().address(), Network::Mainnet)
}

fn password() -> Secret {
    Secret::new(PASSWORD.to_owned())
}

/// A wallet with the key of the samples, unlocked.
fn desk(policy: &str) -> Desk {
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    let clock = Arc::new(HandClock(AtomicU64::new(NOON_MS)));
    let wallet = open(&dir, &clock, policy);
    wallet.set_password(&Caller::local(), &password()).expect("there is none yet");
    let key = wallet.import(&Caller::local(), samples::key()).expect("it is new");
    Desk { wallet, clock, dir, key }
}

impl Desk {
    /// As after a restart, with another policy.
    fn reopen(self, policy: &str) -> Desk {
        let Desk { wallet, clock, dir, key } = self;
        drop(wallet);
        let wallet = open(&dir, &clock, policy);
        wallet.unlock(&Caller::local(), &password()).expect("it is the password");
        Desk { wallet, clock, dir, key }
    }

    fn last(&self) -> Entry {
        self.wallet.log().tail(1).expect("the log is readable").pop().expect("it has a record")
    }
}

fn request(object_type: ObjectType, object: Vec<u8>, signing_bytes: Vec<u8>) -> SignRequest {
    SignRequest {
        signer: samples::key().address(),
        object_type,
        to_sign: signing_bytes,
        extra: object,
        caller: Caller { permission: Permission::Sign, ..Caller::local() },
        order: None,
    }
}

fn transfer(nonce: u64, change: impl FnOnce(&mut Message)) -> SignRequest {
    let from = samples::key().address();
    let mut message = samples::message(from, Address::new_id(99_999), 0, Vec::new());
    message.sequence = nonce;
    change(&mut message);
    let object = message::encode(&message).expect("it is a message");
    let digest = message::cid(&message).expect("it is a message").to_bytes();
    request(ObjectType::Message, object, digest)
}

fn ordered(nonce: u64, generation: u64, intent: u64) -> SignRequest {
    let order = Some(Order { generation, intent, deadline_ms: NOON_MS + 1000 });
    SignRequest { order, ..transfer(nonce, |_| {}) }
}

fn kind<T: std::fmt::Debug>(result: Result<T, Refusal>) -> RefusalKind {
    result.expect_err("it is refused").kind
}

/// filecoin-project/serialization-vectors `message_signing.json` (MIT / Apache-2.0).
#[test]
fn a_message_gets_the_signature_that_others_make_and_a_record() {
    let desk = desk("");
    let signature = desk.wallet.sign(&transfer(55, |_| {})).expect("it is allowed");
    let expected = "b181d48fa37b09bf3a03ca533f2681f36cdd79e9b21ddfad654e1576c9ba6f3d8695a78b0b9b6c\
        737497d50ec5af9a5103981785cc78203faf0ea0d53bb6409d3a0a696799d96af6f12f9be2d1963b0a\
        981f1f23924be4972c8d279c0ae1babe";
    assert_eq!(hex::encode(&signature.bytes), expected);
    let record = desk.last().record;
    assert_eq!(record.decision, Decision::Signed);
    assert_eq!((record.key.as_str(), record.object.as_str()), (key_text().as_str(), "message"));
    assert_eq!((record.method.as_deref(), record.value), (Some("Send"), Some(1)));
    assert_eq!(record.shown["MethodName"], "Send");
    let hash = hex::encode(Sha256::digest(signature.to_bytes()));
    assert_eq!(record.signature_hash, Some(hash));
}

#[test]
fn every_supported_type_is_signed_for_its_derived_bytes_and_recorded() {
    let desk = desk("");
    for sample in samples::samples() {
        let word = sample.object_type.word();
        let bytes = sample.signing_bytes.clone();
        let asked = request(sample.object_type, sample.object, sample.signing_bytes);
        let signed = desk.wallet.sign(&asked).unwrap_or_else(|refusal| panic!("{word}: {refusal}"));
        signature::verify(&signed, &desk.key, &bytes).expect(word);
        assert_eq!(desk.last().record.object, word);
    }
    let ours = desk.wallet.issue_random();
    let extra = [[1; 32], ours].concat();
    let proof = Sha256::digest(&extra).to_vec();
    let asked = request(ObjectType::VerifyAddress, extra, proof.clone());
    let signed = desk.wallet.sign(&asked).expect("it is our random value");
    signature::verify(&signed, &desk.key, &proof).expect("it is the key's");
}

/// The attack of the older wallets, through the whole wallet: an innocent Extra, another digest.
#[test]
fn an_innocent_message_with_the_digest_of_another_is_refused_and_recorded() {
    let desk = desk("");
    let innocent = transfer(1, |_| {});
    let evil = transfer(1, |message| message.value = hesper_chain::TokenAmount::from_whole(1000));
    let asked = SignRequest { to_sign: evil.to_sign, ..innocent };
    assert_eq!(kind(desk.wallet.sign(&asked)), RefusalKind::Mismatch);
    let record = desk.last().record;
    assert!(matches!(record.decision, Decision::Refused { .. }));
    assert_eq!(record.signature_hash, None);
}

#[test]
fn a_message_of_another_sender_is_refused() {
    let desk = desk("");
    let other = desk.wallet.new_key(&Caller::local(), KeyType::Secp256k1).expect("unlocked");
    let asked = SignRequest { signer: other, ..transfer(1, |_| {}) };
    assert_eq!(kind(desk.wallet.sign(&asked)), RefusalKind::Mismatch);
}

#[test]
fn keys_of_each_type_sign_their_messages() {
    let desk = desk("");
    for key_type in [KeyType::Bls, KeyType::Secp256k1, KeyType::Delegated] {
        let key = desk.wallet.new_key(&Caller::local(), key_type).expect("unlocked");
        let invoke = hesper_chain::method::frc42("InvokeEVM").expect("it is a name");
        let method = if key_type == KeyType::Delegated { invoke } else { 0 };
        let to = address::from_ethereum(&[0x22; 20]);
        let message = samples::message(key, to, method, Vec::new());
        let signature_kind = key_type.signature_kind();
        let payload =
            signature::message_payload(&message, signature_kind, 314).expect("it has one");
        let object = message::encode(&message).expect("it is a message");
        let asked = SignRequest { signer: key, ..request(ObjectType::Message, object, payload) };
        let signed = desk.wallet.sign(&asked).expect("it is allowed");
        signature::verify_message(&message, &signed, &key, 314).expect("it verifies");
    }
}

#[test]
fn orders_are_signed_in_rising_order_also_after_a_restart() {
    let desk = desk("");
    let first = desk.wallet.sign(&ordered(1, 3, 10)).expect("it is the first");
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 3, 9))), RefusalKind::Stale);
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 2, 99))), RefusalKind::Stale);
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 3, 10))), RefusalKind::Stale, "other bytes");
    assert_eq!(desk.wallet.sign(&ordered(1, 3, 10)).expect("a repeat"), first);
    let desk = desk.reopen("");
    assert_eq!(desk.wallet.sign(&ordered(1, 3, 10)).expect("a repeat"), first);
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 3, 9))), RefusalKind::Stale);
    desk.wallet.sign(&ordered(2, 3, 11)).expect("a later intent");
    desk.wallet.sign(&ordered(3, 4, 1)).expect("a later generation");
    assert_eq!(kind(desk.wallet.sign(&ordered(4, 3, 12))), RefusalKind::Stale);
}

#[test]
fn a_refused_order_does_not_use_up_its_intent() {
    let desk = desk(
        "[[rule]]\nid = \"none\"\neffect = \"deny\"\nkeys = [\"$KEY\"]\n\
        objects = [\"message\"]",
    );
    assert_eq!(kind(desk.wallet.sign(&ordered(1, 1, 5))), RefusalKind::Policy);
    let desk = desk.reopen("");
    desk.wallet.sign(&ordered(2, 1, 5)).expect("nothing was signed for it");
}

#[test]
fn an_order_past_its_deadline_is_refused() {
    let desk = desk("");
    desk.clock.0.store(NOON_MS + 1001, Ordering::Relaxed);
    assert_eq!(kind(desk.wallet.sign(&ordered(1, 1, 1))), RefusalKind::Expired);
    desk.clock.0.store(NOON_MS + 1000, Ordering::Relaxed);
    desk.wallet.sign(&ordered(1, 1, 1)).expect("it is in time");
}

#[test]
fn a_repeat_is_not_counted_against_limits_again() {
    let desk = desk(
        "[[rule]]\nid = \"one\"\nkeys = [\"$KEY\"]\nobjects = [\"message\"]\n\
        per_day_max = 1",
    );
    let first = desk.wallet.sign(&ordered(1, 1, 1)).expect("the one");
    assert_eq!(desk.wallet.sign(&ordered(1, 1, 1)).expect("a repeat"), first);
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 1, 2))), RefusalKind::Policy);
}

#[test]
fn limits_hold_over_restarts_and_end_with_the_day() {
    let rule = "[[rule]]\nid = \"day\"\nkeys = [\"$KEY\"]\nobjects = [\"message\"]\n\
        value_per_day_max = \"2\"";
    let desk = desk(rule);
    desk.wallet.sign(&transfer(1, |_| {})).expect("1 of 2");
    let desk = desk.reopen(rule);
    desk.wallet.sign(&transfer(2, |_| {})).expect("2 of 2");
    assert_eq!(kind(desk.wallet.sign(&transfer(3, |_| {}))), RefusalKind::Policy);
    desk.clock.0.store(NOON_MS + 86_400_000, Ordering::Relaxed);
    desk.wallet.sign(&transfer(3, |_| {})).expect("another day");
}

#[test]
fn requests_at_the_same_time_do_not_overrun_a_limit() {
    let desk = desk(
        "[[rule]]\nid = \"five\"\nkeys = [\"$KEY\"]\nobjects = [\"message\"]\n\
        per_day_max = 5",
    );
    let signed = thread::scope(|scope| {
        let wallet = &desk.wallet;
        let sign = |nonce| move || wallet.sign(&transfer(nonce, |_| {})).is_ok();
        let threads: Vec<_> = (0..12).map(|nonce| scope.spawn(sign(nonce))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|ok| *ok).count()
    });
    assert_eq!(signed, 5);
}

#[test]
fn a_second_block_is_refused_also_after_a_restart() {
    let block = |height, parent: &[u8], timestamp| {
        let mut header = samples::header(1000, height, parent);
        header.timestamp = timestamp;
        let object = header.signing_bytes().expect("it is a header");
        request(ObjectType::Block, object.clone(), object)
    };
    let desk = desk("");
    desk.wallet.sign(&block(10, b"a", 1)).expect("the first");
    desk.wallet.sign(&block(10, b"a", 1)).expect("the same again");
    assert_eq!(kind(desk.wallet.sign(&block(10, b"b", 1))), RefusalKind::Slash, "its epoch");
    assert_eq!(kind(desk.wallet.sign(&block(11, b"a", 1))), RefusalKind::Slash, "its parents");
    let desk = desk.reopen("");
    assert_eq!(kind(desk.wallet.sign(&block(10, b"a", 2))), RefusalKind::Slash);
    desk.wallet.sign(&block(11, b"b", 1)).expect("another epoch and other parents");
    assert_eq!(cid::of_cbor(b"a"), samples::header(1, 1, b"a").parents[0]);
}

#[test]
fn unknown_bytes_need_a_rule_for_the_key() {
    let hello = || SignRequest {
        to_sign: b"hello".to_vec(),
        ..request(ObjectType::Unknown, Vec::new(), Vec::new())
    };
    let desk = desk("");
    assert_eq!(kind(desk.wallet.sign(&hello())), RefusalKind::Policy);
    let desk = desk.reopen("[[rule]]\nid = \"blind\"\nkeys = [\"$KEY\"]\nobjects = [\"unknown\"]");
    desk.wallet.sign(&hello()).expect("a rule allows it");
    assert_eq!(desk.last().record.rule.as_deref(), Some("blind"));
    let cid = SignRequest { to_sign: transfer(1, |_| {}).to_sign, ..hello() };
    assert_eq!(kind(desk.wallet.sign(&cid)), RefusalKind::BadObject, "a message in disguise");
}

#[test]
fn a_locked_wallet_signs_nothing() {
    let desk = desk("");
    desk.wallet.lock(&Caller::local()).expect("it is unlocked");
    assert_eq!(kind(desk.wallet.sign(&transfer(1, |_| {}))), RefusalKind::Locked);
    let header =
        |parent| samples::header(1000, 10, parent).signing_bytes().expect("it is a header");
    let block = |parent| request(ObjectType::Block, header(parent), header(parent));
    assert_eq!(kind(desk.wallet.sign(&block(b"a"))), RefusalKind::Locked);
    let wrong = Secret::new("wrong".to_owned());
    assert_eq!(kind(desk.wallet.unlock(&Caller::local(), &wrong)), RefusalKind::Keystore);
    assert_eq!(desk.last().record.object, "unlock");
    desk.wallet.unlock(&Caller::local(), &password()).expect("it is the password");
    desk.wallet.sign(&transfer(1, |_| {})).expect("it is unlocked");
    desk.wallet.sign(&block(b"b")).expect("nothing was reserved while it was locked");
}

#[test]
fn tenants_see_and_use_only_the_keys_of_their_groups() {
    let desk = desk("[[group]]\nname = \"tenant\"\nkeys = [\"$KEY\"]");
    let theirs = desk.wallet.new_key(&Caller::local(), KeyType::Bls).expect("unlocked");
    let tenant = |group: &str| Caller {
        name: group.to_owned(),
        permission: Permission::Admin,
        scope: Scope::Groups(vec![group.to_owned()]),
    };
    let (inside, outside) = (tenant("tenant"), tenant("stranger"));
    assert_eq!(desk.wallet.addresses(&inside), [desk.key]);
    assert!(desk.wallet.addresses(&outside).is_empty());
    assert!(!desk.wallet.has(&inside, &theirs) && desk.wallet.has(&Caller::local(), &theirs));
    assert_eq!(desk.wallet.default_address(&inside), Some(desk.key));
    assert_eq!(desk.wallet.default_address(&outside), None);
    let asked = |caller: &Caller| SignRequest { caller: caller.clone(), ..transfer(1, |_| {}) };
    desk.wallet.sign(&asked(&inside)).expect("it is their key");
    assert_eq!(kind(desk.wallet.sign(&asked(&outside))), RefusalKind::NoKey);
    // Whoever is bound to a group rules no keys and no lock.
    assert_eq!(kind(desk.wallet.new_key(&inside, KeyType::Bls)), RefusalKind::Permission);
    assert_eq!(kind(desk.wallet.lock(&inside)), RefusalKind::Permission);
    let delete = desk.wallet.delete(&inside, &desk.key, &key_text());
    assert_eq!(kind(delete), RefusalKind::Permission);
}

#[test]
fn a_missing_permission_is_named() {
    let desk = desk("");
    let mut asked = transfer(1, |_| {});
    asked.caller.permission = Permission::Write;
    let refusal = desk.wallet.sign(&asked).expect_err("it may only write");
    assert_eq!(refusal.kind, RefusalKind::Permission);
    assert_eq!(refusal.message, "local has the permission `write`, but `sign` is needed");
}

#[test]
fn a_key_is_handed_out_only_by_a_rule_and_after_a_record() {
    let desk = desk("");
    assert_eq!(kind(desk.wallet.export(&Caller::local(), &desk.key)), RefusalKind::Policy);
    let desk = desk.reopen("[[rule]]\nid = \"out\"\nkeys = [\"$KEY\"]\nobjects = [\"export\"]");
    let text = desk.wallet.export(&Caller::local(), &desk.key).expect("a rule allows it");
    let again = hesper_chain::key::lotus_import(&text).expect("it is a key");
    assert_eq!(again.address(), desk.key);
    let record = desk.last().record;
    assert_eq!((record.object.as_str(), record.rule.as_deref()), ("export", Some("out")));
    assert!(!serde_json::to_string(&record).expect("it is JSON").contains(text.as_str()));
}

#[test]
fn a_key_is_deleted_only_with_its_address_as_confirmation() {
    let desk = desk("");
    let local = Caller::local();
    assert_eq!(kind(desk.wallet.delete(&local, &desk.key, "yes")), RefusalKind::Permission);
    assert!(desk.wallet.has(&local, &desk.key));
    let changes = desk.wallet.changes();
    desk.wallet.delete(&local, &desk.key, &key_text()).expect("it is confirmed");
    assert!(changes.has_changed().expect("the wallet is there"));
    assert!(!desk.wallet.has(&local, &desk.key));
    assert_eq!(desk.wallet.default_address(&local), None);
    assert_eq!(kind(desk.wallet.delete(&local, &desk.key, &key_text())), RefusalKind::NoKey);
    let desk = desk.reopen("");
    assert_eq!(kind(desk.wallet.sign(&transfer(1, |_| {}))), RefusalKind::NoKey);
}

#[test]
fn the_first_key_is_the_default_until_another_is_set() {
    let desk = desk("");
    let local = Caller::local();
    let second = SecretKey::generate(KeyType::Secp256k1).expect("there is randomness");
    let second = desk.wallet.import(&local, second).expect("it is new");
    assert_eq!(desk.wallet.default_address(&local), Some(desk.key));
    desk.wallet.set_default(&local, &second).expect("it is there");
    assert_eq!(kind(desk.wallet.set_default(&local, &Address::new_id(5))), RefusalKind::NoKey);
    let desk = desk.reopen("");
    assert_eq!(desk.wallet.default_address(&local), Some(second));
}

#[test]
fn an_explanation_signs_and_records_nothing() {
    let desk = desk("[[rule]]\nid = \"all\"\nkeys = [\"$KEY\"]\nobjects = [\"message\"]");
    let before = desk.last().sequence;
    let explanation = desk.wallet.explain(&transfer(1, |_| {}));
    assert_eq!((explanation.allowed, explanation.rule.as_deref()), (true, Some("all")));
    let mut wrong = transfer(1, |_| {});
    wrong.to_sign[10] ^= 1;
    assert!(!desk.wallet.explain(&wrong).allowed);
    assert_eq!(desk.last().sequence, before);
}

#[test]
fn parameters_are_shown_where_they_can_be_read() {
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("the path is UTF-8");
    let wallet = Wallet::open(Settings {
        scrypt: Scrypt { log_n: 4, r: 8, p: 1 },
        decode: Some(|kind, method, _| Some(format!("{kind} {method}").into())),
        ..Settings::new(path)
    })
    .expect("the wallet opens");
    wallet.set_password(&Caller::local(), &password()).expect("there is none yet");
    wallet.import(&Caller::local(), samples::key()).expect("it is new");
    let add = transfer(1, |message| {
        message.to = Address::new_id(5);
        message.method_num = 2;
    });
    wallet.sign(&add).expect("it is allowed");
    let last = wallet.log().tail(1).expect("the log is readable").remove(0).record;
    assert_eq!(last.shown["DecodedParams"], "storagemarket 2");
    assert_eq!(last.method.as_deref(), Some("AddBalance"));
}

/// What a node that was broken into could do for good, and the operator's way out.
#[test]
fn an_absurd_intent_is_undone_by_the_operator_alone() {
    let desk = desk("");
    desk.wallet.sign(&ordered(1, u64::MAX, u64::MAX)).expect("no wallet knows the true numbers");
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 1, 7))), RefusalKind::Stale);
    let signer = Caller { permission: Permission::Sign, ..Caller::local() };
    assert_eq!(kind(desk.wallet.forget_orders(&signer, &desk.key)), RefusalKind::Permission);
    assert_eq!(kind(desk.wallet.sign(&ordered(2, 1, 7))), RefusalKind::Stale);
    desk.wallet.forget_orders(&Caller::local(), &desk.key).expect("it is the operator");
    let desk = desk.reopen("");
    desk.wallet.sign(&ordered(2, 1, 7)).expect("nothing newer is known");
    assert_eq!(kind(desk.wallet.sign(&ordered(3, 1, 6))), RefusalKind::Stale);
}

#[test]
fn a_policy_is_changed_by_the_operator_alone_and_recorded() {
    let desk = desk("");
    let rules = "keys_without_rules = \"deny\"\n";
    let policy = Policy::parse(rules, Network::Mainnet).expect("it is one");
    let signer = Caller { permission: Permission::Sign, ..Caller::local() };
    let tenant = Caller { scope: Scope::Groups(Vec::new()), ..Caller::local() };
    for caller in [signer, tenant] {
        let refused = desk.wallet.set_policy(&caller, policy.clone());
        assert_eq!(kind(refused), RefusalKind::Permission);
        assert!(matches!(desk.last().record.decision, Decision::Refused { .. }));
        assert_eq!(desk.wallet.policy().text_sha256(), hex::encode(Sha256::digest("")));
    }
    desk.wallet.set_policy(&Caller::local(), policy).expect("it is the operator");
    assert_eq!(kind(desk.wallet.sign(&transfer(1, |_| {}))), RefusalKind::Policy);
    let entries = desk.wallet.log().tail(2).expect("the log is readable");
    assert_eq!(entries[0].record.object, "set-policy");
    assert_eq!(entries[0].record.decision, Decision::Done);
    assert_eq!(entries[0].record.shown["sha256"], hex::encode(Sha256::digest(rules)));
}

#[test]
fn a_possession_proof_moves_no_fence() {
    let desk = desk("");
    let extra = [[1; 32], desk.wallet.issue_random()].concat();
    let proof = Sha256::digest(&extra).to_vec();
    let order = Some(Order { generation: 9, intent: 9, deadline_ms: NOON_MS + 1000 });
    let asked = SignRequest { order, ..request(ObjectType::VerifyAddress, extra, proof) };
    assert_eq!(kind(desk.wallet.sign(&asked)), RefusalKind::BadObject);
    desk.wallet.sign(&ordered(1, 1, 1)).expect("the fence did not move");
}

#[test]
fn decoded_parameters_never_keep_a_message_out_of_the_log() {
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).expect("the path is UTF-8");
    let decode: DecodeParams = |_, _, _| Some(serde_json::Value::from("x".repeat(2 << 20)));
    let scrypt = Scrypt { log_n: 4, r: 8, p: 1 };
    let wallet = Wallet::open(Settings { scrypt, decode: Some(decode), ..Settings::new(path) });
    let wallet = wallet.expect("the wallet opens");
    wallet.set_password(&Caller::local(), &password()).expect("there is none yet");
    wallet.import(&Caller::local(), samples::key()).expect("it is new");
    wallet.sign(&transfer(1, |_| {})).expect("it is allowed");
}

/// Reservations are the miner's, whichever key signs: a tenant must not use up another's epochs.
#[test]
fn the_token_of_a_group_signs_blocks_only_for_miners_that_a_rule_names() {
    let group = "[[group]]\nname = \"tenant\"\nkeys = [\"$KEY\"]\n";
    let rule = |to: &str| {
        format!(
            "{group}[[rule]]\nid = \"blocks\"\ngroups = [\"tenant\"]\nobjects = [\"block\"]\n{to}"
        )
    };
    let block = |miner: u64, scope: Scope| {
        let header = samples::header(miner, 10, b"parents").signing_bytes().expect("a header");
        let asked = request(ObjectType::Block, header.clone(), header);
        SignRequest { caller: Caller { scope, ..asked.caller.clone() }, ..asked }
    };
    let tenant = || Scope::Groups(vec!["tenant".to_owned()]);
    let desk = desk(group);
    assert_eq!(kind(desk.wallet.sign(&block(2000, tenant()))), RefusalKind::Policy);
    let desk = desk.reopen(&rule(""));
    assert_eq!(kind(desk.wallet.sign(&block(2000, tenant()))), RefusalKind::Policy);
    assert!(!desk.wallet.explain(&block(2000, tenant())).allowed);
    let desk = desk.reopen(&rule("to = [\"f01000\"]"));
    assert_eq!(kind(desk.wallet.sign(&block(2000, tenant()))), RefusalKind::Policy);
    desk.wallet.sign(&block(1000, tenant())).expect("the rule names this miner");
    let desk = desk.reopen(group);
    desk.wallet.sign(&block(2000, Scope::All)).expect("its epoch was not used up");
}
