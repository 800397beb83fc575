//! **Purpose**: tree D equals the library's: every SHA-256 path, and the file that a build writes.

use std::num::NonZeroUsize;

use hesper_sha256::{Backend, hash_pairs};
use hesper_trees::{TREE_D_NAME, tree_d};
use serde_json::json;

use crate::library::{assert_same, assert_same_file, bytes32, read};
use crate::sector::{Kind, MIB, SMALL, Workshop, drawn_elements, with};

fn check(size: u64, threads: usize) {
    let shop = Workshop::new();
    let kind = Kind { size, layers: 2 };
    let data = shop.path().join("data");
    let bytes = drawn_elements(size, usize::try_from(size).expect("a small sector"));
    std::fs::write(&data, &bytes).expect("writing the data");
    let out = shop.dir("library");
    let line =
        shop.library.call("tree-d", &with(kind.request(), json!({ "data": data, "out": out })));
    let library = out.join(TREE_D_NAME);

    for backend in Backend::available() {
        let mut tree = bytes.clone();
        let mut row = 0..tree.len();
        while row.len() > 32 {
            let mut above = vec![0; row.len() / 2];
            hash_pairs(backend, &tree[row.clone()], &mut above);
            row = row.end..row.end + above.len();
            tree.extend(above);
        }
        assert_same(&tree, &read(&library), &format!("tree D by {backend}"));
    }

    let threads = NonZeroUsize::new(threads).expect("threads");
    let ours = shop.dir("ours").join(TREE_D_NAME);
    let tree = tree_d::build(&data, &ours, size, threads).expect("tree D");
    assert_same_file(&ours, &library);
    assert_eq!(tree.comm_d, bytes32(&line, "comm_d"));
    assert_eq!(hex::encode(tree.file.blake3), line["blake3"].as_str().expect("a digest"));
    assert_eq!(tree_d::commitment(&data, size, threads).expect("CommD"), tree.comm_d);
}

#[test]
fn trees_equal_small() {
    for size in SMALL {
        check(size, 1);
        check(size, 3);
    }
}

#[test]
fn tree_equals_8_mib() {
    check(8 * MIB, 2);
}
