//! **Purpose**: PC2 leaves the library's files: sealed sector, tree C, tree R last, `p_aux`, `t_aux`.

use std::fs;

use hesper_poseidon::Backend;
use hesper_trees::{Shape, pc2};

use crate::library::{assert_same_file, bytes32, names, read};
use crate::sector::{KINDS, Kind, MIB, Sector, Workshop};

/// The directory in which the library sealed is moved away, so that ours has the same path: `t_aux`
/// holds it.
struct Moved {
    sector: Sector,
    cache: std::path::PathBuf,
}

fn moved(shop: &Workshop, kind: Kind) -> Moved {
    let mut sector = shop.seal(kind, 5);
    let cache = sector.cache.clone();
    let away = cache.with_file_name("library-cache");
    fs::rename(&cache, &away).expect("moving the library's files away");
    sector.cache = away;
    Moved { sector, cache }
}

fn check(moved: &Moved, backend: Backend, threads: usize, memory_bytes_max: u64) {
    let Moved { sector, cache } = moved;
    let kind = sector.kind;
    fs::create_dir_all(cache).expect("our cache directory");
    let sealed = cache.with_file_name("our-sealed");
    let request = pc2::Request {
        shape: Shape::of_sector_bytes(kind.size).expect("a known size"),
        layers: (1..=kind.layers).map(|layer| sector.layer(layer)).collect(),
        data: sector.data.clone(),
        sealed: sealed.clone(),
        cache_dir: cache.clone(),
        threads,
        memory_bytes_max,
        backend,
    };
    let outcome = pc2::run(&request, &|_| true)
        .unwrap_or_else(|error| panic!("{kind:?} by {backend} with {threads} threads: {error}"));

    let line = &sector.sealed_line;
    assert_eq!(outcome.commitments.comm_c, bytes32(line, "comm_c"), "{kind:?} by {backend}");
    assert_eq!(outcome.commitments.comm_r_last, bytes32(line, "comm_r_last"));
    assert_eq!(outcome.commitments.comm_r, bytes32(line, "comm_r"));
    assert_same_file(&sealed, &sector.sealed);
    let ours = names(cache);
    let library: Vec<String> = names(&sector.cache)
        .into_iter()
        .filter(|name| !name.contains("-layer-") && !name.contains("tree-d"))
        .collect();
    assert_eq!(ours, library, "{kind:?}: the files of the cache directory");
    for name in &ours {
        assert_same_file(&cache.join(name), &sector.cache.join(name));
    }
    assert_eq!(outcome.files.len(), ours.len() + 1);
    for file in &outcome.files {
        let bytes = read(&file.path);
        assert_eq!(file.len, bytes.len() as u64);
        assert_eq!(file.blake3, *blake3::hash(&bytes).as_bytes(), "digest of {}", file.name);
    }
    fs::remove_dir_all(cache).expect("removing our files");
}

#[test]
fn every_path_leaves_the_files_of_the_library_small() {
    for kind in KINDS {
        let shop = Workshop::new();
        let moved = moved(&shop, kind);
        for backend in Backend::available() {
            check(&moved, backend, 1, 0);
            check(&moved, backend, 3, 0);
        }
    }
}

#[test]
fn every_path_leaves_the_files_of_the_library_8_mib() {
    let shop = Workshop::new();
    let moved = moved(&shop, Kind { size: 8 * MIB, layers: 2 });
    for backend in Backend::available() {
        check(&moved, backend, 2, 0);
    }
    check(&moved, Backend::detect(), 3, 8 * MIB);
}

#[test]
fn every_path_leaves_the_files_of_the_library_8_mib_11_layers() {
    let shop = Workshop::new();
    let moved = moved(&shop, Kind { size: 8 * MIB, layers: 11 });
    for backend in Backend::available() {
        check(&moved, backend, 2, 0);
    }
}
