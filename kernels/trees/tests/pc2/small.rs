//! Every small shape, byte by byte.

use std::fs;
use std::sync::Mutex;

use hesper_poseidon::Backend;
use hesper_trees::pc2::{self, Progress};
use hesper_trees::{P_AUX_NAME, Shape, T_AUX_NAME, auxiliary};

use crate::support::{Expected, Sector};

fn check(sector: &Sector, backend: Backend, threads: usize, expected: &Expected) {
    let outcome = sector.run(backend, threads);
    assert_eq!(outcome.commitments, expected.commitments, "{backend} {:?}", sector.shape);
    assert_eq!(fs::read(sector.path("sealed")).expect("read"), expected.sealed);
    let names = [sector.shape.tree_c_names(), sector.shape.tree_r_last_names()].concat();
    let trees = expected.tree_c.iter().chain(&expected.tree_r_last);
    for (name, tree) in names.iter().zip(trees) {
        assert_eq!(fs::read(sector.cache(name)).expect("read"), *tree, "{name} {backend}");
    }
    let mut reported = vec!["sealed".to_owned()];
    reported.extend(names);
    reported.extend([T_AUX_NAME.to_owned(), P_AUX_NAME.to_owned()]);
    let found: Vec<_> = outcome.files.iter().map(|file| file.name.clone()).collect();
    assert_eq!(found, reported);
    for file in &outcome.files {
        let bytes = fs::read(&file.path).expect("read");
        assert_eq!(file.len, bytes.len() as u64, "{}", file.name);
        assert_eq!(file.blake3, *blake3::hash(&bytes).as_bytes(), "{}", file.name);
    }
    reported.sort();
    assert_eq!(sector.made(), reported, "nothing but the reported files");
}

fn check_shape(sector_bytes: u64, layers: usize) {
    let sector = Sector::new(sector_bytes, layers);
    let expected = Expected::of(&sector);
    for backend in Backend::available() {
        for threads in [1, 3] {
            check(&sector, backend, threads, &expected);
        }
    }
}

#[test]
fn one_base_tree_small() {
    check_shape(2 << 10, 2);
    check_shape(2 << 10, 11);
}

#[test]
fn two_base_trees_small() {
    check_shape(4 << 10, 2);
    check_shape(4 << 10, 11);
}

#[test]
fn eight_base_trees_small() {
    check_shape(16 << 10, 2);
    check_shape(16 << 10, 11);
}

#[test]
fn sixteen_base_trees_in_two_groups_small() {
    check_shape(32 << 10, 2);
    check_shape(32 << 10, 11);
}

#[test]
fn the_data_may_be_the_start_of_tree_d_small() {
    let sector = Sector::new(4 << 10, 2);
    let expected = Expected::of(&sector);
    let mut tree_d = sector.data.clone();
    tree_d.resize(2 * tree_d.len() - 32, 0xff);
    fs::write(sector.path("unsealed"), tree_d).expect("written");
    check(&sector, Backend::detect(), 2, &expected);
}

#[test]
fn auxiliary_files_have_their_content_small() {
    let sector = Sector::new(4 << 10, 2);
    let outcome = sector.run(Backend::detect(), 1);
    let p_aux = fs::read(sector.cache(P_AUX_NAME)).expect("read");
    let commitments = outcome.commitments;
    let read = auxiliary::read_p_aux(&p_aux).expect("64 bytes");
    assert_eq!(read, (commitments.comm_c, commitments.comm_r_last));
    let t_aux = auxiliary::t_aux(sector.shape, 2, &sector.path("cache")).expect("UTF-8");
    assert_eq!(fs::read(sector.cache(T_AUX_NAME)).expect("read"), t_aux);
}

#[test]
fn progress_counts_every_node_once_small() {
    let sector = Sector::new(32 << 10, 2);
    let seen = Mutex::new(Vec::new());
    let progress = |step: Progress| {
        seen.lock().expect("not poisoned").push(step);
        true
    };
    pc2::run(&sector.request(Backend::detect(), 2), &progress).expect("PC2 runs");
    let mut done: Vec<_> = seen
        .into_inner()
        .expect("not poisoned")
        .iter()
        .map(|step| (step.nodes_done, step.nodes_total))
        .collect();
    done.sort_unstable();
    let expected: Vec<_> = (1..=16).map(|chunk| (chunk * 64, 1024)).collect();
    assert_eq!(done, expected);
}

#[test]
fn older_files_are_replaced_small() {
    let sector = Sector::new(2 << 10, 2);
    let expected = Expected::of(&sector);
    for path in [sector.path("sealed"), sector.path("sealed.tmp"), sector.cache("p_aux.tmp")] {
        fs::write(path, [7; 5000]).expect("written");
    }
    fs::write(sector.cache("sc-02-data-tree-c.dat"), b"short").expect("written");
    check(&sector, Backend::detect(), 1, &expected);
}

/// The memory that a run reports is what its plan says, and the bound is kept.
#[test]
fn the_bound_of_memory_holds_for_every_shape_small() {
    for shape in Shape::all() {
        let needed = pc2::buffer_bytes(shape, 11, 4, 512 << 20).expect("half a gibibyte is enough");
        assert!(needed <= 512 << 20);
        assert_eq!(pc2::buffer_bytes(shape, 11, 4, needed).ok(), Some(needed), "{shape:?}");
    }
    let sector = Sector::new(32 << 10, 2);
    let outcome = sector.run(Backend::detect(), 2);
    let planned = pc2::buffer_bytes(sector.shape, 2, 2, pc2::DEFAULT_MEMORY_BYTES_MAX);
    assert_eq!(planned.ok(), Some(outcome.buffer_bytes));
}
