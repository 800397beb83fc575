//! Proving deadlines: the cases of filecoin-project/go-state-types `dline/deadline_test.go`
//! (MIT / Apache-2.0), as facts about epochs.

use hesper_chain::deadline::{DeadlineInfo, STANDARD};

const PERIOD: i64 = 2880;
const WINDOW: i64 = 60;
const LOOKBACK: i64 = 20;
const CUTOFF: i64 = 70;

fn info(start: i64, index: u64, epoch: i64) -> DeadlineInfo {
    DeadlineInfo::new(&STANDARD, start, index, epoch)
}

#[test]
fn before_the_period_nothing_is_open() {
    let start = CUTOFF + 1;
    let deadline = info(start, 0, 0);
    assert_eq!((deadline.open, deadline.close), (start, start + WINDOW));
    assert_eq!((deadline.challenge, deadline.fault_cutoff), (start - LOOKBACK, start - CUTOFF));
    assert!(!deadline.is_period_started() && !deadline.is_period_elapsed());
    assert!(!deadline.is_open() && !deadline.has_elapsed() && !deadline.is_fault_cutoff_passed());
    assert_eq!((deadline.last(), deadline.next_open()), (start + WINDOW - 1, start + WINDOW));
    assert_eq!(deadline.period_end(), start + PERIOD - 1);
    assert_eq!(deadline.next_period_start(), start + PERIOD);
    assert!(info(CUTOFF - 1, 0, 0).is_fault_cutoff_passed());
}

#[test]
fn the_period_begins_and_ends_at_its_epochs() {
    let start = 50_000;
    let story = |epoch: i64, index: u64| {
        let deadline = info(start, index, epoch);
        assert_eq!(deadline.period_end(), start + PERIOD - 1);
        (deadline.is_period_started(), deadline.is_period_elapsed())
    };
    assert_eq!(story(start - 1, 0), (false, false));
    assert_eq!(story(start, 0), (true, false));
    assert_eq!(story(start + PERIOD - 1, 47), (true, false));
    assert_eq!(story(start + PERIOD, 47), (true, true));
    assert!(info(start, 47, start + PERIOD).has_elapsed());
}

/// Epoch relative to the start, index, (open, elapsed, cutoff passed), and the start and index of
/// the next instance that is not over.
#[test]
fn deadlines_open_and_close_at_their_epochs() {
    let start = 50_000;
    for (epoch, index, state, next) in [
        (-1, 0, (false, false, true), (0, 0)),
        (0, 0, (true, false, true), (0, 0)),
        (0, 1, (false, false, true), (0, 1)),
        (WINDOW - 1, 0, (true, false, true), (0, 0)),
        (WINDOW, 0, (false, true, true), (PERIOD, 0)),
        (0, 2, (false, false, false), (0, 2)),
        (PERIOD * 3, 5, (false, true, true), (PERIOD * 3, 5)),
        (PERIOD * 3 + 6 * WINDOW, 5, (false, true, true), (PERIOD * 4, 5)),
    ] {
        let deadline = info(start, index, start + epoch);
        let found = (deadline.is_open(), deadline.has_elapsed(), deadline.is_fault_cutoff_passed());
        assert_eq!(found, state, "epoch {epoch}, deadline {index}");
        let later = deadline.next_not_elapsed();
        assert_eq!((later.period_start - start, later.index), next, "epoch {epoch}");
        assert!(!later.has_elapsed());
    }
}

#[test]
fn one_past_the_last_deadline_stands_for_the_end_of_the_period() {
    let deadline = info(0, 48, PERIOD);
    assert_eq!((deadline.open, deadline.close, deadline.challenge), (PERIOD, PERIOD, PERIOD));
    assert!(deadline.is_period_elapsed() && !deadline.is_open() && deadline.has_elapsed());
    assert!(deadline.is_fault_cutoff_passed());
}

#[test]
fn every_epoch_lies_in_the_deadline_that_is_open() {
    let offset = 1234;
    for epoch in (-3000..9000).step_by(7) {
        let deadline = DeadlineInfo::at(&STANDARD, offset, epoch).unwrap();
        assert!(deadline.is_open(), "{epoch}");
        assert!(deadline.index < 48);
        assert_eq!((deadline.period_start - offset).rem_euclid(PERIOD), 0);
    }
}

#[test]
fn extreme_epochs_do_not_overflow() {
    for start in [i64::MIN, i64::MAX] {
        for epoch in [i64::MIN, 0, i64::MAX] {
            for index in [0, 47, 48, u64::MAX] {
                let deadline = info(start, index, epoch);
                assert!(deadline.close >= deadline.open);
                let _ = (deadline.next_not_elapsed(), deadline.last(), deadline.period_end());
            }
        }
    }
    assert_eq!(DeadlineInfo::at(&STANDARD, i64::MAX, i64::MIN), None);
}

#[test]
fn json_has_the_names_of_lotus() {
    let json = serde_json::to_value(info(0, 1, 65)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "CurrentEpoch": 65, "PeriodStart": 0, "Index": 1, "Open": 60, "Close": 120,
            "Challenge": 40, "FaultCutoff": -10, "WPoStPeriodDeadlines": 48,
            "WPoStProvingPeriod": 2880, "WPoStChallengeWindow": 60,
            "WPoStChallengeLookback": 20, "FaultDeclarationCutoff": 70,
        })
    );
    assert_eq!(serde_json::from_value::<DeadlineInfo>(json).unwrap(), info(0, 1, 65));
}
