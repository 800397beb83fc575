use std::cell::RefCell;

use super::*;

/// A process that reports `cpu_ms` for 1,000 units, with `more` fields.
fn says(label: &str, cpu_ms: u32, more: &str) -> Invocation {
    Invocation::new(label, Path::new("/bin/echo"))
        .arg(format!("{{\"cpu_ns\":{cpu_ms}000000,\"wall_ns\":1000000000,\"units\":1000{more}}}"))
}

fn fails(label: &str) -> Invocation {
    Invocation::new(label, Path::new("/bin/false"))
}

fn rival(variants: Vec<Invocation>) -> Option<Rival> {
    Some(Rival {
        name: "library".to_owned(),
        version: "1".to_owned(),
        variants,
        default_build: Some(says("default", 4000, "")),
        samples: 2,
    })
}

fn play(mut contests: Vec<Contest>) -> (Vec<Row>, Vec<(String, anyhow::Error)>, Vec<String>) {
    let dir = tempfile::tempdir().expect("dir");
    let notes = RefCell::new(Vec::new());
    let course = Course {
        stop: &AtomicBool::new(false),
        logs: dir.path(),
        end: Instant::now() + Duration::from_secs(60),
        note: &|text: &str| notes.borrow_mut().push(text.to_owned()),
    };
    run(&mut contests, &course);
    let setting = Setting { machine: "m".to_owned(), load: 0.0, commit: "c".to_owned() };
    let Verdict { rows, failed } = rows(contests, &setting).expect("rows");
    (rows, failed, notes.into_inner())
}

#[test]
fn the_best_variant_is_the_peer_and_all_are_shown() {
    let ours = says("ours", 250, ",\"clock_hz\":1000000.0");
    let entry = Entry::new("r", ours, 3, Some(100.0));
    let variants = vec![says("slow", 2000, ""), says("quick", 500, ""), says("middling", 1000, "")];
    let (rows, failed, notes) = play(vec![Contest::new("1/s", rival(variants), vec![entry])]);
    assert!(failed.is_empty());
    let row = &rows[0];
    assert_eq!((row.ours, row.peer, row.ratio), (4000.0, Some(2000.0), Some(2.0)));
    assert_eq!(row.samples, 3);
    assert_eq!(row.peer_version.as_deref(), Some("1 (quick)"));
    assert_eq!(row.extra.peer_default, Some(250.0));
    assert_eq!((row.extra.wall, row.extra.peer_wall), (Some(1000.0), Some(1000.0)));
    // 4,000 units a second of 100 cycles each, at 1 MHz.
    assert_eq!(row.extra.bound_share, Some(0.4));
    for label in ["slow", "quick", "middling", "default"] {
        assert!(notes.iter().any(|note| note.starts_with(label)), "{label}");
    }
}

#[test]
fn samples_are_spread_over_the_run() {
    let contest =
        |name: &str| Contest::new("1/s", None, vec![Entry::new(name, says(name, 1, ""), 2, None)]);
    let (_, _, notes) = play(vec![contest("a"), contest("b")]);
    let order: Vec<&str> =
        notes.iter().filter(|note| !note.starts_with("round")).map(|note| &note[..1]).collect();
    assert_eq!(order, ["a", "b", "a", "b"]);
}

#[test]
fn a_row_that_fails_leaves_the_others() {
    let entries = vec![
        Entry::new("bad", fails("bad"), 2, None),
        Entry::new("good", says("g", 1, ""), 2, None),
    ];
    let (rows, failed, _) = play(vec![Contest::new("1/s", None, entries)]);
    assert_eq!((rows.len(), rows[0].name.as_str(), rows[0].samples), (1, "good", 2));
    assert_eq!((failed.len(), failed[0].0.as_str()), (1, "bad"));
}

#[test]
fn a_failed_peer_is_told_and_leaves_the_row_without_one() {
    let entry = Entry::new("r", says("ours", 1, ""), 1, None);
    let (rows, failed, _) = play(vec![Contest::new("1/s", rival(vec![fails("p")]), vec![entry])]);
    assert!(rows[0].peer.is_none() && rows[0].ratio.is_none());
    assert_eq!(failed[0].0, "the peer of r");
}

#[test]
fn different_digests_are_a_failure() {
    let entry = Entry::new("r", says("ours", 1, ",\"digest\":\"aa\""), 1, None);
    let other = rival(vec![says("p", 1, ",\"digest\":\"bb\"")]);
    let (rows, failed, _) = play(vec![Contest::new("1/s", other, vec![entry])]);
    assert!(rows.is_empty());
    assert!(failed[0].1.to_string().contains("same inputs"));
}

#[test]
fn memory_is_a_column_where_it_is_asked_for() {
    let more = ",\"max_rss_bytes\":2097152";
    let entries = vec![
        Entry::new("with", says("a", 1, more), 1, None).with_memory(),
        Entry::new("without", says("b", 1, more), 1, None),
    ];
    let (rows, _, _) = play(vec![Contest::new("1/s", None, entries)]);
    assert_eq!((rows[0].extra.rss_mib, rows[1].extra.rss_mib), (Some(2.0), None));
}
