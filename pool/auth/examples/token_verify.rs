//! Verifications per second on one core: 10,000 distinct tokens of 100 users, each call with its
//! signature, expiry, revocation, user and limit look-up.
//!
//! `cargo run --release -p hesper-auth --example token_verify`
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::time::Instant;

use hesper_auth::*;

const TOKENS: usize = 10_000;
const USERS: usize = 100;
const ROUNDS: u32 = 50;

fn main() {
    let mut state = State::default();
    let mut verifier = Verifier::new();
    verifier.set_key(1, &[7; 32]);
    let admin = Actor::admin("bench");
    let context = Context { now_ms: 1_000, index: 1, actor: &admin };
    let mut apply = |command| state.apply(&context, command, &mut |_, _, _| {}).reply;
    apply(Command::AddSecret { sealed: vec![1], overlap_ms: 0 });
    let name = |number: usize| format!("user-{:03}", number % USERS);
    for number in 0..USERS {
        let user = name(number);
        apply(Command::CreateUser { name: user.clone(), comment: String::new(), enabled: true });
        let (service, method) = (String::new(), String::new());
        let (cap, window_ms) = (1_000_000, 1_000);
        apply(Command::SetLimit { id: None, user, service, method, cap, window_ms });
    }
    let mut texts = Vec::with_capacity(TOKENS);
    for number in 0..TOKENS {
        let command = Command::CreateToken {
            user: name(number),
            name: String::new(),
            permission: Permission::ALL[number % 4],
            extra: String::new(),
            valid_ms: Some(3_600_000),
        };
        if let Reply::Token { token } = apply(command) {
            texts.extend(verifier.mint(&token));
        }
    }
    assert_eq!(texts.len(), TOKENS);

    let mut limits = 0;
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        for text in &texts {
            let caller = verifier.verify(&state, text, 2_000).expect("the token is valid");
            limits += state.limits_for(&caller.user, "jobs", "submit").count();
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let calls = TOKENS * ROUNDS as usize;
    assert_eq!(limits, calls);
    println!("token_verify {:.0} per second", calls as f64 / seconds);
}
