//! Sectors and groups that fail, are cancelled or are left.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};

use super::*;
use crate::group::files::Layer;
use crate::group::writer::{Finish, Slot, finish};

fn error(outcome: &Outcome, sector: usize) -> &SectorError {
    outcome.ended[sector].as_ref().expect("ended").as_ref().expect_err("fails")
}

#[test]
fn a_layer_that_is_missing_or_cut_off_fails_its_sector_alone_small() {
    let mut bench = Bench::new(64, 2, 3);
    assert_ok(&bench.run(&Request { layers: 1, ..bench.request() }, |_| {}), 0);
    bench.sectors.iter_mut().for_each(|sector| sector.have = 1);
    fs::remove_file(bench.sectors[0].dir.join(layer_name(1))).expect("removes");
    let path = bench.sectors[2].dir.join(layer_name(1));
    fs::write(&path, b"short").expect("cuts it off");
    let outcome = bench.run(&bench.request(), |_| {});
    assert!(matches!(error(&outcome, 0), SectorError::Io { action: "open", .. }));
    assert!(matches!(error(&outcome, 2), SectorError::Damaged { .. }));
    assert_ok(&outcome, 1);
    bench.assert_layers(1, 2, &outcome);
}

#[test]
fn sectors_cancelled_before_the_start_leave_the_others_small() {
    for cancelled in [vec![0], vec![1, 2, 3, 4], vec![0, 2, 4], vec![0, 1, 2, 3, 4]] {
        let bench = Bench::new(64, 2, 5);
        for &sector in &cancelled {
            bench.sectors[sector].cancel.store(true, Ordering::Relaxed);
        }
        let outcome = bench.run(&bench.request(), |_| {});
        for sector in 0..5 {
            if cancelled.contains(&sector) {
                assert!(error(&outcome, sector).is_cancelled());
                assert_eq!(bench.names(sector), Vec::<String>::new());
            } else {
                assert_ok(&outcome, sector);
                bench.assert_layers(sector, 2, &outcome);
            }
        }
    }
}

/// Cancelled when layer 2 starts: the finished layer stays, the others go on in a narrower kernel.
#[test]
fn sectors_cancelled_on_the_way_keep_their_finished_layers_small() {
    let bench = Bench::new(1024, 4, 6);
    let outcome = bench.run(&bench.request(), |event| {
        if let Event::Layer { sector: 5, layer: 1, .. } = event {
            for sector in [0, 2, 3, 5] {
                bench.sectors[sector].cancel.store(true, Ordering::Relaxed);
            }
        }
    });
    for sector in [1, 4] {
        assert_ok(&outcome, sector);
        bench.assert_layers(sector, 4, &outcome);
    }
    for sector in [0, 2, 3, 5] {
        // The labelling may be layers ahead of the event, or done.
        let finished = outcome.reported[sector].len() as u32;
        assert!(finished >= 1);
        bench.assert_layers(sector, finished, &outcome);
        if finished < 4 {
            assert!(error(&outcome, sector).is_cancelled());
        }
    }
}

#[test]
fn a_sector_that_cannot_write_fails_alone_small() {
    let bench = Bench::new(1024, 3, 4);
    // No directory; and the name of the second layer is taken by a directory that is not empty.
    fs::remove_dir(&bench.sectors[1].dir).expect("removes it");
    let taken = bench.sectors[2].dir.join(layer_name(2));
    fs::create_dir_all(taken.join("inside")).expect("makes it");
    let outcome = bench.run(&bench.request(), |_| {});
    assert!(matches!(error(&outcome, 1), SectorError::Io { action: "create", .. }));
    let failed = error(&outcome, 2);
    assert!(
        matches!(failed, SectorError::Io { action: "rename to its final name", .. }),
        "{failed}"
    );
    assert_eq!(outcome.reported[2].len(), 1);
    let mut names = bench.names(2);
    names.sort();
    assert_eq!(names, [layer_name(1), layer_name(2)], "no temporary file is left");
    for sector in [0, 3] {
        assert_ok(&outcome, sector);
        bench.assert_layers(sector, 3, &outcome);
    }
    // A narrower kernel than for four, as soon as the loss is known.
    assert!(outcome.widths.iter().all(|(_, width, _)| [2, 4].contains(width)));
}

#[test]
fn bad_requests_are_refused_small() {
    let bench = Bench::new(64, 2, 17);
    let run = |request: &Request<'_>| {
        run(request, &mut |event| panic!("{event:?}")).expect_err("refused")
    };
    assert!(matches!(run(&bench.request()), GroupError::Sectors { sectors: 17 }));
    let none = Request { sectors: Vec::new(), ..bench.request() };
    assert!(matches!(run(&none), GroupError::Sectors { sectors: 0 }));
    let one = |have, layers| {
        let sector = Sector { have, ..bench.sectors[0].clone() };
        run(&Request { layers, sectors: vec![sector], ..bench.request() })
    };
    assert!(matches!(one(0, 0), GroupError::Layers { .. }));
    assert!(matches!(one(3, 2), GroupError::Layers { have: 3, layers: 2 }));
    let twice = vec![bench.sectors[0].clone(), bench.sectors[0].clone()];
    let twice = Request { sectors: twice, ..bench.request() };
    assert!(matches!(run(&twice), GroupError::SameDir { .. }));
}

#[test]
fn a_panic_of_the_caller_ends_the_group_small() {
    let bench = Bench::new(1024, 11, 2);
    let request = bench.request();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run(&request, &mut |event| {
            if let Event::Layer { .. } = event {
                panic_any("the caller's own");
            }
        })
    }));
    let panic = ended.expect_err("the panic goes through");
    assert_eq!(panic.downcast_ref(), Some(&"the caller's own"));
    for sector in 0..2 {
        let names = bench.names(sector);
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
    }
}

#[test]
fn damage_of_a_layer_file_is_found_small() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("layer");
    fs::write(&path, [7; 64]).expect("writes");
    let digest = blake3::hash(&[7; 64]);
    verify_layer(&path, 64, digest.as_bytes()).expect("whole");
    let short = verify_layer(&path, 65, digest.as_bytes()).expect_err("too short");
    assert!(short.to_string().contains("64 bytes and not 65 bytes"), "{short}");
    fs::write(&path, [8; 64]).expect("writes");
    let changed = verify_layer(&path, 64, digest.as_bytes());
    assert!(matches!(changed, Err(SectorError::Damaged { .. })));
    let absent = verify_layer(&dir.path().join("absent"), 64, digest.as_bytes());
    assert!(matches!(absent, Err(SectorError::Io { action: "open", .. })));
}

/// So many layers that no machine has made them before its threads hear of the panic.
#[test]
fn a_panic_of_the_caller_ends_all_groups() {
    let benches = [Bench::new(1 << 14, 400, 1), Bench::new(1 << 14, 400, 2)];
    let requests = benches.each_ref().map(|bench| bench.request());
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run_groups(&requests, &mut |_, _| panic_any("the caller's own"));
    }));
    let panic = ended.expect_err("the panic goes through");
    assert_eq!(panic.downcast_ref(), Some(&"the caller's own"));
    for bench in &benches {
        for sector in 0..bench.sectors.len() {
            let names = bench.names(sector);
            assert!(!names.contains(&layer_name(400)), "labelled to the end");
            assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
        }
    }
}

/// A sector fails while whole files of it wait for the finisher: they are gone before the caller
/// hears of the end, who may start the sector anew then.
#[test]
fn files_that_wait_are_removed_before_the_end_is_reported_small() {
    let bench = Bench::new(64, 3, 1);
    let request = bench.request();
    let slot = Slot::default();
    for layer in [1, 2] {
        slot.add_whole(Layer::create(&bench.sectors[0].dir, layer, 2048).expect("creates it"));
    }
    assert_eq!(bench.names(0).len(), 2);
    let shared = Shared { request: &request, slots: vec![slot], abandoned: AtomicBool::new(false) };
    let (jobs, to_do) = mpsc::channel();
    let (sender, events) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| finish(&shared, to_do, sender));
        shared.slots[0].stop(0, SectorError::Cancelled, &jobs);
        let event = events.recv().expect("an event");
        assert!(matches!(event, Event::Ended { sector: 0, result: Err(SectorError::Cancelled) }));
        assert_eq!(bench.names(0), Vec::<String>::new());
        // What was announced before or after changes nothing.
        for layer in [1, 2] {
            jobs.send(Finish::Layer { sector: 0, layer }).expect("listens");
        }
        drop(jobs);
        assert!(events.recv().is_err(), "nothing after the end");
    });
    assert_eq!(bench.names(0), Vec::<String>::new());
}
