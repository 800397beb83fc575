//! Any history: invariants hold after every command, replays agree, reload equals memory, ids are never
//! given twice.

mod common;
use common::*;
use hesper_auth::*;
use proptest::prelude::*;

fn user() -> impl Strategy<Value = String> {
    prop_oneof![5 => "[abc]", 1 => Just("a b".to_owned()), 1 => Just(String::new())]
}

fn signers() -> impl Strategy<Value = Vec<String>> {
    let text = prop_oneof![Just(F1), Just(F1_OTHER), Just(F410), Just("f01234")];
    prop::collection::vec(text.prop_map(str::to_owned), 0..4)
}

fn permission() -> impl Strategy<Value = Permission> {
    (0usize..4).prop_map(|index| Permission::ALL[index])
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        6 => Just(Actor::admin("root")),
        2 => Just(Actor::node("n1")),
        2 => (user(), permission()).prop_map(|(user, has)| Actor::of(&user, has)),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let small = 0u64..8;
    let people = prop_oneof![
        3 => (user(), any::<bool>()).prop_map(|(name, enabled)| Command::CreateUser {
            name, comment: String::new(), enabled
        }),
        1 => (user(), any::<Option<bool>>()).prop_map(|(name, enabled)| Command::UpdateUser {
            name, comment: None, enabled
        }),
        1 => user().prop_map(|name| Command::DeleteUser { name }),
        1 => user().prop_map(|name| Command::RecoverUser { name }),
        1 => (user(), any::<Option<u64>>()).prop_map(|(user, jobs)| Command::SetQuota {
            user, quota: Quota { jobs, ..Quota::default() }
        }),
    ];
    let things = prop_oneof![
        2 => (small.clone(), user(), any::<bool>()).prop_map(|(miner, user, open_mining)| {
            Command::PutMiner { miner, user, open_mining }
        }),
        1 => small.clone().prop_map(|miner| Command::DeleteMiner { miner }),
        2 => (user(), signers())
            .prop_map(|(user, signers)| Command::RegisterSigners { user, signers }),
        1 => (user(), signers())
            .prop_map(|(user, signers)| Command::UnregisterSigners { user, signers }),
        1 => Just(Command::DeleteSigner { signer: F1.to_owned() }),
    ];
    let tokens = prop_oneof![
        4 => (user(), permission(), prop::option::of(0u64..5_000)).prop_map(
            |(user, permission, valid_ms)| create_token(&user, permission, valid_ms)
        ),
        2 => small.clone().prop_map(|id| Command::RevokeToken { id }),
        1 => small.clone().prop_map(|id| Command::RecoverToken { id }),
        1 => small.clone().prop_map(|id| Command::RenewToken { id }),
        1 => (0u64..5_000).prop_map(add_secret),
        1 => (small.clone(), small.clone(), any::<u32>()).prop_map(|(node, token, last)| {
            let uses = vec![Use { token, last_ms: u64::from(last) }];
            Command::RecordUses { node, uses }
        }),
    ];
    let limits = prop_oneof![
        3 => (prop::option::of(small.clone()), user(), "[mn]?", small.clone(), 0u64..4).prop_map(
            |(id, user, method, cap, window)| Command::SetLimit {
                id, user, service: String::new(), method, cap, window_ms: window * 500
            }
        ),
        1 => small.clone().prop_map(|id| Command::RemoveLimit { id }),
        4 => (small.clone(), small.clone(), 0u64..20, small.clone(), small.clone(), small).prop_map(
            |(node, limit, window, sequence, keep, want)| Command::Draw(Draw {
                node, limit, window, sequence, keep, used: keep / 2, want
            })
        ),
    ];
    prop_oneof![3 => people, 2 => things, 3 => tokens, 3 => limits]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_history_replays_to_the_same_rows(
        history in prop::collection::vec((actor(), command(), 0u64..600), 1..120),
    ) {
        let mut first = Machine::default();
        let mut second = Machine::default();
        first.done(add_secret(0));
        second.done(add_secret(0));
        let mut last_token = 0;
        for (actor, command, wait_ms) in &history {
            first.now_ms += wait_ms;
            let applied = first.apply_as(actor, command.clone());
            // The second machine is loaded from its rows again and again.
            second.now_ms += wait_ms;
            second.state = second.reloaded();
            prop_assert_eq!(&second.apply_as(actor, command.clone()), &applied);
            if let (Command::CreateToken { .. }, Reply::Token { token }) = (command, &applied.reply) {
                prop_assert!(token.id > last_token);
                last_token = token.id;
            }
            for limits in &applied.effects.owner_limits {
                let user = first.state.user(&limits.user).expect("announced users exist");
                prop_assert_eq!(limits.held, user.is_held());
            }
        }
        prop_assert!(first.state == second.state);
        prop_assert_eq!(&first.rows, &second.rows);
        prop_assert!(first.reloaded() == first.state);
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), table in 60u8..80) {
        let _ = Command::decode(&bytes);
        let _ = Reply::decode(&bytes);
        let mut state = State::default();
        let _ = state.load_row(table, &bytes, &bytes);
        let _ = state.validate();
        let text = String::from_utf8_lossy(&bytes);
        let _ = verifier().verify(&state, &text, 0);
        let _ = names::signer(&text);
        let _ = names::miner(&text);
        let _ = names::check_user(&text);
    }
}
