//! Hours of proofs in minutes of tests: run by `make test-long`.

use hesper_proofs::SealProof;
use hesper_proofs::params::{self, ParamSet};
use hesper_proofs::stage::Stage;
use hesper_proofs::verify::{SealClaim, verify_seal};

use crate::harness::{self, Sector, sample};

/// Seals to the end, verifies here, and refuses what was not proved.
fn seal_to_the_end(proof: SealProof) {
    let params = harness::params_dir();
    params::generate(&params, proof, ParamSet::Porep, &mut |_| {}).unwrap();
    let piece = sample(usize::try_from(proof.capacity_bytes()).unwrap());
    let mut sector = Sector::pre_committed(proof, 70, &piece);
    for stage in [Stage::C1, Stage::C2, Stage::Finalize, Stage::Unseal] {
        sector.stage(stage);
    }
    assert_eq!(sector.values["verified"], "true");
    assert_eq!(sector.read("piece"), piece);

    let bytes = sector.read("proof");
    let claim = SealClaim {
        proof,
        sector: sector.identity,
        comm_d: sector.value("comm_d"),
        comm_r: sector.value("comm_r"),
        ticket: Sector::TICKET,
        seed: Sector::SEED,
    };
    assert!(verify_seal(&params, &claim, &bytes).unwrap());
    let other = SealClaim { seed: [0x23; 32], ..claim.clone() };
    assert!(!verify_seal(&params, &other, &bytes).unwrap(), "another seed");
    let mut flipped = bytes.clone();
    flipped[60] ^= 1;
    assert!(!verify_seal(&params, &claim, &flipped).unwrap(), "a flipped bit");

    let mut order = sector.order(Stage::Finalize);
    order.seed = Some("23".repeat(32));
    assert_eq!(harness::run(&order).result.unwrap_err().code, "not_valid");
}

#[test]
#[ignore = "long: 2 KiB PoRep parameters and C2, some minutes; the three-node test does the same"]
fn c2_of_2_kib_verifies() {
    seal_to_the_end(SealProof::Stacked2KiBV1_1);
}

#[test]
#[ignore = "long: 8 MiB PoRep parameters (1.6 GB) and C2, several minutes and 4 GiB"]
fn c2_of_8_mib_verifies() {
    seal_to_the_end(SealProof::Stacked8MiBV1_1);
}

#[test]
#[ignore = "long: 512 MiB to C1, about half an hour of one core"]
fn c1_of_512_mib() {
    let mut sector = Sector::pre_committed(SealProof::Stacked512MiBV1_1, 71, &sample(1 << 20));
    sector.stage(Stage::C1);
}

#[test]
#[ignore = "long: a measurement, true only on a quiet machine: CPU ns per label of the library"]
fn measure_labels_of_the_library() {
    println!("{}", harness::measure_labels());
}
