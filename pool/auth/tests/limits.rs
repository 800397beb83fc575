//! Limits: what may be set, how shares are drawn, and what a caller is told.

mod common;
use common::*;
use hesper_auth::*;

/// A draw of node `node` in the window of this moment.
fn draw(machine: &Machine, node: u64, limit: u64, sequence: u64, keep: u64, want: u64) -> Draw {
    let window = machine.state.limit(limit).map_or(0, |row| row.window_at(machine.now_ms));
    Draw { node, limit, window, sequence, keep, used: keep, want }
}

fn granted(reply: &Reply) -> u64 {
    match reply {
        Reply::Share(share) => share.granted,
        other => panic!("expected a share, got {other:?}"),
    }
}

#[test]
fn shares_of_all_nodes_fit_into_the_cap() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 1_000);
    let first = draw(&machine, 1, limit, 1, 0, 7);
    assert_eq!(granted(&machine.draw(first)), 7);
    let second = draw(&machine, 2, limit, 1, 0, 7);
    assert_eq!(granted(&machine.draw(second)), 3);
    let third = draw(&machine, 3, limit, 1, 0, 7);
    assert_eq!(granted(&machine.draw(third)), 0);
    let back = draw(&machine, 1, limit, 2, 2, 0);
    assert_eq!(granted(&machine.draw(back)), 2, "node 1 gives five back");
    let third = draw(&machine, 3, limit, 2, 0, 7);
    assert_eq!(granted(&machine.draw(third)), 5);
    machine.now_ms += 1_000;
    let next = draw(&machine, 3, limit, 3, 0, 70);
    assert_eq!(granted(&machine.draw(next)), 10, "a new window begins with nothing given out");
}

#[test]
fn a_repeated_or_late_draw_changes_nothing() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 1_000);
    let take = draw(&machine, 1, limit, 1, 0, 5);
    assert_eq!(granted(&machine.draw(take)), 5);
    let back = draw(&machine, 1, limit, 2, 2, 0);
    assert_eq!(granted(&machine.draw(back)), 2);
    let take_again = draw(&machine, 1, limit, 3, 2, 4);
    assert_eq!(granted(&machine.draw(take_again)), 6);
    for old in [take, back, take_again] {
        let Reply::Rejected(Rejected::StaleShare(share)) = machine.draw(old) else { panic!() };
        assert_eq!((share.granted, share.sequence), (6, 3));
    }
    let invented = draw(&machine, 1, limit, 4, 7, 0);
    assert!(matches!(machine.draw(invented), Reply::Rejected(Rejected::StaleShare(_))));
    let overspent = Draw { used: 7, ..draw(&machine, 1, limit, 4, 6, 0) };
    assert!(matches!(machine.draw(overspent), Reply::Rejected(Rejected::StaleShare(_))));
}

#[test]
fn a_draw_for_another_window_is_refused() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 1_000);
    for offset in [999, 1_001] {
        let draw = Draw { window: offset, ..draw(&machine, 1, limit, 1, 0, 5) };
        let answer = machine.draw(draw);
        assert_eq!(answer, Reply::Rejected(Rejected::OtherWindow { limit, window: 1_000 }));
    }
    let unknown = draw(&machine, 1, 99, 1, 0, 5);
    assert_eq!(machine.draw(unknown), Reply::Rejected(Rejected::NoSuchLimit { id: 99 }));
}

#[test]
fn a_lowered_cap_gives_nothing_more_and_holds_from_the_next_window_on() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 1_000);
    let first = draw(&machine, 1, limit, 1, 0, 8);
    machine.draw(first);
    assert_eq!(machine.reply(set_limit(Some(limit), "", 3, 1_000)), Reply::LimitSet { id: limit });
    let more = draw(&machine, 2, limit, 1, 0, 5);
    assert_eq!(granted(&machine.draw(more)), 0);
    machine.now_ms += 1_000;
    let next = draw(&machine, 2, limit, 2, 0, 5);
    assert_eq!(granted(&machine.draw(next)), 3);
    machine.done(set_limit(Some(limit), "", 9, 1_000));
    let next = draw(&machine, 1, limit, 2, 0, 50);
    assert_eq!(granted(&machine.draw(next)), 6, "a raised cap holds at once");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 1_000);
    let kind = |machine: &mut Machine, command| machine.rejected(command).kind();
    assert_eq!(kind(&mut machine, set_limit(None, "", 1, 0)), Kind::Invalid);
    assert_eq!(
        kind(&mut machine, set_limit(None, "", 1, tables::WINDOW_MS_MAX + 1)),
        Kind::Invalid
    );
    assert_eq!(kind(&mut machine, set_limit(None, "", u64::MAX, 1_000)), Kind::Invalid);
    assert_eq!(kind(&mut machine, set_limit(Some(99), "", 1, 1_000)), Kind::NotFound);
    let twin = machine.rejected(set_limit(None, "", 1, 1_000));
    assert_eq!(twin, Rejected::LimitExists { id: limit });
    for window in 0..u64::try_from(tables::LIMITS_MAX_PER_USER - 1).unwrap() {
        machine.limit(1, 2_000 + window);
    }
    assert_eq!(kind(&mut machine, set_limit(None, "m", 1, 1_000)), Kind::Full);
}

#[test]
fn another_window_makes_another_limit() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 1_000);
    let first = draw(&machine, 1, limit, 1, 0, 8);
    machine.draw(first);
    let Reply::LimitSet { id } = machine.reply(set_limit(Some(limit), "", 10, 5_000)) else {
        panic!()
    };
    assert_ne!(id, limit);
    assert!(machine.state.limit(limit).is_none() && machine.state.share(limit, 1).is_none());
    assert_eq!(machine.reply(Command::RemoveLimit { id }), Reply::Deleted { existed: true });
    assert_eq!(machine.reply(Command::RemoveLimit { id }), Reply::Deleted { existed: false });
    assert_eq!(machine.state.limits().count(), 0);
}

/// Charges one call, carrying out the draws that it needs.
fn charge(machine: &mut Machine, ledger: &mut Ledger, method: &str, class: Class) -> Charge {
    for _ in 0..8 {
        let now = machine.now_ms;
        match ledger.charge(&machine.state, "acme", "auth", method, class, now) {
            Charge::Draw(draw) => {
                let reply = machine.draw(draw);
                ledger.answered(now, &draw, Some(&reply));
            }
            other => return other,
        }
    }
    panic!("a draw brings something or pauses");
}

#[test]
fn beyond_the_limit_changes_are_refused_with_the_time_to_retry() {
    let mut machine = Machine::founded();
    let limit = machine.limit(3, 10_000);
    let mut ledger = Ledger::new(1);
    for _ in 0..3 {
        assert_eq!(charge(&mut machine, &mut ledger, "m", Class::Change), Charge::Admitted);
    }
    machine.now_ms += 4_000;
    let refused = charge(&mut machine, &mut ledger, "m", Class::Change);
    assert_eq!(refused, Charge::Exhausted { limit, retry_at_ms: 1_010_000 });
    for class in [Class::Read, Class::ProofCritical] {
        assert_eq!(charge(&mut machine, &mut ledger, "m", class), Charge::Admitted);
    }
    machine.now_ms = 1_010_000;
    assert_eq!(charge(&mut machine, &mut ledger, "m", Class::Change), Charge::Admitted);
}

#[test]
fn a_call_is_charged_to_all_limits_or_to_none() {
    let mut machine = Machine::founded();
    let wide = machine.limit(100, 10_000);
    let Reply::LimitSet { id: narrow } = machine.reply(set_limit(None, "seal", 2, 10_000)) else {
        panic!()
    };
    let mut ledger = Ledger::new(1);
    for _ in 0..2 {
        assert_eq!(charge(&mut machine, &mut ledger, "seal", Class::Change), Charge::Admitted);
    }
    for _ in 0..5 {
        let refused = charge(&mut machine, &mut ledger, "seal", Class::Change);
        assert!(matches!(refused, Charge::Exhausted { limit, .. } if limit == narrow));
    }
    assert_eq!(ledger.spent(wide), Some((100, 2)));
    assert_eq!(charge(&mut machine, &mut ledger, "other", Class::Change), Charge::Admitted);
    assert_eq!(ledger.spent(wide), Some((100, 3)));
    assert_eq!(ledger.spent(narrow), Some((100, 2)));
    let now = machine.now_ms;
    let free = ledger.charge(&machine.state, "rival", "auth", "seal", Class::Change, now);
    assert_eq!(free, Charge::Admitted, "another user has no limit");
}

#[test]
fn while_a_share_lies_idle_elsewhere_the_retry_is_within_a_second() {
    let mut machine = Machine::founded();
    let limit = machine.limit(10, 3_600_000);
    let hoard = Draw { used: 4, ..draw(&machine, 2, limit, 1, 0, 10) };
    machine.draw(Draw { used: 0, ..hoard });
    let mut ledger = Ledger::new(1);
    let refused = charge(&mut machine, &mut ledger, "m", Class::Change);
    let retry_at_ms = machine.now_ms + 1_000;
    assert_eq!(refused, Charge::Exhausted { limit, retry_at_ms });
}

#[test]
fn a_restarted_node_does_not_spend_twice() {
    let mut machine = Machine::founded();
    machine.limit(4, 10_000);
    let old_state = machine.state.clone();
    let mut ledger = Ledger::new(1);
    for _ in 0..4 {
        assert_eq!(charge(&mut machine, &mut ledger, "m", Class::Change), Charge::Admitted);
    }
    for state in [old_state, machine.state.clone()] {
        let mut ledger = Ledger::new(1);
        let now = machine.now_ms;
        // The first look is at a state that may be older than what the earlier process drew.
        if let Charge::Draw(draw) = ledger.charge(&state, "acme", "", "m", Class::Change, now) {
            let reply = machine.draw(draw);
            ledger.answered(now, &draw, Some(&reply));
        }
        let refused = charge(&mut machine, &mut ledger, "m", Class::Change);
        assert!(matches!(refused, Charge::Exhausted { .. }), "{refused:?}");
    }
}

/// Found by the property test: the answers that would have told the new process what the old one drew
/// were lost, and its numbers grew until one passed the fence.
#[test]
fn a_restarted_node_that_hears_nothing_does_not_pass_the_fence() {
    let mut machine = Machine::founded();
    machine.limit(4, 60_000);
    let old_state = machine.state.clone();
    let mut ledger = Ledger::new(1);
    for _ in 0..4 {
        assert_eq!(charge(&mut machine, &mut ledger, "m", Class::Change), Charge::Admitted);
    }
    let mut ledger = Ledger::new(1);
    for round in 0..10 {
        let now = machine.now_ms;
        let charged = ledger.charge(&old_state, "acme", "", "m", Class::Change, now);
        let Charge::Draw(draw) = charged else { panic!("round {round}: {charged:?}") };
        assert!(matches!(machine.draw(draw), Reply::Rejected(Rejected::StaleShare(_))));
        ledger.answered(now, &draw, None);
        machine.now_ms += 200;
    }
    let refused = charge(&mut machine, &mut ledger, "m", Class::Change);
    assert!(matches!(refused, Charge::Exhausted { .. }), "{refused:?}");
}

/// Draws of an earlier process reach the log when its successor has drawn and spent already.
#[test]
fn what_an_earlier_process_left_on_the_way_takes_nothing_from_its_successor() {
    let mut machine = Machine::founded();
    let limit = machine.limit(4, 60_000);
    let mut earlier = Ledger::new(1);
    assert_eq!(charge(&mut machine, &mut earlier, "m", Class::Change), Charge::Admitted);
    let mut on_the_way = Vec::new();
    for _ in 0..3 {
        machine.now_ms += 200;
        let now = machine.now_ms;
        match earlier.charge(&machine.state, "acme", "", "m", Class::Change, now) {
            Charge::Draw(draw) => {
                earlier.answered(now, &draw, None);
                on_the_way.push(draw);
            }
            other => panic!("{other:?}"),
        }
    }
    let mut ledger = Ledger::new(1);
    for _ in 0..2 {
        assert_eq!(charge(&mut machine, &mut ledger, "m", Class::Change), Charge::Admitted);
    }
    for draw in on_the_way {
        assert!(matches!(machine.draw(draw), Reply::Rejected(Rejected::StaleShare(_))));
    }
    let other = draw(&machine, 2, limit, 1, 0, 4);
    assert_eq!(granted(&machine.draw(other)), 1, "three of four are spent");
}

/// What an earlier process gave back can arrive after its successor asked.
#[test]
fn a_late_return_of_an_earlier_process_does_not_end_the_window_for_its_successor() {
    let mut machine = Machine::founded();
    let limit = machine.limit(4, 60_000);
    let first = draw(&machine, 1, limit, 1, 0, 4);
    machine.draw(first);
    let mut ledger = Ledger::new(1);
    let now = machine.now_ms;
    let Charge::Draw(question) = ledger.charge(&machine.state, "acme", "", "m", Class::Change, now)
    else {
        panic!()
    };
    let reply = machine.draw(question);
    ledger.answered(now, &question, Some(&reply));
    let back = draw(&machine, 1, limit, 3, 2, 0);
    assert_eq!(granted(&machine.draw(back)), 2);
    assert_eq!(charge(&mut machine, &mut ledger, "m", Class::Change), Charge::Admitted);
}

#[test]
fn nodes_that_are_gone_make_room_for_new_ones() {
    let mut machine = Machine::founded();
    let limit = machine.limit(1_000, 1_000);
    let max = u64::try_from(tables::NODES_MAX).unwrap();
    let actor = Actor::node("n");
    for node in 1..=max {
        let one = draw(&machine, node, limit, 1, 0, 1);
        assert_eq!(granted(&machine.draw(one)), 1);
        machine.reply_as(&actor, Command::RecordUses { node, uses: Vec::new() });
    }
    let rows = machine.rows.clone();
    let late = draw(&machine, max + 1, limit, 1, 0, 1);
    assert!(matches!(machine.draw(late), Reply::Rejected(Rejected::Full { .. })));
    let record = Command::RecordUses { node: max + 1, uses: Vec::new() };
    assert!(matches!(
        machine.reply_as(&actor, record.clone()),
        Reply::Rejected(Rejected::Full { .. })
    ));
    assert_eq!(machine.rows, rows, "a refused draw changes nothing");
    machine.now_ms += tables::USES_INTERVAL_MS;
    let late = draw(&machine, max + 1, limit, 1, 0, 1);
    assert_eq!(granted(&machine.draw(late)), 1);
    assert_eq!(machine.reply_as(&actor, record), Reply::UsesRecorded { count: 0 });
    assert!(machine.state.share(limit, max + 1).is_some());
    assert!(machine.state.share(limit, 1).is_none());
    assert!(machine.reloaded() == machine.state);
}

#[test]
fn a_draw_that_is_never_answered_does_not_block_for_ever() {
    let mut machine = Machine::founded();
    machine.limit(4, 60_000);
    let mut ledger = Ledger::new(1);
    let mut at =
        |machine: &Machine, now| ledger.charge(&machine.state, "acme", "", "m", Class::Change, now);
    let now = machine.now_ms;
    assert!(matches!(at(&machine, now), Charge::Draw(_)));
    assert_eq!(at(&machine, now + 4_999), Charge::Pending);
    assert!(matches!(at(&machine, now + 5_000), Charge::Draw(Draw { sequence: 1, .. })));
}
