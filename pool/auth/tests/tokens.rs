//! Tokens: what the verifier takes, and every kind that it refuses.

mod common;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use common::*;
use hesper_auth::*;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Any header and payload, signed with a secret as RFC 7515 wants it.
fn sign(secret: &[u8], header: &str, payload: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#;

/// A machine with one token of `acme` and its text.
fn with_token(permission: Permission, valid_ms: Option<u64>) -> (Machine, TokenRow, String) {
    let mut machine = Machine::founded();
    let token = machine.token("acme", permission, valid_ms);
    let text = verifier().mint(&token).expect("the secret is loaded");
    (machine, token, text)
}

fn verify(machine: &Machine, text: &str) -> Result<Caller, Denied> {
    verifier().verify(&machine.state, text, machine.now_ms)
}

#[test]
fn a_token_says_what_lotus_and_venus_read() {
    let (machine, token, text) = with_token(Permission::Sign, Some(90_500));
    let parts: Vec<_> = text.split('.').collect();
    let json = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(json(parts[0]), HEADER);
    insta::assert_snapshot!(
        json(parts[1]),
        @r#"{"Allow":["read","write","sign"],"name":"acme","perm":"sign","ext":"","jti":"1","exp":1091}"#
    );
    assert_eq!(token.expires_ms, Some(1_091_000), "whole seconds, rounded up");
    let caller = verify(&machine, &text).unwrap();
    let expected = Caller { user: "acme".into(), permission: Permission::Sign, token: Some(1) };
    assert_eq!(caller, expected);
    assert_eq!(token::mint(1, &SECRET, &token.claims()), text);
}

#[test]
fn any_extra_field_survives() {
    let mut machine = Machine::founded();
    let extra = "\"quoted\" \\ \u{1} \u{e4}\u{1f680}".to_owned();
    let (user, name) = ("acme".to_owned(), String::new());
    let permission = Permission::Write;
    let command = Command::CreateToken { user, name, permission, extra, valid_ms: None };
    let Reply::Token { token } = machine.reply(command) else { panic!() };
    let text = verifier().mint(&token).unwrap();
    assert!(verify(&machine, &text).is_ok());
}

/// Secret, header and payload of the first example of RFC 7515, appendix A.1: the MAC is the one
/// printed there, so it is our own code that must refuse the token and not the MAC.
#[test]
fn the_mac_is_that_of_rfc_7515() {
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let text = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let mut verifier = Verifier::new();
    verifier.accept_local(&secret, "joe");
    let refused = verifier.verify(&State::default(), text, 0).unwrap_err();
    assert!(
        refused.to_string().contains("`Allow`"),
        "the MAC held, the payload did not: {refused}"
    );
    let expired = verifier.verify(&State::default(), text, 1_300_819_380_000).unwrap_err();
    assert_eq!(expired, Denied::Expired { id: 0, expires_s: 1_300_819_380 });
    verifier.accept_local(&OTHER_SECRET, "joe");
    assert_eq!(verifier.verify(&State::default(), text, 0), Err(Denied::BadSignature));
}

#[test]
fn permissions_are_nested_and_denials_name_the_missing_one() {
    for has in Permission::ALL {
        let (machine, _, text) = with_token(has, None);
        let caller = verify(&machine, &text).unwrap();
        for needed in Permission::ALL {
            let answer = caller.require(needed, "do it");
            assert_eq!(answer.is_ok(), needed <= has);
            if let Err(denied) = answer {
                assert!(denied.is_forbidden());
                let message = denied.to_string();
                assert!(message.contains(&format!("`{needed}`, you have `{has}`")), "{message}");
            }
        }
    }
}

#[test]
fn an_expired_token_is_refused_from_its_second_on() {
    let (mut machine, token, text) = with_token(Permission::Read, Some(5_000));
    machine.now_ms += 4_999;
    assert!(verify(&machine, &text).is_ok());
    machine.now_ms += 1;
    assert_eq!(verify(&machine, &text), Err(Denied::Expired { id: token.id, expires_s: 1_005 }));
}

#[test]
fn a_revoked_token_is_refused_and_comes_back() {
    let (mut machine, token, text) = with_token(Permission::Read, None);
    let id = token.id;
    let revoked = machine.done(Command::RevokeToken { id });
    assert_eq!(revoked.effects.revoked_tokens, [id]);
    assert_eq!(verify(&machine, &text), Err(Denied::Revoked { id }));
    assert_eq!(machine.reply(Command::RevokeToken { id }), Reply::Deleted { existed: false });
    machine.done(Command::RecoverToken { id });
    assert!(verify(&machine, &text).is_ok());
    assert_eq!(machine.rejected(Command::RecoverToken { id }).kind(), Kind::NotNow);
}

#[test]
fn a_disabled_or_deleted_user_has_no_valid_token() {
    let (mut machine, _, text) = with_token(Permission::Admin, None);
    machine.done(enable("acme", false));
    let denied = verify(&machine, &text).unwrap_err();
    assert_eq!(denied, Denied::UserDisabled { user: "acme".into() });
    assert!(denied.is_forbidden());
    machine.done(enable("acme", true));
    assert!(verify(&machine, &text).is_ok());
    machine.done(delete_user("acme"));
    assert_eq!(verify(&machine, &text), Err(Denied::UserDeleted { user: "acme".into() }));
    machine.done(recover_user("acme"));
    assert_eq!(verify(&machine, &text), Err(Denied::Revoked { id: 1 }), "it went with the user");
}

#[test]
fn no_algorithm_but_hs256() {
    let (machine, _, text) = with_token(Permission::Admin, None);
    let payload = text.split('.').nth(1).unwrap();
    for alg in ["none", "None", "HS384", "RS256", "hs256", ""] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"1"}}"#));
        for signature in ["", text.rsplit('.').next().unwrap()] {
            let forged = format!("{header}.{payload}.{signature}");
            let expected = Denied::Algorithm { algorithm: alg.to_owned() };
            assert_eq!(verify(&machine, &forged), Err(expected));
        }
    }
}

#[test]
fn a_foreign_token_is_refused() {
    let (machine, token, _) = with_token(Permission::Read, None);
    let foreign = token::mint(1, &OTHER_SECRET, &token.claims());
    assert_eq!(verify(&machine, &foreign), Err(Denied::BadSignature));
    let unknown = token::mint(9, &OTHER_SECRET, &token.claims());
    assert_eq!(verify(&machine, &unknown), Err(Denied::UnknownKey));
    let keyless = Verifier::new().verify(&machine.state, &foreign, machine.now_ms);
    assert_eq!(keyless, Err(Denied::KeyNotLoaded { kid: 1 }));
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let (machine, _, text) = with_token(Permission::Read, None);
    for position in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verify(&machine, &changed).is_err(), "byte {position}");
    }
}

#[test]
fn texts_that_are_no_tokens() {
    let (machine, _, text) = with_token(Permission::Read, None);
    let signature = text.rsplit('.').next().unwrap();
    let padded = format!("{}.{}", text.rsplit_once('.').unwrap().0, {
        URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())
    });
    // The last letter carries bits that no byte has: another one says the same bytes.
    let mut other_form = text.clone();
    let last = other_form.pop().unwrap();
    other_form.push(char::from(u8::try_from(last).unwrap() + 1));
    let standard = STANDARD.encode([0xfb; 32]);
    let long = "a".repeat(token::TEXT_BYTES_MAX + 1);
    let cases = [
        "",
        ".",
        "..",
        "a.b",
        &format!("{text}."),
        &format!("{text}.{signature}"),
        &format!(" {text}"),
        &format!("{text}\n"),
        &padded,
        &other_form,
        &format!("{}.{standard}", text.rsplit_once('.').unwrap().0),
        &text[..text.len() - 1],
        &long,
    ];
    for case in cases {
        let answer = verify(&machine, case);
        assert!(matches!(answer, Err(Denied::Malformed { .. })), "{case:?}: {answer:?}");
    }
}

#[test]
fn strange_headers_and_payloads_are_refused() {
    let (machine, _, _) = with_token(Permission::Read, None);
    let good = r#"{"Allow":["read"],"name":"acme","perm":"read","ext":"","jti":"1"}"#;
    assert!(verify(&machine, &sign(&SECRET, HEADER, good)).is_ok());
    let headers = [
        r#"{"alg":"HS256","kid":"01"}"#,
        r#"{"alg":"HS256","kid":"-1"}"#,
        r#"{"alg":"HS256","kid":""}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","kid":"1","crit":["exp"]}"#,
        r#"{"alg":"HS256","alg":"none","kid":"1"}"#,
        r#"{"alg":"HS256","typ":"JWE","kid":"1"}"#,
        r#"{"kid":"1"}"#,
        "[]",
        "",
    ];
    for header in headers {
        assert!(verify(&machine, &sign(&SECRET, header, good)).is_err(), "{header}");
    }
    let payloads = [
        r#"{"Allow":["read"],"name":"acme","perm":"read"}"#,
        r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"+1"}"#,
        r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"1","jti":"1"}"#,
        r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"1"} "x""#,
        r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"1","exp":-1}"#,
        r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"1","nbf":9999999999}"#,
        "null",
        "",
    ];
    for payload in payloads {
        let answer = verify(&machine, &sign(&SECRET, HEADER, payload));
        assert!(matches!(answer, Err(Denied::Malformed { .. })), "{payload}: {answer:?}");
    }
}

#[test]
fn a_token_that_says_more_than_its_row_is_refused() {
    let (machine, _, _) = with_token(Permission::Read, None);
    let payloads = [
        r#"{"Allow":["read","write"],"name":"acme","perm":"read","jti":"1"}"#,
        r#"{"Allow":[],"name":"acme","perm":"read","jti":"1"}"#,
        r#"{"Allow":["read"],"name":"acme","perm":"admin","jti":"1"}"#,
        r#"{"Allow":["read"],"name":"rival","perm":"read","jti":"1"}"#,
        r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"1","exp":9999999999}"#,
        r#"{"jti":"1"}"#,
    ];
    for payload in payloads {
        let answer = verify(&machine, &sign(&SECRET, HEADER, payload));
        assert_eq!(answer, Err(Denied::Contradicts { id: 1 }), "{payload}");
    }
    let unknown = r#"{"Allow":["read"],"name":"acme","perm":"read","jti":"99"}"#;
    let answer = verify(&machine, &sign(&SECRET, HEADER, unknown));
    assert_eq!(answer, Err(Denied::Unknown { id: 99 }));
}

#[test]
fn rotation_overlaps_and_then_the_old_secret_is_gone() {
    let (mut machine, token, old) = with_token(Permission::Read, None);
    assert_eq!(machine.reply(add_secret(60_000)), Reply::SecretAdded { kid: 2 });
    let mut verifier = verifier();
    verifier.set_key(2, &OTHER_SECRET);
    let renewed = match machine.reply(Command::RenewToken { id: token.id }) {
        Reply::Token { token } => verifier.mint(&token).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_ne!(old, renewed);
    let both = |machine: &Machine, now| {
        [&old, &renewed].map(|text| verifier.verify(&machine.state, text, now))
    };
    assert!(both(&machine, machine.now_ms + 59_999).iter().all(Result::is_ok));
    let [retired, kept] = both(&machine, machine.now_ms + 60_000);
    assert_eq!(retired, Err(Denied::RetiredKey { kid: 1 }));
    assert!(kept.is_ok());
    machine.now_ms += 60_000;
    assert_eq!(machine.reply(add_secret(60_000)), Reply::SecretAdded { kid: 3 });
    assert_eq!(machine.state.secrets().map(|(kid, _)| kid).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(both(&machine, machine.now_ms)[0], Err(Denied::UnknownKey));
    verifier.retain_keys(|kid| kid > 1);
    assert!(!verifier.has_key(1) && verifier.has_key(2));
}

/// A secret that leaked while an earlier rotation still gave it time.
#[test]
fn a_rotation_without_overlap_ends_every_earlier_secret() {
    let (mut machine, _, text) = with_token(Permission::Admin, None);
    machine.done(add_secret(u64::MAX));
    assert!(verify(&machine, &text).is_ok());
    machine.done(add_secret(0));
    assert!(matches!(
        verify(&machine, &text),
        Err(Denied::RetiredKey { kid: 1 } | Denied::UnknownKey)
    ));
    machine.done(add_secret(60_000));
    let live = machine
        .state
        .secrets()
        .filter(|(_, secret)| secret.valid_until_ms.is_none_or(|until| until > machine.now_ms));
    assert_eq!(live.map(|(kid, _)| kid).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn secrets_are_bounded() {
    let mut machine = Machine::founded();
    for _ in 0..40 {
        machine.done(add_secret(u64::MAX));
    }
    let kids: Vec<_> = machine.state.secrets().map(|(kid, _)| kid).collect();
    assert_eq!(kids.len(), tables::SECRETS_MAX);
    assert_eq!(kids.last(), Some(&41));
    for sealed in [Vec::new(), vec![0; tables::SEALED_BYTES_MAX + 1]] {
        let refused = machine.rejected(Command::AddSecret { sealed, overlap_ms: 0 });
        assert_eq!(refused.kind(), Kind::Invalid);
    }
}

#[test]
fn lotus_tokens_are_taken_only_of_a_local_secret() {
    let machine = Machine::founded();
    let lotus = sign(
        &OTHER_SECRET,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"Allow":["read","write","sign","admin"]}"#,
    );
    let mut verifier = verifier();
    let now = machine.now_ms;
    assert_eq!(verifier.verify(&machine.state, &lotus, now), Err(Denied::UnknownKey));
    verifier.accept_local(&OTHER_SECRET, "local");
    let caller = verifier.verify(&machine.state, &lotus, now).unwrap();
    assert_eq!((caller.user.as_str(), caller.permission), ("local", Permission::Admin));
    assert_eq!(caller.token, None);
    verifier.accept_local(&OTHER_SECRET, "acme");
    let mut held = machine.clone();
    held.done(enable("acme", false));
    let refused = verifier.verify(&held.state, &lotus, now);
    assert_eq!(refused, Err(Denied::UserDisabled { user: "acme".to_owned() }));
    held.done(delete_user("acme"));
    let refused = verifier.verify(&held.state, &lotus, now);
    assert_eq!(refused, Err(Denied::UserDeleted { user: "acme".to_owned() }));
    verifier.accept_local(&OTHER_SECRET, "local");
    // A gap in the list ends what it grants.
    let gap = sign(&OTHER_SECRET, r#"{"alg":"HS256"}"#, r#"{"Allow":["read","admin"]}"#);
    let caller = verifier.verify(&machine.state, &gap, now).unwrap();
    assert_eq!(caller.permission, Permission::Read);
    let foreign = sign(&SECRET, r#"{"alg":"HS256"}"#, r#"{"Allow":["read"]}"#);
    assert_eq!(verifier.verify(&machine.state, &foreign, now), Err(Denied::BadSignature));
}

#[test]
fn an_owner_cannot_gain_a_permission_through_a_token() {
    let mut machine = Machine::founded();
    let id = machine.token("acme", Permission::Admin, None).id;
    let own = machine.token("acme", Permission::Write, None).id;
    let writer = Actor::of("acme", Permission::Write);
    let rival = Actor::of("rival", Permission::Sign);
    for command in [Command::RenewToken { id }, Command::RecoverToken { id }] {
        let refused = machine.rejected_as(&writer, command);
        let needed = Permission::Admin;
        assert!(
            matches!(&refused, Rejected::MissingPermission { needed: n, .. } if *n == needed),
            "{refused:?}"
        );
    }
    assert_eq!(machine.rejected_as(&rival, Command::RevokeToken { id }).kind(), Kind::Denied);
    let unknown = machine.rejected_as(&rival, Command::RevokeToken { id: 77 });
    assert_eq!(unknown.kind(), Kind::Denied, "not even whether it exists");
    assert_eq!(machine.rejected(Command::RevokeToken { id: 77 }).kind(), Kind::NotFound);

    let revoke = Command::RevokeToken { id: own };
    let recover = Command::RecoverToken { id: own };
    assert_eq!(machine.reply_as(&writer, revoke.clone()), Reply::Deleted { existed: true });
    assert_eq!(machine.reply_as(&writer, recover.clone()), Reply::Done);
    machine.done(revoke);
    let refused = machine.rejected_as(&writer, recover);
    assert!(refused.to_string().contains("which an administrator revoked"), "{refused}");
}

#[test]
fn tokens_that_make_no_sense_are_refused() {
    let mut machine = Machine { now_ms: 5, ..Machine::default() };
    machine.done(create_user("acme"));
    let early = machine.rejected(create_token("acme", Permission::Read, None));
    assert_eq!(early, Rejected::NoSecret);
    machine.done(add_secret(0));
    let zero = machine.rejected(create_token("acme", Permission::Read, Some(0)));
    assert_eq!(zero.kind(), Kind::Invalid);
    let nobody = machine.rejected(create_token("nobody", Permission::Read, None));
    assert_eq!(nobody.kind(), Kind::NotFound);
    let token = machine.token("acme", Permission::Read, Some(1));
    machine.now_ms += 10_000;
    let expired = machine.rejected(Command::RenewToken { id: token.id });
    assert_eq!(expired, Rejected::TokenExpired { id: token.id });
    let forever = machine.token("acme", Permission::Read, Some(u64::MAX));
    let text = verifier().mint(&forever).unwrap();
    assert!(verify(&machine, &text).is_ok());
}

#[test]
fn dead_tokens_make_room_and_ids_are_never_reused() {
    let mut machine = Machine::founded();
    let admin = Actor::admin("root");
    let mut put = |_: u8, _: &[u8], _: Option<Vec<u8>>| {};
    let now_ms = machine.now_ms;
    let context = Context { now_ms, index: 9, actor: &admin };
    for _ in 0..tables::TOKENS_MAX_PER_USER {
        machine.state.apply(&context, create_token("acme", Permission::Read, None), &mut put);
    }
    let full = machine.rejected(create_token("acme", Permission::Read, None));
    assert_eq!(full.kind(), Kind::Full);
    machine.done(Command::RevokeToken { id: 4 });
    let new = machine.token("acme", Permission::Read, None);
    assert_eq!(u64::try_from(tables::TOKENS_MAX_PER_USER).map(|max| max + 1), Ok(new.id));
    assert!(machine.state.token(4).is_none());
}

#[test]
fn last_uses_are_recorded_at_most_once_a_minute_and_node() {
    let mut machine = Machine::founded();
    let token = machine.token("acme", Permission::Read, None).id;
    let mut collector = UseCollector::new(3);
    assert_eq!(collector.poll(machine.now_ms), None, "nothing was used");
    collector.used(token, machine.now_ms - 5);
    collector.used(token, machine.now_ms - 9);
    collector.used(999, machine.now_ms);
    let command = collector.poll(machine.now_ms).unwrap();
    let node = Actor::node("n");
    assert_eq!(machine.reply_as(&node, command.clone()), Reply::UsesRecorded { count: 1 });
    let last = |machine: &Machine| machine.state.token(token).unwrap().last_used_ms;
    assert_eq!(last(&machine), Some(machine.now_ms - 5));
    machine.now_ms += 59_999;
    let refused = machine.rejected_as(&node, command.clone());
    assert_eq!(refused, Rejected::UsesTooOften { retry_at_ms: machine.now_ms + 1 });
    collector.used(token, machine.now_ms);
    assert_eq!(collector.poll(machine.now_ms), None);
    machine.now_ms += 2_000;
    let later = collector.poll(machine.now_ms).unwrap();
    collector.give_back(&later);
    assert_eq!(collector.poll(machine.now_ms + 61_000), Some(later.clone()), "none is lost");
    assert!(matches!(machine.reply_as(&node, later), Reply::UsesRecorded { count: 1 }));
    // Another node has its own minute; a use does not lie in the future or go back.
    let uses = vec![Use { token, last_ms: u64::MAX }];
    machine.reply_as(&node, Command::RecordUses { node: 4, uses });
    assert_eq!(last(&machine), Some(machine.now_ms));
    let uses = vec![Use { token, last_ms: 0 }; tables::USES_MAX + 1];
    assert_eq!(
        machine.rejected_as(&node, Command::RecordUses { node: 5, uses }).kind(),
        Kind::Invalid
    );
}

#[test]
fn every_used_token_has_its_turn() {
    let mut collector = UseCollector::new(1);
    let many = u64::try_from(tables::USES_MAX * 2).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut now = 0;
    for _ in 0..2 {
        for token in 1..=many {
            collector.used(token, now);
        }
        let Some(Command::RecordUses { uses, .. }) = collector.poll(now) else { panic!() };
        assert_eq!(uses.len(), tables::USES_MAX);
        seen.extend(uses.iter().map(|used| used.token));
        now += 61_000;
    }
    assert_eq!(u64::try_from(seen.len()).unwrap(), many);
}
