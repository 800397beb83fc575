//! **Purpose**: the graph: files of parents, and single nodes of the graphs of 32 and 64 GiB.

use hesper_sdr::parents::{self, Backend};
use hesper_sdr::{Graph, PARENTS};
use serde_json::json;

use crate::library::{assert_same, read};
use crate::sector::{KIB, Kind, MIB, Workshop};

fn check_file(size: u64) {
    let shop = Workshop::new();
    let kind = Kind { size, layers: 2 };
    let line = shop.library.call("parents", &kind.request());
    let path = std::path::PathBuf::from(line["path"].as_str().expect("a path"));
    let library = read(&path);

    let graph = Graph::of_sector_bytes(size, kind.porep_id()).expect("a graph");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert_eq!(parents::file_name(&graph), name);

    let ours = shop.dir("ours");
    let table = parents::prepare(&ours, &graph, 2).expect("our file");
    assert!(table.was_made());
    assert_same(&read(&ours.join(&name)), &library, &name);

    for backend in Backend::available() {
        let mut rows = vec![0; library.len() / 4];
        parents::fill(backend, &graph, 0..graph.nodes(), &mut rows);
        let bytes: Vec<u8> = rows.iter().flat_map(|parent| parent.to_le_bytes()).collect();
        assert_same(&bytes, &library, &format!("parents by {backend}"));
    }
}

#[test]
fn files_of_parents_equal_small() {
    for size in [2 * KIB, 4 * KIB, 16 * KIB, 32 * KIB] {
        check_file(size);
    }
}

#[test]
fn file_of_parents_equals_8_mib() {
    check_file(8 * MIB);
}

/// First nodes of the runs that are also filled by the wide kernels. A run is short: its cost is the
/// tables of the permutation, which each call of `fill` makes anew.
const RUNS: [u32; 3] = [0, 12_345_677, 1_073_741_000];
const RUN_NODES: u32 = 50;

fn check_nodes(gib: u64, porep_number: u8) {
    let shop = Workshop::new();
    let size = gib << 30;
    let mut porep_id = [0; 32];
    porep_id[0] = porep_number;
    let graph = Graph::of_sector_bytes(size, porep_id).expect("a graph");
    let runs: Vec<u32> = RUNS.iter().flat_map(|first| *first..first + RUN_NODES).collect();
    let nodes = [runs.as_slice(), &[graph.nodes() - 1]].concat();
    let line = shop.library.call(
        "parents-of",
        &json!({
            "size": size,
            "porep_id": hex::encode(porep_id),
            "nodes": nodes,
            "seed": gib,
            "count": 10_000,
        }),
    );
    let rows: Vec<Vec<u32>> = serde_json::from_value(line["rows"].clone()).expect("rows");
    assert_eq!(rows.len(), nodes.len() + 10_000);
    for row in &rows {
        assert_eq!(graph.parents(row[0]), row[1..], "parents of node {} of {gib} GiB", row[0]);
    }

    let len = usize::try_from(RUN_NODES).expect("few");
    for backend in Backend::available() {
        for (first, expected) in RUNS.into_iter().zip(rows.chunks(len)) {
            let mut filled = vec![0; len * PARENTS];
            parents::fill(backend, &graph, first..first + RUN_NODES, &mut filled);
            for (ours, row) in filled.chunks_exact(PARENTS).zip(expected) {
                assert_eq!(ours, &row[1..], "node {} of {gib} GiB by {backend}", row[0]);
            }
        }
    }
}

#[test]
fn parents_of_10_000_nodes_of_32_gib_equal() {
    check_nodes(32, 8);
}

#[test]
fn parents_of_10_000_nodes_of_64_gib_equal() {
    check_nodes(64, 9);
}
