use hesper_protos::auth as wire;

use super::*;
use crate::output::Show;

#[test]
fn tokens_as_a_table() {
    let token = |token, state: &str, expires_at_ms| wire::Token {
        token,
        user: "acme".into(),
        permission: "sign".into(),
        state: state.into(),
        expires_at_ms,
        secret: 1,
        ..Default::default()
    };
    let tokens = [token(1, "valid", 0), token(12, "revoked", 1_795_340_700_000)];
    let tokens = AuthTokens { tokens: tokens.into_iter().map(Into::into).collect() };
    insta::assert_snapshot!(tokens.text(), @r"
    TOKEN  USER  NAME  PERMISSION  STATE    EXPIRES               LAST USED  SECRET
        1  acme  -     sign        valid    -                     -               1
       12  acme  -     sign        revoked  2026-11-22 09:45:00Z  -               1
    ");
}

#[test]
fn quotas_as_a_table() {
    let quota = wire::UserQuota {
        user: "acme".into(),
        quota: Some(wire::Quota {
            cores: Some(8),
            storage_bytes: Some(1 << 30),
            ..Default::default()
        }),
        jobs: 3,
        cores: 8,
        held: true,
        ..Default::default()
    };
    let quotas = Quotas { quotas: vec![quota.into()] };
    insta::assert_snapshot!(quotas.text(), @r"
    USER  JOBS  CORES  GPUS    STORAGE  NOTE
    acme   3/-    8/8   0/-  0 B/1 GiB  disabled: nothing new starts
    ");
}
