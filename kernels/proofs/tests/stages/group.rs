//! PC1 of several sectors by one process, and the same bytes from Hesper's kernels and the library.

use std::fs;
use std::path::Path;

use hesper_proofs::SealProof;
use hesper_proofs::stage::{CANCEL_FILE, Checkpoint, Order, Stage, layer_name};

use crate::harness::{self, Sector, sample};

const KIB2: SealProof = SealProof::Stacked2KiBV1_1;
const MIB8: SealProof = SealProof::Stacked8MiBV1_1;

fn ready(proof: SealProof, numbers: std::ops::Range<u64>) -> Vec<Sector> {
    numbers
        .map(|number| {
            let mut sector = Sector::new(proof, number, &sample(number as usize));
            sector.stage(Stage::AddPiece);
            sector.stage(Stage::TreeD);
            sector
        })
        .collect()
}

fn orders(sectors: &mut [Sector]) -> Vec<Order> {
    sectors.iter_mut().map(|sector| sector.order(Stage::Pc1)).collect()
}

fn layers(dir: &Path) -> [Vec<u8>; 2] {
    [1, 2].map(|layer| fs::read(dir.join(layer_name(layer))).unwrap())
}

/// Every file that a sector has, by both sets of kernels, from the piece to the opened sector.
fn by_both(proof: SealProof, piece: &[u8]) {
    let mut made = [None, Some("library")].map(|kernels| {
        let mut sector = Sector::new(proof, 30, piece);
        if let Some(kernels) = kernels {
            sector.values.insert("kernels".to_owned(), kernels.to_owned());
        }
        for stage in
            [Stage::AddPiece, Stage::TreeD, Stage::Pc1, Stage::Pc2, Stage::C1, Stage::Unseal]
        {
            sector.stage(stage);
        }
        sector.values.remove("kernels");
        sector.values.remove("lockstep_width");
        sector
    });
    let [own, library] = &mut made;
    assert_eq!(own.values, library.values);
    assert!(own.files.keys().eq(library.files.keys()), "{:?}", own.files.keys());
    for name in own.files.keys().filter(|name| *name != "c1.json") {
        assert!(own.read(name) == library.read(name), "{name} differs at {proof}");
    }
}

#[test]
fn both_sets_of_kernels_make_the_same_files_at_2_kib() {
    by_both(KIB2, &sample(1777));
}

#[test]
fn both_sets_of_kernels_make_the_same_files_at_8_mib() {
    by_both(MIB8, &sample(5_000_000));
}

#[test]
fn sectors_of_a_group_get_the_labels_that_they_get_alone() {
    let mut sectors = ready(KIB2, 1..6);
    let together = orders(&mut sectors);
    let ran = harness::run_group(&together, |_| {});
    assert_eq!(ran.code, Some(0));
    for (place, (order, result)) in together.iter().zip(&ran.results).enumerate() {
        let outcome = result.as_ref().expect("the sector is labelled");
        assert_eq!(outcome.values["lockstep_width"], "8", "five sectors run eight wide");
        assert_eq!(outcome.files.len(), 4, "two layers, two checkpoints");
        let alone = sectors[place].stage(Stage::Pc1);
        assert!(layers(&order.out_dir) == layers(&alone), "sector {place}");
    }
    let places: std::collections::BTreeSet<u32> =
        ran.progress.iter().filter_map(|step| step.order).collect();
    assert!(places.into_iter().eq(0..5), "progress names the order");
}

#[test]
fn members_of_a_group_go_on_from_their_own_layers() {
    let mut sectors = ready(KIB2, 1..4);
    let done: Vec<_> = sectors.iter_mut().map(|sector| sector.stage(Stage::Pc1)).collect();
    let mut together = orders(&mut sectors);
    // The first has one layer, the second both, the third none.
    for (place, have) in [(0, 1), (1, 2)] {
        let earlier = sectors[place].path("earlier");
        fs::create_dir(&earlier).unwrap();
        for layer in 1..=have {
            for name in [layer_name(layer), Checkpoint::file_name(layer)] {
                fs::copy(done[place].join(&name), earlier.join(&name)).unwrap();
            }
        }
        together[place].resume_dirs = vec![earlier];
    }
    let ran = harness::run_group(&together, |_| {});
    let reused: Vec<u32> =
        ran.results.iter().map(|result| result.as_ref().unwrap().reused_layers).collect();
    assert_eq!(reused, [1, 2, 0]);
    for (order, alone) in together.iter().zip(&done) {
        assert!(layers(&order.out_dir) == layers(alone));
    }
}

#[test]
fn one_sector_of_a_group_fails_alone() {
    let mut sectors = ready(KIB2, 1..4);
    let mut together = orders(&mut sectors);
    together[1].ticket = Some("no ticket".to_owned());
    let ran = harness::run_group(&together, |_| {});
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.results[1].as_ref().unwrap_err().code, "value_malformed");
    assert!(ran.results[0].is_ok() && ran.results[2].is_ok());
}

/// The temporary name of its first layer is taken by a directory.
#[test]
fn a_sector_whose_layer_cannot_be_written_fails_alone() {
    let mut sectors = ready(KIB2, 1..4);
    let together = orders(&mut sectors);
    let ran = harness::run_group(&together, |orders| {
        let tmp = orders[1].out_dir.join(format!("{}.tmp", layer_name(1)));
        fs::create_dir_all(tmp.join("taken")).unwrap();
    });
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.results[1].as_ref().unwrap_err().code, "kernel");
    assert!(ran.results[0].is_ok() && ran.results[2].is_ok());
}

#[test]
fn any_subset_of_a_group_can_be_cancelled() {
    let mut sectors = ready(MIB8, 1..4);
    let together = orders(&mut sectors);
    // The requests are there from the start: the child sees them at its first look.
    let ran = harness::run_group(&together, |orders| {
        for order in [&orders[0], &orders[2]] {
            fs::write(order.out_dir.join(CANCEL_FILE), b"").unwrap();
        }
    });
    let codes: Vec<Option<&str>> = ran
        .results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.code.as_str()))
        .collect();
    assert_eq!(codes, [Some("cancelled"), None, Some("cancelled")]);
    assert!(!ran.results[0].as_ref().unwrap_err().retryable);
    let alone = sectors[1].stage(Stage::Pc1);
    assert!(layers(&together[1].out_dir) == layers(&alone));
}

#[test]
fn orders_that_do_not_belong_together_are_refused() {
    let mut sectors = ready(KIB2, 1..3);
    let mut together = orders(&mut sectors);
    together[1].values.insert("kernels".to_owned(), "library".to_owned());
    let ran = harness::run_group(&together, |_| {});
    assert_eq!(ran.code, Some(1));
    for result in ran.results {
        assert!(result.unwrap_err().message.contains("cannot be run in one group"));
    }
    let mut order = sectors[0].order(Stage::Pc1);
    order.values.insert("kernels".to_owned(), "fastest".to_owned());
    let error = harness::run(&order).result.unwrap_err();
    assert_eq!(error.code, "value_malformed");
    assert!(error.message.contains("`own` or `library`"), "{}", error.message);
}
