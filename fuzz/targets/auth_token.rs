//! Tokens from anywhere: none is taken that was not made with the secret, a changed one least.
//!
//! Input: the text of a token; and, read another way, changes to a valid one as (place, byte).
#![no_main]

use hesper_auth::{Actor, Command, Context, Permission, Reply, State, Verifier};
use libfuzzer_sys::fuzz_target;

const NOW_MS: u64 = 1_700_000_000_000;
const SECRET: [u8; 32] = [7; 32];

/// A state with one user and one token, and the token's text.
fn cluster() -> (State, Verifier, String) {
    let mut state = State::default();
    let actor = Actor::admin("fuzz");
    let mut apply = |index, command| {
        let context = Context { now_ms: NOW_MS, index, actor: &actor };
        state.apply(&context, command, &mut |_, _, _| {}).reply
    };
    apply(1, Command::AddSecret { sealed: SECRET.to_vec(), overlap_ms: 0 });
    let (name, comment) = ("a".to_owned(), String::new());
    apply(2, Command::CreateUser { name, comment, enabled: true });
    let create = Command::CreateToken {
        user: "a".to_owned(),
        name: String::new(),
        permission: Permission::Sign,
        extra: String::new(),
        valid_ms: Some(3_600_000),
    };
    let Reply::Token { token } = apply(3, create) else { panic!("the user exists") };
    let mut verifier = Verifier::new();
    verifier.set_key(token.kid, &SECRET);
    let text = verifier.mint(&token).expect("its secret is loaded");
    (state, verifier, text)
}

fuzz_target!(|data: &[u8]| {
    let (state, mut verifier, valid) = cluster();
    assert!(verifier.verify(&state, &valid, NOW_MS).is_ok());
    let mut changed = valid.clone().into_bytes();
    for pair in data.chunks_exact(2).take(4) {
        let at = (usize::from(pair[0]) | usize::from(pair[1] >> 7) << 8) % changed.len();
        changed[at] = pair[1] & 127;
    }
    let changed = String::from_utf8_lossy(&changed);
    if changed != valid {
        assert!(verifier.verify(&state, &changed, NOW_MS).is_err());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    verifier.accept_local(&[9; 32], "a");
    assert!(text == valid || verifier.verify(&state, text, NOW_MS).is_err());
});
