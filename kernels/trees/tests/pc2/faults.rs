//! Bad input: each is named, and nothing is left behind.

use std::fs;

use hesper_poseidon::Backend;
use hesper_trees::pc2::{self, Error, Request};

use crate::support::Sector;

const ORDER_TOP_BYTE: u8 = 0x73;

fn fails(sector: &Sector, request: &Request) -> Error {
    let before = sector.made();
    let error = pc2::run(request, &|_| true).expect_err("bad input");
    assert_eq!(sector.made(), before, "a failed run leaves nothing: {error}");
    error
}

fn sector_and_request() -> (Sector, Request) {
    let sector = Sector::new(4 << 10, 2);
    let request = sector.request(Backend::detect(), 2);
    (sector, request)
}

#[test]
fn a_truncated_layer_is_named_with_both_lengths_small() {
    let (sector, request) = sector_and_request();
    fs::write(&request.layers[1], &sector.layers[1][..4095]).expect("written");
    let error = fails(&sector, &request);
    assert!(error.is_bad_input());
    let text = error.to_string();
    assert!(text.contains("layer-2") && text.contains("4095") && text.contains("4096"), "{text}");
}

#[test]
fn data_of_another_size_is_refused_small() {
    let (sector, request) = sector_and_request();
    for len in [0, 2048, 4128, 8192] {
        fs::write(&request.data, vec![0; len]).expect("written");
        let error = fails(&sector, &request);
        assert!(matches!(error, Error::Length { what: "the data", .. }), "{len}: {error}");
    }
}

#[test]
fn a_missing_layer_is_named_small() {
    let (sector, request) = sector_and_request();
    fs::remove_file(&request.layers[0]).expect("removed");
    let error = fails(&sector, &request);
    assert!(matches!(error, Error::File(_)) && error.to_string().contains("layer-1"), "{error}");
    assert!(!error.is_storage_full());
}

#[test]
fn a_directory_in_place_of_a_layer_is_refused_small() {
    let (sector, request) = sector_and_request();
    fs::remove_file(&request.layers[0]).expect("removed");
    fs::create_dir(&request.layers[0]).expect("created");
    assert!(matches!(fails(&sector, &request), Error::NotAFile { .. }));
}

#[test]
fn bytes_out_of_the_field_are_found_in_any_input_small() {
    let (sector, request) = sector_and_request();
    for path in [&request.data, &request.layers[0], &request.layers[1]] {
        let good = fs::read(path).expect("read");
        let mut bad = good.clone();
        bad[100 * 32..101 * 32].fill(0xff);
        bad[101 * 32 - 1] = ORDER_TOP_BYTE;
        fs::write(path, bad).expect("written");
        let error = fails(&sector, &request);
        assert!(matches!(error, Error::OutOfField { node: 100, .. }), "{error}");
        assert!(error.is_bad_input());
        fs::write(path, good).expect("written");
    }
    pc2::run(&request, &|_| true).expect("the restored inputs are good");
}

#[test]
fn the_data_is_never_overwritten_small() {
    let (sector, mut request) = sector_and_request();
    request.sealed = sector.path("cache/../unsealed");
    let error = fails(&sector, &request);
    assert!(matches!(error, Error::SameFile { .. }), "{error}");
    assert_eq!(fs::read(&request.data).expect("read"), sector.data);
}

#[test]
fn no_output_takes_the_place_of_an_input_small() {
    let (sector, mut request) = sector_and_request();
    // The temporary file of the replica would be the data, the replica a layer.
    request.data = sector.path("sealed.tmp");
    fs::rename(sector.path("unsealed"), &request.data).expect("renamed");
    let error = fails(&sector, &request);
    assert!(error.to_string().contains("sealed.tmp"), "{error}");
    assert_eq!(fs::read(&request.data).expect("read"), sector.data);
    request.data = sector.path("unsealed");
    fs::rename(sector.path("sealed.tmp"), &request.data).expect("renamed");
    request.sealed.clone_from(&request.layers[1]);
    let error = fails(&sector, &request);
    assert!(error.to_string().contains("layer-2"), "{error}");
    assert_eq!(fs::read(&request.layers[1]).expect("read"), sector.layers[1]);
}

/// The renaming itself fails: no `p_aux` of an older run may stand beside the new files.
#[test]
fn an_older_p_aux_does_not_outlive_the_first_new_name_small() {
    let (sector, request) = sector_and_request();
    fs::write(sector.cache("p_aux"), [7; 64]).expect("written");
    fs::create_dir(sector.cache("t_aux")).expect("created");
    let error = pc2::run(&request, &|_| true).expect_err("a directory is in the way of t_aux");
    assert!(matches!(error, Error::File(_)), "{error}");
    assert!(sector.path("sealed").exists() && !sector.cache("p_aux").exists());
}

/// Names of inputs that share their bytes with older outputs and with what a killed run left.
#[test]
fn hard_linked_inputs_keep_their_bytes_small() {
    let (sector, request) = sector_and_request();
    fs::hard_link(&request.data, sector.path("sealed")).expect("linked");
    fs::hard_link(&request.data, sector.path("sealed.tmp")).expect("linked");
    fs::hard_link(&request.layers[0], sector.cache("sc-02-data-tree-c-0.dat")).expect("linked");
    fs::hard_link(&request.layers[0], sector.cache("sc-02-data-tree-c-1.dat.tmp")).expect("linked");
    pc2::run(&request, &|_| true).expect("PC2 runs");
    assert_eq!(fs::read(&request.data).expect("read"), sector.data);
    assert_eq!(fs::read(&request.layers[0]).expect("read"), sector.layers[0]);
}

#[test]
fn other_numbers_of_layers_are_refused_small() {
    let (sector, mut request) = sector_and_request();
    request.layers.pop();
    assert!(matches!(fails(&sector, &request), Error::Layers { found: 1 }));
    request.layers = vec![request.layers[0].clone(); 12];
    assert!(matches!(fails(&sector, &request), Error::Layers { found: 12 }));
}

#[test]
fn too_little_memory_says_how_much_is_needed_small() {
    let (sector, mut request) = sector_and_request();
    request.memory_bytes_max = 1000;
    let Error::Memory { given: 1000, needed } = fails(&sector, &request) else {
        panic!("the bound was too small");
    };
    request.memory_bytes_max = needed;
    pc2::run(&request, &|_| true).expect("what is needed is enough");
}

#[test]
fn a_missing_directory_leaves_no_file_of_the_others_small() {
    let (sector, mut request) = sector_and_request();
    request.cache_dir = sector.path("nowhere");
    let error = fails(&sector, &request);
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn a_stopped_run_leaves_nothing_and_can_be_repeated_small() {
    let (sector, request) = sector_and_request();
    let error = pc2::run(&request, &|_| false).expect_err("stopped");
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(!error.is_bad_input());
    assert!(sector.made().is_empty());
    pc2::run(&request, &|_| true).expect("the next run is whole");
}

#[test]
fn a_panic_in_the_callback_is_passed_on_and_leaves_nothing_small() {
    let (sector, request) = sector_and_request();
    let run = std::panic::AssertUnwindSafe(|| pc2::run(&request, &|_| panic!("in the callback")));
    assert!(std::panic::catch_unwind(run).is_err());
    assert!(sector.made().is_empty());
}
