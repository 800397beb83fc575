//! Bad orders and bad files: a clear error, nothing changed.

use std::fs;

use hesper_proofs::SealProof;
use hesper_proofs::stage::{ErrorReport, Order, Retry, Stage, UNSEALED, layer_name};

use crate::harness::{self, Sector, sample};

const PROOF: SealProof = SealProof::Stacked2KiBV1_1;

fn refused(order: &Order) -> ErrorReport {
    harness::run(order).result.expect_err("must be refused")
}

#[test]
fn a_piece_larger_than_the_sector_is_refused_with_both_sizes() {
    let mut sector = Sector::new(PROOF, 30, &sample(2033));
    let error = refused(&sector.order(Stage::AddPiece));
    assert_eq!((error.code.as_str(), error.retryable), ("piece_too_large", false));
    assert!(error.message.contains("2033") && error.message.contains("2032"), "{error:?}");
}

#[test]
fn a_truncated_or_altered_input_is_found_before_use() {
    let mut sector = Sector::new(PROOF, 31, &sample(2000));
    for stage in [Stage::AddPiece, Stage::TreeD, Stage::Pc1] {
        sector.stage(stage);
    }
    let layer = sector.files[&layer_name(2)].clone();
    let good = fs::read(&layer.path).unwrap();

    fs::write(&layer.path, &good[..2000]).unwrap();
    let order = sector.order(Stage::Pc2);
    let error = refused(&order);
    assert_eq!((error.code.as_str(), error.retry), ("input_truncated", Retry::Elsewhere));
    for part in [layer.name.as_str(), "2000", "2048"] {
        assert!(error.message.contains(part), "{part}: {error:?}");
    }
    assert!(!order.out_dir.join("sealed").exists(), "nothing was begun");

    let mut bad = good.clone();
    bad[5] ^= 1;
    fs::write(&layer.path, &bad).unwrap();
    let error = refused(&sector.order(Stage::Pc2));
    assert_eq!(error.code, "input_altered");
    assert!(error.message.contains(layer.blake3.as_deref().unwrap()), "{error:?}");
    assert!(error.message.contains(&blake3::hash(&bad).to_hex().to_string()), "{error:?}");

    fs::remove_file(&layer.path).unwrap();
    let error = refused(&sector.order(Stage::Pc2));
    assert_eq!(error.code, "io");
    assert!(error.message.contains(&layer.name), "{error:?}");

    fs::write(&layer.path, &good).unwrap();
    sector.stage(Stage::Pc2);
}

#[test]
fn an_input_of_another_sector_does_not_pass() {
    let mut one = Sector::new(PROOF, 32, &sample(2000));
    let mut two = Sector::new(PROOF, 33, &sample(1999));
    for sector in [&mut one, &mut two] {
        sector.stage(Stage::AddPiece);
    }
    // A well-formed file with its right digest, of another sector.
    let foreign = two.files[UNSEALED].clone();
    one.files.insert(UNSEALED.to_owned(), foreign);
    let error = refused(&one.order(Stage::TreeD));
    assert_eq!((error.code.as_str(), error.retry), ("mismatch", Retry::GiveUp));
    assert!(error.message.contains("CommD"), "{error:?}");
}

#[test]
fn a_piece_that_does_not_come_back_as_it_was_is_told() {
    let mut sector = Sector::pre_committed(PROOF, 34, &sample(600));
    let mut order = sector.order(Stage::Unseal);
    order.ticket = Some("33".repeat(32));
    let error = refused(&order);
    assert_eq!(error.code, "mismatch");
    assert!(error.message.contains(&sector.values["piece_blake3"]), "{error:?}");
}

#[test]
fn malformed_orders_name_the_field() {
    let mut sector = Sector::new(PROOF, 35, &sample(100));
    let mut order = sector.order(Stage::Pc1);
    assert_eq!(refused(&order).code, "value_absent");
    order.values.insert("comm_d".to_owned(), "xyz".to_owned());
    let error = refused(&order);
    assert_eq!(error.code, "value_malformed");
    assert!(error.message.contains("comm_d") && error.message.contains("xyz"), "{error:?}");

    order.values.insert("comm_d".to_owned(), "01".repeat(32));
    order.ticket = None;
    assert!(refused(&order).message.contains("ticket"));

    order.version = 2;
    assert_eq!(refused(&order).code, "order_version");

    let mut order = sector.order(Stage::TreeD);
    order.values.insert("pieces".to_owned(), "[]".to_owned());
    let error = refused(&order);
    assert_eq!(error.code, "input_absent");
    assert!(error.message.contains(UNSEALED), "{error:?}");
}

#[test]
fn a_source_that_is_no_file_is_refused_at_once() {
    let mut sector = Sector::new(PROOF, 36, b"x");
    let mut order = sector.order(Stage::AddPiece);
    for input in &mut order.inputs {
        input.path = sector.path("");
    }
    let error = refused(&order);
    assert_eq!(error.code, "io");
    assert!(error.message.contains("not a regular file"), "{error:?}");

    order.out_dir = "relative".into();
    let error = hesper_proofs::stage::run(&order, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("absolute"), "{error}");
}

#[test]
fn an_unreadable_order_leaves_a_report_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("order.json");
    fs::write(&path, "{\"stage\": \"bake\"}").unwrap();
    assert_eq!(hesper_proofs::stage::child_main(std::slice::from_ref(&path)), 1);
    let report: ErrorReport =
        serde_json::from_slice(&fs::read(dir.path().join("error.json")).unwrap()).unwrap();
    assert_eq!((report.code.as_str(), report.retryable), ("order", false));
}

#[test]
fn large_sectors_are_refused_as_not_run_here() {
    for proof in [SealProof::Stacked32GiBV1_1, SealProof::Stacked64GiBV1_1] {
        for stage in Stage::ALL {
            let dir = tempfile::tempdir().unwrap();
            let identity = hesper_proofs::SectorIdentity { miner: 1, number: 1 };
            let order = Order::new(stage, proof, identity, dir.path());
            let error = hesper_proofs::stage::run(&order, &mut |_| {}).unwrap_err();
            assert_eq!(error.code(), "unsupported");
            assert!(error.to_string().contains("not run here"), "{error}");
        }
    }
}
