//! Rows and tables against independent code and published digests.

use std::fs;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::graph::GraphError;

fn porep_id(number: u8) -> [u8; 32] {
    let mut id = [0; 32];
    id[0] = number;
    id
}

fn graph(nodes: u32, number: u8) -> Graph {
    Graph::new(nodes, porep_id(number)).expect("in range")
}

/// The parents straight from the definition, with other people's hash functions.
fn defined(graph: &Graph, node: u32) -> [u32; PARENTS] {
    let seed =
        |tag: &str| Sha256::new().chain_update(tag).chain_update(graph.porep_id()).finalize();
    let mut row = [0; PARENTS];
    if node > 1 {
        row[0] = node - 1;
        let mut key = [0; 32];
        key[..28].copy_from_slice(&seed("Filecoin_DRSample")[..28]);
        key[28..].copy_from_slice(&node.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        let meta = u64::from(node) * 5;
        let buckets = (meta as f64).log2().ceil() as u64;
        for slot in &mut row[1..6] {
            let bucket = rng.next_u64() % buckets + 1;
            let far = meta.min(1 << bucket);
            let near = (far / 2).max(2);
            let distance = near + rng.next_u64() % (far - near + 1);
            let parent = u32::try_from((meta - distance) / 5).expect("a node");
            *slot = if parent == node { node - 1 } else { parent };
        }
    }
    let raw = seed("Filecoin_Feistel");
    let elements = u64::from(graph.nodes()) * 8;
    let mut half = 1;
    while 4_u64.pow(half) < elements {
        half += 1;
    }
    let mask = (1 << half) - 1;
    for (slot, index) in row[6..].iter_mut().zip(u64::from(node) * 8..) {
        let mut element = index;
        loop {
            let (mut left, mut right) = (element >> half, element & mask);
            for key in raw.chunks(8).take(3) {
                let mut message = right.to_be_bytes().to_vec();
                message.extend(key.iter().rev());
                let hash = blake2b_simd::blake2b(&message);
                let word = u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes"));
                (left, right) = (right, left ^ (word & mask));
            }
            element = left << half | right;
            if element < elements {
                break;
            }
        }
        *slot = u32::try_from(element / 8).expect("a node");
    }
    row
}

fn filled(backend: Backend, graph: &Graph, nodes: Range<u32>) -> Vec<[u32; PARENTS]> {
    let mut rows = vec![0; nodes.len() * PARENTS];
    fill(backend, graph, nodes, &mut rows);
    rows.as_chunks().0.to_vec()
}

#[test]
fn every_backend_fills_whole_graphs_as_defined_small() {
    // 2 nodes: the smallest; 3, 100: no power of two; 64: 2 KiB; 512: 16 KiB, 1024: 32 KiB.
    for nodes in [2, 3, 64, 100, 512, 1024] {
        let graph = graph(nodes, 5);
        let defined: Vec<_> = (0..nodes).map(|node| defined(&graph, node)).collect();
        for backend in Backend::available() {
            assert_eq!(filled(backend, &graph, 0..nodes), defined, "{backend}, {nodes} nodes");
        }
        for node in 0..nodes {
            assert_eq!(graph.parents(node), defined[node as usize], "scalar, node {node}");
        }
    }
}

#[test]
fn ranges_that_begin_and_end_anywhere_are_filled_as_defined() {
    let graph = graph(1 << 14, 6);
    for range in [0..0, 0..1, 1..2, 5..22, 63..65, 1000..1077, 16383..16384] {
        let defined: Vec<_> = range.clone().map(|node| defined(&graph, node)).collect();
        for backend in Backend::available() {
            assert_eq!(filled(backend, &graph, range.clone()), defined, "{backend}, {range:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nodes_of_the_largest_graphs_have_their_parents(large: bool, at: u32, spread in 0_u32..40) {
        let graph = if large { graph(1 << 31, 9) } else { graph(1 << 30, 8) };
        let node = at % graph.nodes();
        prop_assert_eq!(graph.parents(node), defined(&graph, node));
        // Close to the end, where elements walk out of the graph, and at powers of two.
        let node = graph.nodes() - 1 - spread;
        prop_assert_eq!(graph.parents(node), defined(&graph, node));
    }

    #[test]
    fn remainders_are_exact(divisor in 1_u64.., value: u64) {
        let reciprocal = Reciprocal::of(divisor);
        prop_assert_eq!(reciprocal.remainder(value), value % divisor);
        for value in [0, divisor - 1, divisor, u64::MAX, u64::MAX - 1] {
            prop_assert_eq!(reciprocal.remainder(value), value % divisor);
        }
    }
}

#[test]
fn the_ranges_of_the_largest_graphs_equal_the_scalar_rows_on_every_backend() {
    for graph in [graph(1 << 30, 8), graph(1 << 31, 9)] {
        for backend in Backend::available() {
            let filler = Filler::new(backend, &graph);
            for first in [0, 12_345_678, (1 << 29) - 20, graph.nodes() - 40] {
                let mut rows = vec![0; 40 * PARENTS];
                filler.fill(first..first + 40, &mut rows);
                for (row, node) in rows.as_chunks::<PARENTS>().0.iter().zip(first..) {
                    assert_eq!(*row, defined(&graph, node), "{backend}, node {node}");
                }
            }
        }
    }
}

#[test]
fn legacy_proofs_and_graphs_of_other_sizes_are_refused() {
    for number in 0..=4 {
        let error = Graph::new(64, porep_id(number)).expect_err("legacy");
        assert_eq!(error, GraphError::Legacy { number: u64::from(number) });
    }
    for (bytes, nodes) in [(0, 0), (32, 1), (2049, 64), (1 << 37, 1 << 32)] {
        let error = Graph::of_sector_bytes(bytes, porep_id(5)).expect_err("no such size");
        assert_eq!(error, GraphError::Nodes { nodes }, "{bytes} bytes");
    }
    assert_eq!(Graph::of_sector_bytes(1 << 36, porep_id(9)), Graph::new(1 << 31, porep_id(9)));
}

#[test]
fn names_are_those_the_library_publishes() {
    let names = [(64, 5, "494d"), (1 << 18, 6, "5eed"), (1 << 24, 7, "7ba2")];
    for (nodes, number, start) in names {
        let name = file_name(&graph(nodes, number));
        assert!(name.starts_with(&format!("v28-sdr-parent-{start}")), "{name}");
    }
    for (nodes, number, start) in [(1 << 30, 8, "2198"), (1 << 31, 9, "4905")] {
        let name = file_name(&graph(nodes, number));
        assert!(name.starts_with(&format!("v28-sdr-parent-{start}")), "{name}");
    }
}

/// The published SHA-256 of the file is the proof: it is compared while the table is made.
#[test]
fn tables_of_2_kib_and_8_mib_have_the_published_digests() {
    let dir = tempfile::tempdir().expect("a directory");
    for (nodes, number, threads) in [(64, 5, 1), (1 << 18, 6, 3)] {
        let graph = graph(nodes, number);
        let made = prepare(dir.path(), &graph, threads).expect("makes it");
        assert!(made.was_made());
        let opened = prepare(dir.path(), &graph, threads).expect("opens it");
        assert!(!opened.was_made());
        assert_eq!(opened.rows(0..nodes), made.rows(0..nodes));
        assert_eq!(opened.rows(0..nodes), Table::in_memory(&graph, 2).rows(0..nodes));
    }
    let left = fs::read_dir(dir.path()).expect("lists").flatten();
    let left: Vec<_> =
        left.filter(|entry| entry.path().extension() == Some("tmp".as_ref())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn damaged_and_cut_off_tables_are_made_again_small() {
    let dir = tempfile::tempdir().expect("a directory");
    // One with a published digest, one with our own.
    for graph in [graph(64, 5), graph(512, 5)] {
        prepare(dir.path(), &graph, 2).expect("makes it");
        let path = dir.path().join(file_name(&graph));
        let good = fs::read(&path).expect("reads");
        assert_eq!(good.len() as u64, u64::from(graph.nodes()) * 56);

        let mut flipped = good.clone();
        flipped[good.len() - 3] ^= 4;
        for bad in [&flipped, &good[..good.len() - 1].to_vec(), &[good.clone(), vec![0]].concat()] {
            fs::write(&path, bad).expect("damages it");
            let table = prepare(dir.path(), &graph, 2).expect("makes it again");
            assert!(table.was_made());
            assert_eq!(fs::read(&path).expect("reads"), good);
        }
    }
}

#[test]
fn a_table_without_its_own_digest_is_made_again_small() {
    let dir = tempfile::tempdir().expect("a directory");
    let graph = graph(128, 5);
    prepare(dir.path(), &graph, 1).expect("makes it");
    let digest = dir.path().join(format!("{}.blake3", file_name(&graph)));
    fs::remove_file(&digest).expect("removes it");
    assert!(prepare(dir.path(), &graph, 1).expect("makes it again").was_made());
    assert!(!prepare(dir.path(), &graph, 1).expect("opens it").was_made());
}

#[test]
fn several_at_once_make_it_once_small() {
    let dir = tempfile::tempdir().expect("a directory");
    let graph = graph(1024, 5);
    let made = std::thread::scope(|scope| {
        let prepare = || prepare(dir.path(), &graph, 2).expect("a table").was_made();
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(prepare)).collect();
        threads.into_iter().map(|thread| thread.join().expect("ends")).filter(|made| *made).count()
    });
    assert_eq!(made, 1);
}

#[test]
fn a_directory_that_cannot_be_written_is_named_small() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, b"not a directory").expect("writes");
    let error = prepare(&file, &graph(64, 5), 1).expect_err("no directory");
    assert!(error.to_string().contains("create the directory"), "{error}");
    // The place of the unfinished file is taken.
    let graph = graph(64, 5);
    fs::create_dir(dir.path().join(format!("{}.tmp", file_name(&graph)))).expect("makes it");
    let error = prepare(dir.path(), &graph, 1).expect_err("cannot write");
    assert!(error.to_string().contains("could not create"), "{error}");
    assert!(!dir.path().join(file_name(&graph)).exists());
}
