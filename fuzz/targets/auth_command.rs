//! Commands of the auth machine applied to a small state: never a panic, never a broken invariant,
//! and the rows that were written are the state.
//!
//! Input: for each command who acts, its length, its bytes.
#![no_main]

use std::collections::BTreeMap;

use hesper_auth::{Actor, Command, Context, Permission, Reply, State};
use libfuzzer_sys::fuzz_target;

fn actor(choice: u8) -> Actor {
    match choice % 4 {
        0 | 1 => Actor::admin("fuzz"),
        2 => Actor::node("fuzz"),
        _ => Actor::of("a", Permission::Write),
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(reply) = Reply::decode(data) {
        let bytes = reply.encode();
        assert_eq!(Reply::decode(&bytes).expect("own bytes"), reply);
    }
    let mut state = State::default();
    let mut rows = BTreeMap::new();
    let mut rest = data;
    let mut now_ms = 1_700_000_000_000;
    for index in 1..=16 {
        let [who, length, tail @ ..] = rest else { break };
        let (one, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        let Ok(command) = Command::decode(one) else { continue };
        assert_eq!(Command::decode(&command.encode()).expect("own bytes"), command);
        let actor = actor(*who);
        // The leader's stamps never go back.
        now_ms += u64::from(*who) * 500;
        let context = Context { now_ms, index, actor: &actor };
        let applied = state.apply(&context, command, &mut |table, key, row| match row {
            Some(row) => drop(rows.insert((table, key.to_vec()), row)),
            None => drop(rows.remove(&(table, key.to_vec()))),
        });
        assert_eq!(Reply::decode(&applied.reply.encode()).expect("own bytes"), applied.reply);
        state.validate().expect("no command breaks an invariant");
    }
    let mut loaded = State::default();
    for ((table, key), row) in &rows {
        loaded.load_row(*table, key, row).expect("own rows");
    }
    loaded.loaded().expect("own rows make a state");
    assert!(loaded == state, "the rows are the state");
});
