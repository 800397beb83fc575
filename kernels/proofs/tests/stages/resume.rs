//! PC1 goes on where an earlier attempt stopped, and only there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use hesper_proofs::SealProof;
use hesper_proofs::stage::{Checkpoint, Stage, layer_name};

use crate::harness::{self, Sector, sample};

const KIB2: SealProof = SealProof::Stacked2KiBV1_1;

fn ready_for_pc1(proof: SealProof) -> Sector {
    let mut sector = Sector::new(proof, 20, &sample(1000));
    sector.stage(Stage::AddPiece);
    sector.stage(Stage::TreeD);
    sector
}

#[test]
fn pc1_of_8_mib_goes_on_after_layer_1() {
    let mut sector = ready_for_pc1(SealProof::Stacked8MiBV1_1);
    let first = sector.stage(Stage::Pc1);
    let (layer_1, layer_2) = (sector.read(&layer_name(1)), sector.read(&layer_name(2)));

    // An attempt that ended within layer 2.
    let dead = sector.path("dead");
    fs::create_dir(&dead).unwrap();
    for name in [layer_name(1), Checkpoint::file_name(1)] {
        fs::copy(first.join(&name), dead.join(&name)).unwrap();
    }
    let inode = |path: &std::path::Path| fs::metadata(path).unwrap().ino();

    let mut order = sector.order(Stage::Pc1);
    order.resume_dirs = vec![dead.clone()];
    let ran = harness::run(&order);
    let outcome = ran.result.unwrap();
    assert_eq!(outcome.reused_layers, 1);
    let layers: Vec<u64> =
        ran.progress.iter().filter(|p| p.step == "layer").map(|p| p.done).collect();
    assert_eq!(layers, [1, 2], "starts at one finished layer of two");
    let resumed = &order.out_dir;
    assert_eq!(inode(&resumed.join(layer_name(1))), inode(&dead.join(layer_name(1))));
    assert_eq!(fs::read(resumed.join(layer_name(1))).unwrap(), layer_1);
    assert!(fs::read(resumed.join(layer_name(2))).unwrap() == layer_2);
    assert_eq!(outcome.files.len(), 4, "two layers, two checkpoints: {:?}", outcome.files);
}

#[test]
fn pc1_killed_after_layer_1_goes_on_there() {
    let mut sector = ready_for_pc1(SealProof::Stacked8MiBV1_1);
    let killed = sector.order(Stage::Pc1);
    harness::kill_at(&killed, "layer", 1);
    let written = fs::metadata(killed.out_dir.join(layer_name(1))).unwrap();

    let mut order = sector.order(Stage::Pc1);
    order.resume_dirs = vec![killed.out_dir.clone()];
    let dir = sector.run(&order);
    // Two if the signal came late, on a busy machine.
    assert!((1..=2).contains(&sector.reused_layers));
    let taken = fs::metadata(dir.join(layer_name(1))).unwrap();
    assert_eq!((taken.ino(), taken.mtime_nsec()), (written.ino(), written.mtime_nsec()));
}

#[test]
fn layers_are_taken_only_if_every_byte_is_as_checkpointed_for_this_replica() {
    let mut sector = ready_for_pc1(KIB2);
    let good = sector.stage(Stage::Pc1);
    let expected = [sector.read(&layer_name(1)), sector.read(&layer_name(2))];

    type Spoil = fn(&std::path::Path);
    let cases: [(&str, u32, Spoil); 5] = [
        ("nothing wrong", 2, |_| {}),
        ("layer 2 altered, same length", 1, |dir| {
            let path = dir.join(layer_name(2));
            let mut bytes = fs::read(&path).unwrap();
            bytes[77] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("layer 1 truncated", 0, |dir| fs::write(dir.join(layer_name(1)), b"short").unwrap()),
        ("no checkpoint for layer 1", 0, |dir| {
            fs::remove_file(dir.join(Checkpoint::file_name(1))).unwrap();
        }),
        ("checkpoint of another sector", 0, |dir| {
            let path = dir.join(Checkpoint::file_name(1));
            let mut checkpoint: Checkpoint =
                serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            checkpoint.replica_id = "00".repeat(32);
            fs::write(path, serde_json::to_vec(&checkpoint).unwrap()).unwrap();
        }),
    ];
    for (number, (what, reused, spoil)) in cases.into_iter().enumerate() {
        let old = sector.path(&format!("old-{number}"));
        fs::create_dir(&old).unwrap();
        for layer in 1..=2 {
            for name in [layer_name(layer), Checkpoint::file_name(layer)] {
                fs::copy(good.join(&name), old.join(&name)).unwrap();
            }
        }
        spoil(&old);
        let mut order = sector.order(Stage::Pc1);
        order.resume_dirs = vec![sector.path("never-existed"), old];
        sector.run(&order);
        assert_eq!(sector.reused_layers, reused, "{what}");
        for (layer, expected) in (1..).zip(&expected) {
            assert_eq!(&sector.read(&layer_name(layer)), expected, "{what}, layer {layer}");
        }
    }
}

#[test]
fn an_unverified_layer_in_the_own_directory_is_not_trusted() {
    let mut sector = ready_for_pc1(KIB2);
    let order = sector.order(Stage::Pc1);
    fs::create_dir_all(&order.out_dir).unwrap();
    // Right in size, which is all that the library looks at.
    fs::write(order.out_dir.join(layer_name(1)), [7; 2048]).unwrap();
    sector.run(&order);
    assert_eq!(sector.reused_layers, 0);
    assert_ne!(sector.read(&layer_name(1)), [7; 2048]);
    sector.stage(Stage::Pc2);
    sector.stage(Stage::C1);
}

/// What a process killed while it made the table of parents leaves: full length, a tail of zeros.
#[test]
fn a_half_written_table_of_parents_is_made_again() {
    let mut sector = ready_for_pc1(KIB2);
    sector.stage(Stage::Pc1);
    let expected = sector.read(&layer_name(2));

    let parents = tempfile::tempdir().unwrap();
    let set = [("FIL_PROOFS_PARENT_CACHE", parents.path())];
    let table = || {
        let mut all = fs::read_dir(parents.path()).unwrap().map(|entry| entry.unwrap().path());
        all.find(|path| path.extension().is_some_and(|e| e == "cache")).unwrap()
    };
    let order = sector.order(Stage::Pc1);
    harness::run_with(&order, &set).result.unwrap();
    let good = fs::read(table()).unwrap();
    let mut half = good.clone();
    half[good.len() / 2..].fill(0);
    fs::write(table(), half).unwrap();

    let order = sector.order(Stage::Pc1);
    harness::run_with(&order, &set).result.unwrap();
    assert!(fs::read(table()).unwrap() == good);
    assert_eq!(fs::read(order.out_dir.join(layer_name(2))).unwrap(), expected);
}
