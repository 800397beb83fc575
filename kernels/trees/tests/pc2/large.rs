//! A sector of many chunks: the result does not depend on how it is cut.

use std::fs;

use hesper_poseidon::{Arity, Backend};
use hesper_trees::pc2::{self, Outcome};
use hesper_trees::{auxiliary, rows};

use crate::support::Sector;

/// Names and digests of all files.
fn digests(outcome: &Outcome) -> Vec<(String, [u8; 32])> {
    outcome.files.iter().map(|file| (file.name.clone(), file.blake3)).collect()
}

#[test]
fn chunks_threads_and_memory_do_not_change_the_result() {
    let sector = Sector::new(8 << 20, 2);
    let backend = Backend::detect();
    let mut request = sector.request(backend, 1);
    let whole = pc2::run(&request, &|_| true).expect("PC2 runs");
    for file in &whole.files {
        let bytes = fs::read(&file.path).expect("read");
        assert_eq!(file.blake3, *blake3::hash(&bytes).as_bytes(), "{}", file.name);
    }

    // The same tree from its leaves, in memory.
    let mut tree_r = fs::read(sector.path("sealed")).expect("read");
    rows::build_up(backend, Arity::Eight, &mut tree_r);
    let kept = tree_r.len() - 18_720;
    let file = fs::read(sector.cache("sc-02-data-tree-r-last.dat")).expect("read");
    assert!(file == tree_r[kept..], "two rows above the leaves are not in the file");
    let p_aux = fs::read(sector.cache("p_aux")).expect("read");
    let (_, comm_r_last) = auxiliary::read_p_aux(&p_aux).expect("64 bytes");
    assert_eq!(comm_r_last, tree_r[tree_r.len() - 32..]);

    request.threads = 3;
    request.memory_bytes_max = 2 << 20;
    let cut = pc2::run(&request, &|_| true).expect("PC2 runs");
    assert!(cut.buffer_bytes <= 2 << 20 && whole.buffer_bytes > 2 << 20);
    assert_eq!(cut.commitments, whole.commitments);
    assert_eq!(digests(&cut), digests(&whole));
}
